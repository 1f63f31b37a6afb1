// SPDX-License-Identifier: Apache-2.0
// A GEMM panel of very few columns: a vector of these would be mostly empty, so lanes are rows here. A
// square of the input, kWidth rows by kWidth floats of the reduction, is turned in registers, and each weight
// is broadcast. Sums have the order of taps and k.
#pragma once

#include "isa/gemm_tile.h"
#include "isa/kernels/activations.h"
#include "isa/kernels/transpose.h"

namespace cnncore {
namespace CNNCORE_ISA {

#if defined(__AVX512F__) || defined(__AVX2__)

/// Up to N columns, for which the panel has at least N; its rows are kRow floats apart.
template <int N, int kRow>
struct ColumnSums {
  static constexpr int kRows = kWidth;
  static constexpr int kAhead =
      4096;  // floats: so few products take less time than their input needs to come
  Interleave<N> interleave;

  void run(const GemmTileArgs& args) const {
    for (int64_t row = 0; row < args.rows; row += kRows) {
      const int64_t rows = min_of(kRows, args.rows - row);
      Vec sum[N];
      multiply(args, args.row_offset + row, rows, sum);
      finish(args, args.output_offset + row, rows, sum);
    }
  }

  static CNNCORE_MEMBER void multiply(const GemmTileArgs& args, const int64_t* offset, int64_t rows,
                                      Vec (&sum)[N]) {
    const float* row[kRows];  // lanes past the last row repeat it
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) row[i] = args.input + offset[min_of(i, rows - 1)];
#pragma GCC unroll 4
    for (int c = 0; c < N; ++c)
      sum[c] = args.bias != nullptr && c < args.columns ? set1(args.bias[c]) : zero();
    for (int64_t tap = 0; tap < args.taps; ++tap) {
      const float* panel = args.panel + args.tap_row[tap] * kRow;
      for (int64_t k = 0; k < args.depth; k += kWidth, panel += kWidth * kRow) {
        const int64_t at = args.tap_offset[tap] + k;
        const int64_t left = min_of(args.depth - k, kWidth);
        Vec turned[kRows];
#pragma GCC unroll 16
        for (int i = 0; i < kRows; ++i) turned[i] = load_upto(row[i] + at, left);
        if (args.prefetch && tap + 1 == args.taps) {
#pragma GCC unroll 16
          for (int i = 0; i < kRows; ++i) __builtin_prefetch(row[i] + at + kAhead);
        }
        transpose_registers(turned);
#pragma GCC unroll 16
        for (int j = 0; j < kWidth; ++j) {
          if (j >= left) break;
#pragma GCC unroll 4
          for (int c = 0; c < N; ++c) sum[c] = fmadd(set1(panel[j * kRow + c]), turned[j], sum[c]);
        }
      }
    }
  }

  /// Adds what is at the rows' places in `from`.
  static __attribute__((noinline)) void add(const float* from, const int64_t* offset, int64_t rows,
                                            int64_t columns, Vec (&sum)[N]) {
    float lanes[N][kRows] = {};
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t c = 0; c < columns; ++c) lanes[c][i] = from[offset[i] + c];
    }
    for (int c = 0; c < N; ++c) sum[c] = sum[c] + load(lanes[c]);
  }

  CNNCORE_MEMBER void finish(const GemmTileArgs& args, const int64_t* offset, int64_t rows,
                             Vec (&sum)[N]) const {
    if (args.accumulate) add(args.output, offset, rows, args.columns, sum);
    if (args.residual != nullptr) add(args.residual, offset, rows, args.columns, sum);
    float lanes[N][kRows];
#pragma GCC unroll 4
    for (int c = 0; c < N; ++c) store(lanes[c], activate(sum[c], args.activation, set1(args.alpha)));
    if (in_registers(args.activation)) return write(lanes, offset, rows, args.columns, args.output);
    if (args.activated != nullptr) write(lanes, offset, rows, args.columns, args.output);
    activate_row(lanes[0], N * kRows, args.activation, args.alpha, lanes[0]);
    write(lanes, offset, rows, args.columns, args.activated != nullptr ? args.activated : args.output);
  }

  __attribute__((noinline)) void write(const float (&lanes)[N][kRows], const int64_t* offset, int64_t rows,
                                       int64_t columns, float* to) const {
    // Offsets ascend, so rows between the first and the last leave no gaps where the distance tells so.
    if (columns == N && rows == kRows && offset[kRows - 1] - offset[0] == N * (kRows - 1)) {
      const float* plane[N];
      for (int c = 0; c < N; ++c) plane[c] = lanes[c];
      return interleave.run(kRows, plane, to + offset[0]);
    }
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t c = 0; c < columns; ++c) to[offset[i] + c] = lanes[c][i];
    }
  }
};

#endif

}  // namespace CNNCORE_ISA
}  // namespace cnncore
