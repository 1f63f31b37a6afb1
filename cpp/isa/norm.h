// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "isa/activation.h"

namespace cnncore {

/// `pixels` dense rows of `channels` floats: the part of a channels-last tensor one call works on. Arrays
/// "of channels" repeat for every pixel.
struct PixelBlock {
  std::int64_t pixels;
  std::int64_t channels;
};

struct NormKernels {
  /// Count, mean and sum of squared deviations from that mean of each channel: statistics[3][channels].
  void (*statistics)(const float* x, PixelBlock block, float* statistics);
  /// Combines channels [begin, end) of `rows` such statistics ([rows][3][channels]) in row order.
  void (*merge_statistics)(const float* statistics, std::int64_t rows, std::int64_t channels,
                           std::int64_t begin, std::int64_t end, double* mean, double* squares);
  /// invstd = 1 / sqrt(squares / count + eps).
  void (*inverse_deviation)(const double* squares, double count, double eps, std::int64_t channels,
                            float* invstd);
  /// Sums columns [begin, end) of a matrix of `rows` rows, `row_step` floats apart, in row order.
  void (*sum_rows)(const float* matrix, std::int64_t rows, std::int64_t row_step, std::int64_t begin,
                   std::int64_t end, double* sum);
  /// output = activation(x * scale + shift + residual); residual may be null. Of x, pixels are `x_pitch`
  /// floats apart, of the output `pitch`.
  void (*apply)(const float* x, std::int64_t x_pitch, const float* scale, const float* shift,
                const float* residual, PixelBlock block, Activation activation, float alpha, float* output,
                std::int64_t pitch);
  /// Of each channel: sums[0] = sum of the gated gradient, sums[1] = sum of it times (x - mean).
  /// grad_residual, the gated gradient, may be null or grad_output.
  void (*backward_sums)(const float* grad_output, const float* x, const float* mean,
                        const ActivationGate& gate, PixelBlock block, float* sums, float* grad_residual);
  /// grad_input = gated * a + x * b + c; b may be null, then only gated * a. grad_residual may be null;
  /// the results may be grad_output or x, one of them each.
  void (*backward_apply)(const float* grad_output, const float* x, const float* a, const float* b,
                         const float* c, const ActivationGate& gate, PixelBlock block, float* grad_input,
                         float* grad_residual);
  /// grad_input = gated gradient (may be null), sums = its sum over pixels (may be null).
  void (*gate)(const float* grad_output, const ActivationGate& gate, PixelBlock block, float* grad_input,
               float* sums);
};

}  // namespace cnncore
