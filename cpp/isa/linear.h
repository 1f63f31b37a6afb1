// SPDX-License-Identifier: Apache-2.0
// Products with a large matrix of weights that is read once, row by row, as it lies in memory. All rows of
// a batch pass over a block of weights while it is in cache; the block after it is fetched meanwhile.
#pragma once

#include <cstdint>

#include "isa/activation.h"

namespace cnncore {

/// sums[row, column] = sum over k of input[row, k] * weight[column, k], for 1 ... kLinearColumns columns.
/// Vectors run along k, so both sides are read as they lie.
struct LinearDotArgs {
  const float* input = nullptr;  // made by LinearKernels::pack_input
  std::int64_t rows = 0;
  const float* weight = nullptr;
  std::int64_t weight_stride = 0;
  std::int64_t columns = 0;
  std::int64_t depth = 0;
  float* sums = nullptr;  // all kLinearColumns of a row are written
  std::int64_t sums_stride = 0;
  bool accumulate = false;
  const float* next = nullptr;  // as many columns and floats to be fetched; may be null
};

inline constexpr int kLinearColumns = 4;

/// sums[row, column] = sum over k of input[row, k] * weight[k, column], for any number of columns.
/// Vectors run along columns.
struct LinearProductArgs {
  const float* input = nullptr;
  std::int64_t input_stride = 0;
  std::int64_t rows = 0;
  const float* weight = nullptr;
  std::int64_t weight_stride = 0;
  std::int64_t columns = 0;
  std::int64_t depth = 0;
  float* sums = nullptr;
  std::int64_t sums_stride = 0;
  bool accumulate = false;
  bool stream = false;          // do not keep the sums in cache; they must not be accumulated
  const float* next = nullptr;  // `depth` rows of `panel` floats to be fetched; may be null
};

/// output = activation(sums + bias + residual)
struct LinearFinishArgs {
  const float* sums = nullptr;
  std::int64_t sums_stride = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  const float* bias = nullptr;      // [columns], may be null
  const float* residual = nullptr;  // laid out as output, may be null
  float* output = nullptr;
  std::int64_t output_stride = 0;
  Activation activation = Activation::none;
  float alpha = 0.0f;
  float* activated = nullptr;  // as in GemmTileArgs
};

struct LinearKernels {
  int panel;  // columns that `product` works best on
  int tile;   // and rows
  /// Arranges rows for `dot`: rows * (depth rounded up to whole vectors) floats, zeros past the depth.
  void (*pack_input)(const float* input, std::int64_t stride, std::int64_t rows, std::int64_t depth,
                     float* packed);
  void (*dot)(const LinearDotArgs& args);
  void (*product)(const LinearProductArgs& args);
  void (*finish)(const LinearFinishArgs& args);
};

}  // namespace cnncore
