// SPDX-License-Identifier: Apache-2.0
// Winograd's two-dimensional transforms, kWidth channels at a time. A group of rows is transformed down every
// column and then along its rows, so all between is in registers; the pixels, in the first cache, are read
// again for each group.
#include "isa/kernels/activations.h"
#include "isa/kernels/winograd_points.h"
#include "isa/kernels/winograd_weight.h"
#include "isa/winograd.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

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

template <class F, class T, int H, int kRows>
CNNCORE_MEMBER void transform_row(const Vec (&t)[T::kRead][kRows], int row, int64_t point_step, float*& out) {
  constexpr int kResults = F::kFirst[H + 1] - F::kFirst[H];
  Vec o[2];
  T::template group<H>([&](int c) CNNCORE_FLATTEN { return t[c][row]; }, o);
#pragma GCC unroll 2
  for (int j = 0; j < kResults; ++j, out += point_step) store(out, o[j]);
  if constexpr (H + 1 < F::kGroups) transform_row<F, T, H + 1>(t, row, point_step, out);
}

/// Writes the points of group G of rows and of the groups after it.
template <class F, class T, int G, class Read>
CNNCORE_MEMBER void transform_tile(const Read& read, int64_t point_step, float*& out) {
  constexpr int kRows = F::kFirst[G + 1] - F::kFirst[G];
  Vec t[T::kRead][kRows];
#pragma GCC unroll 6
  for (int c = 0; c < T::kRead; ++c) {
    T::template group<G>([&](int r) CNNCORE_FLATTEN { return read(r, c); }, t[c]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < kRows; ++i) {
    asm volatile("" : "+r"(out));  // the addresses of all points are not made before and kept in memory
    transform_row<F, T, 0>(t, i, point_step, out);
  }
  if constexpr (G + 1 < F::kGroups) transform_tile<F, T, G + 1>(read, point_step, out);
}

/// Fetches what the tile below adds to a tile's pixels: the hardware does not foresee a row of tiles.
template <class F, class T>
CNNCORE_MEMBER void fetch_below(const float* const (&row)[T::kRead], int64_t channel, int64_t pitch,
                                int64_t row_pitch) {
  constexpr int kShared = T::kRead - F::kTile;
#pragma GCC unroll 4
  for (int r = kShared; r < T::kRead; ++r) {
#pragma GCC unroll 4
    for (int c = kShared / 2; c < kShared / 2 + F::kTile; ++c) {
      __builtin_prefetch(row[r] + F::kTile * row_pitch + c * pitch + channel);
    }
  }
}

template <class F, class T>
void gather(const WinogradGather& args) {
  const WinogradImages& images = args.images;
  const int64_t pitch = images.pitch;
  Position at(images, args.first_tile);
  for (int64_t tile = 0; tile < args.tiles; ++tile, at.next(images)) {
    const int64_t y = images.top + at.row * F::kTile;
    const int64_t x = images.left + at.column * F::kTile;
    const float* row[T::kRead];
    for (int r = 0; r < T::kRead; ++r) {
      const bool inside = y + r >= 0 && y + r < images.height;
      row[r] =
          inside ? args.pixels + ((at.image * images.height + y + r) * images.width + x) * pitch : args.zeros;
    }
    const bool has_below = y + T::kRead - 1 + F::kTile < images.height;
    const bool whole = x >= 0 && x + T::kRead <= images.width;
    for (int64_t channel = 0; channel < args.channels; channel += kWidth) {
      const int64_t left = min_of(args.channels - channel, kWidth);
      float* out = args.values + channel / kWinogradBlock * args.block_step + tile * kWinogradBlock +
                   channel % kWinogradBlock;
      if (has_below) fetch_below<F, T>(row, channel, pitch, images.width * pitch);
      if (whole && left == kWidth) {
        const auto read = [&](int r, int c) CNNCORE_FLATTEN { return load(row[r] + c * pitch + channel); };
        transform_tile<F, T, 0>(read, args.point_step, out);
        continue;
      }
      Lanes lanes[T::kRead];
      for (int c = 0; c < T::kRead; ++c) {
        lanes[c] = Lanes(x + c >= 0 && x + c < images.width ? left : 0);
      }
      const auto read = [&](int r, int c)
                            CNNCORE_FLATTEN { return lanes[c].load(row[r] + c * pitch + channel); };
      transform_tile<F, T, 0>(read, args.point_step, out);
    }
  }
}

/// What happens to the results of one vector of channels.
struct Finish {
  const WinogradScatter& args;
  int64_t channel;
  int64_t left;
  Vec bias, alpha;
  Vec shift = zero(), sum = zero(), squares = zero();
  int64_t count = 0;

  Finish(const WinogradScatter& a, int64_t first_channel)
      : args(a),
        channel(first_channel),
        left(min_of(a.channels - first_channel, kWidth)),
        bias(a.bias != nullptr ? load_upto(a.bias + first_channel, left) : zero()),
        alpha(set1(a.alpha)) {}

  /// Takes the first `columns` of a row's values, stored from pixel offset `at` on.
  template <int kTile, bool kWhole>
  CNNCORE_MEMBER void row(Vec (&y)[kTile], int64_t at, int64_t columns) {
    const int64_t pitch = args.images.pitch;
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
    if (args.activation != Activation::none) {  // those in registers
#pragma GCC unroll 4
      for (int c = 0; c < kTile; ++c) y[c] = activate(y[c], args.activation, alpha);
    }
#pragma GCC unroll 4
    for (int c = 0; c < kTile; ++c) {
      if (c < end) store_upto(args.output + at + c * pitch, y[c], lanes);
    }
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

/// Calls use(row, values) for rows G and G + 2 of a tile's results.
template <class F, int G, bool kWhole, class Read, class Use>
CNNCORE_MEMBER void transform_rows(const Read& read, int64_t rows, const Use& use) {
  constexpr int kRows = F::kTile / 2;
  Vec t[F::kPoints][kRows];
#pragma GCC unroll 6
  for (int c = 0; c < F::kPoints; ++c) {
    F::template output<G>([&](int r) CNNCORE_FLATTEN { return read(r, c); }, t[c]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < kRows; ++i) {
    if (!kWhole && G + 2 * i >= rows) break;
    const auto value = [&](int c) CNNCORE_FLATTEN { return t[c][i]; };
    Vec even[kRows], odd[kRows], y[F::kTile];
    F::template output<0>(value, even);
    F::template output<1>(value, odd);
#pragma GCC unroll 2
    for (int j = 0; j < kRows; ++j) {
      y[2 * j] = even[j];
      y[2 * j + 1] = odd[j];
    }
    use(G + 2 * i, y);
  }
}

template <class F, bool kWhole, class Read>
CNNCORE_MEMBER void scatter_tile(const Read& read, int64_t at, int64_t rows, int64_t columns,
                                 Finish& finish) {
  const int64_t line = finish.args.images.width * finish.args.images.pitch;
  const auto use = [&](int r, Vec(&y)[F::kTile])
                       CNNCORE_FLATTEN { finish.template row<F::kTile, kWhole>(y, at + r * line, columns); };
  transform_rows<F, 0, kWhole>(read, rows, use);
  transform_rows<F, 1, kWhole>(read, rows, use);
}

/// NaN if one is.
CNNCORE_INLINE Vec larger(Vec a, Vec b) { return select(is_nan(a), a, max(a, b)); }

/// The largest values of a tile's 2x2 squares.
template <class F, bool kWhole, class Read>
CNNCORE_MEMBER void pool_tile(const Read& read, const Position& tile, int64_t rows, int64_t columns,
                              const Finish& finish) {
  constexpr int kSquares = F::kTile / 2;
  const WinogradScatter& args = finish.args;
  Vec top[kSquares][kSquares];
  const auto use = [&](int r, Vec(&y)[F::kTile]) CNNCORE_FLATTEN {
#pragma GCC unroll 2
    for (int j = 0; j < kSquares; ++j) {
      const Vec pair = kWhole || 2 * j + 1 < columns ? larger(y[2 * j], y[2 * j + 1]) : y[2 * j];
      top[r / 2][j] = r % 2 == 0 ? pair : larger(top[r / 2][j], pair);
    }
  };
  transform_rows<F, 0, kWhole>(read, rows, use);
  transform_rows<F, 1, kWhole>(read, rows, use);
  const int64_t y = tile.row * kSquares;
  const int64_t x = tile.column * kSquares;
  float* pooled = args.pooled + finish.channel +
                  ((tile.image * args.pooled_height + y) * args.pooled_width + x) * args.pooled_pitch;
#pragma GCC unroll 2
  for (int i = 0; i < kSquares; ++i) {
    if (!kWhole && y + i >= args.pooled_height) break;
#pragma GCC unroll 2
    for (int j = 0; j < kSquares; ++j) {
      if (!kWhole && x + j >= args.pooled_width) break;
      const Vec value = activate(top[i][j] + finish.bias, args.activation, finish.alpha);
      store_upto(pooled + (i * args.pooled_width + j) * args.pooled_pitch, value,
                 kWhole ? kWidth : finish.left);
    }
  }
}

template <class F, bool kPool, bool kWhole, class Read>
CNNCORE_MEMBER void finish_tile(const Read& read, const Position& tile, int64_t at, int64_t rows,
                                int64_t columns, Finish& finish) {
  if constexpr (kPool) {
    pool_tile<F, kWhole>(read, tile, rows, columns, finish);
  } else {
    scatter_tile<F, kWhole>(read, at, rows, columns, finish);
  }
}

/// Activates the pixels of tiles whose sums lie in `output`.
template <class F>
void activate_tiles(const WinogradScatter& args) {
  const WinogradImages& images = args.images;
  float* activated = args.activated != nullptr ? args.activated : args.output;
  Position at(images, args.first_tile);
  for (int64_t tile = 0; tile < args.tiles; ++tile, at.next(images)) {
    const int64_t y = at.row * F::kTile;
    const int64_t x = at.column * F::kTile;
    const int64_t rows = min_of(F::kTile, images.height - y);
    const int64_t columns = min_of(F::kTile, images.width - x);
    for (int64_t r = 0; r < rows; ++r) {
      int64_t offset = ((at.image * images.height + y + r) * images.width + x) * images.pitch;
      for (int64_t c = 0; c < columns; ++c, offset += images.pitch) {
        activate_row(args.output + offset, args.channels, args.activation, args.alpha, activated + offset);
      }
    }
  }
}

/// Takes tiles back to pixels, and with kPool pools them.
template <class F, bool kPool>
void scatter(const WinogradScatter& args) {
  const WinogradImages& images = args.images;
  const int64_t step = args.point_step;
  for (int64_t channel = 0; channel < args.channels; channel += kWidth) {
    Finish finish(args, channel);
    Position at(images, args.first_tile);
    const float* block = args.values + channel / kWinogradBlock * args.block_step + channel % kWinogradBlock;
    for (int64_t tile = 0; tile < args.tiles; ++tile, block += kWinogradBlock, at.next(images)) {
      const int64_t y = at.row * F::kTile;
      const int64_t x = at.column * F::kTile;
      const int64_t rows = min_of(F::kTile, images.height - y);
      const int64_t columns = min_of(F::kTile, images.width - x);
      const int64_t offset = ((at.image * images.height + y) * images.width + x) * images.pitch + channel;
      const auto read = [&](int r, int c)
                            CNNCORE_FLATTEN { return load(block + (r * F::kPoints + c) * step); };
      if (rows == F::kTile && columns == F::kTile && finish.left == kWidth) {
        finish_tile<F, kPool, true>(read, at, offset, rows, columns, finish);
      } else {
        finish_tile<F, kPool, false>(read, at, offset, rows, columns, finish);
      }
    }
    if (args.statistics != nullptr) finish.write_statistics();
  }
  if (!kPool && !in_registers(args.activation)) activate_tiles<F>(args);
}

template <class F>
WinogradTransforms transforms() {
  return {F::kTile,
          F::kTaps,
          F::kPoints * F::kPoints,
          gather<F, typename F::Input>,
          scatter<F, false>,
          scatter<F, true>,
          transform_weight<F>,
          gather<F, typename F::Gradient>,
          transform_grad_weight<F>};
}

}  // namespace

WinogradTransforms winograd_f4() { return transforms<F4>(); }
WinogradTransforms winograd_f2() { return transforms<F2>(); }
WinogradTransforms winograd_f2x5() { return transforms<F2x5>(); }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
