// SPDX-License-Identifier: Apache-2.0
// What Winograd's transforms along one axis and along two share: where tiles lie, vectors of few channels,
// and what is done with results.
#pragma once

#include "isa/kernels/activations.h"
#include "isa/kernels/winograd_points.h"
#include "isa/winograd.h"

namespace cnncore {
namespace CNNCORE_ISA {

/// The first n lanes of a vector, n = 0 ... kWidth.
struct Lanes {
#if defined(__AVX512F__)
  __mmask16 mask;
  explicit Lanes(int64_t n = 0) : mask(static_cast<__mmask16>((1u << n) - 1u)) {}
  CNNCORE_MEMBER Vec load(const float* p) const {
    return _mm512_maskz_loadu_ps(mask, seen(p, __builtin_popcount(mask)));
  }
#elif defined(__AVX2__)
  __m256i mask;
  explicit Lanes(int64_t n = 0) : mask(tail_mask(n)) {}
  CNNCORE_MEMBER Vec load(const float* p) const {
    const int lanes = _mm256_movemask_ps(_mm256_castsi256_ps(mask));
    return _mm256_maskload_ps(seen(p, __builtin_popcount(static_cast<unsigned>(lanes))), mask);
  }
#else
  int64_t count;
  explicit Lanes(int64_t n = 0) : count(n) {}
  CNNCORE_MEMBER Vec load(const float* p) const {
    return count == kWidth ? CNNCORE_ISA::load(p) : load_partial(p, count);
  }
#endif
};

/// Position of a tile, moved on from tile to tile.
struct Position {
  int64_t image, row, column;

  Position(const WinogradImages& images, int64_t tile)
      : image(tile / images.tile_columns / images.tile_rows),
        row(tile / images.tile_columns % images.tile_rows),
        column(tile % images.tile_columns) {}

  void next(const WinogradImages& images) {
    if (++column < images.tile_columns) return;
    column = 0;
    if (++row < images.tile_rows) return;
    row = 0;
    ++image;
  }
};

/// The image that a tile of image `image` reads, or -1 when it reads zeros.
CNNCORE_INLINE int64_t source_image(const WinogradImages& images, std::int64_t image) {
  const int64_t z = image % images.tile_depth + images.front;
  return z < 0 || z >= images.depth ? -1 : image / images.tile_depth * images.depth + z;
}

/// Writes the points of group G of a line's values and of the groups after it.
template <class F, class T, int G, class Read>
CNNCORE_MEMBER void transform_points(const Read& read, int64_t point_step, float*& out) {
  constexpr int kResults = F::kFirst[G + 1] - F::kFirst[G];
  Vec o[2];
  T::template group<G>(read, o);
#pragma GCC unroll 2
  for (int j = 0; j < kResults; ++j, out += point_step) store(out, o[j]);
  if constexpr (G + 1 < F::kGroups) transform_points<F, T, G + 1>(read, point_step, out);
}

/// A line's results from its points.
template <class F, class Read>
CNNCORE_MEMBER void transform_results(const Read& read, Vec (&y)[F::kTile]) {
  constexpr int kPairs = F::kTile / 2;
  Vec even[kPairs], odd[kPairs];
  F::template output<0>(read, even);
  F::template output<1>(read, odd);
#pragma GCC unroll 2
  for (int j = 0; j < kPairs; ++j) {
    y[2 * j] = even[j];
    y[2 * j + 1] = odd[j];
  }
}

/// What happens to the results of one vector of channels.
struct Finish {
  const WinogradScatter& args;
  int64_t channel;
  int64_t left;
  int64_t pitch;  // floats from value to value of a row
  Vec bias, alpha;
  Vec shift = zero(), sum = zero(), squares = zero();
  int64_t count = 0;

  Finish(const WinogradScatter& a, int64_t first_channel, int64_t value_pitch)
      : args(a),
        channel(first_channel),
        left(min_of(a.channels - first_channel, kWidth)),
        pitch(value_pitch),
        bias(a.bias != nullptr ? load_upto(a.bias + first_channel, left) : zero()),
        alpha(set1(a.alpha)) {}

  /// Takes the first `columns` of a row's values, stored from pixel offset `at` on.
  template <int kTile, bool kWhole>
  CNNCORE_MEMBER void row(Vec (&y)[kTile], int64_t at, int64_t columns) {
    const int64_t lanes = kWhole ? kWidth : left;
    const int64_t end = kWhole ? kTile : columns;
    if (args.bias != nullptr) {
#pragma GCC unroll 4
      for (int c = 0; c < kTile; ++c) y[c] = y[c] + bias;
    }
    if (args.residual != nullptr) {
#pragma GCC unroll 4
      for (int c = 0; c < kTile; ++c) {
        if (c < end) y[c] = y[c] + load_upto(args.residual + at + c * pitch, lanes);
      }
    }
    if (args.statistics != nullptr) add_statistics<kTile>(y, end);
    if (args.activation == Activation::relu) {  // apart: a choice for each vector costs 3 % of a convolution
#pragma GCC unroll 4
      for (int c = 0; c < kTile; ++c) y[c] = Relu::apply(y[c], alpha);
    } else if (args.activation != Activation::none) {  // those in registers
#pragma GCC unroll 4
      for (int c = 0; c < kTile; ++c) y[c] = activate(y[c], args.activation, alpha);
    }
#pragma GCC unroll 4
    for (int c = 0; c < kTile; ++c) {
      if (c < end) store_upto(args.output + at + c * pitch, y[c], lanes);
    }
  }

  /// Applies an activation on rows to a tile's values from `at` on, `line` floats from row to row, while they
  /// are in the first cache.
  template <int kTile>
  void activate_values(int64_t at, int64_t rows, int64_t columns, int64_t line) const {
    int64_t offset[kTile * kTile];
    int64_t values = 0;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) offset[values++] = at + r * line + c * pitch;
    }
    float* activated = args.activated != nullptr ? args.activated : args.output;
    vector_activation(args.activation).rows(args.output, offset, values, left, args.alpha, activated);
  }

  template <int kTile>
  CNNCORE_MEMBER void add_statistics(const Vec (&y)[kTile], int64_t columns) {
    if (count == 0) shift = y[0];  // deviations from a value of the data do not cancel
    count += columns;
#pragma GCC unroll 4
    for (int c = 0; c < kTile; ++c) {
      if (c >= columns) break;
      const Vec deviation = y[c] - shift;
      sum = sum + deviation;
      squares = fmadd(deviation, deviation, squares);
    }
  }

  void write_statistics() const {
    float* result = args.statistics + channel;
    const Vec offset = sum * set1(1.0f / static_cast<float>(count));
    store_upto(result, set1(static_cast<float>(count)), left);
    store_upto(result + args.statistics_step, shift + offset, left);
    // A NaN stays, rounding below zero does not.
    store_upto(result + 2 * args.statistics_step, max(zero(), fnmadd(sum, offset, squares)), left);
  }
};

}  // namespace CNNCORE_ISA
}  // namespace cnncore
