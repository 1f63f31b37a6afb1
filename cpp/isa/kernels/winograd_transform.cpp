// SPDX-License-Identifier: Apache-2.0
// Winograd's two-dimensional transforms, kWidth channels at a time. A group of rows is transformed down every
// column and then along its rows, so all between is in registers; the pixels, in the first cache, are read
// again for each group.
#include "isa/kernels/winograd_tiles.h"
#include "isa/kernels/winograd_weight.h"
#include "isa/winograd.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

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
    transform_points<F, T, 0>([&](int c) CNNCORE_FLATTEN { return t[c][i]; }, point_step, out);
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
  int64_t source = 0;
  for (int64_t tile = 0; tile < args.tiles; ++tile, at.next(images)) {
    const int64_t y = images.top + at.row * F::kTile;
    const int64_t x = images.left + at.column * F::kTile;
    if (tile == 0 || at.row + at.column == 0) source = source_image(images, at.image);
    const float* row[T::kRead];
    for (int r = 0; r < T::kRead; ++r) {
      const bool inside = source >= 0 && y + r >= 0 && y + r < images.height;
      row[r] =
          inside ? args.pixels + ((source * images.height + y + r) * images.width + x) * pitch : args.zeros;
    }
    const bool has_below = y + T::kRead - 1 + F::kTile < images.height;
    const bool whole = x >= 0 && x + T::kRead <= images.width;
    for (int64_t channel = 0; channel < args.written; channel += kWidth) {
      const int64_t left = max_of(0, min_of(args.channels - channel, kWidth));
      float* out = args.values + channel / kWinogradBlock * args.block_step + tile * kWinogradBlock +
                   channel % kWinogradBlock;
      if (has_below) fetch_below<F, T>(row, channel, pitch, images.width * pitch);
      if (whole && left == kWidth) {
        int64_t step = pitch;
        asm volatile("" : "+r"(step));  // the addresses of all pixels are not made before and kept in memory
        const auto read = [&](int r, int c) CNNCORE_FLATTEN { return load(row[r] + c * step + channel); };
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
    Vec y[F::kTile];
    transform_results<F>(value, y);
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

/// Takes tiles back to pixels, and with kPool pools them.
template <class F, bool kPool>
void scatter(const WinogradScatter& args) {
  const WinogradImages& images = args.images;
  for (int64_t channel = 0; channel < args.channels; channel += kWidth) {
    Finish finish(args, channel, images.pitch);
    Position at(images, args.first_tile);
    const float* block = args.values + channel / kWinogradBlock * args.block_step + channel % kWinogradBlock;
    for (int64_t tile = 0; tile < args.tiles; ++tile, block += kWinogradBlock, at.next(images)) {
      const int64_t y = at.row * F::kTile;
      const int64_t x = at.column * F::kTile;
      const int64_t rows = min_of(F::kTile, images.height - y);
      const int64_t columns = min_of(F::kTile, images.width - x);
      const int64_t offset = ((at.image * images.height + y) * images.width + x) * images.pitch + channel;
      int64_t step = args.point_step;
      asm volatile("" : "+r"(step));  // see gather
      const auto read = [&](int r, int c)
                            CNNCORE_FLATTEN { return load(block + (r * F::kPoints + c) * step); };
      if (rows == F::kTile && columns == F::kTile && finish.left == kWidth) {
        finish_tile<F, kPool, true>(read, at, offset, rows, columns, finish);
      } else {
        finish_tile<F, kPool, false>(read, at, offset, rows, columns, finish);
      }
      if (!kPool && !in_registers(args.activation))
        finish.template activate_values<F::kTile>(offset, rows, columns, images.width * images.pitch);
    }
    if (args.statistics != nullptr) finish.write_statistics();
  }
}

template <class F>
WinogradTransforms transforms() {
  return {F::kTile,
          F::kTaps,
          F::kTaps * F::kTaps,
          F::kPoints * F::kPoints,
          gather<F, typename F::Input>,
          scatter<F, false>,
          scatter<F, true>,
          transform_weight<F, false>,
          gather<F, typename F::Gradient>,
          transform_grad_weight<F, false>};
}

}  // namespace

WinogradTransforms winograd_f4() { return transforms<F4>(); }
WinogradTransforms winograd_f2() { return transforms<F2>(); }
WinogradTransforms winograd_f2x5() { return transforms<F2x5>(); }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
