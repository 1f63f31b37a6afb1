// SPDX-License-Identifier: Apache-2.0
#include "core/parallel.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdlib>

#include "core/cpu_info.h"
#include "core/error.h"
#include "core/team.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace cnncore {
namespace {

struct ThreadDefault {
  int threads = 1;
  std::string source;
};

/// The number in an environment variable that other libraries read, too, and complain about; 0 without one.
int foreign_number(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? 0 : std::clamp(std::atoi(text), 0, kMaxThreads);
}

/// CNNCORE_NUM_THREADS; 0 where it is not set.
int own_number() {
  const char* const text = std::getenv("CNNCORE_NUM_THREADS");
  if (text == nullptr || *text == '\0') return 0;
  char* end = nullptr;
  const long threads = std::strtol(text, &end, 10);
  require(std::isdigit(static_cast<unsigned char>(*text)) && *end == '\0' && threads >= 1 &&
              threads <= kMaxThreads,
          "CNNCORE_NUM_THREADS: expected 1 to ", kMaxThreads, " threads, got '", text, "'");
  return static_cast<int>(threads);
}

/// CNNCORE_NUM_THREADS, or else the smallest of: cores this process may run on, whole cores of the
/// container's quota, OMP_NUM_THREADS, OMP_THREAD_LIMIT.
ThreadDefault read_thread_default() {
  if (const int threads = own_number(); threads > 0) return {threads, "CNNCORE_NUM_THREADS"};
  const CpuInfo& cpu = cpu_info();
  ThreadDefault best = {std::min(cpu.affinity_cores, kMaxThreads), "cores available to the process"};
  const auto limit = [&](int threads, const char* source) {
    if (threads < best.threads) best = {threads, source};
  };
  if (cpu.cgroup_quota > 0 && cpu.cgroup_quota < kMaxThreads)
    limit(std::max(1, static_cast<int>(cpu.cgroup_quota)), "cgroup CPU quota");
  for (const char* name : {"OMP_NUM_THREADS", "OMP_THREAD_LIMIT"}) {
    if (const int threads = foreign_number(name); threads > 0) limit(threads, name);
  }
  return best;
}

const ThreadDefault& thread_default() {
  static const ThreadDefault value = read_thread_default();
  return value;
}

std::atomic<int> wanted_threads{0};  // 0 = the default
thread_local int thread_limit = 0;   // set by ThreadSnapshot

int allowed_threads() {
  const int wanted = wanted_threads.load();
  return wanted > 0 ? wanted : default_num_threads();
}

}  // namespace

int default_num_threads() { return thread_default().threads; }

const char* thread_source() {
  if (startable_threads() < allowed_threads()) return "threads the system lets the process start";
  return wanted_threads.load() > 0 ? "set_num_threads" : thread_default().source.c_str();
}

int num_threads() {
  return thread_limit > 0 ? thread_limit : std::min(allowed_threads(), startable_threads());
}

void set_num_threads(int threads) {
  require(threads >= 0 && threads <= kMaxThreads, "expected 1 to ", kMaxThreads,
          " threads (0 = the default), got ", threads);
  wanted_threads = threads;
  forget_refused_threads();
}

ThreadSnapshot::ThreadSnapshot(int threads) : saved_(thread_limit) {
  thread_limit = threads > 0 ? std::min(threads, startable_threads()) : num_threads();
}
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
  if (threads > 1 && run_in_team(job)) return;
  for (std::int64_t task = 0; task < tasks; ++task) function(context, task, 0);
}

}  // namespace detail
}  // namespace cnncore
