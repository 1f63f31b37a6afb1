// SPDX-License-Identifier: Apache-2.0
// What factories of steps ask of their tensors; they throw with what was expected and what came.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "program/step.h"

namespace cnncore {

void check_float(const TensorDesc& desc, const std::string& what);
/// Activations are channels-last, or C order without spatial axes (where both are the same).
void check_activation(const TensorDesc& desc, const std::string& what);
/// float32 without gaps, in C order or channels-last.
void check_dense(const TensorDesc& desc, const std::string& what);
/// float32 of so many axes in C order.
void check_in_order(const TensorDesc& desc, int rank, const std::string& what);
/// `size` elements without gaps.
void check_vector(const TensorDesc& desc, std::int64_t size, const std::string& what,
                  DType dtype = DType::f32);
/// float32 in the shape and layout of another tensor.
void check_like(const TensorDesc& desc, const TensorDesc& other, const std::string& what);
void check_shape(const TensorDesc& desc, const std::vector<std::int64_t>& expected, const std::string& what);

/// The same of tensors that may be absent.
void check_input(const StepSpec& spec, std::size_t i, std::int64_t size, const char* what);
void check_output(const StepSpec& spec, std::size_t i, std::int64_t size, const char* what);
void check_input_like(const StepSpec& spec, std::size_t i, const TensorDesc& x, const char* what);
void check_output_like(const StepSpec& spec, std::size_t i, const TensorDesc& x, const char* what);

}  // namespace cnncore
