// SPDX-License-Identifier: Apache-2.0
// Winograd convolution of 3x3 and 5x5 kernels and of kernels of three taps along one axis, stride 1:
// transforms between pixels and points, and the products at the points. Transformed activations are
// [point][block of 16 channels][tile][16 channels], so a tile's channels lie at constant offsets for every
// ISA; channels past the last are zero.
#pragma once

#include <cstdint>

#include "isa/activation.h"

namespace cnncore {

inline constexpr int kWinogradBlock = 16;
/// Tiles past the last that a product may read and write.
inline constexpr int kWinogradSpareTiles = 8;

/// Channels-last images cut into tiles that are numbered image by image and row by row.
struct WinogradImages {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t pitch = 0;  // floats from pixel to pixel
  std::int64_t top = 0;    // the first tile's corner; rows and columns outside the image are zero
  std::int64_t left = 0;
  std::int64_t tile_rows = 0;
  std::int64_t tile_columns = 0;

  /// Volumes of so many images, of which a tile of image z reads image z + front of its volume, zeros
  /// outside.
  std::int64_t depth = 1;
  std::int64_t tile_depth = 1;  // images of a volume of tiles
  std::int64_t front = 0;

  /// Lines: tiles along one axis. A line's positions lie `step` pixels apart, its tiles form a row; an image
  /// has `pixels` pixels, and pixels before the first or from the last on are zero. `left` is in pixels.
  std::int64_t step = 0;
  std::int64_t pixels = 0;
};

struct WinogradGather {
  WinogradImages images;
  const float* pixels = nullptr;
  const float* zeros = nullptr;  // 6 * pitch of them, what a row outside the image reads
  std::int64_t channels = 0;
  std::int64_t written = 0;  // channels that get values: zero from `channels` on
  std::int64_t first_tile = 0;
  std::int64_t tiles = 0;
  float* values = nullptr;
  std::int64_t point_step = 0;
  std::int64_t block_step = 0;
};

struct WinogradScatter {
  WinogradImages images;
  const float* values = nullptr;
  std::int64_t point_step = 0;
  std::int64_t block_step = 0;
  std::int64_t channels = 0;
  std::int64_t first_tile = 0;
  std::int64_t tiles = 0;
  float* output = nullptr;
  const float* residual = nullptr;  // laid out as output; may be null
  const float* bias = nullptr;      // may be null
  Activation activation = Activation::none;
  float alpha = 0.0f;
  float* activated = nullptr;  // as in GemmTileArgs
  /// Null, or where count, mean and sum of squared deviations of each channel before the activation go.
  float* statistics = nullptr;
  std::int64_t statistics_step = 0;
  /// For `pool`: the largest of each 2x2 values, NaN if any is NaN; windows beyond the pooled extents are
  /// left out.
  float* pooled = nullptr;
  std::int64_t pooled_height = 0;
  std::int64_t pooled_width = 0;
  std::int64_t pooled_pitch = 0;
};

struct WinogradWeight {
  const float* weight = nullptr;  // a filter's contiguous taps at row * row_step + column * column_step
  std::int64_t row_step = 0;
  std::int64_t column_step = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  bool rotate = false;
  float* values = nullptr;  // [point][row][width], zero past the last column
  std::int64_t point_step = 0;
  std::int64_t width = 0;
};

struct WinogradWeightGradient {
  const float* values = nullptr;  // [point][row][width]
  std::int64_t point_step = 0;
  std::int64_t width = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  float* grad = nullptr;  // a filter's contiguous taps at row * row_step + column * column_step
  std::int64_t row_step = 0;
  std::int64_t column_step = 0;
  bool accumulate = false;  // add to what grad holds
};

/// result[point, tile, column] = sum over depth of left[point, tile, depth] * panel[point, depth, column].
/// `result` may be `left` when one panel covers all columns and the steps agree.
struct WinogradProduct {
  std::int64_t points = 0;
  std::int64_t tiles = 0;
  std::int64_t depth = 0;
  std::int64_t columns = 0;  // 1 ... nr
  const float* left = nullptr;
  std::int64_t left_point_step = 0;
  std::int64_t left_block_step = 0;
  const float* panel = nullptr;  // [point][depth][columns in whole vectors]
  std::int64_t panel_point_step = 0;
  float* result = nullptr;
  std::int64_t result_point_step = 0;
  std::int64_t result_block_step = 0;
};

/// Of one point: sum[row, column] = sum over tiles of left[tile, row] * right[tile, column].
struct WinogradOuter {
  std::int64_t tiles = 0;
  std::int64_t rows = 0;     // whole blocks of 16 are written
  std::int64_t columns = 0;  // whole blocks of 16 are written
  const float* left = nullptr;
  std::int64_t left_block_step = 0;
  const float* right = nullptr;
  std::int64_t right_block_step = 0;
  const float* next_left = nullptr;  // of the next call: this one fetches them into the second cache
  const float* next_right = nullptr;
  float* sum = nullptr;
  std::int64_t sum_row_step = 0;
  bool accumulate = false;  // add to what sum holds
};

/// The transforms of F(tile x tile, taps x taps), or of F(tile, taps) along one axis.
struct WinogradTransforms {
  int tile;    // output pixels along an axis
  int taps;    // of a filter along an axis
  int filter;  // taps of a filter in all
  int points;  // in all
  void (*input)(const WinogradGather& args);
  void (*output)(const WinogradScatter& args);
  void (*pool)(const WinogradScatter& args);  // null: it does not
  void (*weight)(const WinogradWeight& args);
  void (*grad_output)(const WinogradGather& args);
  void (*grad_weight)(const WinogradWeightGradient& args);
};

struct WinogradKernels {
  WinogradTransforms f4;  // 3x3
  WinogradTransforms f2;  // 3x3
  WinogradTransforms f2x5;
  WinogradTransforms f4x1;  // three taps along one axis
  int nr;                   // columns of a full panel
  int mr;                   // tiles that fill register blocks of every width
  void (*multiply)(const WinogradProduct& args);
  void (*outer)(const WinogradOuter& args);
};

}  // namespace cnncore
