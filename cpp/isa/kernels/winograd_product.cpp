// SPDX-License-Identifier: Apache-2.0
// Matrix products at Winograd's points. A tile's 16 channels and the next tile lie at constant offsets, so a
// register block needs one pointer instead of one a row.
#include "isa/kernels/tiles.h"
#include "isa/kernels/winograd_points.h"
#include "isa/winograd.h"

namespace cnncore {
namespace CNNCORE_ISA {

WinogradTransforms winograd_f4();
WinogradTransforms winograd_f2();
WinogradTransforms winograd_f2x5();
WinogradTransforms winograd_f4x1();

namespace {

constexpr int kBlock = kWinogradBlock;
// The error of a transformed result is mostly that of this sum, so its chains are short: reductions are cut
// into blocks, whose sums are added, and short ones run as two chains, for which there are registers.
constexpr int64_t kDepth = 64;
constexpr int64_t kShortDepth = 32;
constexpr int64_t kChain = 8;  // tiles of the outer product
static_assert(kDepth >= kWinogradVectors * kWidth,
              "products in place overwrite only what the first block has read");

/// A block of the reduction for all tiles of a point.
struct Product {
  int64_t depth;
  int64_t left_block_step;
  int64_t result_block_step;
  bool accumulate;
};

template <int MR, int NV, int kChains>
void multiply_block(const Product& args, const float* left, const float* panel, float* result) {
  Vec sum[kChains][MR][NV];
#pragma GCC unroll 2
  for (int c = 0; c < kChains; ++c) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) sum[c][i][j] = zero();
    }
  }
  const auto step = [&](const float* a, Vec(&to)[MR][NV]) CNNCORE_FLATTEN {
    Vec b[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) b[j] = load(panel + j * kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const Vec x = set1(a[i * kBlock]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) to[i][j] = fmadd(x, b[j], to[i][j]);
    }
    panel += NV * kWidth;
  };
  int64_t depth = args.depth;
  for (; depth >= kBlock; depth -= kBlock, left += args.left_block_step) {
    for (int k = 0; k < kBlock; k += 4) {
      step(left + k, sum[0]);
      step(left + k + 1, sum[kChains - 1]);
      step(left + k + 2, sum[0]);
      step(left + k + 3, sum[kChains - 1]);
    }
  }
  for (int64_t k = 0; k < depth; ++k) step(left + k, sum[0]);
#pragma GCC unroll 4
  for (int j = 0; j < NV; ++j) {
    float* out = result + j * kWidth / kBlock * args.result_block_step + j * kWidth % kBlock;
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      Vec total = sum[0][i][j];
      if (kChains > 1) total = total + sum[kChains - 1][i][j];
      if (args.accumulate) total = total + load(out + i * kBlock);
      store(out + i * kBlock, total);
    }
  }
}

/// Register blocks of MR tiles and, for what is left, of about half as many and so on; the last may run over
/// into the spare tiles.
template <int MR, int NV, int kChains>
CNNCORE_MEMBER void multiply_tiles(const Product& args, int64_t tiles, const float* left, const float* panel,
                                   float* result) {
  const bool last_level = MR <= 2;
  while (tiles >= MR || (tiles > 0 && (last_level || 4 * tiles > 3 * MR))) {
    multiply_block<MR, NV, kChains>(args, left, panel, result);
    left += MR * kBlock;
    result += MR * kBlock;
    tiles -= MR;
  }
  if constexpr (MR > 2) {
    if (tiles > 0) multiply_tiles<(MR + 1) / 2, NV, kChains>(args, tiles, left, panel, result);
  }
}

template <int NV>
void multiply_width(const WinogradProduct& args) {
  if constexpr (NV < kWinogradVectors) {
    if (args.columns > NV * kWidth) return multiply_width<NV + 1>(args);
  }
  Product block = {0, args.left_block_step, args.result_block_step, false};
  for (int64_t point = 0; point < args.points; ++point) {
    const float* panel = args.panel + point * args.panel_point_step;
    float* result = args.result + point * args.result_point_step;
    for (int64_t k = 0; k < args.depth; k += kDepth) {
      const float* left = args.left + point * args.left_point_step + k / kBlock * args.left_block_step;
      block.depth = min_of(kDepth, args.depth - k);
      block.accumulate = k > 0;
      if (block.depth <= kShortDepth) {
        multiply_tiles<kWinogradTiles[2][NV], NV, 2>(block, args.tiles, left, panel + k * NV * kWidth,
                                                     result);
      } else {
        multiply_tiles<kWinogradTiles[1][NV], NV, 1>(block, args.tiles, left, panel + k * NV * kWidth,
                                                     result);
      }
    }
  }
}

void multiply(const WinogradProduct& args) { multiply_width<1>(args); }

/// sum = left^T right over `tiles` tiles, of which `right` and `fetch` begin at an offset.
template <int MR, int NV>
CNNCORE_MEMBER void outer_chain(int64_t tiles, const float* left, const float* const (&right)[NV],
                                const float* fetch, int64_t offset, Vec (&sum)[MR][NV]) {
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) sum[i][j] = zero();
  }
  for (int64_t at = 0; at < tiles * kBlock; at += kBlock) {
    __builtin_prefetch(fetch + offset + at, 0, 2);
    Vec b[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) b[j] = load(right[j] + offset + at);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const Vec a = set1(left[at + i]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) sum[i][j] = fmadd(a, b[j], sum[i][j]);
    }
  }
}

template <int MR, int NV>
CNNCORE_MEMBER void store_sum(const Vec (&sum)[MR][NV], float* to, int64_t row_step) {
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) store(to + i * row_step + j * kWidth, sum[i][j]);
  }
}
template <int MR, int NV>
CNNCORE_MEMBER void add_sum(const float* from, int64_t row_step, Vec (&sum)[MR][NV]) {
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) sum[i][j] = sum[i][j] + load(from + i * row_step + j * kWidth);
  }
}

/// Chains are added to each other before they are to the sum of earlier calls.
template <int MR, int NV>
void outer_block(const WinogradOuter& args, const float* left, const float* right, const float* fetch,
                 float* sum_at) {
  constexpr int64_t kRow = NV * kWidth;
  const float* b_at[NV];
#pragma GCC unroll 4
  for (int j = 0; j < NV; ++j) {
    b_at[j] = right + j * kWidth / kBlock * args.right_block_step + j * kWidth % kBlock;
  }
  const int64_t chains = (args.tiles + kChain - 1) / kChain;
  const int64_t length = (args.tiles + chains - 1) / chains;
  float total[MR * kRow];
  Vec sum[MR][NV];
  for (int64_t tile = 0; tile < args.tiles; tile += length) {
    outer_chain<MR, NV>(min_of(length, args.tiles - tile), left + tile * kBlock, b_at, fetch, tile * kBlock,
                        sum);
    if (tile + length >= args.tiles) {
      if (tile > 0) add_sum<MR, NV>(total, kRow, sum);
    } else if (tile == 0) {
      store_sum<MR, NV>(sum, total, kRow);
    } else {
      add_sum<MR, NV>(total, kRow, sum);
      store_sum<MR, NV>(sum, total, kRow);
    }
  }
  if (args.accumulate) add_sum<MR, NV>(sum_at, args.sum_row_step, sum);
  store_sum<MR, NV>(sum, sum_at, args.sum_row_step);
}

/// Shares out the next call's blocks of channels: each register block fetches one, the last again when there
/// are more of these.
struct Fetch {
  const WinogradOuter& args;
  int64_t taken = 0;

  CNNCORE_MEMBER const float* take() {
    const int64_t rows = (args.rows + kBlock - 1) / kBlock;
    const int64_t columns = (args.columns + kBlock - 1) / kBlock;
    const int64_t block = min_of(taken++, rows + columns - 1);
    return block < rows ? args.next_left + block * args.left_block_step
                        : args.next_right + (block - rows) * args.right_block_step;
  }
};

template <int NV>
CNNCORE_MEMBER void outer_rows(const WinogradOuter& args, const float* right, Fetch& fetch, float* sum) {
  constexpr int kRows = kWinogradOuterRows[NV];
  for (int64_t row = 0; row < args.rows; row += kRows) {
    outer_block<kRows, NV>(args, args.left + row / kBlock * args.left_block_step + row % kBlock, right,
                           fetch.take(), sum + row * args.sum_row_step);
  }
}

void outer(const WinogradOuter& args) {
  Fetch fetch = {args};
  for (int64_t column = 0; column < args.columns;) {
    const float* right = args.right + column / kBlock * args.right_block_step + column % kBlock;
    if (args.columns - column > kWidth) {
      outer_rows<2>(args, right, fetch, args.sum + column);
      column += 2 * kWidth;
    } else {
      outer_rows<1>(args, right, fetch, args.sum + column);
      column += kWidth;
    }
  }
}

}  // namespace

WinogradKernels winograd_kernels() {
  return {winograd_f4(),
          winograd_f2(),
          winograd_f2x5(),
          winograd_f4x1(),
          kWinogradVectors * kWidth,
          kWinogradTileUnit,
          multiply,
          outer};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
