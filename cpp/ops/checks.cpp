// SPDX-License-Identifier: Apache-2.0
#include "ops/checks.h"

#include "core/error.h"

namespace cnncore {

void check_float(const TensorDesc& desc, const std::string& what) {
  require(desc.dtype == DType::f32, what, ": expected float32, got ", name_of(desc.dtype));
}

void check_activation(const TensorDesc& desc, const std::string& what) {
  check_float(desc, what);
  require(desc.is_channels_last(), what, ": expected channels-last memory, shape ", desc.shape_text());
}

void check_dense(const TensorDesc& desc, const std::string& what) {
  check_float(desc, what);
  require(desc.is_contiguous() || desc.is_channels_last(), what, ": expected memory without gaps, shape ",
          desc.shape_text());
}

void check_in_order(const TensorDesc& desc, int rank, const std::string& what) {
  check_float(desc, what);
  require(desc.rank == rank && desc.is_contiguous(), what, ": expected ", rank, " axes in C order, got ",
          desc.shape_text());
}

void check_vector(const TensorDesc& desc, std::int64_t size, const std::string& what, DType dtype) {
  require(desc.dtype == dtype, what, ": expected ", name_of(dtype), ", got ", name_of(desc.dtype));
  require(desc.is_contiguous() && desc.numel() == size, what, ": expected ", size,
          " contiguous elements, got ", desc.shape_text());
}

void check_like(const TensorDesc& desc, const TensorDesc& other, const std::string& what) {
  check_float(desc, what);
  require(desc.same_layout(other), what, ": expected the shape and layout of ", other.shape_text(), ", got ",
          desc.shape_text());
}

void check_shape(const TensorDesc& desc, const std::vector<std::int64_t>& expected, const std::string& what) {
  const TensorDesc wanted = dense_desc(DType::f32, expected.data(), static_cast<int>(expected.size()), true);
  require(desc.same_shape(wanted), what, ": expected shape ", wanted.shape_text(), ", got ",
          desc.shape_text());
}

void check_input(const StepSpec& spec, std::size_t i, std::int64_t size, const char* what) {
  if (spec.has_input(i)) check_vector(spec.input(i), size, spec.op + ": " + what);
}

void check_output(const StepSpec& spec, std::size_t i, std::int64_t size, const char* what) {
  if (spec.has_output(i)) check_vector(spec.output(i), size, spec.op + ": " + what);
}

void check_input_like(const StepSpec& spec, std::size_t i, const TensorDesc& x, const char* what) {
  if (spec.has_input(i)) check_like(spec.input(i), x, spec.op + ": " + what);
}

void check_output_like(const StepSpec& spec, std::size_t i, const TensorDesc& x, const char* what) {
  if (spec.has_output(i)) check_like(spec.output(i), x, spec.op + ": " + what);
}

}  // namespace cnncore
