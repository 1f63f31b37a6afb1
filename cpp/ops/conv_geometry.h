// SPDX-License-Identifier: Apache-2.0
// What the convolution algorithms share: dense loops over output pixels and taps, their division into
// chunks that fit the second cache, and the view of the input that a chunk works on.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ops/conv.h"
#include "ops/tasks.h"

namespace cnncore {

/// One spatial axis of a dense loop: output pixel i of `count` lies at out_start + i * out_step and reads
/// input coordinates in_start + i * in_step + tap * tap_step; those outside [0, in_size) are zero. Tap t is
/// the kernel's element kernel_start + t * kernel_step.
struct ConvAxis {
  std::int64_t count = 1;
  std::int64_t out_start = 0;
  std::int64_t out_step = 1;
  std::int64_t out_size = 1;
  std::int64_t in_start = 0;
  std::int64_t in_step = 1;
  std::int64_t in_size = 1;
  std::int64_t taps = 1;
  std::int64_t tap_step = 1;
  std::int64_t kernel_start = 0;
  std::int64_t kernel_step = 1;

  bool needs_padding() const;
  bool is_identity() const;  // a 1-tap axis that maps input pixel i to output pixel i
};

/// A convolution without gaps: the forward pass is one of them, backward-data one for each phase of the
/// stride.
struct ConvLoop {
  std::int64_t batch = 1;
  std::int64_t groups = 1;
  std::int64_t in_channels = 1;   // of a group
  std::int64_t out_channels = 1;  // of a group
  std::array<ConvAxis, 3> axis;

  std::int64_t taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
  std::int64_t pixels() const { return batch * axis[0].count * axis[1].count * axis[2].count; }
};

ConvLoop forward_loop(const ConvProblem& problem);
/// Loops whose outputs are pixels of grad_input, each at most once: all of them where the stride has few
/// phases, else those that a tap reaches, and UntouchedPixels has the others.
std::vector<ConvLoop> backward_data_loops(const ConvProblem& problem);
bool has_few_phases(const ConvProblem& problem);
/// Phases of an axis's stride, ascending, whose pixels of grad_input a tap reaches.
std::vector<std::int64_t> touched_phases(const ConvProblem& problem, std::size_t axis);
/// The same loop with all pixels on the height axis when every axis maps pixels one to one.
ConvLoop flatten_pointwise(const ConvLoop& loop);

/// A block of output pixels: whole images, whole planes of an image, rows of a plane, or columns of a row.
struct ConvChunk {
  std::array<std::int64_t, 4> start{};  // image, plane, row, column
  std::array<std::int64_t, 4> count{};
};

/// Cuts the images, planes and rows of a loop, and rows that are very long, into equal chunks of about
/// `pixels` pixels. No chunk has more than the larger of `pixels` and kLongRow.
class ChunkGrid {
 public:
  using Place = std::array<std::int64_t, 4>;
  static constexpr std::int64_t kLongRow = 4096;  // pixels of the longest row that stays whole

  ChunkGrid() = default;
  ChunkGrid(const ConvLoop& loop, std::int64_t pixels);
  std::int64_t chunks() const { return counts_[0] * counts_[1] * counts_[2] * counts_[3]; }
  /// Pieces that images, planes, rows and columns are cut into.
  const Place& counts() const { return counts_; }
  /// The chunk of one piece of each.
  ConvChunk at(const Place& place) const;
  ConvChunk at(std::int64_t index) const { return at(place(index)); }
  ConvChunk largest() const { return at(Place{}); }
  Place place(std::int64_t index) const;

 private:
  Place total_{};
  Place size_{};
  Place counts_{};
};

/// Pixel of the output tensor where a chunk starts.
std::int64_t chunk_output(const ConvLoop& loop, const ConvChunk& chunk);
/// Pixel of the input tensor under the first tap of a chunk's first pixel, be it outside or not.
std::int64_t chunk_input(const ConvLoop& loop, const ConvChunk& chunk);

/// The input of a chunk as base pointer and strides, in elements: either the tensor itself or a copy with
/// zeros around it and any pixel pitch.
class InputView {
 public:
  InputView() = default;
  /// `tensor_pitch` is the tensor's number of channels; `pitch` that of the copy.
  InputView(const ConvLoop& loop, const ChunkGrid& grid, std::int64_t tensor_pitch, bool copy,
            std::int64_t pitch);

  bool copies() const { return copy_; }
  std::int64_t scratch_floats() const { return copy_ ? scratch_floats_ : 0; }
  std::int64_t image_stride() const { return image_stride_; }
  /// Offset of one step along axis a of the output, and of one tap.
  std::int64_t pixel_step(int a) const { return pixel_step_[static_cast<std::size_t>(a)]; }
  std::int64_t tap_step(int a) const { return tap_step_[static_cast<std::size_t>(a)]; }

  /// Makes `channels` channels from `channel` on of the chunk's input readable at the returned pointer.
  const float* prepare(const ConvLoop& loop, const ConvChunk& chunk, const float* tensor,
                       std::int64_t channel, std::int64_t channels, float* scratch) const;

 private:
  struct Range {  // coordinates an axis of the copy holds: first + i * step
    std::int64_t first, step, count;
  };
  Range range(const ConvAxis& axis, std::int64_t start, std::int64_t count) const;
  void copy_row(const float* row, const Range& width, const ConvAxis& axis, std::int64_t channels,
                float* target) const;

  bool copy_ = false;
  std::int64_t tensor_pitch_ = 0;
  std::int64_t pitch_ = 0;
  std::int64_t scratch_floats_ = 0;
  std::int64_t image_stride_ = 0;
  std::array<std::int64_t, 3> pixel_step_{};
  std::array<std::int64_t, 3> tap_step_{};
};

/// Offset of every tap, with axes that continue the run of the axis inside them merged into it:
/// `run` starts as the channels of a pixel and ends as the contiguous floats of each remaining tap.
std::vector<std::int64_t> merge_taps(const ConvLoop& loop, const InputView& view, std::int64_t& run);

}  // namespace cnncore
