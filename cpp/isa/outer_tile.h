// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// sum[row, column] = sum over pixels of left[pixel, row] * right[pixel, column]: the gradient of weights.
/// The pixels come in segments of equal length; a segment starts at its own offset in either operand and
/// steps through it with a constant stride, so the sums stay in registers over all of them.
struct OuterTileArgs {
  const float* left = nullptr;                 // `rows` contiguous floats at each pixel
  const float* right = nullptr;                // `columns` contiguous floats at each pixel
  const std::int64_t* left_offset = nullptr;   // [segments]
  const std::int64_t* right_offset = nullptr;  // [segments]
  std::int64_t segments = 0;
  std::int64_t length = 0;  // pixels of a segment
  std::int64_t left_step = 0;
  std::int64_t right_step = 0;
  std::int64_t rows = 0;     // any number; tiles of mr
  std::int64_t columns = 0;  // 1 ... nr
  float* sum = nullptr;
  std::int64_t sum_stride = 0;  // from row to row
  bool accumulate = false;      // start from what sum holds
};

struct OuterTileKernels {
  int nr;
  int mr;
  void (*run)(const OuterTileArgs& args);
  /// sum[column] += the column's values over all rows, in an order that depends on their number only.
  void (*column_sums)(const float* values, std::int64_t rows, std::int64_t columns, std::int64_t stride,
                      float* sum);
};

}  // namespace cnncore
