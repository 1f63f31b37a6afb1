// SPDX-License-Identifier: Apache-2.0
#include "isa/gemm_tile.h"

#include "isa/kernels/activations.h"
#include "isa/kernels/gemm_columns.h"
#include "isa/kernels/lanes.h"
#include "isa/kernels/tiles.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

/// The rows of one tile, and those of the next one when its lines are to be fetched meanwhile.
struct TileRows {
  const int64_t* input = nullptr;
  const int64_t* output = nullptr;
  const int64_t* next_input = nullptr;   // or null
  const int64_t* next_output = nullptr;  // or null
  int64_t fetches = 0;                   // of its rows for each line of the reduction
  bool fetch_own = false;                // no tile before has fetched this one's results
  bool statistics_begin = false;
};

/// Sums of MR rows by NV vectors; with kNarrow only the lower half of the last one is stored and, under
/// AVX-512, computed.
template <class L, int MR, int NV, bool kNarrow, bool kOneOrder>
struct Tile {
  using V = typename L::V;
  static constexpr int kLanes = L::kLanes;
  static constexpr int kLastLanes = kNarrow ? kLanes / 2 : kLanes;
  static constexpr int kPanelWidth = (NV - 1) * kLanes + kLastLanes;
  // Few accumulators cannot hide the FMA's latency (4 cycles, 2 pipes): successive k get sums of their own.
  static constexpr int kSplit = kOneOrder || MR * NV >= 8 ? 1 : MR * NV >= 4 ? 2 : 4;

  // Wide tiles fetch the lines of the next one's results, a few for each line of the reduction: all at once
  // would take every miss buffer of the core. Narrow ones have fewer lines, and no registers to spare.
  static constexpr bool kFetchesNext = 2 * NV > kGemmVectors;

  /// Brings what the epilogue of a row reads or writes into the first cache.
  static CNNCORE_MEMBER void fetch_results(const GemmTileArgs& args, int64_t offset) {
    if (!args.stream) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) __builtin_prefetch(args.output + offset + j * kLanes, 1);
    }
    if (args.residual != nullptr) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) __builtin_prefetch(args.residual + offset + j * kLanes);
    }
  }

  static CNNCORE_MEMBER void multiply(const GemmTileArgs& args, const TileRows& rows, V (&sum)[MR][NV]) {
    const int64_t* next_input = rows.next_input;
    const int64_t* fetch = rows.next_output;
    const int64_t* fetch_end = fetch != nullptr ? fetch + MR : nullptr;
    const int64_t tail = args.columns - (NV - 1) * kLanes;
    V first[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) first[j] = args.bias != nullptr ? read(args.bias, j, tail) : L::set1(0.0f);
    V part[kSplit][MR][NV];
#pragma GCC unroll 4
    for (int s = 0; s < kSplit; ++s) {
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) part[s][i][j] = s == 0 ? first[j] : L::set1(0.0f);
      }
    }
    const float* row[MR];
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) row[i] = args.input + rows.input[i];
    if (args.depth == 1) {  // one input channel: a loop inside this one would cost more than its products
      for (int64_t tap = 0; tap < args.taps; ++tap)
        step(row, args.tap_offset[tap], args.panel + args.tap_row[tap] * kPanelWidth, part[0]);
    }
    for (int64_t tap = 0; tap < args.taps && args.depth > 1; ++tap) {
      const GemmTileArgs* call = &args;
      asm volatile("" : "+r"(call));  // what it holds is read for each tap, not kept in mask registers
      int64_t k = call->tap_offset[tap];
      const float* panel = call->panel + call->tap_row[tap] * kPanelWidth;
      const int64_t end = k + call->depth;
      while (k < end) {
        if (const int64_t* next = next_input; next != nullptr) {
          const float* line = args.input + k;
          if (!kFetchesNext) asm volatile("" : "+r"(next), "+r"(line));  // kept in no register between lines
#pragma GCC unroll 16
          for (int i = 0; i < MR; ++i) __builtin_prefetch(line + next[i]);
        }
        for (int64_t i = 0; kFetchesNext && i < rows.fetches && fetch < fetch_end; ++i)
          fetch_results(args, *fetch++);
        const int64_t line_end = min_of(k + kLineFloats, end);
        for (; k + kSplit <= line_end; k += kSplit) {
#pragma GCC unroll 4
          for (int s = 0; s < kSplit; ++s) step(row, k + s, panel + s * kPanelWidth, part[s]);
          panel += kSplit * kPanelWidth;
        }
        if (kSplit > 1) {
          for (; k < line_end; ++k, panel += kPanelWidth) step(row, k, panel, part[0]);
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
    for (int j = 0; j < NV; ++j) b[j] = read(panel, j, kLastLanes);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const V a = L::set1(row[i][k]);
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) sum[i][j] = add_product(a, b[j], sum[i][j], j);
    }
  }

  static CNNCORE_MEMBER V add_product(V a, V b, V sum, int j) {
    if constexpr (kNarrow) {
      if (j + 1 == NV) return L::fmadd_half(a, b, sum);
    }
    return L::fmadd(a, b, sum);
  }

  /// Vector j of a row of memory; only the last vector can be partial.
  static CNNCORE_MEMBER V read(const float* p, int j, int64_t tail) {
    if (j + 1 < NV) return L::load(p + j * kLanes);
    if (tail < kLastLanes) return L::load_partial(p + j * kLanes, tail);
    if constexpr (kNarrow) {
      return L::load_half(p + j * kLanes);
    } else {
      return L::load(p + j * kLanes);
    }
  }

  static CNNCORE_MEMBER void write(float* p, int j, int64_t tail, V value) {
    if (j + 1 < NV) return L::store(p + j * kLanes, value);
    if (tail < kLastLanes) return L::store_partial(p + j * kLanes, value, tail);
    if constexpr (kNarrow) {
      L::store_half(p + j * kLanes, value);
    } else {
      L::store(p + j * kLanes, value);
    }
  }

  static void run(const GemmTileArgs& args, const TileRows& rows) {
    const int64_t* output_offset = rows.output;
    if (!kFetchesNext || rows.fetch_own) {
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) fetch_results(args, output_offset[i]);
    }
    V sum[MR][NV];
    multiply(args, rows, sum);
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
    if (args.residual != nullptr) {
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < NV; ++j) sum[i][j] = sum[i][j] + read(args.residual + output_offset[i], j, tail);
      }
    }
    if (args.statistics != nullptr) add_statistics(args.statistics, rows.statistics_begin, sum);
    if (args.activation == Activation::relu) {
      store_rows<true, false>(args, output_offset, tail, sum);
    } else if (args.activation == Activation::relu6) {
      store_rows<true, true>(args, output_offset, tail, sum);
    } else {
      store_rows<false, false>(args, output_offset, tail, sum);
    }
  }

  /// Clamps and stores vector by vector: the stores, two cycles each, begin at once, and the next tile's
  /// products run beside them. A NaN stays NaN.
  template <bool kAboveZero, bool kBelowSix>
  static CNNCORE_MEMBER void store_rows(const GemmTileArgs& args, const int64_t* output_offset, int64_t tail,
                                        const V (&sum)[MR][NV]) {
    const V zero = L::set1(0.0f);
    const V six = L::set1(6.0f);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      float* out = args.output + output_offset[i];
#pragma GCC unroll 4
      for (int j = 0; j < NV; ++j) {
        V value = sum[i][j];
        if (kAboveZero) value = L::max(zero, value);
        if (kBelowSix) value = L::min(six, value);
        if (args.stream) {
          L::store_past_cache(out + j * kLanes, value);
        } else {
          write(out, j, tail, value);
        }
      }
    }
  }

  /// Adds the tile's values to the column statistics.
  static CNNCORE_MEMBER void add_statistics(float* statistics, bool begin, const V (&sum)[MR][NV]) {
    constexpr int64_t nr = kGemmVectors * kWidth;
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      float* at = statistics + j * kLanes;
      V total = L::set1(0.0f);
      V squares = L::set1(0.0f);
      if (begin) {
#pragma GCC unroll 16
        for (int i = 0; i < MR; ++i) total = total + sum[i][j];
        L::store(at, total * L::set1(1.0f / static_cast<float>(MR)));
        L::store(at + nr, L::set1(0.0f));
        L::store(at + 2 * nr, L::set1(0.0f));
        total = L::set1(0.0f);
      }
      const V shift = L::load(at);
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        const V value = sum[i][j] - shift;
        total = total + value;
        squares = L::fmadd(value, value, squares);
      }
      L::store(at + nr, L::load(at + nr) + total);
      L::store(at + 2 * nr, L::load(at + 2 * nr) + squares);
    }
  }
};

/// Activations that are no clamps act on the tile's rows in the first cache.
void activate_rows(const GemmTileArgs& args, const int64_t* output_offset, int64_t rows) {
  float* activated = args.activated != nullptr ? args.activated : args.output;
  vector_activation(args.activation)
      .rows(args.output, output_offset, rows, args.columns, args.alpha, activated);
}

using TileFunction = void (*)(const GemmTileArgs&, const TileRows&);

/// Tiles of 1 ... MR rows by their number of rows; larger numbers do not occur. Tiles of many accumulators
/// sum in one order anyway.
template <class L, int NV, int MR, bool kNarrow, bool kOneOrder>
struct TileTable {
  template <int N>
  static constexpr bool kFew = (N < MR ? N : MR) * NV < 8;
  template <int N>
  static constexpr TileFunction rows = Tile<L, (N < MR ? N : MR), NV, kNarrow, (kOneOrder && kFew<N>)>::run;
  static constexpr TileFunction kRows[] = {nullptr, rows<1>, rows<2>, rows<3>,  rows<4>,  rows<5>, rows<6>,
                                           rows<7>, rows<8>, rows<9>, rows<10>, rows<11>, rows<12>};
  static_assert(MR <= 12, "the table ends at 12 rows");
};

/// Splits the rows into tiles of nearly equal height.
template <class L, int NV, int MR, bool kNarrow = false>
void run_tiles(const GemmTileArgs& args) {
  const TileFunction* by_rows = args.one_order ? TileTable<L, NV, MR, kNarrow, true>::kRows
                                               : TileTable<L, NV, MR, kNarrow, false>::kRows;
  const int64_t tiles = (args.rows + MR - 1) / MR;
  const int64_t lines = max_of(1, args.taps * ((args.depth + kLineFloats - 1) / kLineFloats));
  TileRows rows;
  rows.fetches = (MR + lines - 1) / lines;
  const int64_t least_height = args.rows / max_of(1, tiles);
  const int64_t taller = args.rows % max_of(1, tiles);
  int64_t row = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t height = least_height + (tile < taller ? 1 : 0);
    const bool has_next = row + 2 * height <= args.rows;
    rows.input = args.row_offset + row;
    rows.output = args.output_offset + row;
    rows.fetch_own = tile == 0 || args.depth <= 1 || rows.next_output == nullptr;
    rows.next_input = has_next && args.prefetch ? rows.input + height : nullptr;
    rows.next_output = has_next ? rows.output + height : nullptr;
    rows.statistics_begin = args.statistics_begin && tile == 0;
    by_rows[height](args, rows);
    if (!is_clamp(args.activation)) activate_rows(args, rows.output, height);
    row += height;
  }
  if (args.stream) finish_streaming();
}

/// The narrowest tile that holds all columns, from NV vectors on.
template <int NV>
void run_width(const GemmTileArgs& args) {
  if constexpr (NV < kGemmVectors) {
    if (args.columns > NV * kWidth) return run_width<NV + 1>(args);
  }
  run_tiles<FullLanes, NV, kGemmRows[NV]>(args);
}

int64_t panel_width(int64_t columns) {
#if defined(__AVX512F__)
  if (columns <= 8) return 8;
  if (columns > 16 && columns <= 24) return 24;
#endif
  return (columns + kWidth - 1) / kWidth * kWidth;
}

void gemm_tile(const GemmTileArgs& args) {
#if defined(__AVX512F__) || defined(__AVX2__)
  constexpr int narrow = 8;  // floats of the narrowest panel
  const bool square = args.depth >= narrow && args.rows >= narrow;
  if (square && args.columns <= 4 && args.statistics == nullptr) {
    if (args.columns <= 2) return ColumnSums<2, narrow>().run(args);
    return ColumnSums<4, narrow>().run(args);
  }
#endif
#if defined(__AVX512F__)
  if (args.columns <= 8) return run_tiles<HalfLanes, 1, kGemmHalfRows>(args);
  if (args.columns > 16 && args.columns <= 24) return run_tiles<FullLanes, 2, kGemmRows[2], true>(args);
#endif
  run_width<1>(args);
}

}  // namespace

GemmTileKernels gemm_tile_kernels() {
  return {kGemmVectors * kWidth, kGemmRows[kGemmVectors], panel_width, gemm_tile};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
