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

ConvChoice choose(const std::string& direction, const std::vector<std::int64_t>& input_shape,
                  const std::vector<std::int64_t>& weight_shape, std::map<std::string, AttrValue> attrs,
                  const std::string& accuracy) {
  const Attrs values(std::move(attrs));
  const ConvProblem problem = conv_problem(input_shape, weight_shape, values);
  const std::string algorithm = values.text("algorithm", "");
  values.finish("convolution");
  return conv_choose(conv_direction_from_name(direction), problem, accuracy, algorithm);
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
  py::class_<Packed>(module, "Packed", "The weight in the order that an algorithm reads it in.")
      .def_readonly("count", &Packed::count, "Elements; 0: the step reads the weight itself.")
      .def_property_readonly("dtype", [](const Packed& self) { return name_of(self.dtype); })
      .def_property_readonly("nbytes", &Packed::bytes)
      .def(
          "__eq__", [](const Packed& self, const Packed& other) { return self == other; }, py::is_operator())
      .def("__hash__", [](const Packed& self) { return self.count; })
      .def(py::pickle([](const Packed& self) { return py::make_tuple(self.count, name_of(self.dtype)); },
                      [](const py::tuple& state) {
                        return Packed{state[0].cast<std::int64_t>(),
                                      dtype_from_name(state[1].cast<std::string>())};
                      }));
  py::class_<ConvChoice>(module, "ConvChoice", "The algorithm of a convolution, and why not others.")
      .def_readonly("algorithm", &ConvChoice::algorithm)
      .def_readonly("problem", &ConvChoice::problem)
      .def_readonly("packed", &ConvChoice::packed)
      .def_readonly("statistics_rows", &ConvChoice::statistics_rows)
      .def_readonly("residual_in_place", &ConvChoice::residual_in_place)
      .def_readonly("pitched_output", &ConvChoice::pitched_output)
      .def_readonly("input_parts", &ConvChoice::input_parts)
      .def_readonly("refused", &ConvChoice::refused);
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
