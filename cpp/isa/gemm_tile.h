// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "isa/activation.h"

namespace cnncore {

/// One packed panel of weights applied to any number of rows (output pixels):
/// output[row, column] = act(sum over taps and k of input[row + tap, k] * panel[tap, k, column] + bias +
/// residual). A row is an offset from `input`; a tap adds its own offset; the reduction of a tap runs over
/// `depth` contiguous floats. The sum of a row stays in registers from the first tap to the last.
struct GemmTileArgs {
  const float* input = nullptr;
  const std::int64_t* row_offset = nullptr;  // [rows]
  std::int64_t rows = 0;
  const std::int64_t* tap_offset = nullptr;  // [taps]
  const std::int64_t* tap_row = nullptr;     // [taps] row of the panel
  std::int64_t taps = 1;
  std::int64_t depth = 0;
  const float* panel = nullptr;  // rows of panel_width(columns) floats
  std::int64_t columns = 0;      // 1 ... nr
  float* output = nullptr;
  const std::int64_t* output_offset = nullptr;  // [rows]; the residual uses the same offsets
  bool accumulate = false;                      // start from what output holds
  const float* residual = nullptr;              // may be null
  const float* bias = nullptr;                  // [columns], may be null
  Activation activation = Activation::none;
  float alpha = 0.0f;
  /// Null, or where the activation's results go; `output` then keeps its arguments. Of the activations that
  /// are not in_registers.
  float* activated = nullptr;
  /// [3][nr] or null: shift, sum and sum of squares of (value before activation - shift) of each column. The
  /// first call (statistics_begin) sets the shift to the mean of its first tile, so that nothing cancels.
  float* statistics = nullptr;
  bool statistics_begin = false;
  /// Results bypass the caches, which saves reading their lines first: for outputs larger than these. Columns
  /// and offsets are then multiples of 16 floats, the output lies on a line, and nothing accumulates.
  bool stream = false;
  /// Sum in the order of taps and k wherever a row lies; else the order depends on the height of its tile.
  bool one_order = false;
  bool prefetch = false;  // the rows are not in cache yet: fetch those of the next tile while this one runs
};

struct GemmTileKernels {
  int nr;  // columns of a full panel
  int mr;  // rows of a full tile
  /// Floats that one k step of a panel with `columns` columns takes; columns past the last are zero.
  std::int64_t (*panel_width)(std::int64_t columns);
  void (*run)(const GemmTileArgs& args);
};

}  // namespace cnncore
