// SPDX-License-Identifier: Apache-2.0
#include "ops/recurrent.h"

#include "bind/bind.h"
#include "ops/conv.h"

namespace cnncore {

void bind_recurrent(py::module_& module) {
  module.def(
      "recurrent_packed",
      [](std::int64_t gates, std::int64_t units, std::int64_t depth, const std::string& direction) {
        return Packed{recurrent_packed_floats(gates, units, depth, direction), DType::f32};
      },
      py::arg("gates"), py::arg("units"), py::arg("depth"), py::arg("direction"),
      "The weight (gates * units, depth) of a recurrent layer as its steps read it.");
}

}  // namespace cnncore
