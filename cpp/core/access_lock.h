// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace cnncore {

/// Lets many read or one write. Callers that have to wait are let in in the order in which they came, so that
/// neither readers nor writers starve. Free, it costs one atomic operation each way. In the child of a fork
/// every lock is free: the threads that held it are not there.
///
/// Whoever holds several takes them in the order of their addresses.
class AccessLock {
 public:
  void lock_shared();
  void unlock_shared();
  void lock();
  void unlock();

 private:
  bool try_enter(bool write, bool in_turn);
  void wait_to_enter(bool write);
  void leave(std::uint64_t amount);

  std::atomic<std::uint64_t> word_{0};  // process number, writer, somebody waits, readers
  std::uint32_t queue_process_ = 0;     // the process whose callers the two tickets count
  std::uint64_t next_ticket_ = 0;
  std::uint64_t serving_ = 0;
};

}  // namespace cnncore
