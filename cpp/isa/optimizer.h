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

/// A piece of one tensor for a rule: in parameter, gradient, state...; out parameter, state... in the same
/// order, which may be the memory of the inputs. Absent state is nullptr.
struct RuleRun {
  static constexpr int kMaxState = 3;

  std::int64_t n;
  float gradient_scale;
  float trust;  // of this tensor: factor of its step
  const float* in[2 + kMaxState];
  float* out[1 + kMaxState];
};

/// A way to update a parameter, elementwise, from numbers that the caller works out for each step.
struct OptimizerRule {
  const char* name;
  int state;    // arrays for each parameter
  int needed;   // how many of these, the first ones, are never absent
  int numbers;  // what `numbers` holds; in the order that the rule's comment gives
  double cost;  // vector operations for a vector of parameters
  void (*run)(const RuleRun& run, const float* numbers);
  /// For rules whose step depends on its tensor's norms: writes the step's direction to out[0]; it may change
  /// the state (out[1] on), whose new values `run` then reads.
  void (*direction)(const RuleRun& run, const float* numbers);
  bool direction_changes_state;
};

struct OptimizerKernels {
  const OptimizerRule* rules;
  int rule_count;
  void (*sgd)(const SgdRun& run, const SgdSettings& settings);
  void (*adam)(const AdamRun& run, const AdamSettings& settings);
};

}  // namespace cnncore
