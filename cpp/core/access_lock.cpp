// SPDX-License-Identifier: Apache-2.0
#include "core/access_lock.h"

#include <condition_variable>
#include <mutex>
#include <new>

#include "core/fork.h"

namespace cnncore {
namespace {

constexpr std::uint64_t kReaders = (std::uint64_t{1} << 30) - 1;
constexpr std::uint64_t kWaiting = std::uint64_t{1} << 30;
constexpr std::uint64_t kWriter = std::uint64_t{1} << 31;
constexpr int kProcessShift = 32;

/// Where callers wait, whatever lock they wait for: waits are rare and end with a run.
struct Queue {
  std::mutex mutex;
  std::condition_variable left;
};

std::atomic<std::uint32_t> process_number{0};  // grows from parent to child
std::atomic<std::uint32_t> waiting{0};

alignas(Queue) unsigned char queue_memory[sizeof(Queue)];

Queue* make_queue() { return new (queue_memory) Queue(); }

Queue* const queue = make_queue();

class QueueOfFork final : public ForkListener {
  void after_fork_in_child() noexcept override {
    process_number.fetch_add(1);
    waiting.store(0);
    make_queue();  // the one there may be held by a thread that is gone
  }
};

QueueOfFork queue_of_fork;

/// A lock's state as far as it concerns this process.
std::uint64_t here(std::uint64_t word) {
  const std::uint64_t process = process_number.load();
  return (word >> kProcessShift) == process ? word : process << kProcessShift;
}

}  // namespace

/// `in_turn`: the caller is the first of those who wait.
bool AccessLock::try_enter(bool write, bool in_turn) {
  std::uint64_t found = word_.load();
  for (;;) {
    const std::uint64_t word = here(found);
    const std::uint64_t hinders = kWriter | (write ? kReaders : 0) | (in_turn ? 0 : kWaiting);
    if ((word & hinders) != 0) return false;
    if (word_.compare_exchange_weak(found, word + (write ? kWriter : 1))) return true;
  }
}

void AccessLock::wait_to_enter(bool write) {
  std::unique_lock<std::mutex> held(queue->mutex);
  const std::uint32_t process = process_number.load();
  if (queue_process_ != process) {
    queue_process_ = process;
    next_ticket_ = serving_ = 0;
  }
  waiting.fetch_add(1);
  const std::uint64_t ticket = next_ticket_++;
  std::uint64_t found = word_.load();
  while (!word_.compare_exchange_weak(found, here(found) | kWaiting)) {
  }
  while (serving_ != ticket || !try_enter(write, true)) queue->left.wait(held);
  ++serving_;
  if (serving_ == next_ticket_) word_.fetch_and(~kWaiting);
  waiting.fetch_sub(1);
  queue->left.notify_all();  // the next in turn may be another reader
}

void AccessLock::leave(std::uint64_t amount) {
  word_.fetch_sub(amount);
  if (waiting.load() == 0) return;
  const std::lock_guard<std::mutex> held(queue->mutex);
  queue->left.notify_all();
}

void AccessLock::lock_shared() {
  if (!try_enter(false, false)) wait_to_enter(false);
}

void AccessLock::unlock_shared() { leave(1); }

void AccessLock::lock() {
  if (!try_enter(true, false)) wait_to_enter(true);
}

void AccessLock::unlock() { leave(kWriter); }

}  // namespace cnncore
