// SPDX-License-Identifier: Apache-2.0
// Gradient of a linear layer's weight: a product over the rows of the batch. They are few, so the sums
// are complete when they leave the registers, and those of a large layer go to memory past the cache.
#include <algorithm>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"
#include "ops/conv_linear.h"
#include "ops/transpose.h"

namespace cnncore {
namespace {

// A task's part of the weight. Its columns of the input stay in the second cache for all of its rows.
constexpr std::int64_t kMaxRows = 192;

class LinearWeightGradient final : public Step {
 public:
  LinearWeightGradient(const ConvProblem& p, const ConvEpilogue& epilogue)
      : problem_(p), has_bias_(epilogue.bias) {
    const auto& linear = kernels().linear;
    columns_ =
        round_up(std::clamp<std::int64_t>(machine().linear.input / p.batch, 1, p.in_channels), linear.panel);
    pieces_ = ceil_div(p.in_channels, columns_);
    rows_ = round_up(std::clamp<std::int64_t>(p.out_channels * pieces_ / machine().tasks, 1, kMaxRows),
                     linear.tile);
  }

  void run(const StepArgs& args) const override {
    auto* turned = reinterpret_cast<float*>(args.workspace);
    turn(args.input(1), turned);
    const double work = problem_.flops() / 2.0 / kernels().width;
    parallel_for(pieces_ * ceil_div(problem_.out_channels, rows_), work, [&](std::int64_t task, int) {
      run_task(task / pieces_ * rows_, task % pieces_ * columns_, args.input(0), turned, args.output(0));
    });
    if (has_bias_) conv_bias_gradient(problem_, args.input(1), turned + turned_floats(), args.output(1));
  }

  std::size_t workspace_bytes() const override {
    const std::int64_t bias = has_bias_ ? conv_bias_gradient_floats(problem_) : 0;
    return static_cast<std::size_t>(turned_floats() + bias) * sizeof(float);
  }
  double flops() const override { return problem_.flops(); }
  std::string algorithm() const override { return "linear"; }

 private:
  std::int64_t turned_floats() const { return problem_.out_channels * problem_.batch; }

  /// grad_output with the batch innermost.
  void turn(const float* grad_output, float* turned) const {
    const std::int64_t outputs = problem_.out_channels, batch = problem_.batch;
    const double work = static_cast<double>(turned_floats()) / 4.0;
    parallel_for(ceil_div(outputs, rows_), work, [&](std::int64_t task, int) {
      const std::int64_t row = task * rows_;
      transpose(grad_output + row, outputs, std::min(rows_, outputs - row), batch, turned + row * batch,
                batch);
    });
  }

  void run_task(std::int64_t first_row, std::int64_t column, const float* input, const float* turned,
                float* grad_weight) const {
    const std::int64_t end = std::min(first_row + rows_, problem_.out_channels);
    const std::int64_t tile = kernels().linear.tile;
    LinearProductArgs call;
    call.input_stride = problem_.batch;
    call.weight = input + column;
    call.weight_stride = problem_.in_channels;
    call.columns = std::min(columns_, problem_.in_channels - column);
    call.depth = problem_.batch;
    call.sums_stride = problem_.in_channels;
    call.stream = problem_.in_channels * problem_.out_channels >= machine().linear.far_weight;
    for (std::int64_t row = first_row; row < end; row += tile) {
      call.input = turned + row * problem_.batch;
      call.rows = std::min(tile, end - row);
      call.sums = grad_weight + row * problem_.in_channels + column;
      kernels().linear.product(call);
    }
  }

  ConvProblem problem_;
  bool has_bias_;
  std::int64_t columns_;  // of a task
  std::int64_t pieces_;   // of the columns
  std::int64_t rows_;     // of a task
};

std::int64_t nothing(const ConvProblem&) { return 0; }

std::unique_ptr<Step> make(const ConvProblem& problem, const ConvEpilogue& epilogue) {
  return std::make_unique<LinearWeightGradient>(problem, epilogue);
}

}  // namespace

ConvAlgorithm linear_backward_weight() {
  return {"linear",      ConvDirection::backward_weight,
          linear_cannot, linear_gradient_declines,
          nullptr,       nothing,
          nullptr,       make};
}

}  // namespace cnncore
