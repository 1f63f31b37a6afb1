// SPDX-License-Identifier: Apache-2.0
// Windows of pooling: which input coordinates each output coordinate looks at, and the other way round.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/parallel.h"
#include "isa/pool.h"
#include "ops/checks.h"
#include "ops/tasks.h"
#include "ops/window.h"
#include "program/step.h"

namespace cnncore {

/// The windows of one spatial axis, strided and dilated or adaptive. Those of long axes are computed when
/// they are needed instead of being listed.
struct PoolAxis {
  static constexpr std::int64_t kListed = 4096;  // coordinates of the longest axis with a list
  static constexpr std::int64_t kTile = 512;     // windows that are computed at a time

  std::int64_t input = 1;
  std::int64_t output = 1;
  std::int64_t kernel = 1;    // largest window; numbers of taps are below it
  std::int64_t dilation = 1;  // input coordinates between taps
  std::int64_t stride = 1;
  std::int64_t padding_begin = 0;
  std::int64_t padding_end = 0;
  std::int64_t divisor = 0;  // of every window; 0: its taps, or its part of the padded input
  bool count_padding = false;
  bool adaptive = false;

  /// Checks that every window meets the input, and lists the windows of a short axis.
  void finish();
  PoolWindow window(std::int64_t o) const {
    return listed_.empty() ? compute(o) : listed_[static_cast<std::size_t>(o)];
  }
  /// Calls body(first, count, windows) for the windows of the whole axis, some at a time.
  template <class Body>
  void for_windows(const Body& body) const {
    if (!listed_.empty()) return body(0, output, listed_.data());
    PoolWindow windows[kTile];
    for (std::int64_t first = 0; first < output; first += kTile) {
      const std::int64_t count = std::min(kTile, output - first);
      for (std::int64_t i = 0; i < count; ++i) windows[i] = compute(first + i);
      body(first, count, static_cast<const PoolWindow*>(windows));
    }
  }
  /// Whether windows lie side by side from coordinate 0 on; coordinates after the last are covered by none.
  bool tiles() const;
  /// Windows that may cover input coordinates first ... first + count - 1: [begin, end).
  std::array<std::int64_t, 2> covering(std::int64_t first, std::int64_t count) const;
  /// The most windows that may cover one input coordinate.
  std::int64_t most_covering() const {
    return std::min(output, adaptive ? output / input + 3 : (kernel - 1) * dilation / stride + 1);
  }
  std::size_t table_bytes() const { return listed_.capacity() * sizeof(PoolWindow); }

 private:
  PoolWindow compute(std::int64_t o) const;
  void require_inside(std::int64_t o) const;

  std::vector<PoolWindow> listed_;
};

/// Sizes of one pooling; absent spatial axes have extent 1.
struct PoolGeometry {
  std::int64_t batch = 1;
  std::int64_t channels = 1;
  std::int64_t input_pitch = 1;  // floats from pixel to pixel: more than the channels in a wider tensor
  std::array<PoolAxis, 3> axes;  // depth, height, width
  /// Tap numbers count through the kernel, or, for adaptive pooling, through the input plane.
  std::array<std::int64_t, 3> number_step{};
  std::int64_t largest_number = 0;

  std::int64_t input_pixels() const { return axes[0].input * axes[1].input * axes[2].input; }
  std::int64_t output_pixels() const { return axes[0].output * axes[1].output * axes[2].output; }
  std::int64_t line_size() const { return axes[2].input * input_pitch; }  // in floats, as is
  std::int64_t plane_size() const { return axes[1].input * line_size(); }
  /// Row `line` of the windows of plane `plane`, all channels; its input and columns are the caller's.
  PoolRow row(std::int64_t plane, std::int64_t line) const;
  std::size_t table_bytes() const {
    return axes[0].table_bytes() + axes[1].table_bytes() + axes[2].table_bytes();
  }
};

/// Checks the two tensors (input and output of the forward direction) and reads kernel, stride,
/// padding_begin, padding_end, dilation, count_include_pad and divisor_override.
PoolGeometry pool_geometry(const TensorDesc& input, const TensorDesc& output, const Attrs& attrs);
/// `divisor`: of every window of an average; 0: its taps or, with `count_padding`, its part of the padded
/// input.
PoolGeometry pool_geometry(const TensorDesc& input, const TensorDesc& output, const Window& window,
                           bool count_padding = true, std::int64_t divisor = 0);
PoolGeometry adaptive_pool_geometry(const TensorDesc& input, const TensorDesc& output);

/// Numbers of taps in the layout of `output`, of a type that holds `largest`.
void require_pool_index(const TensorDesc& index, const TensorDesc& output, std::int64_t largest);

/// Vectors that `floats` floats fill.
double pool_vectors(std::int64_t floats);

/// Division of rows (and, when they are few, of channels) into tasks by shape alone.
class PoolTasks {
 public:
  struct Row {
    std::int64_t index, image, plane, line;
    std::int64_t channel;   // first
    std::int64_t channels;  // count
  };

  /// A tap is a load, two comparisons and two selections, in pixels that need not fill the vector.
  static constexpr double kCyclesPerOperation = 5.0;

  PoolTasks() = default;
  /// Rows of images with planes x lines rows each; `row_work` is one row's cost in vector operations.
  PoolTasks(std::int64_t batch, std::int64_t planes, std::int64_t lines, std::int64_t channels,
            double row_work);

  double work() const { return work_; }

  /// Calls body(row, thread) for all rows of all tasks, in parallel.
  template <class Body>
  void for_rows(const Body& body) const {
    const std::int64_t tasks = ceil_div(rows_, rows_per_task_) * channel_blocks_;
    parallel_for(tasks, kCyclesPerOperation * work_, [&](std::int64_t task, int thread) {
      const std::int64_t first = task / channel_blocks_ * rows_per_task_;
      const std::int64_t channel = task % channel_blocks_ * channels_per_block_;
      Row row = {first,
                 first / (planes_ * lines_),
                 first / lines_ % planes_,
                 first % lines_,
                 channel,
                 std::min(channels_per_block_, channels_ - channel)};
      const std::int64_t end = std::min(rows_, first + rows_per_task_);
      while (row.index < end) {
        body(row, thread);
        ++row.index;
        if (++row.line < lines_) continue;
        row.line = 0;
        if (++row.plane < planes_) continue;
        row.plane = 0;
        ++row.image;
      }
    });
  }

 private:
  std::int64_t rows_ = 0;
  std::int64_t planes_ = 1;
  std::int64_t lines_ = 1;
  std::int64_t channels_ = 0;
  std::int64_t rows_per_task_ = 1;
  std::int64_t channel_blocks_ = 1;
  std::int64_t channels_per_block_ = 0;
  double work_ = 0.0;
};

std::unique_ptr<Step> make_max_pool_backward(const StepSpec& spec, PoolGeometry geometry);
std::unique_ptr<Step> make_average_pool_backward(const StepSpec& spec, PoolGeometry geometry);

}  // namespace cnncore
