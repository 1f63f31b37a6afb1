// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/team.h"

namespace cnncore {

/// Threads a parallel loop may use now on this thread, and where the process's number came from.
int num_threads();
void set_num_threads(int threads);
int default_num_threads();
const char* thread_source();

/// Work below this many elementary vector operations stays on the calling thread: waking
/// a team costs about a microsecond, some 4000 cycles.
inline constexpr double kSerialWork = 20000.0;

/// While alive, denormal inputs and results count as zero on this thread; the caller's mode returns at the
/// end.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  std::uint64_t saved_;
};

/// While alive, num_threads() stays what it was at the start on this thread: scratch memory sized
/// by it fits until the end even when another thread calls set_num_threads. `threads`, when it is not 0,
/// takes the process's number's place.
class ThreadSnapshot {
 public:
  explicit ThreadSnapshot(int threads = 0);
  ~ThreadSnapshot();
  ThreadSnapshot(const ThreadSnapshot&) = delete;
  ThreadSnapshot& operator=(const ThreadSnapshot&) = delete;

 private:
  int saved_;
};

namespace detail {
void run_tasks(std::int64_t tasks, TaskFunction function, void* context);
}  // namespace detail

/// Calls body(task, thread) once for every task in [0, tasks), on any thread, in any order.
/// `work` is the whole loop's cost in vector operations. What a task computes must depend on
/// its number only, never on `thread` (which selects scratch memory): that is what keeps
/// results identical on any number of threads. Nested and concurrent calls run serially.
template <class Body>
void parallel_for(std::int64_t tasks, double work, Body&& body) {
  if (tasks <= 1 || work < kSerialWork) {
    for (std::int64_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  using Callable = std::remove_reference_t<Body>;
  detail::run_tasks(
      tasks,
      [](void* context, std::int64_t task, int thread) { (*static_cast<Callable*>(context))(task, thread); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace cnncore
