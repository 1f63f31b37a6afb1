// SPDX-License-Identifier: Apache-2.0
// Large linear layers, forward and backward-data: the weight is read once, as it lies in memory. To rearrange
// it first, as the other algorithms do, would take longer than the product itself for the batches of
// training, and a second copy of it in inference.
#include "ops/conv_linear.h"

#include <algorithm>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"

namespace cnncore {
namespace {

constexpr std::int64_t kForwardRows = 256;
constexpr std::int64_t kGradientRows = 512;

// A task reads its rows of the input once for all of its columns. Narrow layers part the rows, too, so that
// neither becomes so few that the other is read over and over.
constexpr std::int64_t kMinColumns = 32;
constexpr std::int64_t kMaxColumns = 128;
constexpr std::int64_t kMinGroup = 24;
// Backward-data: rows of the weight that are added up in registers. Few of them make memory's pages be read
// in longer runs; many spare loads and stores of the sums, which counts where there is more to compute.
constexpr std::int64_t kMinRows = 16;
constexpr std::int64_t kMaxRows = 128;
constexpr std::int64_t kRowsOfOne = 3;  // for each row of the batch

struct Rows {
  std::int64_t begin, end;
  std::int64_t count() const { return end - begin; }
};

class LinearStep : public Step {
 public:
  LinearStep(const ConvProblem& p, const ConvEpilogue& epilogue) : problem_(p), epilogue_(epilogue) {}

  double flops() const override { return problem_.flops(); }
  std::string algorithm() const override { return "linear"; }

 protected:
  double work() const { return problem_.flops() / 2.0 / kernels().width; }

  /// Turns the sums of rows and of columns [begin, end) into results.
  void finish(const StepArgs& args, const float* sums, std::int64_t pitch, const Rows& rows,
              std::int64_t columns, std::int64_t begin, std::int64_t end) const {
    const std::int64_t first = rows.begin * columns + begin;
    LinearFinishArgs call;
    call.sums = sums;
    call.sums_stride = pitch;
    call.rows = rows.count();
    call.columns = end - begin;
    if (epilogue_.bias) call.bias = args.input(2) + begin;
    if (epilogue_.residual) call.residual = args.input(3) + first;
    call.output = epilogue_.sums(args) + first;
    if (epilogue_.argument) call.activated = args.output(0) + first;
    call.output_stride = columns;
    call.activation = epilogue_.activation;
    call.alpha = epilogue_.alpha;
    kernels().linear.finish(call);
  }

  ConvProblem problem_;
  ConvEpilogue epilogue_;
};

class LinearForward final : public LinearStep {
 public:
  LinearForward(const ConvProblem& p, const ConvEpilogue& epilogue) : LinearStep(p, epilogue) {
    columns_ =
        round_up(std::clamp(p.out_channels / machine().tasks, kMinColumns, kMaxColumns), kLinearColumns);
    pieces_ = ceil_div(p.out_channels, columns_);
    const std::int64_t most = std::max<std::int64_t>(1, p.batch / kMinGroup);
    group_ = ceil_div(p.batch, std::clamp<std::int64_t>(machine().tasks / pieces_, 1, most));
    groups_ = ceil_div(p.batch, group_);
  }

  std::size_t workspace_bytes() const override {
    const std::int64_t pitch = round_up(problem_.in_channels, kernels().width);
    return static_cast<std::size_t>(problem_.batch * pitch) * sizeof(float);
  }
  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(group_ * columns_) * sizeof(float);
  }

  void run(const StepArgs& args) const override {
    auto* packed = reinterpret_cast<float*>(args.workspace);
    pack(args.input(0), packed);
    parallel_for(pieces_ * groups_, work(), [&](std::int64_t task, int thread) {
      const Rows rows = group(task % groups_);
      const std::int64_t begin = task / groups_ * columns_;
      const std::int64_t end = std::min(begin + columns_, problem_.out_channels);
      float* sums = args.scratch_of(thread);
      add_up(packed, args.input(1), rows, begin, end, sums);
      finish(args, sums, columns_, rows, problem_.out_channels, begin, end);
    });
  }

 private:
  Rows group(std::int64_t index) const {
    return {index * group_, std::min((index + 1) * group_, problem_.batch)};
  }

  /// The packed input is [block of the depth][group of rows].
  void pack(const float* input, float* packed) const {
    const std::int64_t depth = problem_.in_channels;
    const double stores = static_cast<double>(problem_.batch * depth) / kernels().width;
    parallel_for(ceil_div(depth, machine().linear.depth) * groups_, 2.0 * stores,
                 [&](std::int64_t task, int) {
                   const Rows rows = group(task % groups_);
                   const std::int64_t k = task / groups_ * machine().linear.depth;
                   const std::int64_t floats = std::min(machine().linear.depth, depth - k);
                   kernels().linear.pack_input(input + rows.begin * depth + k, depth, rows.count(), floats,
                                               packed + packed_offset(rows.begin, k));
                 });
  }

  std::int64_t packed_offset(std::int64_t row, std::int64_t k) const {
    const std::int64_t block =
        std::min(machine().linear.depth, round_up(problem_.in_channels - k, kernels().width));
    return problem_.batch * k + row * block;
  }

  void add_up(const float* packed, const float* weight, const Rows& rows, std::int64_t begin,
              std::int64_t end, float* sums) const {
    LinearDotArgs call;
    call.rows = rows.count();
    call.weight_stride = problem_.in_channels;
    call.sums_stride = columns_;
    for (std::int64_t k = 0; k < problem_.in_channels; k += machine().linear.depth) {
      call.input = packed + packed_offset(rows.begin, k);
      call.depth = std::min(machine().linear.depth, problem_.in_channels - k);
      call.accumulate = k > 0;
      for (std::int64_t column = begin; column < end; column += kLinearColumns) {
        call.weight = weight + column * problem_.in_channels + k;
        call.columns = std::min<std::int64_t>(kLinearColumns, end - column);
        call.sums = sums + column - begin;
        call.next = next(weight, k, column, begin, end);
        kernels().linear.dot(call);
      }
    }
  }

  /// The columns that follow: beside these, or first in the next block of the depth. Null at the end, where
  /// the next are fewer.
  const float* next(const float* weight, std::int64_t k, std::int64_t column, std::int64_t begin,
                    std::int64_t end) const {
    const std::int64_t depth = problem_.in_channels;
    if (column + 2 * kLinearColumns <= end) return weight + (column + kLinearColumns) * depth + k;
    if (k + 2 * machine().linear.depth <= depth && begin + kLinearColumns <= end)
      return weight + begin * depth + k + machine().linear.depth;
    return nullptr;
  }

  std::int64_t columns_ = 0;  // of a task
  std::int64_t pieces_ = 0;   // of the columns
  std::int64_t group_ = 0;    // rows of a task
  std::int64_t groups_ = 0;
};

class LinearBackwardData final : public LinearStep {
 public:
  LinearBackwardData(const ConvProblem& p, const ConvEpilogue& epilogue)
      : LinearStep(p, epilogue),
        columns_(
            round_up(std::clamp<std::int64_t>(p.in_channels / machine().tasks, 1,
                                              std::max<std::int64_t>(1, machine().linear.sums / p.batch)),
                     kernels().linear.panel)),
        rows_(std::clamp(round_up(kRowsOfOne * p.batch, kMinRows), kMinRows, kMaxRows)) {}

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(problem_.batch * columns_) * sizeof(float);
  }

  void run(const StepArgs& args) const override {
    const std::int64_t inputs = problem_.in_channels;
    parallel_for(ceil_div(inputs, columns_), work(), [&](std::int64_t task, int thread) {
      const std::int64_t begin = task * columns_;
      const std::int64_t end = std::min(begin + columns_, inputs);
      float* sums = args.scratch_of(thread);
      add_up(args.input(0), args.input(1) + begin, end - begin, sums);
      finish(args, sums, columns_, {0, problem_.batch}, inputs, begin, end);
    });
  }

 private:
  void add_up(const float* grad_output, const float* weight, std::int64_t columns, float* sums) const {
    const std::int64_t outputs = problem_.out_channels, inputs = problem_.in_channels;
    const std::int64_t panel = kernels().linear.panel;
    LinearProductArgs call;
    call.input_stride = outputs;
    call.rows = problem_.batch;
    call.weight_stride = inputs;
    call.sums_stride = columns_;
    for (std::int64_t row = 0; row < outputs; row += rows_) {
      call.input = grad_output + row;
      call.depth = std::min(rows_, outputs - row);
      call.accumulate = row > 0;
      for (std::int64_t column = 0; column < columns; column += panel) {
        call.weight = weight + row * inputs + column;
        call.columns = std::min(panel, columns - column);
        call.sums = sums + column;
        call.next = nullptr;
        if (column + 2 * panel <= columns) {
          call.next = call.weight + panel;
        } else if (row + 2 * rows_ <= outputs && columns >= panel) {
          call.next = weight + (row + rows_) * inputs;
        }
        kernels().linear.product(call);
      }
    }
  }

  std::int64_t columns_;  // of a task
  std::int64_t rows_;     // of the weight that are added up at once
};

std::int64_t nothing(const ConvProblem&) { return 0; }

template <class T>
std::unique_ptr<Step> make(const ConvProblem& problem, const ConvEpilogue& epilogue) {
  return std::make_unique<T>(problem, epilogue);
}

std::string forward_declines(const ConvProblem& p) {
  if (p.in_channels * p.out_channels < machine().linear.far_weight)
    return "the weight is small: packed, it stays in cache";
  if (p.batch > kForwardRows) return "so many rows are worth packing the weight";
  return {};
}

}  // namespace

std::string linear_cannot(const ConvProblem& p) {
  const Spatial one = {1, 1, 1};
  const bool linear = p.input == one && p.output == one && p.kernel == one && p.groups == 1;
  return linear ? "" : "not a linear layer";
}

std::string linear_gradient_declines(const ConvProblem& p) {
  return p.batch > kGradientRows ? "so many rows are worth arranging the operands" : "";
}

ConvAlgorithm linear_forward() {
  return {"linear", ConvDirection::forward, linear_cannot, forward_declines, nullptr, nothing,
          nullptr,  make<LinearForward>};
}

ConvAlgorithm linear_backward_data() {
  return {"linear", ConvDirection::backward_data, linear_cannot, linear_gradient_declines, nullptr, nothing,
          nullptr,  make<LinearBackwardData>};
}

}  // namespace cnncore
