// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// "Rows" kernels work on `rows` dense rows of `classes` floats. "Columns" kernels work on `columns` adjacent
/// columns whose classes lie `step` floats apart. `logarithm` selects log_softmax.
struct SoftmaxKernels {
  void (*rows)(const float* x, std::int64_t rows, std::int64_t classes, bool logarithm, float* y);
  void (*columns)(const float* x, std::int64_t classes, std::int64_t step, std::int64_t columns,
                  bool logarithm, float* y);
  void (*rows_backward)(const float* grad_output, const float* y, std::int64_t rows, std::int64_t classes,
                        bool logarithm, float* grad_input);
  void (*columns_backward)(const float* grad_output, const float* y, std::int64_t classes, std::int64_t step,
                           std::int64_t columns, bool logarithm, float* grad_input);
  /// Of each row: the largest value, and ln of the sum of exp(x - largest).
  void (*normalisers)(const float* x, std::int64_t rows, std::int64_t classes, float* largest,
                      float* log_sum);
  /// Sum over one row of weight * (largest - x); a null weight is 1.
  float (*gap)(const float* x, float largest, const float* weight, std::int64_t classes);
  /// y = factor * exp(x - log_normaliser) - smoothing * weight, where each row has its own factor,
  /// log_normaliser and smoothing, and each class its weight. A null weight is 1, a null smoothing 0.
  void (*cross_entropy_gradient)(const float* x, const float* log_normaliser, const float* factor,
                                 const float* smoothing, const float* weight, std::int64_t rows,
                                 std::int64_t classes, float* y);
};

}  // namespace cnncore
