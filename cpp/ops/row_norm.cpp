// SPDX-License-Identifier: Apache-2.0
// Layer normalisation and its form without a mean: rows of features, each normalised by itself; and what
// local response normalisation sums up.
#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/norm.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

/// Rows and their division into tasks, by shape alone.
struct RowProblem {
  Given given;
  std::int64_t rows;
  std::int64_t features;
  bool centred;
  std::int64_t rows_per_task;

  RowProblem(const StepSpec& spec, const TensorDesc& x)
      : given(spec), centred(spec.attrs.integer("centred", 1) != 0) {
    check_in_order(x, 2, spec.op + ": rows");
    require(x.dim(1) > 0, spec.op, ": expected rows (rows, features) with features, got ", x.shape_text());
    rows = x.dim(0);
    features = x.dim(1);
    constexpr std::int64_t kMostRows = 256;  // values that a task's float32 sums add up
    const std::int64_t fit = std::clamp<std::int64_t>(machine().row_norm.input / features, 1, 64);
    rows_per_task = std::min(std::max(fit, ceil_div(rows, machine().row_norm.tasks)), kMostRows);
  }

  std::int64_t tasks() const { return ceil_div(rows, rows_per_task); }

  /// Calls body(task, first row, rows) in parallel.
  template <class Body>
  void for_tasks(double per_float, const Body& body) const {
    const double vectors = static_cast<double>(rows * features) / static_cast<double>(kernels().width);
    parallel_for(tasks(), per_float * vectors, [&](std::int64_t task, int) {
      const std::int64_t first = task * rows_per_task;
      body(task, first, std::min(rows_per_task, rows - first));
    });
  }
};

/// [x (rows, features), weight?, bias?] -> [y, mean (rows,), invstd (rows,)]
class RowNorm final : public Step {
 public:
  explicit RowNorm(const StepSpec& spec) : problem_(spec, spec.input(0)), eps_(spec.attrs.real("eps", 1e-5)) {
    check_input(spec, 1, problem_.features, "weight");
    check_input(spec, 2, problem_.features, "bias");
    check_output_like(spec, 0, spec.input(0), "output");
    require(spec.has_output(1) && spec.has_output(2), "row_norm: expected outputs for mean and invstd");
    check_output(spec, 1, problem_.rows, "mean");
    check_output(spec, 2, problem_.rows, "invstd");
  }

  void run(const StepArgs& args) const override {
    problem_.for_tasks(8.0, [&](std::int64_t, std::int64_t first, std::int64_t count) {
      const std::int64_t at = first * problem_.features;
      kernels().row_norm.rows(args.input(0) + at, problem_.given.input(args, 1),
                              problem_.given.input(args, 2), count, problem_.features, eps_, problem_.centred,
                              args.output(0) + at, args.output(1) + first, args.output(2) + first);
    });
  }
  double flops() const override { return 8.0 * static_cast<double>(problem_.rows * problem_.features); }

 private:
  RowProblem problem_;
  double eps_;
};

/// [grad_output, x, mean, invstd, weight?] -> [grad_input, grad_weight?, grad_bias?]
class RowNormBackward final : public Step {
 public:
  explicit RowNormBackward(const StepSpec& spec) : problem_(spec, spec.input(1)) {
    check_input_like(spec, 0, spec.input(1), "grad_output");
    require(spec.has_input(2) && spec.has_input(3), "row_norm_backward: expected mean and invstd");
    check_input(spec, 2, problem_.rows, "mean");
    check_input(spec, 3, problem_.rows, "invstd");
    check_input(spec, 4, problem_.features, "weight");
    check_output_like(spec, 0, spec.input(1), "grad_input");
    check_output(spec, 1, problem_.features, "grad_weight");
    check_output(spec, 2, problem_.features, "grad_bias");
    summed_ = spec.has_output(1) || spec.has_output(2);
  }

  std::size_t workspace_bytes() const override {
    if (!summed_) return 0;
    return static_cast<std::size_t>(2 * problem_.features) * sizeof(double) +
           static_cast<std::size_t>(problem_.tasks() * 2 * problem_.features) * sizeof(float);
  }

  void run(const StepArgs& args) const override {
    const std::int64_t features = problem_.features;
    auto* totals = reinterpret_cast<double*>(args.workspace);
    float* partial = summed_ ? reinterpret_cast<float*>(totals + 2 * features) : nullptr;
    problem_.for_tasks(14.0, [&](std::int64_t task, std::int64_t first, std::int64_t count) {
      const std::int64_t at = first * features;
      kernels().row_norm.rows_backward(args.input(0) + at, args.input(1) + at, problem_.given.input(args, 4),
                                       args.input(2) + first, args.input(3) + first, count, features,
                                       problem_.centred, args.output(0) + at,
                                       summed_ ? partial + task * 2 * features : nullptr);
    });
    if (!summed_) return;
    for_channel_blocks(2 * features, problem_.tasks(), [&](std::int64_t begin, std::int64_t end) {
      kernels().norm.sum_rows(partial, problem_.tasks(), 2 * features, begin, end, totals);
    });
    for (std::size_t k = 0; k < 2; ++k) {
      float* grad = problem_.given.output(args, k + 1);
      const double* total = totals + static_cast<std::int64_t>(k) * features;
      for (std::int64_t i = 0; grad != nullptr && i < features; ++i) grad[i] = static_cast<float>(total[i]);
    }
  }
  double flops() const override { return 14.0 * static_cast<double>(problem_.rows * problem_.features); }

 private:
  RowProblem problem_;
  bool summed_;
};

/// [x] -> [y]: sums over windows of channels, from `before` channels before to `after` behind each.
class ChannelWindowSum final : public Step {
 public:
  explicit ChannelWindowSum(const StepSpec& spec)
      : blocks_(spec.input(0)), before_(spec.attrs.integer("before")), after_(spec.attrs.integer("after")) {
    check_output_like(spec, 0, spec.input(0), "output");
    require(before_ >= 0 && after_ >= 0, spec.op, ": expected numbers of channels, got ", before_, " and ",
            after_);
    before_ = std::min(before_, blocks_.channels);
    after_ = std::min(after_, blocks_.channels);
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(blocks_.channels + before_ + after_ + kernels().width) * sizeof(float);
  }
  void run(const StepArgs& args) const override {
    const auto taps = static_cast<double>(1 + before_ + after_);
    parallel_for(blocks_.chunks(), blocks_.work(2.0 + taps), [&](std::int64_t chunk, int thread) {
      kernels().row_norm.window_sums(args.input(0) + blocks_.begin(chunk), blocks_.block(chunk).pixels,
                                     blocks_.channels, before_, after_, args.scratch_of(thread),
                                     args.output(0) + blocks_.begin(chunk));
    });
  }
  double flops() const override {
    return static_cast<double>(blocks_.floats()) * static_cast<double>(before_ + after_);
  }

 private:
  ChannelBlocks blocks_;
  std::int64_t before_;
  std::int64_t after_;
};

template <class StepType>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<StepType>(spec);
}

}  // namespace

void register_row_norm(StepRegistry& registry) {
  registry.add("row_norm", make<RowNorm>);
  registry.add("row_norm_backward", make<RowNormBackward>);
  registry.add("channel_window_sum", make<ChannelWindowSum>);
}

}  // namespace cnncore
