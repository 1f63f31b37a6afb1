// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

inline constexpr int kMaxThreads = 1024;

using TaskFunction = void (*)(void* context, std::int64_t task, int thread);

/// One parallel loop: `function` for every task, on up to `threads` threads.
struct Job {
  TaskFunction function;
  void* context;
  std::int64_t tasks;
  int threads;
};

/// Runs `job` on the calling thread and the process's worker threads, of which missing ones are started.
/// Returns false, having done nothing, while another thread does so or when called inside of a task.
bool run_in_team(const Job& job);

/// Threads that the system was found to grant this process, the caller included; kMaxThreads until it refuses
/// one.
int startable_threads();
/// Lets the next loops try to start threads again.
void forget_refused_threads();

}  // namespace cnncore
