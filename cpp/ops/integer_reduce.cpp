// SPDX-License-Identifier: Apache-2.0
// Step `reduce` on integers and booleans: exact modulo 2^64, so that the order of additions does not matter.
#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/integer.h"
#include "ops/loop_nest.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

using Offsets = LoopNest::Offsets;

class IntegerReduce final : public Step {
 public:
  /// Operands of the kept nest: x, y; of the reduced nest: x.
  IntegerReduce(const ReduceAxes& axes, const IntegerReduction& reduction, IntegerRows x)
      : kept_(loop_nest(axes.kept_shape.data(), axes.kept, {axes.kept_x.data(), axes.kept_y.data()})),
        reduced_(loop_nest(axes.reduced_shape.data(), axes.reduced, {axes.reduced_x.data()})),
        cut_(reduced_),
        chunks_(std::max<std::int64_t>(1, cut_.count)),
        outputs_(kept_.numel()),
        reduction_(reduction),
        x_(x) {
    group_ = items_in_task(std::max<std::int64_t>(1, reduced_.numel()));
  }

  std::size_t workspace_bytes() const override {
    return chunks_ > 1 ? static_cast<std::size_t>(outputs_ * chunks_) * sizeof(std::int64_t) : 0;
  }
  double flops() const override { return static_cast<double>(outputs_ * reduced_.numel()); }

  void run(const StepArgs& args) const override {
    if (chunks_ > 1) return run_chunks(args);
    parallel_for(ceil_div(outputs_, group_), flops(), [&](std::int64_t task, int) {
      const std::int64_t last = std::min((task + 1) * group_, outputs_);
      for (std::int64_t i = task * group_; i < last; ++i) {
        const Offsets offsets = kept_.offsets_of(i, kept_.rank);
        args.output<std::int64_t>(0)[offsets[1]] = reduce_chunk(args, offsets[0], 0);
      }
    });
  }

 private:
  void run_chunks(const StepArgs& args) const {
    auto* partial = reinterpret_cast<std::int64_t*>(args.workspace);
    parallel_for(outputs_ * chunks_, flops(), [&](std::int64_t task, int) {
      const Offsets offsets = kept_.offsets_of(task / chunks_, kept_.rank);
      partial[task] = reduce_chunk(args, offsets[0], task % chunks_);
    });
    for (std::int64_t i = 0; i < outputs_; ++i) {
      args.output<std::int64_t>(0)[kept_.offsets_of(i, kept_.rank)[1]] =
          reduction_.reduce(chunks_, partial + i * chunks_);
    }
  }

  std::int64_t reduce_chunk(const StepArgs& args, std::int64_t start, std::int64_t chunk) const {
    std::int64_t total = reduction_.identity;
    IntegerRows::Block block;
    const auto reduce_row = [&](std::int64_t offset, std::int64_t n) {
      const std::int64_t step = reduced_.inner_stride(0);
      for (std::int64_t begin = 0; begin < n; begin += IntegerRows::kBlock) {
        const std::int64_t count = std::min(IntegerRows::kBlock, n - begin);
        const std::int64_t* values = x_.read(args.inputs[0], offset + begin * step, step, count, block);
        total = reduction_.combine(total, reduction_.reduce(count, values));
      }
    };
    if (cut_.count == 0) return total;
    cut_.visit(reduced_, chunk,
               [&](std::int64_t rows, std::int64_t n, const Offsets& step, const Offsets& offsets) {
                 for (std::int64_t i = 0; i < rows; ++i) reduce_row(start + offsets[0] + i * step[0], n);
               });
    return total;
  }

  LoopNest kept_;
  LoopNest reduced_;
  RowTasks cut_;
  std::int64_t chunks_;
  std::int64_t outputs_;
  std::int64_t group_ = 1;  // outputs in a task
  const IntegerReduction& reduction_;
  IntegerRows x_;
};

const IntegerReduction& integer_reduction(const std::string& name, DType dtype) {
  const IntegerKernels& table = kernels().integer;
  for (int i = 0; i < table.reduction_count; ++i) {
    if (name == table.reductions[i].name) return table.reductions[i];
  }
  fail("reduce ", name, ": expected float32, got ", name_of(dtype), "; integers have sum and prod");
}

}  // namespace

std::unique_ptr<Step> make_integer_reduce(const StepSpec& spec, const ReduceAxes& axes) {
  const std::string name = spec.attrs.text("function");
  const IntegerReduction& reduction = integer_reduction(name, spec.input(0).dtype);
  const std::string what = "reduce " + name;
  const IntegerRows x(spec.input(0).dtype, what.c_str());
  require(spec.output(0).dtype == DType::i64, what, ": expected an int64 result, got ",
          name_of(spec.output(0).dtype));
  return std::make_unique<IntegerReduce>(axes, reduction, x);
}

}  // namespace cnncore
