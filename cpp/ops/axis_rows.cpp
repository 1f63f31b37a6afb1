// SPDX-License-Identifier: Apache-2.0
#include "ops/axis_rows.h"

namespace cnncore {
namespace {

bool is_dense(const TensorDesc& x) { return x.is_contiguous() || x.is_channels_last(); }

}  // namespace

AxisRows axis_rows(const StepSpec& spec, const TensorDesc& whole, const TensorDesc& part) {
  const std::int64_t axis = spec.attrs.integer("axis");
  require(axis >= 0 && axis < whole.rank, spec.op, ": axis ", axis, " is not in ", whole.shape_text());
  require(is_dense(whole) && is_dense(part), spec.op, ": expected dense memory");
  AxisRows rows;
  rows.extent = whole.dim(static_cast<int>(axis));
  rows.inner = whole.step(static_cast<int>(axis));
  rows.outer = whole.numel() / (rows.extent * rows.inner);
  rows.count = part.numel() / rows.rows();
  require(rows.extent > 0 && rows.count * rows.rows() == part.numel(), spec.op, ": ", part.shape_text(),
          " does not go with ", whole.shape_text());
  return rows;
}

}  // namespace cnncore
