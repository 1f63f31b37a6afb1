// SPDX-License-Identifier: Apache-2.0
#include "core/parallel.h"

#include <omp.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "core/cpu_info.h"
#include "core/error.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace cnncore {
namespace {

constexpr int kMaxThreads = 1024;

struct ThreadDefault {
  int threads = 1;
  std::string source;
};

/// The smallest of: cores this process may run on, whole cores of the container's quota, OMP_NUM_THREADS.
ThreadDefault read_thread_default() {
  const CpuInfo& cpu = cpu_info();
  ThreadDefault best = {cpu.affinity_cores, "cores available to the process"};
  const int quota = static_cast<int>(cpu.cgroup_quota);
  if (cpu.cgroup_quota > 0 && std::max(1, quota) < best.threads)
    best = {std::max(1, quota), "cgroup CPU quota"};
  if (const char* text = std::getenv("OMP_NUM_THREADS")) {
    const int wanted = std::atoi(text);
    if (wanted > 0 && wanted < best.threads) best = {wanted, "OMP_NUM_THREADS"};
  }
  return best;
}

const ThreadDefault& thread_default() {
  static const ThreadDefault value = read_thread_default();
  return value;
}

std::atomic<int> wanted_threads{0};     // 0 = the default
std::atomic<bool> team_busy{false};     // one team at a time: a second caller runs serially
thread_local bool inside_team = false;  // nested loops run serially
thread_local int thread_limit = 0;      // set by ThreadSnapshot
std::atomic<bool> forked{false};

struct Job {
  detail::TaskFunction function;
  void* context;
  std::int64_t tasks;
  int threads;
};

void run_serially(const Job& job) {
  for (std::int64_t task = 0; task < job.tasks; ++task) job.function(job.context, task, 0);
}

/// The tasks one thread begins with; in a cache line of its own, since threads on different third caches
/// need up to a microsecond to pass one on.
struct alignas(64) Share {
  std::atomic<std::int64_t> next;
  std::int64_t end;
};
Share shares[kMaxThreads];  // of the one team

/// Every thread takes the tasks of its own share, then what is left of the others'. Loops over the same
/// images give each thread the same ones in every loop, which it finds in its own caches.
void run_team(const Job& job) {
  for (int i = 0; i < job.threads; ++i) {
    shares[i].next.store(job.tasks * i / job.threads, std::memory_order_relaxed);
    shares[i].end = job.tasks * (i + 1) / job.threads;
  }
#pragma omp parallel num_threads(job.threads)
  {
    const FlushDenormals flush;
    inside_team = true;
    const int thread = omp_get_thread_num();
    for (int i = 0; i < job.threads; ++i) {
      Share& share = shares[(thread + i) % job.threads];
      for (std::int64_t task = share.next.fetch_add(1, std::memory_order_relaxed); task < share.end;
           task = share.next.fetch_add(1, std::memory_order_relaxed)) {
        job.function(job.context, task, thread);
      }
    }
    inside_team = false;
  }
}

/// In a forked child the forking thread's OpenMP workers are gone but its runtime still waits for
/// them. A thread born after the fork has a runtime state of its own, so it opens the teams there.
class ForkedLeader {
 public:
  ForkedLeader() { std::thread(&ForkedLeader::serve, this).detach(); }

  void run(const Job& job) {
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = &job;
    changed_.notify_all();
    changed_.wait(lock, [&] { return job_ == nullptr; });
  }

 private:
  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return job_ != nullptr; });
      run_team(*job_);
      job_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  const Job* job_ = nullptr;
};

std::atomic<ForkedLeader*> forked_leader{nullptr};

void after_fork_in_child() {
  forked = true;
  forked_leader = nullptr;  // a leader of the parent has no thread here
  team_busy = false;
}

const int fork_handler = pthread_atfork(nullptr, nullptr, after_fork_in_child);

void run_team_after_fork(const Job& job) {
  if (forked_leader.load() == nullptr) forked_leader = new ForkedLeader;  // lives as long as the process
  forked_leader.load()->run(job);
}

}  // namespace

int default_num_threads() { return thread_default().threads; }

const std::string& thread_source() {
  static const std::string set_by_caller = "set_num_threads";
  return wanted_threads.load() > 0 ? set_by_caller : thread_default().source;
}

int num_threads() {
  if (thread_limit > 0) return thread_limit;
  const int wanted = wanted_threads.load();
  return wanted > 0 ? wanted : default_num_threads();
}

void set_num_threads(int threads) {
  require(threads >= 0 && threads <= kMaxThreads, "expected 1 to ", kMaxThreads,
          " threads (0 = the default), got ", threads);
  wanted_threads = threads;
}

ThreadSnapshot::ThreadSnapshot() : saved_(thread_limit) { thread_limit = num_threads(); }
ThreadSnapshot::~ThreadSnapshot() { thread_limit = saved_; }

#if defined(__x86_64__)
constexpr unsigned kFlushBits = 0x8040;  // MXCSR: flush-to-zero, denormals-are-zero
FlushDenormals::FlushDenormals() : saved_(_mm_getcsr()) {
  _mm_setcsr(static_cast<unsigned>(saved_) | kFlushBits);
}
FlushDenormals::~FlushDenormals() { _mm_setcsr(static_cast<unsigned>(saved_)); }
#elif defined(__aarch64__)
constexpr std::uint64_t kFlushBits = 1u << 24;  // FPCR.FZ
FlushDenormals::FlushDenormals() : saved_(0) {
  __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
  __asm__ volatile("msr fpcr, %0" : : "r"(saved_ | kFlushBits));
}
FlushDenormals::~FlushDenormals() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }
#else
FlushDenormals::FlushDenormals() : saved_(0) {}
FlushDenormals::~FlushDenormals() = default;
#endif

namespace detail {

void run_tasks(std::int64_t tasks, TaskFunction function, void* context) {
  const int threads = static_cast<int>(std::min<std::int64_t>(num_threads(), tasks));
  const Job job = {function, context, tasks, threads};
  if (threads <= 1 || inside_team || omp_in_parallel() ||
      team_busy.exchange(true, std::memory_order_acquire)) {
    run_serially(job);
    return;
  }
  if (forked) {
    run_team_after_fork(job);
  } else {
    run_team(job);
  }
  team_busy.store(false, std::memory_order_release);
}

}  // namespace detail
}  // namespace cnncore
