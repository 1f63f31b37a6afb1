// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

inline constexpr std::int64_t kLineFloats = 16;  // of a cache line
inline constexpr std::int64_t kLineBytes = 64;

/// What the loops above the kernels count on of a CPU: how much of its caches they fill, into how many tasks
/// they cut, what an algorithm costs. Sizes are in floats, and of the core's own second cache (256 KiB on the
/// smallest CPUs served, 1 MiB on most) where nothing else is said. The numbers here suit x86 CPUs of the
/// last ten years; another CPU's table sets what it needs otherwise.
struct Machine {
  // Tasks.
  std::int64_t tasks = 16;      // of a large step: enough that a few threads end at nearly the same time
  double least_task = 20000.0;  // vector operations of some microseconds
  double least_pool_task = 4096.0;
  std::int64_t pool_ahead =
      0;  // floats, at least, from a far input's pixels to what is fetched of it meanwhile
  std::int64_t task_elements = 16384;  // of steps that pass over memory once
  std::int64_t norm_chunk = 65536;

  // Hardly anything of a larger output is in cache when the next step reads it. What the system tells of the
  // last cache is no help: virtual machines report those of all chiplets as one.
  std::int64_t last_cache = 8 * 1024 * 1024;
  std::int64_t resident = 524288;         // stays in the caches between two passes
  std::int64_t near_weight = 192 * 1024;  // stays in the second cache from step to step of a recurrent layer
  std::int64_t recurrent_rows = 1 << 20;  // at least, of a group that goes through time beside others

  // A chunk's input lies next to the block of the weight panel that passes over it.
  struct Direct {
    std::int64_t input = 48 * 1024;
    std::int64_t weight = 64 * 1024;
    std::int64_t pooled_map = 96 * 1024;  // of a band that is pooled; beside it lie its input and the weight
    std::int64_t least_pooled_map = 1024 * 1024;   // a smaller map stays in cache between two steps
    std::int64_t least_expanded_map = 512 * 1024;  // the same of an inverted residual block
  } direct;

  // A task's rows and columns of a weight's gradient: each operand is read from far away once for every block
  // of the other.
  struct Blocks {
    std::int64_t rows, columns, pixels;
  };
  struct WeightGradient {
    // 256 + 64 channels of 320 pixels, and of those that are fetched for the next chunk, are 800 KiB.
    Blocks in_place = {256, 64, 320};
    Blocks copied = {128, 128, 384};
    Blocks copied_pointwise = {256, 512, 384};  // with a single tap, copies need more columns to pay
  } weight_gradient;

  struct Scatter {
    std::int64_t products = 16 * 1024;  // of a chunk: written once, read once
    std::int64_t row_products = 64 * 1024;
    std::int64_t band = 32 * 1024;  // the part of grad_input that a task adds up
    std::int64_t depth = 512;       // output channels whose panel stays in cache
  } scatter;

  struct RowNorm {
    std::int64_t input = 32 * 1024;  // rows of a task
    std::int64_t tasks = 64;         // so many that their sums of gradients do not grow large
  } row_norm;

  struct Depthwise {
    std::int64_t tasks = 32;
    std::int64_t statistics_pixels = 96;  // are in cache when their statistics are taken
    std::int64_t near = 524288;  // rows of larger maps are passed over by several vectors of channels
    // Input and output up to here come from the last cache: fetching their rows ahead cost up to a quarter.
    std::int64_t cached = 4 * 1024 * 1024;
    // Larger results, of pixels of up to so many channels, are written past the caches.
    std::int64_t streamed = std::int64_t{1} << 60, streamed_channels = 128;
  } depthwise;

  struct Linear {
    // Weights from here on do not stay in cache from step to step: they are read as they lie and written past
    // the cache.
    std::int64_t far_weight = 1024 * 1024;
    // A block of the input's floats by rows of the weight: all rows of the batch stay in the second cache for
    // a block, and four rows of the weight in the first.
    std::int64_t depth = 1024;
    std::int64_t sums = 32 * 1024;   // of a task of the input's gradient
    std::int64_t input = 32 * 1024;  // the columns of a task of the weight's gradient, for all of its rows
  } linear;

  struct Matmul {
    std::int64_t depth = 1024;  // of one pass: rows and panel stay in cache
  } matmul;

  // Cycles of one core with 16 lanes and one multiply-add a cycle.
  struct WinogradForm {
    double gather;   // a tile and block of 16 channels, to the points
    double scatter;  // from the points
    double weight;   // a filter, to or from the points
  };
  struct Winograd {
    WinogradForm f4 = {205.0, 125.0, 24.0};
    WinogradForm f2 = {80.0, 45.0, 12.0};
    WinogradForm f2x5 = {205.0, 90.0, 60.0};
    WinogradForm f4x1 = {30.0, 22.0, 4.0};
    double direct_weight = 24.0 / 9.0;  // direct gradients: a tap's sums to their places
    double start = 3000.0;              // of a step with its stages and tasks
    // Weights beyond a second cache come from the third, and larger ones from memory, once for a problem of
    // few tiles.
    double near_bytes = 512.0 * 1024.0;
    double far_bytes = 8.0 * 1024.0 * 1024.0;
    double bytes_per_cycle = 10.0;
    double far_bytes_per_cycle = 7.0;

    // Transformed input and products of a block of tiles: with them, the weights of a point pass through a
    // second cache of 1 MiB.
    std::int64_t block = 128 * 1024;
    // Transformed weights beyond this come from the third cache or from memory once for each block of tiles,
    // which is then made at least so large that the products take longer.
    std::int64_t near_weight = 128 * 1024;
    std::int64_t far_weight = 4 * 1024 * 1024;
    std::int64_t gradient_tasks = 8;
    std::int64_t gradient_values = 1280 * 1024;  // transformed tiles of a task of several parts
    std::int64_t gradient_partials = 512 * 1024;
  } winograd;
};

}  // namespace cnncore
