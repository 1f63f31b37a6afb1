// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/attrs.h"
#include "core/tensor.h"
#include "ops/window.h"

namespace cnncore {

enum class ConvDirection { forward, backward_data, backward_weight };

ConvDirection conv_direction_from_name(const std::string& name);

/// A convolution's sizes. One spatial axis fills the width, two fill height and width; the others are
/// axes of extent 1. A linear layer has none, so all of them are 1.
struct ConvProblem : Window {
  std::int64_t batch = 1;
  std::int64_t in_channels = 1;
  std::int64_t out_channels = 1;
  std::int64_t groups = 1;
  Spatial input{1, 1, 1};
  Spatial output{1, 1, 1};
  std::optional<Window> pool;  // max pooling of the output by the same step

  /// All of it, as the key of what is known about the problem.
  std::string text() const;

  std::int64_t group_in() const { return in_channels / groups; }
  std::int64_t group_out() const { return out_channels / groups; }
  Spatial pooled() const { return pool->extents(output); }
  std::int64_t input_pixels() const { return batch * input[0] * input[1] * input[2]; }
  std::int64_t output_pixels() const { return batch * output[0] * output[1] * output[2]; }
  double flops() const;
};

/// Reads shapes and the convolution attributes (stride, padding_begin, padding_end, dilation, groups; those
/// of pooling: kernel, stride, padding_begin, padding_end, dilation with the prefix pool_); throws when they
/// do not fit each other. Shapes are logical: (N, C, spatial...) and (O, I/groups, kernel...).
ConvProblem conv_problem(const std::vector<std::int64_t>& input_shape,
                         const std::vector<std::int64_t>& weight_shape, const Attrs& attrs);

/// The weight in the order that an algorithm reads it in.
struct Packed {
  std::int64_t count = 0;  // 0: the step reads the weight itself
  DType dtype = DType::f32;

  std::size_t bytes() const { return static_cast<std::size_t>(count) * item_size(dtype); }
  bool operator==(const Packed& other) const { return count == other.count && dtype == other.dtype; }
};

struct ConvChoice {
  std::string algorithm;
  std::string problem;  // its text
  Packed packed;
  std::int64_t statistics_rows = 0;  // rows of the statistics output; 0 when the direction has none
  bool residual_in_place = false;    // the residual may be the memory of the output
  bool pitched_output = false;       // the output may be part of the channels of a wider tensor
  std::int64_t input_parts = 0;  // the input may be two tensors, the first of a multiple of so many channels
  std::vector<std::pair<std::string, std::string>> refused;  // (algorithm, why not)
};

/// The first algorithm that takes the problem, or the one that `name` asks for. `accuracy` is "exact" or
/// "fast".
ConvChoice conv_choose(ConvDirection direction, const ConvProblem& problem, const std::string& accuracy,
                       const std::string& name = "");

/// Every algorithm of a direction with the reason why it cannot take the problem at this accuracy, empty when
/// it can; what pays is not asked.
std::vector<std::pair<std::string, std::string>> conv_candidates(ConvDirection direction,
                                                                 const ConvProblem& problem,
                                                                 const std::string& accuracy);

/// Why the problem's max pooling had better be a step of its own; empty when it is done best by the step of
/// the algorithm, which is that for the problem without pooling.
std::string conv_pool_refuse(const ConvProblem& problem, const std::string& algorithm);

/// Why the convolutions of an inverted residual block had better be steps of their own; empty when one step
/// is better. `depthwise` is the one in the middle, `expands` whether a 1x1 convolution is before it,
/// `algorithm` "row strips" or "channel panels".
std::string inverted_residual_refuse(const ConvProblem& depthwise, bool expands,
                                     const std::string& algorithm);

}  // namespace cnncore
