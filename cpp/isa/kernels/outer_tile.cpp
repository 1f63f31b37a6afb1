// SPDX-License-Identifier: Apache-2.0
#include "isa/outer_tile.h"

#include "isa/kernels/lanes.h"
#include "isa/kernels/tiles.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

// Pixels between the prefetch of a left operand and its use: its lines lie a pixel apart, too far for
// hardware.
constexpr int64_t kAhead = 12;

template <class L, int MR, int NV>
struct Tile {
  using V = typename L::V;
  static constexpr int kLanes = L::kLanes;
  static constexpr bool kFetches = kLanes == kWidth && MR * NV >= kOuterFetching;

  static CNNCORE_MEMBER void pixel(const float* left, const float* right, int64_t tail, V (&sum)[MR][NV]) {
    V b[NV];
#pragma GCC unroll 4
    for (int j = 0; j + 1 < NV; ++j) b[j] = L::load(right + j * kLanes);
    b[NV - 1] = tail == kLanes ? L::load(right + (NV - 1) * kLanes)
                               : L::load_partial(right + (NV - 1) * kLanes, tail);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const V a = L::set1(left[i]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) sum[i][j] = L::fmadd(a, b[j], sum[i][j]);
    }
  }

  static CNNCORE_MEMBER void clear(V (&sum)[MR][NV]) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) sum[i][j] = L::set1(0.0f);
    }
  }

  static CNNCORE_MEMBER void add_segments(const OuterTileArgs& args, int64_t row, int64_t tail,
                                          const OuterTileFetch* fetch, V (&sum)[MR][NV]) {
    // A few sums alone cannot hide the latency of the FMA: every other pixel then has sums of its own, as far
    // as there are registers.
    constexpr bool kTwo = MR * NV <= kOuterTwice;
    V other[MR][NV];
    if (kTwo) clear(other);
    const int64_t ahead = kAhead * args.step.left;
    const int64_t right_ahead = args.step.right > kOuterVectors * kWidth ? kOuterAhead * args.step.right : 0;
    const int64_t far_step = fetch ? args.step.source[fetch->source] : args.step.right;
    const OuterTileOffsets* segment = args.segment;
    for (int64_t s = 0; s < args.segments; ++s, ++segment) {
      const float* left = args.left + row + segment->left;
      const float* right = args.right + segment->right;
      const float* far = fetch ? fetch->first + segment->source[fetch->source] : right + right_ahead;
      int64_t i = 0;
      for (; kTwo && i + 2 <= args.length; i += 2) {
        __builtin_prefetch(left + ahead);
        if (kFetches) __builtin_prefetch(far, 0, 2);
        pixel(left, right, tail, sum);
        left += args.step.left;
        right += args.step.right;
        __builtin_prefetch(left + ahead);
        if (kFetches) __builtin_prefetch(far + far_step, 0, 2);
        pixel(left, right, tail, other);
        left += args.step.left;
        right += args.step.right;
        far += 2 * far_step;
      }
      for (; i < args.length; ++i) {
        __builtin_prefetch(left + ahead);
        __builtin_prefetch(left + ahead + MR - 1);
        if (kFetches) __builtin_prefetch(far, 0, 2);
        pixel(left, right, tail, sum);
        left += args.step.left;
        right += args.step.right;
        far += far_step;
      }
    }
    if (kTwo) {
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) sum[i][j] = sum[i][j] + other[i][j];
      }
    }
  }

  static void run(const OuterTileArgs& args, int64_t row, const OuterTileFetch* fetch) {
    V sum[MR][NV];
    clear(sum);
    const int64_t tail = args.columns - (NV - 1) * kLanes;
    if (tail == kLanes) {
      add_segments(args, row, kLanes, fetch, sum);
    } else {
      add_segments(args, row, tail, fetch, sum);
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      float* out = args.sum + (row + i) * args.sum_stride;
#pragma GCC unroll 4
      for (int j = 0; j + 1 < NV; ++j) {
        V value = sum[i][j];
        if (args.accumulate) value = value + L::load(out + j * kLanes);
        L::store(out + j * kLanes, value);
      }
      out += (NV - 1) * kLanes;
      V value = sum[i][NV - 1];
      if (tail == kLanes) {
        if (args.accumulate) value = value + L::load(out);
        L::store(out, value);
      } else {
        if (args.accumulate) value = value + L::load_partial(out, tail);
        L::store_partial(out, value, tail);
      }
    }
  }
};

using TileFunction = void (*)(const OuterTileArgs&, int64_t, const OuterTileFetch*);

template <class L, int NV, int MR>
void fill_table(TileFunction* table) {
  table[MR] = Tile<L, MR, NV>::run;
  if constexpr (MR > 1) fill_table<L, NV, MR - 1>(table);
}

template <class L, int NV>
void run_tiles(const OuterTileArgs& args) {
  TileFunction table[kOuterRows + 1];
  fill_table<L, NV, kOuterRows>(table);
  const int64_t tiles = (args.rows + kOuterRows - 1) / kOuterRows;
  int64_t row = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t height = args.rows / tiles + (tile < args.rows % tiles ? 1 : 0);
    table[height](args, row, tile < args.fetches ? args.fetch + tile : nullptr);
    row += height;
  }
}

void outer_tile(const OuterTileArgs& args) {
#if defined(__AVX512F__)
  if (args.columns <= 8) return run_tiles<HalfLanes, 1>(args);
#endif
  if (args.columns <= kWidth) return run_tiles<FullLanes, 1>(args);
  run_tiles<FullLanes, 2>(args);
}

void column_sums(const float* values, int64_t rows, int64_t columns, int64_t stride, float* sum) {
  for (int64_t column = 0; column < columns; column += kWidth) {
    const int64_t left = columns - column;
    const float* p = values + column;
    Vec total[4] = {load_upto(sum + column, left), zero(), zero(), zero()};
    int64_t row = 0;
    for (; row + 4 <= rows; row += 4, p += 4 * stride) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) total[i] = total[i] + load_upto(p + i * stride, left);
    }
    for (; row < rows; ++row, p += stride) total[0] = total[0] + load_upto(p, left);
    store_upto(sum + column, (total[0] + total[1]) + (total[2] + total[3]), left);
  }
}

}  // namespace

OuterTileKernels outer_tile_kernels() {
  return {kOuterVectors * kWidth, kOuterRows, outer_tile, column_sums};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
