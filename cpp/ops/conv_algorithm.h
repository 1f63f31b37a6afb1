// SPDX-License-Identifier: Apache-2.0
// Inside of the convolution family: what an algorithm offers. A new algorithm is one file with one of these
// and one line in the list of conv.cpp.
#pragma once

#include <memory>
#include <string>

#include "isa/gemm_tile.h"
#include "ops/activation.h"
#include "ops/checks.h"
#include "ops/conv.h"
#include "program/step.h"

namespace cnncore {

/// What happens to a result before it is stored, and which optional tensors a step has.
struct ConvEpilogue {
  Activation activation = Activation::none;
  float alpha = 0.0f;
  bool bias = false;  // of forward and backward_data: input 2; of backward_weight: output 1 (its gradient)
  bool residual = false;            // input 3
  bool statistics = false;          // output 1
  bool argument = false;            // output 2: what the activation is applied to, for its gradient
  std::int64_t output_pitch = 0;    // floats from pixel to pixel; 0: as many as the channels
  std::int64_t first_channels = 0;  // of input 0, where input 4 has the others; 0: input 0 has all
  bool one_order = false;           // sums that do not depend on a pixel's place, of direct convolution

  /// Where the sums go, and where the activation's results go if that is another tensor.
  float* sums(const StepArgs& args) const { return args.output(argument ? 2 : 0); }
  float* activated(const StepArgs& args) const { return argument ? args.output(0) : nullptr; }
};

struct ConvAlgorithm {
  const char* name;
  ConvDirection direction;
  /// What the algorithm cannot do about the problem; empty when it can do it all.
  std::string (*cannot)(const ConvProblem& problem);
  /// Why a problem that it can do does not pay; empty when it does. Not asked of an algorithm that was asked
  /// for by name; null where everything pays.
  std::string (*declines)(const ConvProblem& problem);
  /// Null for an algorithm that reads the weight itself, in C order; it has no make_pack.
  Packed (*packed)(const ConvProblem& problem);
  std::int64_t (*statistics_rows)(const ConvProblem& problem);
  std::unique_ptr<Step> (*make_pack)(const ConvProblem& problem);
  std::unique_ptr<Step> (*make)(const ConvProblem& problem, const ConvEpilogue& epilogue);
  bool exact = true;               // its rounding error is that of a plain float32 sum
  bool residual_in_place = false;  // the residual may be the memory of the output
  bool pitched_output = false;     // the output may be part of the channels of a wider tensor
  /// Why a problem's max pooling had better be a step of its own; null for an algorithm that cannot pool.
  std::string (*refuse_pool)(const ConvProblem& problem) = nullptr;
  // The input may be two tensors, the first with a multiple of so many channels; 0: it may not.
  std::int64_t input_parts = 0;
};

/// grad_bias = grad_output summed over batch and pixels, in pieces that depend on the shape only.
void conv_bias_gradient(const ConvProblem& problem, const float* grad_output, float* workspace,
                        float* grad_bias);
std::int64_t conv_bias_gradient_floats(const ConvProblem& problem);

void check_packed(const TensorDesc& desc, const Packed& packed, const std::string& what);

/// Direct convolution with max pooling.
std::unique_ptr<Step> make_direct_pool(const ConvProblem& problem, const ConvEpilogue& epilogue);
std::string direct_pool_refuse(const ConvProblem& problem);

ConvAlgorithm direct_forward();
ConvAlgorithm direct_backward_data();
ConvAlgorithm direct_backward_weight();
ConvAlgorithm winograd_f4_forward();
ConvAlgorithm winograd_f2_forward();
ConvAlgorithm winograd_f2x5_forward();
ConvAlgorithm winograd_f4x1_forward();
ConvAlgorithm winograd_f4_backward_data();
ConvAlgorithm winograd_f2_backward_data();
ConvAlgorithm winograd_f2x5_backward_data();
ConvAlgorithm winograd_f4x1_backward_data();
ConvAlgorithm winograd_f4_backward_weight();
ConvAlgorithm winograd_f2_backward_weight();
ConvAlgorithm winograd_f2x5_backward_weight();
ConvAlgorithm winograd_f4x1_backward_weight();
ConvAlgorithm scatter_backward_data();
ConvAlgorithm linear_forward();
ConvAlgorithm linear_backward_data();
ConvAlgorithm linear_backward_weight();
ConvAlgorithm depthwise_forward();
ConvAlgorithm depthwise_backward_data();
ConvAlgorithm depthwise_backward_weight();
ConvAlgorithm grouped_forward();
ConvAlgorithm grouped_backward_data();
ConvAlgorithm grouped_backward_weight();

}  // namespace cnncore
