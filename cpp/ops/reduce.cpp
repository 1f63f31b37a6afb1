// SPDX-License-Identifier: Apache-2.0
// Step `reduce` [x] -> [y]: attributes function (sum, mean, prod, max, min, sum_squares, argmax) and axes
// (list, all when absent). x is float32 with any strides and y float32, or int64 for argmax; integers and
// booleans have sum and prod, which give int64. y keeps the reduced axes with extent 1 or drops them. argmax
// counts in C order over the reduced axes. A NaN makes sums, max and min NaN, and is what argmax finds first.

#include "ops/reduce.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/integer.h"
#include "ops/loop_nest.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

using Offsets = LoopNest::Offsets;

constexpr std::int64_t kRowBlock = 256;
constexpr std::int64_t kColumnTile = 512;

/// What all ways of reducing share. Operands of the kept nest: x, y; of the reduced nest: x.
class ReduceStep : public Step {
 public:
  ReduceStep(const ReduceAxes& axes, const Reduction& reduction, bool mean)
      : kept_(loop_nest(axes.kept_shape.data(), axes.kept, {axes.kept_x.data(), axes.kept_y.data()})),
        reduced_(loop_nest(axes.reduced_shape.data(), axes.reduced, {axes.reduced_x.data()})),
        reduction_(reduction),
        divisor_(mean ? static_cast<double>(reduced_.numel()) : 1.0) {}

  double flops() const override { return static_cast<double>(kept_.numel() * reduced_.numel()); }

 protected:
  float finished(double value) const { return static_cast<float>(value / divisor_); }
  double work() const { return static_cast<double>(kept_.numel() * reduced_.numel()) / kernels().width; }

  LoopNest kept_;
  LoopNest reduced_;
  const Reduction& reduction_;
  double divisor_;
};

/// The reduced axes hold the consecutive elements: each output is made from rows. Long reductions are cut
/// into chunks whose results meet in the workspace.
class ReduceRows final : public ReduceStep {
 public:
  ReduceRows(const ReduceAxes& axes, const Reduction& reduction, bool mean)
      : ReduceStep(axes, reduction, mean), cut_(reduced_), chunks_(std::max<std::int64_t>(1, cut_.count)) {
    outputs_ = kept_.numel();
    const std::int64_t length = std::max<std::int64_t>(1, reduced_.numel());
    group_ = items_in_task(length);
    rows_ = kept_;
    const auto last = static_cast<std::size_t>(rows_.rank++);
    rows_.extent[last] = reduced_.inner_extent();
    rows_.stride[last] = {reduced_.inner_stride(0), 0, 0, 0};
  }

  std::size_t workspace_bytes() const override {
    return chunks_ > 1 ? static_cast<std::size_t>(outputs_ * chunks_) * sizeof(double) : 0;
  }
  std::string algorithm() const override { return chunks_ > 1 ? "rows in chunks" : "rows"; }

  void run(const StepArgs& args) const override {
    if (chunks_ > 1) return run_chunks(args);
    parallel_for(ceil_div(outputs_, group_), work(), [&](std::int64_t task, int) {
      const std::int64_t first = task * group_;
      const std::int64_t last = std::min(first + group_, outputs_);
      if (reduced_.rank == 1) {
        run_rows(args, first, last);
      } else {
        for (std::int64_t i = first; i < last; ++i) {
          const Offsets offsets = kept_.offsets_of(i, kept_.rank);
          args.output(0)[offsets[1]] = finished(reduce_chunk(args.input(0) + offsets[0], 0));
        }
      }
    });
  }

 private:
  void run_chunks(const StepArgs& args) const {
    double* partial = reinterpret_cast<double*>(args.workspace);
    parallel_for(outputs_ * chunks_, work(), [&](std::int64_t task, int) {
      const Offsets offsets = kept_.offsets_of(task / chunks_, kept_.rank);
      partial[task] = reduce_chunk(args.input(0) + offsets[0], task % chunks_);
    });
    for (std::int64_t i = 0; i < outputs_; ++i) {
      double total = reduction_.identity;
      for (std::int64_t j = 0; j < chunks_; ++j) total = reduction_.combine(total, partial[i * chunks_ + j]);
      args.output(0)[kept_.offsets_of(i, kept_.rank)[1]] = finished(total);
    }
  }

  /// One row makes one output: a whole run of outputs in one call.
  void run_rows(const StepArgs& args, std::int64_t first, std::int64_t last) const {
    for_each_run(rows_, first, last, [&](std::int64_t rows, const Offsets& step, const Offsets& offsets) {
      double result[kRowBlock];
      for (std::int64_t i = 0; i < rows; i += kRowBlock) {
        const std::int64_t count = std::min(kRowBlock, rows - i);
        reduction_.across_rows({count, rows_.inner_extent(), args.input(0) + offsets[0] + i * step[0],
                                step[0], rows_.inner_stride(0)},
                               result);
        for (std::int64_t j = 0; j < count; ++j) {
          args.output(0)[offsets[1] + (i + j) * step[1]] = finished(result[j]);
        }
      }
    });
  }

  double reduce_chunk(const float* x, std::int64_t chunk) const {
    double total = reduction_.identity;
    cut_.visit(reduced_, chunk,
               [&](std::int64_t rows, std::int64_t n, const Offsets& step, const Offsets& offsets) {
                 double result[kRowBlock];
                 for (std::int64_t i = 0; i < rows; i += kRowBlock) {
                   const std::int64_t count = std::min(kRowBlock, rows - i);
                   reduction_.across_rows(
                       {count, n, x + offsets[0] + i * step[0], step[0], reduced_.inner_stride(0)}, result);
                   for (std::int64_t j = 0; j < count; ++j) total = reduction_.combine(total, result[j]);
                 }
               });
    return total;
  }

  RowTasks cut_;
  LoopNest rows_;  // the kept axes, and the inner reduced axis inside them
  std::int64_t chunks_;
  std::int64_t outputs_ = 0;
  std::int64_t group_ = 1;  // outputs in a task
};

/// A kept axis holds the consecutive elements, as channels do in channels-last memory: tiles of outputs are
/// accumulated side by side while walking the reduced axes.
class ReduceColumns final : public ReduceStep {
 public:
  ReduceColumns(const ReduceAxes& axes, const Reduction& reduction, bool mean)
      : ReduceStep(axes, reduction, mean), outer_(kept_.without(kept_.rank - 1)), rows_(reduced_) {
    const auto last = static_cast<std::size_t>(rows_.rank++);
    rows_.extent[last] = 1;
    columns_ = kept_.inner_extent();
    tile_ = std::min(columns_, kColumnTile);
    tiles_ = kept_.numel() == 0 ? 0 : ceil_div(columns_, tile_);
    row_count_ = reduced_.numel();
    chunk_rows_ = items_in_task(tile_);
    chunks_ = std::max<std::int64_t>(1, ceil_div(row_count_, chunk_rows_));
    items_ = tiles_ == 0 ? 0 : outer_.numel() * tiles_;
    const std::int64_t item_elements = std::max<std::int64_t>(1, tile_ * row_count_);
    group_ = chunks_ > 1 ? 1 : items_in_task(item_elements);
  }

  std::size_t workspace_bytes() const override {
    return chunks_ > 1 ? static_cast<std::size_t>(items_ * chunks_ * tile_) * sizeof(double) : 0;
  }
  std::string algorithm() const override { return chunks_ > 1 ? "columns in chunks" : "columns"; }

  void run(const StepArgs& args) const override {
    if (chunks_ > 1) return run_chunks(args);
    parallel_for(ceil_div(items_, group_), work(), [&](std::int64_t task, int) {
      const std::int64_t last = std::min((task + 1) * group_, items_);
      double total[kColumnTile];
      for (std::int64_t item = task * group_; item < last; ++item) {
        reduce_rows(args, item, 0, row_count_, total);
        write(args, item, total);
      }
    });
  }

 private:
  void run_chunks(const StepArgs& args) const {
    double* partial = reinterpret_cast<double*>(args.workspace);
    parallel_for(items_ * chunks_, work(), [&](std::int64_t task, int) {
      const std::int64_t first = task % chunks_ * chunk_rows_;
      reduce_rows(args, task / chunks_, first, std::min(first + chunk_rows_, row_count_),
                  partial + task * tile_);
    });
    const double combining = static_cast<double>(items_ * chunks_ * tile_);
    parallel_for(items_, combining, [&](std::int64_t item, int) {
      double* total = partial + item * chunks_ * tile_;
      for (std::int64_t chunk = 1; chunk < chunks_; ++chunk) {
        const double* next = total + chunk * tile_;
        for (std::int64_t i = 0; i < width_of(item); ++i) total[i] = reduction_.combine(total[i], next[i]);
      }
      write(args, item, total);
    });
  }

  std::int64_t column_of(std::int64_t item) const { return item % tiles_ * tile_; }
  std::int64_t width_of(std::int64_t item) const { return std::min(tile_, columns_ - column_of(item)); }

  void reduce_rows(const StepArgs& args, std::int64_t item, std::int64_t first, std::int64_t last,
                   double* total) const {
    const std::int64_t step = kept_.inner_stride(0);
    const Offsets base = outer_.offsets_of(item / tiles_, outer_.rank);
    const float* x = args.input(0) + base[0] + column_of(item) * step;
    std::fill(total, total + width_of(item), reduction_.identity);
    for_each_run(rows_, first, last, [&](std::int64_t rows, const Offsets& row_step, const Offsets& offsets) {
      reduction_.across_columns({rows, width_of(item), x + offsets[0], row_step[0], step}, total);
    });
  }

  void write(const StepArgs& args, std::int64_t item, const double* total) const {
    const std::int64_t step = kept_.inner_stride(1);
    const Offsets base = outer_.offsets_of(item / tiles_, outer_.rank);
    float* y = args.output(0) + base[1] + column_of(item) * step;
    for (std::int64_t i = 0; i < width_of(item); ++i) y[i * step] = finished(total[i]);
  }

  LoopNest outer_;  // the kept axes but the inner one
  LoopNest rows_;   // the reduced axes, and one element inside them
  std::int64_t columns_ = 0;
  std::int64_t tile_ = 0;
  std::int64_t tiles_ = 0;
  std::int64_t row_count_ = 0;
  std::int64_t chunk_rows_ = 0;
  std::int64_t chunks_ = 1;
  std::int64_t items_ = 0;  // tiles of all outer positions
  std::int64_t group_ = 1;  // items in a task
};

const Reduction& reduction_named(const std::string& name) {
  const ReduceKernels& table = kernels().reduce;
  if (name == "sum" || name == "mean") return table.sum;
  if (name == "prod") return table.prod;
  if (name == "sum_squares") return table.sum_squares;
  if (name == "max") return table.max;
  if (name == "min") return table.min;
  fail("reduce: expected function sum, mean, prod, max, min, sum_squares or argmax, got '", name, "'");
}

std::unique_ptr<Step> make_reduce(const StepSpec& spec) {
  const std::string function = spec.attrs.text("function");
  if (spec.input(0).dtype != DType::f32) return make_integer_reduce(spec, ReduceAxes(spec));
  const bool argmax = function == "argmax";
  const DType result = argmax ? DType::i64 : DType::f32;
  require(spec.output(0).dtype == result, "reduce ", function, ": expected a result of ", name_of(result),
          ", got ", name_of(spec.output(0).dtype));
  const ReduceAxes axes(spec);
  require(spec.input(0).numel() > 0 || spec.output(0).numel() == 0 || function == "sum" ||
              function == "mean" || function == "prod" || function == "sum_squares",
          "reduce ", function, ": nothing to choose from in shape ", spec.input(0).shape_text());
  if (argmax) return make_argmax(axes);
  const Reduction& reduction = reduction_named(function);
  if (axes.columns_are_nearer()) return std::make_unique<ReduceColumns>(axes, reduction, function == "mean");
  return std::make_unique<ReduceRows>(axes, reduction, function == "mean");
}

}  // namespace

void register_reduce(StepRegistry& registry) { registry.add("reduce", make_reduce); }

}  // namespace cnncore
