// SPDX-License-Identifier: Apache-2.0
#include "isa/gemm_tile.h"

#include "isa/kernels/activate.h"
#include "isa/kernels/lanes.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

// Rows of a tile of each width, as many as registers allow next to the panel's vectors and one broadcast.
// Wide tiles load least for each FMA; tall ones keep narrow panels busy. 14 x 2 measured 3 % below 12 x 2:
// more row pointers than general registers.
#if defined(__AVX512F__)
constexpr int kVectors = 4;
constexpr int kRows[kVectors + 1] = {0, 8, 12, 8, 6};
// Half vectors issue twice a cycle, so loads decide: with 10 rows no row pointer has to be reloaded.
constexpr int kHalfRows = 10;
#else
constexpr int kVectors = 2;
constexpr int kRows[kVectors + 1] = {0, 6, 6};
#endif
constexpr int64_t kLine = 16;  // floats of a cache line

/// Whether the activation is applied to the registers.
CNNCORE_INLINE bool clamps(const GemmTileArgs& args) {
  const bool clamp = args.activation == Activation::relu || args.activation == Activation::relu6;
  return clamp && args.statistics == nullptr;
}

/// Sums of MR rows by NV vectors.
template <class L, int MR, int NV>
struct Tile {
  using V = typename L::V;
  static constexpr int kLanes = L::kLanes;
  // Few accumulators cannot hide the FMA's latency (4 cycles, 2 pipes): successive k get sums of their own.
  static constexpr int kSplit = MR * NV >= 8 ? 1 : MR * NV >= 4 ? 2 : 4;

  static CNNCORE_MEMBER void multiply(const GemmTileArgs& args, const int64_t* row_offset,
                                      const int64_t* next_offset, V (&sum)[MR][NV]) {
    V part[kSplit][MR][NV];
#pragma GCC unroll 4
    for (int s = 0; s < kSplit; ++s) {
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) part[s][i][j] = L::set1(0.0f);
      }
    }
    const float* row[MR];
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) row[i] = args.input + row_offset[i];
    if (args.depth == 1) {  // one input channel: a loop inside this one would cost more than its products
      for (int64_t tap = 0; tap < args.taps; ++tap)
        step(row, args.tap_offset[tap], args.panel + args.tap_row[tap] * (NV * kLanes), part[0]);
    }
    for (int64_t tap = 0; tap < args.taps && args.depth > 1; ++tap) {
      int64_t k = args.tap_offset[tap];
      const float* panel = args.panel + args.tap_row[tap] * (NV * kLanes);
      const int64_t end = k + args.depth;
      while (k < end) {
        if (next_offset != nullptr) {
#pragma GCC unroll 16
          for (int i = 0; i < MR; ++i) __builtin_prefetch(args.input + next_offset[i] + k);
        }
        const int64_t line_end = min_of(k + kLine, end);
        for (; k + kSplit <= line_end; k += kSplit) {
#pragma GCC unroll 4
          for (int s = 0; s < kSplit; ++s) step(row, k + s, panel + s * NV * kLanes, part[s]);
          panel += kSplit * NV * kLanes;
        }
        if (kSplit > 1) {
          for (; k < line_end; ++k, panel += NV * kLanes) step(row, k, panel, part[0]);
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) {
        sum[i][j] = part[0][i][j];
#pragma GCC unroll 4
        for (int s = 1; s < kSplit; ++s) sum[i][j] = sum[i][j] + part[s][i][j];
      }
    }
  }

  static CNNCORE_MEMBER void step(const float* const (&row)[MR], int64_t k, const float* panel,
                                  V (&sum)[MR][NV]) {
    V b[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) b[j] = L::load(panel + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const V a = L::set1(row[i][k]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) sum[i][j] = L::fmadd(a, b[j], sum[i][j]);
    }
  }

  /// Vector j of a row of memory; only the last vector can be partial.
  static CNNCORE_MEMBER V read(const float* p, int j, int64_t tail) {
    return j + 1 < NV || tail == kLanes ? L::load(p + j * kLanes) : L::load_partial(p + j * kLanes, tail);
  }

  static void run(const GemmTileArgs& args, const int64_t* row_offset, const int64_t* output_offset,
                  const int64_t* next_offset) {
    // The lines to be stored are fetched while the sums grow.
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) __builtin_prefetch(args.output + output_offset[i] + j * kLanes, 1);
    }
    V sum[MR][NV];
    multiply(args, row_offset, next_offset, sum);
    // Addresses of results are worked out anew: kept from the prefetch, they would cost the loop its
    // registers.
    asm volatile("" ::: "memory");
    const int64_t tail = args.columns - (NV - 1) * kLanes;
    if (args.accumulate) {
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) sum[i][j] = sum[i][j] + read(args.output + output_offset[i], j, tail);
      }
    }
    if (args.bias != nullptr) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) {
        const V bias = read(args.bias, j, tail);
#pragma GCC unroll 16
        for (int i = 0; i < MR; ++i) sum[i][j] = sum[i][j] + bias;
      }
    }
    if (args.residual != nullptr) {
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) sum[i][j] = sum[i][j] + read(args.residual + output_offset[i], j, tail);
      }
    }
    if (clamps(args)) {
      const V zero = L::set1(0.0f);
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) sum[i][j] = L::max(zero, sum[i][j]);  // NaN stays NaN
      }
      if (args.activation == Activation::relu6) {
        const V six = L::set1(6.0f);
#pragma GCC unroll 16
        for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
          for (int j = 0; j < NV; ++j) sum[i][j] = L::min(six, sum[i][j]);
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      float* out = args.output + output_offset[i];
#pragma GCC unroll 4
      for (int j = 0; j + 1 < NV; ++j) L::store(out + j * kLanes, sum[i][j]);
      if (tail == kLanes) {
        L::store(out + (NV - 1) * kLanes, sum[i][NV - 1]);
      } else {
        L::store_partial(out + (NV - 1) * kLanes, sum[i][NV - 1], tail);
      }
    }
  }
};

/// Adds a tile's values, still in the first cache, to the column statistics.
void add_statistics(const GemmTileArgs& args, const int64_t* output_offset, int64_t rows, bool begin) {
  const int64_t nr = kVectors * kWidth;
  for (int64_t column = 0; column < args.columns; column += kWidth) {
    const int64_t left = args.columns - column;
    float* shift_at = args.statistics + column;
    const float* values = args.output + column;
    if (begin) {
      Vec sum = zero();
      for (int64_t i = 0; i < rows; ++i) sum = sum + load_upto(values + output_offset[i], left);
      store(shift_at, sum * set1(1.0f / static_cast<float>(rows)));
      store(shift_at + nr, zero());
      store(shift_at + 2 * nr, zero());
    }
    const Vec shift = load(shift_at);
    Vec sum = zero();
    Vec squares = zero();
    for (int64_t i = 0; i < rows; ++i) {
      const Vec value = load_upto(values + output_offset[i], left) - shift;
      sum = sum + value;
      squares = fmadd(value, value, squares);
    }
    store(shift_at + nr, load(shift_at + nr) + sum);
    store(shift_at + 2 * nr, load(shift_at + 2 * nr) + squares);
  }
}

/// Other activations, and those after statistics, act on the tile's rows in the first cache.
void activate_rows(const GemmTileArgs& args, const int64_t* output_offset, int64_t rows) {
  const Vec alpha = set1(args.alpha);
  for (int64_t i = 0; i < rows; ++i) {
    float* out = args.output + output_offset[i];
    for (int64_t column = 0; column < args.columns; column += kWidth) {
      const int64_t left = args.columns - column;
      store_upto(out + column, activate(load_upto(out + column, left), args.activation, alpha), left);
    }
  }
}

using TileFunction = void (*)(const GemmTileArgs&, const int64_t*, const int64_t*, const int64_t*);

/// Tiles of 1 ... MR rows by their number of rows; larger numbers do not occur.
template <class L, int NV, int MR>
struct TileTable {
  template <int N>
  static constexpr TileFunction rows = Tile<L, (N < MR ? N : MR), NV>::run;
  static constexpr TileFunction kRows[] = {nullptr, rows<1>, rows<2>, rows<3>,  rows<4>,  rows<5>, rows<6>,
                                           rows<7>, rows<8>, rows<9>, rows<10>, rows<11>, rows<12>};
  static_assert(MR <= 12, "the table ends at 12 rows");
};

/// Splits the rows into tiles of nearly equal height.
template <class L, int NV, int MR>
void run_tiles(const GemmTileArgs& args) {
  const int64_t tiles = (args.rows + MR - 1) / MR;
  const bool post_activation = args.activation != Activation::none && !clamps(args);
  int64_t row = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t height = args.rows / tiles + (tile < args.rows % tiles ? 1 : 0);
    const int64_t* row_offset = args.row_offset + row;
    const int64_t* output_offset = args.output_offset + row;
    const bool prefetch = args.prefetch && row + 2 * height <= args.rows;
    TileTable<L, NV, MR>::kRows[height](args, row_offset, output_offset,
                                        prefetch ? row_offset + height : nullptr);
    if (args.statistics != nullptr) {
      add_statistics(args, output_offset, height, args.statistics_begin && tile == 0);
    }
    if (post_activation) activate_rows(args, output_offset, height);
    row += height;
  }
}

/// The narrowest tile that holds all columns, from NV vectors on.
template <int NV>
void run_width(const GemmTileArgs& args) {
  if constexpr (NV < kVectors) {
    if (args.columns > NV * kWidth) return run_width<NV + 1>(args);
  }
  run_tiles<FullLanes, NV, kRows[NV]>(args);
}

int64_t panel_width(int64_t columns) {
#if defined(__AVX512F__)
  if (columns <= 8) return 8;
#endif
  return (columns + kWidth - 1) / kWidth * kWidth;
}

void gemm_tile(const GemmTileArgs& args) {
#if defined(__AVX512F__)
  if (args.columns <= 8) return run_tiles<HalfLanes, 1, kHalfRows>(args);
#endif
  run_width<1>(args);
}

}  // namespace

GemmTileKernels gemm_tile_kernels() { return {kVectors * kWidth, kRows[kVectors], panel_width, gemm_tile}; }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
