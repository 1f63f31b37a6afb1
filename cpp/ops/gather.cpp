// SPDX-License-Identifier: Apache-2.0
// Steps that read and write at indices (int64) along attribute `axis`; the caller has made sure that they are
// from 0 to the extent - 1.
//
// gather_axis [x, indices] -> [y]: an index for each element of y. scatter_axis [x, indices] -> [y]: y is 0,
// then each element of x is added at its index, or with attribute `last` written there. take_axis [x,
// indices] -> [y] and put_axis [x, indices] -> [y] do the same with the same indices, one for each place
// along the axis, for all rows.
#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/parallel.h"
#include "ops/axis_rows.h"
#include "ops/checks.h"
#include "ops/registry.h"
#include "ops/row_lists.h"

namespace cnncore {
namespace {

/// y[i] = x[indices[i]] along the axis.
template <class T>
class GatherAxis final : public RowsStep {
 public:
  explicit GatherAxis(const AxisRows& rows) : RowsStep(rows) {}

  void run(const StepArgs& args) const override {
    for_each_block(2.0, [&](std::int64_t outer, std::int64_t column, std::int64_t columns, int) {
      const T* x = args.input<T>(0) + outer * rows_.extent * rows_.inner + column;
      const std::int64_t start = outer * rows_.count * rows_.inner + column;
      for (std::int64_t i = 0; i < rows_.count; ++i) {
        for (std::int64_t j = 0; j < columns; ++j) {
          const std::int64_t at = start + i * rows_.inner + j;
          args.output<T>(0)[at] = x[args.input<std::int64_t>(1)[at] * rows_.inner + j];
        }
      }
    });
  }
};

/// y = 0, then y[indices[i]] += x[i] (or = x[i]) along the axis, in the order of i.
class ScatterAxis final : public RowsStep {
 public:
  ScatterAxis(const AxisRows& rows, bool last) : RowsStep(rows), last_(last) {}

  void run(const StepArgs& args) const override {
    for_each_block(2.0, [&](std::int64_t outer, std::int64_t column, std::int64_t columns, int) {
      float* y = args.output(0) + outer * rows_.extent * rows_.inner + column;
      const bool whole = columns == rows_.inner;  // then the rows follow one another
      const std::int64_t length = whole ? rows_.extent * columns : columns;
      for (std::int64_t i = 0; i < (whole ? 1 : rows_.extent); ++i) {
        std::fill_n(y + i * rows_.inner, length, 0.0f);
      }
      const std::int64_t start = outer * rows_.count * rows_.inner + column;
      for (std::int64_t i = 0; i < rows_.count; ++i) {
        for (std::int64_t j = 0; j < columns; ++j) {
          const std::int64_t at = start + i * rows_.inner + j;
          float& target = y[args.input<std::int64_t>(1)[at] * rows_.inner + j];
          target = last_ ? args.input(0)[at] : target + args.input(0)[at];
        }
      }
    });
  }

 private:
  bool last_;
};

/// y[i] = x[indices[i]], whole stretches of what lies inside the axis.
class TakeAxis final : public Step {
 public:
  TakeAxis(const AxisRows& rows, std::size_t item)
      : rows_(rows), bytes_(static_cast<std::size_t>(rows.inner) * item) {}

  void run(const StepArgs& args) const override {
    const std::int64_t all = rows_.outer * rows_.count;
    const std::int64_t group = items_in_task(rows_.inner);
    parallel_for(ceil_div(all, group), static_cast<double>(all) * static_cast<double>(bytes_) / 16.0,
                 [&](std::int64_t task, int) {
                   const std::int64_t last = std::min(all, (task + 1) * group);
                   for (std::int64_t i = task * group; i < last; ++i) copy(args, i);
                 });
  }

 private:
  void copy(const StepArgs& args, std::int64_t i) const {
    const std::int64_t index = args.input<std::int64_t>(1)[i % rows_.count];
    const auto source = static_cast<std::size_t>(i / rows_.count * rows_.extent + index);
    std::memcpy(args.output<std::byte>(0) + static_cast<std::size_t>(i) * bytes_,
                args.input<std::byte>(0) + source * bytes_, bytes_);
  }

  AxisRows rows_;
  std::size_t bytes_;
};

/// y = 0, then y[indices[i]] += x[i] along the axis, in the order of i.
class PutAxis final : public RowsStep {
 public:
  explicit PutAxis(const AxisRows& rows) : RowsStep(rows, 256) {}

  void run(const StepArgs& args) const override {
    for_each_block(2.0, [&](std::int64_t outer, std::int64_t column, std::int64_t columns, int) {
      float* y = args.output(0) + outer * rows_.extent * rows_.inner + column;
      for (std::int64_t i = 0; i < rows_.extent; ++i) std::fill_n(y + i * rows_.inner, columns, 0.0f);
      for (std::int64_t i = 0; i < rows_.count; ++i) {
        const float* x = args.input(0) + (outer * rows_.count + i) * rows_.inner + column;
        float* target = y + args.input<std::int64_t>(1)[i] * rows_.inner;
        for (std::int64_t j = 0; j < columns; ++j) target[j] += x[j];
      }
    });
  }
};

/// The same for rows of whole cache lines, each of which is written once.
class PutRows final : public Step {
 public:
  static constexpr std::int64_t kLeast = kLineFloats, kMost = 4096;  // floats of a row

  explicit PutRows(const AxisRows& rows)
      : rows_(rows), lists_(rows.outer, rows.extent, rows.inner, rows.count) {}

  std::size_t workspace_bytes() const override { return lists_.bytes(); }

  void run(const StepArgs& args) const override {
    std::int64_t* const members = lists_.members(args.workspace);
    lists_.fill(args.workspace, args.input<std::int64_t>(1), -1,
                [&](std::int64_t at, std::int64_t k) { members[at] = k; });
    BagRun run;
    run.table = args.input(0);
    lists_.sum(run, args.workspace, rows_.count, args.output(0));
  }

 private:
  AxisRows rows_;
  RowLists lists_;
};

std::unique_ptr<Step> make_gather(const StepSpec& spec) {
  const TensorDesc &x = spec.input(0), &indices = spec.input(1), &y = spec.output(0);
  require(y.dtype == x.dtype && indices.dtype == DType::i64 && y.same_layout(indices), spec.op,
          ": expected int64 indices of the output's layout");
  const AxisRows rows = axis_rows(spec, x, y);
  return by_type(x.dtype, [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<GatherAxis<decltype(zero)>>(rows);
  });
}

std::unique_ptr<Step> make_scatter(const StepSpec& spec) {
  const TensorDesc &x = spec.input(0), &indices = spec.input(1), &y = spec.output(0);
  require(
      x.dtype == DType::f32 && y.dtype == DType::f32 && indices.dtype == DType::i64 && x.same_layout(indices),
      spec.op, ": expected float32 tensors and int64 indices of the input's layout");
  return std::make_unique<ScatterAxis>(axis_rows(spec, y, x), spec.attrs.integer("last", 0) != 0);
}

void require_indices(const StepSpec& spec, const AxisRows& rows) {
  const TensorDesc& indices = spec.input(1);
  require(indices.dtype == DType::i64 && indices.rank == 1 && indices.numel() == rows.count, spec.op,
          ": expected ", rows.count, " int64 indices");
}

std::unique_ptr<Step> make_take(const StepSpec& spec) {
  const TensorDesc &x = spec.input(0), &y = spec.output(0);
  require(y.dtype == x.dtype, spec.op, ": expected a result of the input's type");
  const AxisRows rows = axis_rows(spec, x, y);
  require_indices(spec, rows);
  return std::make_unique<TakeAxis>(rows, item_size(x.dtype));
}

std::unique_ptr<Step> make_put(const StepSpec& spec) {
  const TensorDesc &x = spec.input(0), &y = spec.output(0);
  check_float(x, spec.op + ": grad");
  check_float(y, spec.op + ": result");
  const AxisRows rows = axis_rows(spec, y, x);
  require_indices(spec, rows);
  if (rows.inner >= PutRows::kLeast && rows.inner <= PutRows::kMost) return std::make_unique<PutRows>(rows);
  return std::make_unique<PutAxis>(rows);
}

}  // namespace

void register_gather(StepRegistry& registry) {
  registry.add("gather_axis", make_gather);
  registry.add("scatter_axis", make_scatter);
  registry.add("take_axis", make_take);
  registry.add("put_axis", make_put);
}

}  // namespace cnncore
