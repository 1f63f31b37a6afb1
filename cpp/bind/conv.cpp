// SPDX-License-Identifier: Apache-2.0
#include "ops/conv.h"

#include "bind/bind.h"

namespace cnncore {
namespace {

/// The problem of a call that has no other attributes.
ConvProblem problem_of(const std::vector<std::int64_t>& input_shape,
                       const std::vector<std::int64_t>& weight_shape,
                       std::map<std::string, AttrValue> attrs) {
  const Attrs values(std::move(attrs));
  const ConvProblem problem = conv_problem(input_shape, weight_shape, values);
  values.finish("convolution");
  return problem;
}

py::dict choose(const std::string& direction, const std::vector<std::int64_t>& input_shape,
                const std::vector<std::int64_t>& weight_shape, std::map<std::string, AttrValue> attrs,
                const std::string& accuracy) {
  const Attrs values(std::move(attrs));
  const ConvProblem problem = conv_problem(input_shape, weight_shape, values);
  const std::string algorithm = values.text("algorithm", "");
  values.finish("convolution");
  const ConvChoice choice = conv_choose(conv_direction_from_name(direction), problem, accuracy, algorithm);
  py::dict result;
  result["algorithm"] = choice.algorithm;
  result["packed_floats"] = choice.packed_floats;
  result["statistics_rows"] = choice.statistics_rows;
  result["residual_in_place"] = choice.residual_in_place;
  result["pitched_output"] = choice.pitched_output;
  result["input_parts"] = choice.input_parts;
  result["refused"] = choice.refused;
  result["problem"] = problem.text();
  return result;
}

std::vector<std::pair<std::string, std::string>> candidates(const std::string& direction,
                                                            const std::vector<std::int64_t>& input_shape,
                                                            const std::vector<std::int64_t>& weight_shape,
                                                            std::map<std::string, AttrValue> attrs,
                                                            const std::string& accuracy) {
  const ConvProblem problem = problem_of(input_shape, weight_shape, std::move(attrs));
  return conv_candidates(conv_direction_from_name(direction), problem, accuracy);
}

std::string refuse_pool(const std::vector<std::int64_t>& input_shape,
                        const std::vector<std::int64_t>& weight_shape, std::map<std::string, AttrValue> attrs,
                        const std::string& algorithm) {
  return conv_pool_refuse(problem_of(input_shape, weight_shape, std::move(attrs)), algorithm);
}

std::string refuse_inverted_residual(const std::vector<std::int64_t>& input_shape,
                                     const std::vector<std::int64_t>& weight_shape,
                                     std::map<std::string, AttrValue> attrs, bool expands,
                                     const std::string& algorithm) {
  return inverted_residual_refuse(problem_of(input_shape, weight_shape, std::move(attrs)), expands,
                                  algorithm);
}

}  // namespace

void bind_conv(py::module_& module) {
  module.def(
      "conv_choose", &choose, py::arg("direction"), py::arg("input_shape"), py::arg("weight_shape"),
      py::arg("attrs"), py::arg("accuracy") = "fast",
      "The convolution algorithm for a problem, the size of its packed weight, the rows of its statistics, "
      "and why the algorithms before it were refused.");
  module.def("conv_candidates", &candidates, py::arg("direction"), py::arg("input_shape"),
             py::arg("weight_shape"), py::arg("attrs"), py::arg("accuracy") = "fast",
             "Every algorithm of a direction and why it cannot take the problem; an empty text when it can.");
  module.def(
      "conv_pool_refuse", &refuse_pool, py::arg("input_shape"), py::arg("weight_shape"), py::arg("attrs"),
      py::arg("algorithm"),
      "Why the max pooling after a convolution of this algorithm is not done by its step; an empty text "
      "when it is.");
  module.def(
      "inverted_residual_refuse", &refuse_inverted_residual, py::arg("input_shape"), py::arg("weight_shape"),
      py::arg("attrs"), py::arg("expands"), py::arg("algorithm"),
      "Why the block around this depthwise convolution is not one step of this algorithm; an empty text "
      "when it is.");
}

}  // namespace cnncore
