// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// `rows` rows of `n` floats; steps in floats, any sign.
struct ReduceRun {
  std::int64_t rows;
  std::int64_t n;
  const float* src;
  std::int64_t row_step;
  std::int64_t step;
};

/// Sums run in float over short stretches and in double over those, so that their error does not grow with
/// the length.
struct Reduction {
  double identity;
  double (*combine)(double a, double b);
  /// result[row] = reduction of the row.
  void (*across_rows)(const ReduceRun& run, double* result);
  /// result[i] = result[i] combined with the reduction over the rows of element i.
  void (*across_columns)(const ReduceRun& run, double* result);
};

struct ReduceKernels {
  Reduction sum;
  Reduction prod;
  Reduction sum_squares;
  Reduction max;
  Reduction min;
  /// Index of the first largest of n floats, or of the first NaN; its value goes to *largest.
  std::int64_t (*argmax)(std::int64_t n, const float* src, std::int64_t step, float* largest);
};

}  // namespace cnncore
