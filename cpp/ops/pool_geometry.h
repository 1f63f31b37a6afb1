// SPDX-License-Identifier: Apache-2.0
// Windows of pooling: which input coordinates each output coordinate looks at, and the other way round.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "isa/pool.h"
#include "program/step.h"

namespace cnncore {

/// The windows of one spatial axis. Every kind of pooling (strided, dilated, adaptive) is such a list.
struct PoolAxis {
  std::int64_t input = 1;
  std::int64_t output = 1;
  std::int64_t kernel = 1;    // largest window; numbers of taps are below it
  std::int64_t dilation = 1;  // input coordinates between taps
  std::vector<PoolWindow> windows = {{0, 1, 0, 1}};

  /// Windows of one output coordinate each that cover an input coordinate, sorted by input coordinate: those
  /// of coordinate i are sources[begin[i]] ... sources[begin[i + 1] - 1].
  void invert(std::vector<std::int32_t>& begin, std::vector<PoolSource>& sources) const;
};

/// Sizes of one pooling; absent spatial axes have extent 1.
struct PoolGeometry {
  std::int64_t batch = 1;
  std::int64_t channels = 1;
  std::array<PoolAxis, 3> axes;  // depth, height, width
  /// Tap numbers count through the kernel, or, for adaptive pooling, through the input plane.
  std::array<std::int64_t, 3> number_step{};
  std::int64_t largest_number = 0;

  std::int64_t input_pixels() const { return axes[0].input * axes[1].input * axes[2].input; }
  std::int64_t output_pixels() const { return axes[0].output * axes[1].output * axes[2].output; }
};

/// Checks the two tensors (input and output of the forward direction) and reads kernel, stride,
/// padding_begin, padding_end, dilation, count_include_pad and divisor_override.
PoolGeometry pool_geometry(const TensorDesc& input, const TensorDesc& output, const Attrs& attrs);
PoolGeometry adaptive_pool_geometry(const TensorDesc& input, const TensorDesc& output);

/// Division of rows (and, when they are few, of channels) into tasks by shape alone.
struct PoolTasks {
  std::int64_t rows = 0;
  std::int64_t rows_per_task = 1;
  std::int64_t channel_blocks = 1;
  std::int64_t channels_per_block = 0;
  double work = 0.0;

  /// `row_work` is one row's cost in vector operations.
  PoolTasks() = default;
  PoolTasks(std::int64_t rows, std::int64_t channels, double row_work);
  std::int64_t count() const { return (rows + rows_per_task - 1) / rows_per_task * channel_blocks; }
};

}  // namespace cnncore
