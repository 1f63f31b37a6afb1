// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/attrs.h"
#include "core/tensor.h"

namespace cnncore {

namespace py = pybind11;

void bind_program(py::module_& module);
void bind_conv(py::module_& module);
void bind_exchange(py::module_& module);
void bind_images(py::module_& module);
void bind_norm(py::module_& module);
void bind_recurrent(py::module_& module);
void bind_runtime(py::module_& module);
void bind_storage(py::module_& module);

TensorDesc desc_from_python(const std::vector<std::int64_t>& shape, const std::string& dtype,
                            const std::string& layout);

/// The array behind any object numpy, DLPack or the buffer protocol understands; raises TypeError
/// for objects and complex numbers.
py::array array_from_python(const py::object& object, const std::string& what);

/// Memory of `array` when its dtype, strides and alignment are those of `desc`, else nullptr.
/// Raises ValueError when the shapes differ.
void* direct_memory(const py::array& array, const TensorDesc& desc, const std::string& what);

/// Writes the elements of `array` to `memory` as `desc` has them.
void convert_input(const py::array& array, const TensorDesc& desc, const std::string& what, void* memory);

/// A new array of the shape, layout and dtype of `desc`.
py::array new_array(const TensorDesc& desc);

/// The threads that a `with cnncore.threads(n)` block around the call allows; 0 outside of one.
int context_threads();

}  // namespace cnncore
