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

constexpr std::int64_t kTasks = 16;  // at least, where the layer is large enough
// Forward: a block of the input's floats by rows of the weight. All rows of the batch stay in the second
// cache for a block, and four rows of the weight in the first.
constexpr std::int64_t kDepth = 1024;
constexpr std::int64_t kColumns = 128;
// Backward-data: rows of the weight that are added up in registers. Few of them make memory's pages be read
// in longer runs; many spare loads and stores of the sums, which counts where there is more to compute.
constexpr std::int64_t kMinRows = 16;
constexpr std::int64_t kMaxRows = 128;
constexpr std::int64_t kRowsOfOne = 3;  // for each row of the batch
// Sums of a task.
constexpr std::int64_t kSumFloats = 32 * 1024;

/// Columns of a task: whole multiples of `unit`, at most `most`.
std::int64_t task_columns(std::int64_t columns, std::int64_t unit, std::int64_t most) {
  return round_up(std::clamp<std::int64_t>(columns / kTasks, 1, most), unit);
}

class LinearStep : public Step {
 public:
  LinearStep(const ConvProblem& p, const ConvEpilogue& epilogue) : problem_(p), epilogue_(epilogue) {}

  double flops() const override { return problem_.flops(); }
  std::string algorithm() const override { return "linear"; }

 protected:
  double work() const { return problem_.flops() / 2.0 / kernels().width; }

  /// Turns the sums of columns [begin, end) into results.
  void finish(const StepArgs& args, const float* sums, std::int64_t pitch, std::int64_t columns,
              std::int64_t begin, std::int64_t end) const {
    LinearFinishArgs call;
    call.sums = sums;
    call.sums_stride = pitch;
    call.rows = problem_.batch;
    call.columns = end - begin;
    if (epilogue_.bias) call.bias = args.input(2) + begin;
    if (epilogue_.residual) call.residual = args.input(3) + begin;
    call.output = args.output(0) + begin;
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
  LinearForward(const ConvProblem& p, const ConvEpilogue& epilogue)
      : LinearStep(p, epilogue), columns_(task_columns(p.out_channels, kLinearColumns, kColumns)) {}

  std::size_t workspace_bytes() const override {
    const std::int64_t pitch = round_up(problem_.in_channels, kernels().width);
    return static_cast<std::size_t>(problem_.batch * pitch) * sizeof(float);
  }
  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(problem_.batch * columns_) * sizeof(float);
  }

  void run(const StepArgs& args) const override {
    auto* packed = reinterpret_cast<float*>(args.workspace);
    pack(args.input(0), packed);
    const std::int64_t outputs = problem_.out_channels;
    parallel_for(ceil_div(outputs, columns_), work(), [&](std::int64_t task, int thread) {
      const std::int64_t begin = task * columns_;
      const std::int64_t end = std::min(begin + columns_, outputs);
      float* sums = args.scratch_of(thread);
      add_up(packed, args.input(1), begin, end, sums);
      finish(args, sums, columns_, outputs, begin, end);
    });
  }

 private:
  void pack(const float* input, float* packed) const {
    const std::int64_t depth = problem_.in_channels;
    const double stores = static_cast<double>(problem_.batch * depth) / kernels().width;
    parallel_for(ceil_div(depth, kDepth), 2.0 * stores, [&](std::int64_t block, int) {
      const std::int64_t k = block * kDepth;
      kernels().linear.pack_input(input + k, depth, problem_.batch, std::min(kDepth, depth - k),
                                  packed + problem_.batch * k);
    });
  }

  void add_up(const float* packed, const float* weight, std::int64_t begin, std::int64_t end,
              float* sums) const {
    LinearDotArgs call;
    call.rows = problem_.batch;
    call.weight_stride = problem_.in_channels;
    call.sums_stride = columns_;
    for (std::int64_t k = 0; k < problem_.in_channels; k += kDepth) {
      call.input = packed + problem_.batch * k;
      call.depth = std::min(kDepth, problem_.in_channels - k);
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
    if (k + 2 * kDepth <= depth && begin + kLinearColumns <= end) return weight + begin * depth + k + kDepth;
    return nullptr;
  }

  std::int64_t columns_;  // of a task
};

class LinearBackwardData final : public LinearStep {
 public:
  LinearBackwardData(const ConvProblem& p, const ConvEpilogue& epilogue)
      : LinearStep(p, epilogue),
        columns_(task_columns(p.in_channels, kernels().linear.panel,
                              std::max<std::int64_t>(1, kSumFloats / p.batch))),
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
      finish(args, sums, columns_, inputs, begin, end);
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

}  // namespace

std::string refuse_linear(const ConvProblem& p, const std::string& accuracy) {
  const Spatial one = {1, 1, 1};
  if (p.input != one || p.output != one || p.kernel != one || p.groups != 1) return "not a linear layer";
  if (accuracy.empty()) return {};
  if (p.in_channels * p.out_channels < kLinearWeightFloats)
    return "the weight is small: packed, it stays in cache";
  if (p.batch > kLinearRows) return "so many rows are worth packing the weight";
  return {};
}

ConvAlgorithm linear_forward() {
  return {"linear", ConvDirection::forward, refuse_linear, nothing, nothing, nullptr, make<LinearForward>};
}

ConvAlgorithm linear_backward_data() {
  return {"linear", ConvDirection::backward_data, refuse_linear, nothing, nothing,
          nullptr,  make<LinearBackwardData>};
}

}  // namespace cnncore
