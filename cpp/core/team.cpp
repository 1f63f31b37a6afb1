// SPDX-License-Identifier: Apache-2.0
#include "core/team.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "core/affinity.h"
#include "core/cpu_info.h"
#include "core/fork.h"
#include "core/parallel.h"
#include "core/pause.h"

namespace cnncore {
namespace {

using Clock = std::chrono::steady_clock;

/// How long a thread that waits keeps its core: longer than the gaps between the steps of a program, and
/// short enough that the rest of the process does not notice.
constexpr std::chrono::microseconds kSpin{100};
/// The same where there are more threads than cores, so that who is waited for may need this one.
constexpr std::chrono::microseconds kShortSpin{2};
constexpr int kSpinsPerLook = 16;  // at the clock

thread_local bool inside_team = false;  // nested loops run serially

/// Returns whether `ready` became true in time.
template <class Ready>
bool spin_until(std::chrono::microseconds limit, const Ready& ready) {
  if (ready()) return true;
  const auto end = Clock::now() + limit;
  do {
    for (int i = 0; i < kSpinsPerLook; ++i) {
      pause_core();
      if (ready()) return true;
    }
  } while (Clock::now() < end);
  return false;
}

/// The tasks one thread begins with; in a cache line of its own, since threads on different third caches
/// need up to a microsecond to pass one on.
struct alignas(64) Share {
  std::atomic<std::int64_t> next{0};
  std::int64_t end = 0;
};

enum class State { idle, asked, working };

/// A worker's side of the talk between it and the leader: asked by the leader, working and idle again by the
/// worker; idle by the leader, too, when the loop is done before the worker has begun.
struct alignas(64) Worker {
  std::atomic<State> state{State::idle};
  std::atomic<bool> asleep{false};
  std::mutex mutex;
  std::condition_variable changed;
};

/// The leader is the thread that calls `run`, one at a time; the workers wait for it in between. Lives as
/// long as the process. In a forked child a new one takes its place.
class Team {
 public:
  void run(Job job) {
    job.threads = std::min(job.threads, grow(job.threads));
    spin_.store(job.threads <= cores_ ? kSpin : kShortSpin, std::memory_order_relaxed);
    for (int i = 0; i < job.threads; ++i) {
      Share& share = shares_[static_cast<std::size_t>(i)];
      share.next.store(job.tasks * i / job.threads, std::memory_order_relaxed);
      share.end = job.tasks * (i + 1) / job.threads;
    }
    job_ = job;
    const auto workers = static_cast<std::size_t>(job.threads - 1);
    for (std::size_t i = 0; i < workers; ++i) ask(*workers_[i]);
    inside_team = true;
    work(job, 0);
    inside_team = false;
    for (std::size_t i = 0; i < workers; ++i) await(*workers_[i]);
  }

 private:
  /// Starts workers until there are `threads` threads; returns how many there are.
  int grow(int threads) {
    while (static_cast<int>(workers_.size()) + 1 < std::min(threads, startable_threads())) {
      auto worker = std::make_unique<Worker>();
      if (!start(*worker, static_cast<int>(workers_.size()) + 1)) break;
      workers_.push_back(std::move(worker));
    }
    return static_cast<int>(workers_.size()) + 1;
  }

  bool start(Worker& worker, int thread);

  void ask(Worker& worker) {
    worker.state.store(State::asked);
    if (!worker.asleep.load()) return;
    {
      const std::lock_guard<std::mutex> lock(worker.mutex);
    }  // it is about to wait, or waits
    worker.changed.notify_one();
  }

  /// Returns once `worker` does nothing of this loop any more.
  void await(Worker& worker) {
    State asked = State::asked;
    if (worker.state.compare_exchange_strong(asked, State::idle)) return;
    const auto idle = [&] { return worker.state.load() != State::working; };
    if (spin_until(spin_.load(std::memory_order_relaxed), idle)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    asleep_.store(true);
    changed_.wait(lock, idle);
    asleep_.store(false);
  }

  void serve(Worker& worker, int thread) {
    const FlushDenormals flush;
    inside_team = true;
    for (;;) {
      const auto asked = [&] { return worker.state.load() == State::asked; };
      if (!spin_until(spin_.load(std::memory_order_relaxed), asked)) {
        std::unique_lock<std::mutex> lock(worker.mutex);
        worker.asleep.store(true);
        worker.changed.wait(lock, asked);
        worker.asleep.store(false);
      }
      State wanted = State::asked;
      if (!worker.state.compare_exchange_strong(wanted, State::working)) continue;
      work(job_, thread);
      worker.state.store(State::idle);
      if (!asleep_.load()) continue;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
      }
      changed_.notify_one();
    }
  }

  /// Every thread takes the tasks of its own share, then what is left of the others'. Loops over the same
  /// images give each thread the same ones in every loop, which it finds in its own caches.
  void work(const Job& job, int thread) {
    for (int i = 0; i < job.threads; ++i) {
      Share& share = shares_[static_cast<std::size_t>((thread + i) % job.threads)];
      for (std::int64_t task = share.next.fetch_add(1, std::memory_order_relaxed); task < share.end;
           task = share.next.fetch_add(1, std::memory_order_relaxed)) {
        job.function(job.context, task, thread);
      }
    }
  }

  const int cores_ = cpu_info().affinity_cores;
  std::unique_ptr<Share[]> shares_ = std::make_unique<Share[]>(kMaxThreads);
  std::vector<std::unique_ptr<Worker>> workers_;
  Job job_{};
  std::atomic<std::chrono::microseconds> spin_{kSpin};
  alignas(64) std::atomic<bool> asleep_{false};  // the leader
  std::mutex mutex_;
  std::condition_variable changed_;
};

std::atomic<int> startable{kMaxThreads};
std::atomic<bool> team_busy{false};  // one loop at a time
Team* team = nullptr;                // used by who has set `team_busy`

/// Signals go to the program's own threads, except those that a fault raises in the thread itself.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

bool Team::start(Worker& worker, int thread) {
  const SignalsBlocked blocked;
  try {
    std::thread([this, &worker, thread] {
      leave_openmp_places();
      serve(worker, thread);
    }).detach();
  } catch (const std::system_error&) {  // the system's limit of threads or memory
    startable = thread;
    return false;
  }
  return true;
}

class TeamOfFork final : public ForkListener {
 public:
  void after_fork_in_child() noexcept override {
    team = nullptr;  // its workers are not in the child
    team_busy = false;
    inside_team = false;
  }
};

TeamOfFork team_of_fork;

}  // namespace

bool run_in_team(const Job& job) {
  if (inside_team || team_busy.exchange(true, std::memory_order_acquire)) return false;
  if (team == nullptr) team = new Team;
  team->run(job);
  team_busy.store(false, std::memory_order_release);
  return true;
}

int startable_threads() { return startable; }
void forget_refused_threads() { startable = kMaxThreads; }

}  // namespace cnncore
