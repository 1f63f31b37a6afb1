// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace cnncore {

/// `rows` rows of `n` elements; all strides in bytes, any sign.
struct StridedRows {
  std::int64_t rows;
  std::int64_t n;
  const std::byte* src;
  std::int64_t src_row;
  std::int64_t src_step;
  std::byte* dst;
  std::int64_t dst_row;
  std::int64_t dst_step;
};

/// dst[i, j] = src[j, i] for i < rows, j < columns; elements of a row of `dst`, and of a row of `src`, are
/// consecutive.
struct Transposition {
  std::int64_t rows;
  std::int64_t columns;
  const std::byte* src;
  std::int64_t src_row;  // bytes between rows of src, of which there are `columns`
  std::byte* dst;
  std::int64_t dst_row;
};

/// `n` tuples of `count` (2 to 4) words without gaps, and the planes that their first, second ... words make;
/// all in bytes, `repeats` times.
struct TuplePlanes {
  std::int64_t count;
  std::int64_t n;
  std::int64_t plane[4];  // from where the planes begin
  std::int64_t repeats;
  std::int64_t plane_repeat;
  std::int64_t tuple_repeat;
};

/// Pixels that are weighted sums of neighbouring pixels of a row: pixel i takes taps[i] of them, from
/// first[i] on, times weights[i * most_taps ...).
struct PixelMix {
  const std::int32_t* first;
  const std::int32_t* taps;
  const float* weights;
  std::int64_t most_taps;
  std::int64_t pixels;
  std::int64_t channels;
  // For one channel, else null: the weights again, tap by tap, `tap_step` apart; and of each vector of
  // neighbouring pixels, by its first one: how many vectors from there on hold what a tap of them reads, 0
  // where that is more than two or their taps differ, and where each pixel's begin in these.
  const float* by_tap;
  std::int64_t tap_step;
  const std::uint8_t* vectors;
  const std::int32_t* place;
  std::int64_t origin;    // the row's first pixel
  std::int64_t readable;  // floats of the row
};

/// Copies elements of one type as elements of another.
using Convert = void (*)(const StridedRows& run);

struct CopyKernels {
  static constexpr int kSources = 13;  // SourceType of ops/copy.h

  /// Copies elements of `size` bytes (1, 2, 4 or 8).
  void (*rows)(const StridedRows& run, std::size_t size);
  void (*transpose)(const Transposition& run, std::size_t size);
  void (*join_planes)(const TuplePlanes& tuples, const std::byte* src, std::byte* dst);
  void (*split_tuples)(const TuplePlanes& tuples, const std::byte* src, std::byte* dst);
  /// Writes n elements of `size` bytes, each equal to *value.
  void (*fill)(std::int64_t n, std::size_t size, const void* value, void* dst);
  /// Copies floats without keeping the copy in cache: what lies in the target is not read before, and nothing
  /// else is pushed out. For results beyond the caches; finish_streaming() before another thread reads it.
  void (*past_cache)(const float* src, std::int64_t n, float* dst);
  void (*finish_streaming)();
  /// out[i] = the sum of weights[k] * rows[k][i].
  void (*mix_rows)(const float* const* rows, const float* weights, std::int64_t count, std::int64_t n,
                   float* out);
  void (*mix_pixels)(const PixelMix& mix, const float* row, float* out);
  Convert to_float[kSources];  // null where there is no such conversion
  Convert float_to_boolean;
};

}  // namespace cnncore
