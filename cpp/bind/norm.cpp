// SPDX-License-Identifier: Apache-2.0
#include "ops/norm.h"

#include "bind/bind.h"

namespace cnncore {

void bind_norm(py::module_& module) {
  module.def("statistics_rows", &statistics_rows, py::arg("shape"),
             "Rows that batch_norm_statistics writes for an input of this shape.");
}

}  // namespace cnncore
