// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "core/parallel.h"

namespace cnncore {

/// Tasks of a phase, at most.
inline constexpr std::int64_t kMaxPhaseTasks = 32;

namespace detail {

/// Who works on phases that follow one another. Each member begins with its own share of a phase's tasks, the
/// same ones in every phase, and with the last of them in every other phase: what a core had in its cache at
/// the end of a phase, it reads first in the next. Then it helps members that have not come or take long.
class PhaseTeam {
 public:
  PhaseTeam(std::int64_t phases, std::int64_t tasks, std::int64_t members);

  /// Runs tasks until all phases are done: body(phase, task).
  template <class Body>
  void work(std::int64_t member, const Body& body) {
    share(member).present.store(true, std::memory_order_relaxed);
    for (std::int64_t phase = current(); phase < phases_; phase = current()) {
      run_share(share(member), phase, body);
      for (int looks = 0; !is_done(phase); ++looks) {
        for (std::int64_t i = 0; i < members_; ++i) {
          if (looks >= kPatience || !share(i).present.load(std::memory_order_relaxed))
            run_share(share(i), phase, body);
        }
        wait_a_little(looks);
      }
    }
  }

 private:
  static constexpr int kPatience = 500;  // looks at a phase that others finish, some 20 microseconds

  /// `next` counts the tasks begun in all phases so far.
  struct alignas(64) Share {
    std::atomic<std::int64_t> next{0};
    std::atomic<bool> present{false};
    std::int64_t begin = 0;
    std::int64_t size = 0;
  };

  Share& share(std::int64_t member) { return shares_[static_cast<std::size_t>(member)]; }
  std::int64_t current() const { return done_.load(std::memory_order_acquire) / tasks_; }
  bool is_done(std::int64_t phase) const {
    return done_.load(std::memory_order_acquire) >= (phase + 1) * tasks_;
  }
  static void wait_a_little(int looks);

  template <class Body>
  void run_share(Share& share, std::int64_t phase, const Body& body) {
    const std::int64_t end = (phase + 1) * share.size;
    std::int64_t at = share.next.load(std::memory_order_relaxed);
    while (at < end) {
      if (!share.next.compare_exchange_weak(at, at + 1, std::memory_order_relaxed)) continue;
      const std::int64_t i = at - phase * share.size;
      body(phase, share.begin + (phase % 2 == 0 ? i : share.size - 1 - i));
      done_.fetch_add(1, std::memory_order_release);
      at = share.next.load(std::memory_order_relaxed);
    }
  }

  std::int64_t phases_, tasks_, members_;
  alignas(64) std::atomic<std::int64_t> done_{0};  // tasks of all phases
  std::array<Share, static_cast<std::size_t>(kMaxPhaseTasks)> shares_;
};

}  // namespace detail

/// Calls body(phase, task, thread) for every task of every phase; a phase begins when the one before is done.
/// There are up to kMaxPhaseTasks tasks. `work` is the cost of all phases in vector operations. As in
/// `parallel_for`, what a task computes must not depend on `thread`.
template <class Body>
void parallel_phases(std::int64_t phases, std::int64_t tasks, double work, const Body& body) {
  const auto members = work < kSerialWork ? 1 : std::min<std::int64_t>(tasks, num_threads());
  if (members <= 1) {
    for (std::int64_t phase = 0; phase < phases; ++phase) {
      for (std::int64_t task = 0; task < tasks; ++task) body(phase, task, 0);
    }
    return;
  }
  detail::PhaseTeam team(phases, tasks, members);
  parallel_for(members, work, [&](std::int64_t member, int thread) {
    team.work(member, [&](std::int64_t phase, std::int64_t task) { body(phase, task, thread); });
  });
}

/// The same for tasks that fall into `chains` of as many, one chain's after the other's, of which a phase
/// needs only its own chain's phase before: where threads share chains evenly, none waits for another.
template <class Body>
void parallel_chains(std::int64_t chains, std::int64_t phases, std::int64_t tasks, double work,
                     const Body& body) {
  if (chains % num_threads() != 0) return parallel_phases(phases, tasks, work, body);
  const std::int64_t length = tasks / chains;
  parallel_for(chains, work, [&](std::int64_t chain, int thread) {
    for (std::int64_t phase = 0; phase < phases; ++phase) {
      for (std::int64_t i = 0; i < length; ++i) body(phase, chain * length + i, thread);
    }
  });
}

}  // namespace cnncore
