// SPDX-License-Identifier: Apache-2.0
// softmax and log_softmax along any axis of dense memory, with their gradients.
#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

/// Dense memory as [outer][classes][inner].
struct SoftmaxProblem {
  std::int64_t outer = 0;
  std::int64_t classes = 1;
  std::int64_t inner = 1;
  bool logarithm = false;
};

SoftmaxProblem softmax_problem(const StepSpec& spec, bool logarithm) {
  const TensorDesc& x = spec.input(0);
  for (std::size_t i = 0; i < spec.inputs.size(); ++i) {
    check_input_like(spec, i, x, "input");
  }
  check_output_like(spec, 0, x, "output");
  require(x.is_contiguous() || x.is_channels_last(), spec.op, ": expected dense memory");
  std::int64_t axis = spec.attrs.integer("axis");
  if (axis < 0) axis += x.rank;
  require(axis >= 0 && axis < x.rank, spec.op, ": axis ", axis, " is not in ", x.shape_text());
  SoftmaxProblem problem;
  problem.logarithm = logarithm;
  problem.classes = x.dim(static_cast<int>(axis));
  // An axis of extent 1 may have any stride, and then every element is its own row.
  problem.inner = problem.classes == 1 ? 1 : x.step(static_cast<int>(axis));
  const std::int64_t block = problem.classes * problem.inner;
  problem.outer = block == 0 ? 0 : x.numel() / block;
  return problem;
}

/// Division of [outer][inner] into tasks by shape alone: rows when classes are adjacent, else
/// blocks of columns.
class SoftmaxStep : public Step {
 public:
  explicit SoftmaxStep(const SoftmaxProblem& problem) : problem_(problem) {
    const std::int64_t fit = items_in_task(problem.classes);
    if (problem.inner == 1) {
      rows_per_task_ = fit;
      tasks_ = ceil_div(problem.outer, fit);
    } else {
      columns_per_task_ = std::min(problem.inner, round_up(fit, kColumnStep));
      blocks_ = ceil_div(problem.inner, columns_per_task_);
      tasks_ = problem.outer * blocks_;
    }
  }

  void run(const StepArgs& args) const override {
    const auto floats = static_cast<double>(problem_.outer * problem_.classes * problem_.inner);
    // About 30 vector operations an element for the exponential and three passes.
    parallel_for(tasks_, 30.0 * floats / kernels().width, [&](std::int64_t task, int) {
      if (problem_.inner == 1) {
        const std::int64_t begin = task * rows_per_task_;
        run_rows(args, begin * problem_.classes, std::min(rows_per_task_, problem_.outer - begin));
      } else {
        const std::int64_t column = task % blocks_ * columns_per_task_;
        run_columns(args, task / blocks_ * problem_.classes * problem_.inner + column,
                    std::min(columns_per_task_, problem_.inner - column));
      }
    });
  }

 protected:
  virtual void run_rows(const StepArgs& args, std::int64_t offset, std::int64_t count) const = 0;
  virtual void run_columns(const StepArgs& args, std::int64_t offset, std::int64_t count) const = 0;

  SoftmaxProblem problem_;

 private:
  static constexpr std::int64_t kColumnStep = 64;
  std::int64_t rows_per_task_ = 1;
  std::int64_t columns_per_task_ = 1;
  std::int64_t blocks_ = 1;
  std::int64_t tasks_ = 0;
};

class SoftmaxForward final : public SoftmaxStep {
 public:
  using SoftmaxStep::SoftmaxStep;

 private:
  void run_rows(const StepArgs& args, std::int64_t offset, std::int64_t count) const override {
    kernels().softmax.rows(args.input(0) + offset, count, problem_.classes, problem_.logarithm,
                           args.output(0) + offset);
  }
  void run_columns(const StepArgs& args, std::int64_t offset, std::int64_t count) const override {
    kernels().softmax.columns(args.input(0) + offset, problem_.classes, problem_.inner, count,
                              problem_.logarithm, args.output(0) + offset);
  }
};

class SoftmaxBackward final : public SoftmaxStep {
 public:
  using SoftmaxStep::SoftmaxStep;

 private:
  void run_rows(const StepArgs& args, std::int64_t offset, std::int64_t count) const override {
    kernels().softmax.rows_backward(args.input(0) + offset, args.input(1) + offset, count, problem_.classes,
                                    problem_.logarithm, args.output(0) + offset);
  }
  void run_columns(const StepArgs& args, std::int64_t offset, std::int64_t count) const override {
    kernels().softmax.columns_backward(args.input(0) + offset, args.input(1) + offset, problem_.classes,
                                       problem_.inner, count, problem_.logarithm, args.output(0) + offset);
  }
};

template <class StepType, bool kLogarithm>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<StepType>(softmax_problem(spec, kLogarithm));
}

}  // namespace

void register_softmax(StepRegistry& registry) {
  registry.add("softmax", make<SoftmaxForward, false>);
  registry.add("log_softmax", make<SoftmaxForward, true>);
  registry.add("softmax_backward", make<SoftmaxBackward, false>);
  registry.add("log_softmax_backward", make<SoftmaxBackward, true>);
}

}  // namespace cnncore
