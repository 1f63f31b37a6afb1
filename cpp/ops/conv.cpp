// SPDX-License-Identifier: Apache-2.0
#include "ops/conv.h"

#include <algorithm>

#include "core/error.h"
#include "ops/conv_algorithm.h"
#include "ops/pixel_pitch.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

/// Every algorithm, in order of preference within its direction; the last of each takes every problem.
const std::vector<ConvAlgorithm>& algorithms() {
  static const std::vector<ConvAlgorithm> list = {
      linear_forward(),
      depthwise_forward(),
      grouped_forward(),
      winograd_f4_forward(),
      winograd_f2_forward(),
      winograd_f2x5_forward(),
      winograd_f4x1_forward(),
      direct_forward(),
      linear_backward_data(),
      depthwise_backward_data(),
      grouped_backward_data(),
      winograd_f4_backward_data(),
      winograd_f2_backward_data(),
      winograd_f2x5_backward_data(),
      winograd_f4x1_backward_data(),
      scatter_backward_data(),
      direct_backward_data(),
      linear_backward_weight(),
      depthwise_backward_weight(),
      grouped_backward_weight(),
      winograd_f4_backward_weight(),
      winograd_f2_backward_weight(),
      winograd_f2x5_backward_weight(),
      winograd_f4x1_backward_weight(),
      direct_backward_weight(),
  };
  return list;
}

/// What the algorithm cannot do about a problem, pooling included; empty when it can do it all.
std::string cannot(const ConvAlgorithm& algorithm, const ConvProblem& problem) {
  if (problem.pool) {
    if (algorithm.refuse_pool == nullptr) return "it does not pool";
    const bool flat = problem.output[0] == 1 && problem.pool->kernel[0] == 1 && problem.pooled()[0] == 1;
    if (!flat) return "it does not pool volumes";
  }
  return algorithm.cannot(problem);
}

/// The same, and whether its rounding is allowed.
std::string unable(const ConvAlgorithm& algorithm, const ConvProblem& problem, const std::string& accuracy) {
  std::string reason = cannot(algorithm, problem);
  return reason.empty() && accuracy == "exact" && !algorithm.exact ? "accuracy is 'exact'" : reason;
}

void check_accuracy(const std::string& accuracy) {
  require(accuracy == "exact" || accuracy == "fast", "expected accuracy 'exact' or 'fast', got '", accuracy,
          "'");
}

const ConvAlgorithm& find_algorithm(ConvDirection direction, const ConvProblem& problem,
                                    const std::string& name) {
  for (const auto& algorithm : algorithms()) {
    if (algorithm.direction != direction || name != algorithm.name) continue;
    const std::string reason = cannot(algorithm, problem);
    require(reason.empty(), "convolution algorithm '", name, "' does not take this problem: ", reason);
    return algorithm;
  }
  fail("unknown convolution algorithm '", name, "'");
}

const ConvAlgorithm& algorithm_of(ConvDirection direction, const ConvProblem& problem, const Attrs& attrs) {
  const std::string name = attrs.text("algorithm", "");
  return find_algorithm(direction, problem,
                        name.empty() ? conv_choose(direction, problem, "fast").algorithm : name);
}

std::vector<std::int64_t> shape_of(const TensorDesc& desc) {
  return {desc.shape.begin(), desc.shape.begin() + desc.rank};
}

/// An algorithm without a packed weight reads the weight itself.
void check_weight(const TensorDesc& desc, const ConvAlgorithm& algorithm, const ConvProblem& problem) {
  if (algorithm.packed != nullptr) {
    check_packed(desc, algorithm.packed(problem), "packed weight");
  } else {
    check_vector(desc, problem.out_channels * problem.group_in() * problem.taps(), "weight");
  }
}

/// The shape, of as many axes as the input, of an output or of its pooling.
std::vector<std::int64_t> output_shape(const ConvProblem& p, const Spatial& extents, int rank) {
  std::vector<std::int64_t> shape = {p.batch, p.out_channels};
  shape.insert(shape.end(), extents.begin() + first_axis(rank - 2), extents.end());
  return shape;
}

ConvEpilogue epilogue_of(const StepSpec& spec, std::int64_t channels) {
  ConvEpilogue epilogue;
  const ActivationGate gate = activation_from_attrs(spec.attrs);
  epilogue.activation = gate.activation;
  epilogue.alpha = gate.alpha;
  epilogue.one_order = spec.attrs.integer("one_order", 0) != 0;
  epilogue.bias = spec.has_input(2);
  if (epilogue.bias) check_vector(spec.input(2), channels, "bias");
  epilogue.residual = spec.has_input(3);
  if (epilogue.residual) {
    check_activation(spec.input(3), "residual");
    require(spec.input(3).same_shape(spec.output(0)), "residual: expected shape ",
            spec.output(0).shape_text(), ", got ", spec.input(3).shape_text());
  }
  epilogue.statistics = spec.has_output(1);
  epilogue.argument = spec.has_output(2);
  if (epilogue.argument) {
    check_activation(spec.output(0), "output");
    check_activation(spec.output(2), "argument");
    require(!in_registers(epilogue.activation), "the gradient of activation '",
            function_of(epilogue.activation).name, "' reads the result, not the argument");
    require(spec.output(2).same_shape(spec.output(0)), "argument: expected shape ",
            spec.output(0).shape_text(), ", got ", spec.output(2).shape_text());
  }
  return epilogue;
}

/// Checks the output, which some algorithms may write into a part of the channels of a wider tensor.
std::int64_t output_pitch(const StepSpec& spec, const ConvAlgorithm& algorithm, const char* what) {
  const TensorDesc& output = spec.output(0);
  if (!algorithm.pitched_output || output.is_channels_last()) {
    check_activation(output, what);
    return 0;
  }
  check_float(output, what);
  require(pixel_pitch(output) > 0 && !spec.has_input(3), what, ": expected channels-last memory, shape ",
          output.shape_text());
  return pixel_pitch(output);
}

/// The shape of the input, which may be two tensors that have its channels.
std::vector<std::int64_t> input_shape(const StepSpec& spec) {
  check_activation(spec.input(0), "input");
  std::vector<std::int64_t> shape = shape_of(spec.input(0));
  if (!spec.has_input(4)) return shape;
  check_activation(spec.input(4), "second input");
  std::vector<std::int64_t> other = shape_of(spec.input(4));
  const std::int64_t channels = shape.at(1) + other.at(1);
  shape[1] = other[1] = channels;
  require(shape == other, "second input: expected the extents of ", spec.input(0).shape_text(), ", got ",
          spec.input(4).shape_text());
  return shape;
}

std::int64_t first_channels(const StepSpec& spec, const ConvAlgorithm& algorithm,
                            const ConvProblem& problem) {
  if (!spec.has_input(4)) return 0;
  const std::int64_t channels = spec.input(0).shape[1];
  require(algorithm.input_parts > 0 && problem.groups == 1 && channels % algorithm.input_parts == 0,
          "algorithm '", algorithm.name, "' does not read an input of ", channels, " channels and another");
  return channels;
}

std::unique_ptr<Step> make_pack(const StepSpec& spec) {
  const TensorDesc& weight = spec.input(0);
  check_float(weight, "weight");
  require(weight.is_contiguous(), "weight: expected C order, shape ", weight.shape_text());
  const ConvDirection direction = conv_direction_from_name(spec.attrs.text("direction"));
  const ConvProblem problem = conv_problem(spec.attrs.integers("input_shape"), shape_of(weight), spec.attrs);
  const ConvAlgorithm& algorithm = algorithm_of(direction, problem, spec.attrs);
  require(algorithm.make_pack != nullptr, "algorithm '", algorithm.name, "' has no packed weight");
  check_packed(spec.output(0), algorithm.packed(problem), "packed weight");
  return algorithm.make_pack(problem);
}

std::unique_ptr<Step> make_forward(const StepSpec& spec) {
  const ConvProblem problem =
      conv_problem(input_shape(spec), spec.attrs.integers("weight_shape"), spec.attrs);
  check_shape(spec.output(0), output_shape(problem, problem.output, spec.input(0).rank), "output");
  const ConvAlgorithm& algorithm = algorithm_of(ConvDirection::forward, problem, spec.attrs);
  check_weight(spec.input(1), algorithm, problem);
  ConvEpilogue epilogue = epilogue_of(spec, problem.out_channels);
  epilogue.output_pitch = output_pitch(spec, algorithm, "output");
  epilogue.first_channels = first_channels(spec, algorithm, problem);
  if (epilogue.statistics) {
    check_vector(spec.output(1), algorithm.statistics_rows(problem) * 3 * problem.out_channels, "statistics");
  }
  return algorithm.make(problem, epilogue);
}

/// The pooling comes before the activation.
std::unique_ptr<Step> make_pool(const StepSpec& spec) {
  check_activation(spec.input(0), "input");
  const ConvProblem problem =
      conv_problem(shape_of(spec.input(0)), spec.attrs.integers("weight_shape"), spec.attrs);
  require(problem.pool.has_value(), "missing attribute 'pool_kernel'");
  check_shape(spec.output(0), output_shape(problem, problem.pooled(), spec.input(0).rank), "output");
  check_activation(spec.output(0), "output");
  const ConvAlgorithm& algorithm = algorithm_of(ConvDirection::forward, problem, spec.attrs);
  check_weight(spec.input(1), algorithm, problem);
  const ConvEpilogue epilogue = epilogue_of(spec, problem.out_channels);
  require(!epilogue.residual && !epilogue.statistics && !epilogue.argument,
          "conv_pool has one output and no residual");
  pooling_activation(spec.attrs);
  return algorithm.make(problem, epilogue);
}

std::unique_ptr<Step> make_backward_data(const StepSpec& spec) {
  check_activation(spec.input(0), "grad_output");
  const ConvProblem problem =
      conv_problem(shape_of(spec.output(0)), spec.attrs.integers("weight_shape"), spec.attrs);
  check_shape(spec.input(0), output_shape(problem, problem.output, spec.output(0).rank), "grad_output");
  const ConvAlgorithm& algorithm = algorithm_of(ConvDirection::backward_data, problem, spec.attrs);
  check_weight(spec.input(1), algorithm, problem);
  ConvEpilogue epilogue = epilogue_of(spec, problem.in_channels);
  epilogue.output_pitch = output_pitch(spec, algorithm, "grad_input");
  require(!epilogue.statistics, "conv_backward_data has one output");
  return algorithm.make(problem, epilogue);
}

std::unique_ptr<Step> make_backward_weight(const StepSpec& spec) {
  check_activation(spec.input(0), "input");
  check_activation(spec.input(1), "grad_output");
  check_float(spec.output(0), "grad_weight");
  require(spec.output(0).is_contiguous(), "grad_weight: expected C order, shape ",
          spec.output(0).shape_text());
  const ConvProblem problem = conv_problem(shape_of(spec.input(0)), shape_of(spec.output(0)), spec.attrs);
  check_shape(spec.input(1), output_shape(problem, problem.output, spec.input(0).rank), "grad_output");
  ConvEpilogue epilogue;
  epilogue.bias = spec.has_output(1);
  if (epilogue.bias) check_vector(spec.output(1), problem.out_channels, "grad_bias");
  return algorithm_of(ConvDirection::backward_weight, problem, spec.attrs).make(problem, epilogue);
}

}  // namespace

void check_packed(const TensorDesc& desc, const Packed& packed, const std::string& what) {
  check_vector(desc, packed.count, what, packed.dtype);
}

ConvChoice conv_choose(ConvDirection direction, const ConvProblem& problem, const std::string& accuracy,
                       const std::string& name) {
  check_accuracy(accuracy);
  ConvChoice choice;
  for (const auto& algorithm : algorithms()) {
    if (algorithm.direction != direction || (!name.empty() && name != algorithm.name)) continue;
    std::string reason = name.empty() ? unable(algorithm, problem, accuracy) : cannot(algorithm, problem);
    if (reason.empty() && name.empty() && algorithm.declines != nullptr) reason = algorithm.declines(problem);
    if (!reason.empty()) {
      choice.refused.emplace_back(algorithm.name, reason);
      continue;
    }
    choice.algorithm = algorithm.name;
    choice.problem = problem.text();
    if (algorithm.packed != nullptr) choice.packed = algorithm.packed(problem);
    choice.statistics_rows = algorithm.statistics_rows(problem);
    choice.residual_in_place = algorithm.residual_in_place;
    choice.pitched_output = algorithm.pitched_output;
    choice.input_parts = problem.groups == 1 ? algorithm.input_parts : 0;
    return choice;
  }
  if (!name.empty()) find_algorithm(direction, problem, name);  // says what is wrong with the name
  fail("no convolution algorithm takes ", problem.text());
}

std::vector<std::pair<std::string, std::string>> conv_candidates(ConvDirection direction,
                                                                 const ConvProblem& problem,
                                                                 const std::string& accuracy) {
  check_accuracy(accuracy);
  std::vector<std::pair<std::string, std::string>> candidates;
  for (const auto& algorithm : algorithms()) {
    if (algorithm.direction == direction) {
      candidates.emplace_back(algorithm.name, unable(algorithm, problem, accuracy));
    }
  }
  return candidates;
}

std::string conv_pool_refuse(const ConvProblem& problem, const std::string& name) {
  for (const auto& algorithm : algorithms()) {
    if (algorithm.direction != ConvDirection::forward || name != algorithm.name) continue;
    const std::string reason = cannot(algorithm, problem);
    return reason.empty() ? algorithm.refuse_pool(problem) : reason;
  }
  fail("unknown convolution algorithm '", name, "'");
}

void register_conv(StepRegistry& registry) {
  registry.add("conv_pack_weight", make_pack);
  registry.add("conv_forward", make_forward);
  registry.add("conv_pool", make_pool);
  registry.add("conv_backward_data", make_backward_data);
  registry.add("conv_backward_weight", make_backward_weight);
}

}  // namespace cnncore
