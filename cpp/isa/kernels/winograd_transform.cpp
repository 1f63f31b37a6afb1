// SPDX-License-Identifier: Apache-2.0
// Winograd's two-dimensional transforms, kWidth channels at a time. A group of rows is transformed down every
// column and then along its rows, so all between is in registers; the pixels, in the first cache, are read
// again for each group.
#include "isa/kernels/activate.h"
#include "isa/kernels/transpose.h"
#include "isa/kernels/winograd_points.h"
#include "isa/winograd.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

/// The first n lanes of a vector, n = 0 ... kWidth.
struct Lanes {
#if defined(__AVX512F__)
  __mmask16 mask;
  explicit Lanes(int64_t n = 0) : mask(static_cast<__mmask16>((1u << n) - 1u)) {}
  CNNCORE_MEMBER Vec load(const float* p) const { return _mm512_maskz_loadu_ps(mask, p); }
#elif defined(__AVX2__)
  __m256i mask;
  explicit Lanes(int64_t n = 0) : mask(tail_mask(n)) {}
  CNNCORE_MEMBER Vec load(const float* p) const { return _mm256_maskload_ps(p, mask); }
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
  for (int i = 0; i < kRows; ++i) transform_row<F, T, 0>(t, i, point_step, out);
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
    if (args.activation != Activation::none) {
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

/// Rows G and G + 2 of a tile's results.
template <class F, int G, bool kWhole, class Read>
CNNCORE_MEMBER void scatter_rows(const Read& read, int64_t at, int64_t rows, int64_t columns,
                                 Finish& finish) {
  constexpr int kRows = F::kTile / 2;
  Vec t[F::kPoints][kRows];
#pragma GCC unroll 6
  for (int c = 0; c < F::kPoints; ++c) {
    F::template output<G>([&](int r) CNNCORE_FLATTEN { return read(r, c); }, t[c]);
  }
  const WinogradImages& images = finish.args.images;
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
    finish.template row<F::kTile, kWhole>(y, at + (G + 2 * i) * images.width * images.pitch, columns);
  }
}

template <class F>
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
        scatter_rows<F, 0, true>(read, offset, rows, columns, finish);
        scatter_rows<F, 1, true>(read, offset, rows, columns, finish);
      } else {
        scatter_rows<F, 0, false>(read, offset, rows, columns, finish);
        scatter_rows<F, 1, false>(read, offset, rows, columns, finish);
      }
    }
    if (args.statistics != nullptr) finish.write_statistics();
  }
}

constexpr int kTaps = 9;
constexpr int kHalf = kWidth / 2;
typedef float HalfVec __attribute__((vector_size(kHalf * sizeof(float))));
typedef double DoubleVec __attribute__((vector_size(kHalf * sizeof(double))));

/// taps[t][lane] = weight[lane * step + t] for `lanes` lanes, zero in the others.
CNNCORE_INLINE void load_taps(const float* weight, int64_t step, int64_t lanes, float* taps) {
  constexpr int kRow = (kTaps + kWidth - 1) / kWidth * kWidth;
  float rows[kWidth][kRow];
  for (int64_t lane = 0; lane < kWidth; ++lane) {
    for (int t = 0; t < kRow; t += kWidth) {
      const bool inside = lane < lanes && t < kTaps;
      store(rows[lane] + t, inside ? load_upto(weight + lane * step + t, kTaps - t) : zero());
    }
  }
  for (int t = 0; t < kRow; t += kWidth) transpose_square(rows[0] + t, kRow, taps + t * kWidth, kWidth);
}

template <class F>
void transform_weight(const WinogradWeight& args) {
  constexpr int kPoints = F::kPoints;
  for (int64_t row = 0; row < args.rows; ++row) {
    for (int64_t column = 0; column < args.width; column += kWidth) {
      float taps[(kTaps + kWidth) * kWidth];
      load_taps(args.weight + row * args.row_step + column * args.column_step, args.column_step,
                args.columns - column, taps);
      for (int half = 0; half < kWidth; half += kHalf) {
        const auto tap = [&](int t) CNNCORE_FLATTEN {
          HalfVec value;
          __builtin_memcpy(&value, taps + (args.rotate ? kTaps - 1 - t : t) * kWidth + half, sizeof value);
          return __builtin_convertvector(value, DoubleVec);
        };
        DoubleVec vertical[3][kPoints];
#pragma GCC unroll 3
        for (int c = 0; c < 3; ++c) {
          F::template weight<DoubleVec>([&](int r) CNNCORE_FLATTEN { return tap(3 * r + c); }, vertical[c]);
        }
        float* to = args.values + row * args.width + column + half;
#pragma GCC unroll 6
        for (int i = 0; i < kPoints; ++i) {
          DoubleVec o[kPoints];
          F::template weight<DoubleVec>([&](int c) CNNCORE_FLATTEN { return vertical[c][i]; }, o);
#pragma GCC unroll 6
          for (int j = 0; j < kPoints; ++j) {
            const HalfVec value = __builtin_convertvector(o[j], HalfVec);
            __builtin_memcpy(to + (i * kPoints + j) * args.point_step, &value, sizeof value);
          }
        }
      }
    }
  }
}

/// taps[t] of kWidth columns of one row.
template <class F>
CNNCORE_INLINE void gradient_taps(const float* values, int64_t point_step, float* taps) {
  constexpr int kPoints = F::kPoints;
  Vec vertical[kPoints][3];
#pragma GCC unroll 6
  for (int c = 0; c < kPoints; ++c) {
    const auto read = [&](int r) CNNCORE_FLATTEN { return load(values + (r * kPoints + c) * point_step); };
    F::grad_weight(read, vertical[c]);
  }
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    Vec o[3];
    F::grad_weight([&](int c) CNNCORE_FLATTEN { return vertical[c][i]; }, o);
    for (int j = 0; j < 3; ++j) store(taps + (3 * i + j) * kWidth, o[j]);
  }
}

template <class F>
void transform_grad_weight(const WinogradWeightGradient& args) {
  for (int64_t column = 0; column < args.columns; column += kWidth) {
    const int64_t columns = min_of(kWidth, args.columns - column);
    for (int64_t row = 0; row < args.rows; row += kWidth) {
      const int64_t rows = min_of(kWidth, args.rows - row);
      float taps[kWidth * kTaps * kWidth];  // [row][tap][column]
      for (int64_t r = 0; r < rows; ++r) {
        gradient_taps<F>(args.values + (row + r) * args.width + column, args.point_step,
                         taps + r * kTaps * kWidth);
      }
      float* grad = args.grad + column * args.column_step + row * kTaps;
      if (rows == kWidth && columns == kWidth) {
        for (int64_t t = 0; t < kTaps; ++t) {
          transpose_square(taps + t * kWidth * kWidth, kWidth, grad + t * kWidth, args.column_step);
        }
        continue;
      }
      for (int64_t c = 0; c < columns; ++c) {
        for (int64_t t = 0; t < rows * kTaps; ++t) grad[c * args.column_step + t] = taps[t * kWidth + c];
      }
    }
  }
}

template <class F>
WinogradTransforms transforms() {
  return {F::kTile,
          F::kPoints * F::kPoints,
          gather<F, typename F::Input>,
          scatter<F>,
          transform_weight<F>,
          gather<F, typename F::Gradient>,
          transform_grad_weight<F>};
}

}  // namespace

WinogradTransforms winograd_f4() { return transforms<F4>(); }
WinogradTransforms winograd_f2() { return transforms<F2>(); }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
