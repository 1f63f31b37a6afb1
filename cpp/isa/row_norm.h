// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// Dense rows of `features` floats, each normalised by itself. Weight and bias of features may be null (1,
/// 0). A row that is not `centred` has mean 0, and the mean of its squares in place of the variance.
struct RowNormKernels {
  /// y = (x - mean) * invstd * weight + bias, invstd = 1 / sqrt(variance + eps).
  void (*rows)(const float* x, const float* weight, const float* bias, std::int64_t rows,
               std::int64_t features, double eps, bool centred, float* y, float* mean, float* invstd);
  /// grad_input may be grad_output or x. sums, unless null, is the sum over rows of grad_output times the
  /// normalised x, then of grad_output: [2][features].
  void (*rows_backward)(const float* grad_output, const float* x, const float* weight, const float* mean,
                        const float* invstd, std::int64_t rows, std::int64_t features, bool centred,
                        float* grad_input, float* sums);
  /// y[i] = x[i - before] + ... + x[i + after] of each row, which is zero beyond its ends.
  /// `padded` is scratch memory of features + before + after and a vector's floats.
  void (*window_sums)(const float* x, std::int64_t rows, std::int64_t features, std::int64_t before,
                      std::int64_t after, float* padded, float* y);
};

}  // namespace cnncore
