// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "isa/activation.h"

namespace cnncore {

/// One row of output pixels of a depthwise convolution. Only vertical taps that hit the input are listed; the
/// kernel clips horizontal ones.
struct DepthwiseRow {
  const float* const* row = nullptr;     // [rows] input rows under the vertical taps
  const float* const* weight = nullptr;  // [rows] their weights, [taps] of [channels]
  std::int64_t rows = 0;
  std::int64_t channels = 0;
  std::int64_t pitch = 0;        // from input pixel to input pixel
  std::int64_t weight_step = 0;  // from tap to tap
  std::int64_t count = 0;        // output pixels
  // Output pixel i reads input pixels in_start + i * in_step + t * tap_step, t < taps, of in_size.
  std::int64_t in_start = 0, in_step = 1, in_size = 0, taps = 1, tap_step = 1;
  // The input is not near enough for single vectors: several of them pass over a tile of pixels together, so
  // that lines are read in order.
  bool far = false;
  // Input rows that no call has read yet, contiguous: they are fetched for the next call.
  const float* next = nullptr;
  std::int64_t next_rows = 0;
};

struct DepthwiseOutput {
  float* output = nullptr;
  std::int64_t step = 0;            // from pixel to pixel, of the residual too
  const float* residual = nullptr;  // may be null
  const float* bias = nullptr;      // may be null
  Activation activation = Activation::none;
  float alpha = 0.0f;
  float* activated = nullptr;  // as in GemmTileArgs
  bool stream = false;         // results are not kept in cache; whole vectors at aligned places only
};

struct DepthwiseKernels {
  static constexpr std::int64_t kMostPlanes = 8;

  void (*forward)(const DepthwiseRow& row, const DepthwiseOutput& output);
  /// Two output rows of a kernel of 3x3 taps in each of `row.rows` planes at once, the second `next_row`
  /// floats behind the first: an input vector meets the taps of both. `row.row` lists all 3 + in_step input
  /// rows of each plane, null those outside, `row.weight` the three rows of its taps; in_step, 1 or 2, is the
  /// vertical one, too, and tap_step is 1. At most kMostPlanes planes. The same bits as two calls of forward.
  /// Null where there are too few registers.
  void (*forward_pair)(const DepthwiseRow& row, const DepthwiseOutput& output, std::int64_t next_row);
  /// sum[r][t][channel] += grad_output[pixel][channel] * input pixel under tap (r, t). `sum` has a pointer
  /// for every listed row, its taps lie weight_step apart; row.weight is not read; grad_output has row.pitch.
  void (*backward_weight)(const DepthwiseRow& row, const float* grad_output, float* const* sum);
  /// Adds the columns of `rows` contiguous rows to `sums`, [3][columns]: a shift, which the call with `begin`
  /// sets, and the sums of the deviations from it and of their squares.
  void (*add_statistics)(const float* values, std::int64_t rows, std::int64_t columns, bool begin,
                         float* sums);
  /// Turns the sums of `rows` rows into count, mean and sum of squared deviations from the mean.
  void (*finish_statistics)(std::int64_t rows, std::int64_t columns, float* sums);
};

}  // namespace cnncore
