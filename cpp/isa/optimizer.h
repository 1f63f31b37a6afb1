// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// One SGD step; `momentum_buffer` is nullptr when there is none.
struct SgdSettings {
  float lr;
  float weight_decay;
  float gradient_scale;
  float momentum;
  float buffer_decay;   // what the old buffer counts: momentum, or 0 when there is no old buffer yet
  float gradient_gain;  // what the gradient counts in the buffer: 1 - dampening, or 1 in the first step
  bool nesterov;
};

struct AdamSettings {
  float shrink;        // factor of the parameter itself: 1, or 1 - lr * weight_decay when decay is decoupled
  float weight_decay;  // added to the gradient; 0 when decay is decoupled
  float gradient_scale;
  float beta1;
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float step_size;          // lr / (1 - beta1^t)
  float inverse_root_bias;  // 1 / sqrt(1 - beta2^t)
  float eps;
};

/// Updates n elements; outputs may be the inputs.
struct SgdRun {
  std::int64_t n;
  const float* parameter;
  const float* gradient;
  const float* buffer;
  float* new_parameter;
  float* new_buffer;
};

struct AdamRun {
  std::int64_t n;
  const float* parameter;
  const float* gradient;
  const float* mean;
  const float* square;
  float* new_parameter;
  float* new_mean;
  float* new_square;
};

struct OptimizerKernels {
  void (*sgd)(const SgdRun& run, const SgdSettings& settings);
  void (*adam)(const AdamRun& run, const AdamSettings& settings);
};

}  // namespace cnncore
