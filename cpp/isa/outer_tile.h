// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// Where a pixel lies, or how far it is to the next one, in floats: in the operands as the tile reads them
/// and in the tensors that they come from.
struct OuterTileOffsets {
  std::int64_t left, right;
  std::int64_t source[2];
};

/// A line of each pixel to bring into the second cache while a tile is summed: those of the next chunk.
struct OuterTileFetch {
  const float* first;
  int source;  // whose offsets it follows
};

/// sum[row, column] = sum over pixels of left[pixel, row] * right[pixel, column]: the gradient of weights.
/// The pixels come in segments of equal length; a segment starts at its own offset in either operand and
/// steps through it with a constant stride, so the sums stay in registers over all of them.
struct OuterTileArgs {
  const float* left = nullptr;   // `rows` contiguous floats at each pixel
  const float* right = nullptr;  // `columns` contiguous floats at each pixel
  const OuterTileOffsets* segment = nullptr;
  std::int64_t segments = 0;
  std::int64_t length = 0;  // pixels of a segment
  OuterTileOffsets step = {};
  std::int64_t rows = 0;     // any number; tiles of mr
  std::int64_t columns = 0;  // 1 ... nr
  float* sum = nullptr;
  std::int64_t sum_stride = 0;  // from row to row
  bool accumulate = false;      // start from what sum holds
  const OuterTileFetch* fetch = nullptr;
  std::int64_t fetches = 0;  // the first tiles take one each
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
