// SPDX-License-Identifier: Apache-2.0
// Steps along one axis of dense memory: neighbouring rows are walked together, a block of them at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "core/error.h"
#include "core/parallel.h"
#include "core/tensor.h"
#include "ops/tasks.h"
#include "program/step.h"

namespace cnncore {

/// Dense memory as [outer][extent][inner]; the other side has `count` in place of `extent`.
struct AxisRows {
  std::int64_t outer = 1;
  std::int64_t extent = 1;
  std::int64_t count = 1;
  std::int64_t inner = 1;

  std::int64_t rows() const { return outer * inner; }
};

/// The rows of `whole` along attribute `axis`, of which `part` has `count` elements each.
AxisRows axis_rows(const StepSpec& spec, const TensorDesc& whole, const TensorDesc& part);

/// A step over independent rows along an axis; the rows that lie side by side in memory are cut into tasks by
/// shape alone.
class RowsStep : public Step {
 public:
  explicit RowsStep(const AxisRows& rows, std::int64_t most = 64)
      : rows_(rows),
        width_(std::min(rows.inner, most)),
        blocks_(ceil_div(rows.inner, width_)),
        group_(items_in_task(width_ * rows.extent)) {}

 protected:
  /// Calls body(outer index, first column, columns, thread) for each block of neighbouring rows.
  template <class Body>
  void for_each_block(double cost, const Body& body) const {
    const std::int64_t all = rows_.outer * blocks_;
    const double work = cost * static_cast<double>(rows_.rows() * rows_.extent);
    parallel_for(ceil_div(all, group_), work, [&](std::int64_t task, int thread) {
      for (std::int64_t i = task * group_; i < std::min(all, (task + 1) * group_); ++i) {
        const std::int64_t column = i % blocks_ * width_;
        body(i / blocks_, column, std::min(width_, rows_.inner - column), thread);
      }
    });
  }

  AxisRows rows_;
  std::int64_t width_;

 private:
  std::int64_t blocks_;
  std::int64_t group_;
};

/// Calls make with a value of the elements' type.
template <class Make>
std::unique_ptr<Step> by_type(DType dtype, const Make& make) {
  switch (dtype) {
    case DType::f32:
      return make(float{});
    case DType::i32:
      return make(std::int32_t{});
    case DType::i64:
      return make(std::int64_t{});
    case DType::u8:
    case DType::boolean:  // 0 or 1
      return make(std::uint8_t{});
    case DType::i8:
      return make(std::int8_t{});
    case DType::f64:
    case DType::bf16:
    case DType::f16:
      break;
  }
  fail("expected float32, integers or booleans, got ", name_of(dtype));
}

}  // namespace cnncore
