// SPDX-License-Identifier: Apache-2.0
// A channels-last tensor as rows of channels, cut into chunks by shape alone.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/tensor.h"
#include "isa/norm.h"
#include "ops/activation.h"
#include "ops/tasks.h"

namespace cnncore {

/// (N, C, spatial...) as `pixels` rows of `channels` floats. Where the channels do not fill vectors, several
/// pixels are taken as one wide pixel of `repeat * channels` channels; coefficients of channels are then
/// repeated and sums of channels folded.
struct ChannelBlocks {
  std::int64_t pixels = 0;
  std::int64_t channels = 0;
  std::int64_t repeat = 1;
  std::int64_t chunk_pixels = 1;

  ChannelBlocks() = default;
  /// Requires float32 and channels-last memory of rank 2 or more.
  explicit ChannelBlocks(const TensorDesc& desc);

  std::int64_t chunks() const { return ceil_div(pixels, chunk_pixels); }
  std::int64_t floats() const { return pixels * channels; }
  std::int64_t wide_channels() const { return repeat * channels; }
  /// First float of a chunk.
  std::int64_t begin(std::int64_t chunk) const { return chunk * chunk_pixels * channels; }
  PixelBlock block(std::int64_t chunk) const {
    return {std::min(chunk_pixels, pixels - chunk * chunk_pixels), channels};
  }

  /// Calls body(first float within the chunk, block) for the wide pixels of a chunk and for what is left.
  template <class Body>
  void for_wide(std::int64_t chunk, const Body& body) const {
    const PixelBlock plain = block(chunk);
    const PixelBlock wide = {plain.pixels / repeat, wide_channels()};
    if (wide.pixels != 0) body(std::int64_t{0}, wide);
    const std::int64_t done = wide.pixels * wide.channels;
    const std::int64_t rest = plain.pixels * channels - done;
    if (rest != 0) body(done, PixelBlock{1, rest});
  }

  /// Calls body(first float of the tensor, block) for runs of a chunk's wide pixels, so short that float32
  /// sums may run through them without a break.
  template <class Body>
  void for_runs(std::int64_t chunk, const Body& body) const {
    constexpr std::int64_t kRun = 32;
    for_wide(chunk, [&](std::int64_t offset, PixelBlock block) {
      const std::int64_t at = begin(chunk) + offset;
      for (std::int64_t pixel = 0; pixel < block.pixels; pixel += kRun) {
        body(at + pixel * block.channels, PixelBlock{std::min(kRun, block.pixels - pixel), block.channels});
      }
    });
  }

  /// The loop's cost in vector operations at `per_float` operations a vector.
  double work(double per_float) const;
  /// Fills values[channels ...) up to wide_channels() with copies of the first `channels`.
  void repeat_values(float* values) const;
  /// Adds the sums of `wide` floats of a pixel to the sums of their channels, in order.
  void fold_sums(const float* sums, std::int64_t wide, float* folded) const;
};

}  // namespace cnncore
