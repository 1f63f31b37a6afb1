// SPDX-License-Identifier: Apache-2.0
#include "program/peak.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "core/buffer.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"

namespace cnncore {
namespace {

constexpr double kParallel = 1e12;  // always worth a team
constexpr std::size_t kReadBytes = std::size_t{256} << 20;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Best rate of `work()` (an amount) a second over rounds that fill `seconds`.
template <class Work>
double best_rate(double seconds, Work&& work) {
  double best = 0;
  const double end = now() + seconds;
  do {
    const double start = now();
    const double amount = work();
    best = std::max(best, amount / (now() - start));
  } while (now() < end);
  return best;
}

/// FMAs of about a millisecond on each of `threads` threads at once.
double fma_round(int threads) {
  constexpr std::int64_t kRounds = 100000;
  std::vector<double> operations(static_cast<std::size_t>(threads), 0.0);
  parallel_for(threads, kParallel, [&](std::int64_t task, int) {
    float sink[3] = {0.5f, 1.0f, 0.0f};
    operations[static_cast<std::size_t>(task)] = kernels().peak.fma(kRounds, sink);
  });
  double sum = 0;
  for (const double count : operations) sum += count;
  return sum;
}

double read_round(const Buffer& block, int threads) {
  const std::size_t share = block.size() / sizeof(float) / static_cast<std::size_t>(threads);
  parallel_for(threads, kParallel, [&](std::int64_t task, int) {
    float sink[3] = {0.0f, 0.0f, 0.0f};
    const auto* data = reinterpret_cast<const float*>(block.data());
    kernels().peak.read(data + share * static_cast<std::size_t>(task), share, sink);
  });
  return static_cast<double>(share) * sizeof(float) * threads;
}

}  // namespace

Peak measure_peak(double seconds) {
  const int threads = num_threads();
  Peak peak;
  peak.gflops_one_thread = best_rate(seconds / 3, [] { return fma_round(1); }) / 1e9;
  peak.gflops = threads == 1 ? peak.gflops_one_thread
                             : best_rate(seconds / 3, [&] { return fma_round(threads); }) / 1e9;
  Buffer block(kReadBytes);
  std::memset(block.data(), 0, block.size());
  peak.gbytes = best_rate(seconds / 3, [&] { return read_round(block, threads); }) / 1e9;
  return peak;
}

}  // namespace cnncore
