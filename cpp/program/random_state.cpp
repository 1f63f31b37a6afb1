// SPDX-License-Identifier: Apache-2.0
#include "program/random_state.h"

#include <mutex>

#include "core/fork.h"

namespace cnncore {
namespace {

std::mutex mutex;  // never held while anything else is waited for
RandomState current;

class MutexOfFork final : public ForkListener {
  void after_fork_in_child() noexcept override { renew_if_held(mutex); }
};

MutexOfFork mutex_of_fork;

}  // namespace

RandomState random_state() {
  const std::lock_guard<std::mutex> held(mutex);
  return current;
}

void set_random_state(RandomState state) {
  const std::lock_guard<std::mutex> held(mutex);
  current = state;
}

RandomState next_random_state() {
  const std::lock_guard<std::mutex> held(mutex);
  const RandomState taken = current;
  ++current.step;
  return taken;
}

RandomState stream_of(RandomState state, std::int64_t stream) {
  // Odd multiples of 2^64 / golden ratio (Weyl's sequence) are far from one another in all bits.
  const auto far = static_cast<std::uint64_t>(stream) * 0x9E3779B97F4A7C15u;
  state.seed = static_cast<std::int64_t>(static_cast<std::uint64_t>(state.seed) ^ far);
  return state;
}

void return_random_state(RandomState taken) {
  const std::lock_guard<std::mutex> held(mutex);
  if (current.seed == taken.seed && current.step == taken.step + 1) current = taken;
}

}  // namespace cnncore
