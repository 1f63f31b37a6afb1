// SPDX-License-Identifier: Apache-2.0
// Step `elementwise_chain` [x, ...] -> [y, ...]: several functions of `elementwise`, each applied to inputs
// and results of those before it, block by block, so that what lies between stays in the first cache. The
// last one's result is y; with attribute `reduction` (sum, mean) y is the scalar that its values over all
// inputs' common shape give, added up in double. Attributes: `function`, their names separated by spaces;
// `operands`, three a function: an input's number, the number of inputs plus that of a function before, or
// -1; `alpha` and `beta` of each; `results`, where there are several outputs: the number of each one's
// function.
#include <algorithm>
#include <array>
#include <cstddef>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/elementwise.h"
#include "ops/loop_nest.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

constexpr std::int64_t kBlock = 1024;  // floats; the few buffers that a chain needs stay in the first cache
constexpr int kBuffers = 12;
constexpr int kOperands = ElementwiseRun::kMaxInputs;
constexpr int kMaxInputs = LoopNest::kMaxOperands - 1;

struct Link {
  const ElementwiseFunction* function;
  std::array<int, kOperands> operand;  // below kMaxInputs an input, from there on a buffer
  int buffer;                          // of the result
  float alpha, beta;
  int output;  // that the result is stored to, or -1
};

class ElementwiseChain : public Step {
 public:
  ElementwiseChain(std::vector<Link> links, const LoopNest& nest, int inputs, bool summed = false)
      : links_(std::move(links)),
        nest_(nest),
        tasks_(nest),
        inputs_(inputs),
        large_(!summed && exceeds_caches(nest.numel()) && nest.inner_stride(0) == 1) {
    for (const Link& link : links_) cost_ += 1.0 + link.function->cost;
  }

  void run(const StepArgs& args) const override {
    const double work = static_cast<double>(nest_.numel()) / kernels().width * cost_;
    parallel_for(tasks_.count, work, [&](std::int64_t task, int) {
      tasks_.visit(nest_, task,
                   [&](std::int64_t rows, std::int64_t n, const LoopNest::Offsets& row_step,
                       const LoopNest::Offsets& offsets) { run_rows(args, rows, n, row_step, offsets); });
      if (large_) kernels().copy.finish_streaming();
    });
  }

  double flops() const override { return static_cast<double>(nest_.numel()) * cost_; }

 protected:
  /// Results over an input find their lines in cache.
  bool over_input(const StepArgs& args) const {
    for (int i = 0; i < inputs_; ++i) {
      if (args.input(static_cast<std::size_t>(i)) == args.output(0)) return true;
    }
    return false;
  }

  /// A block is part of one row, or several short rows.
  void run_rows(const StepArgs& args, std::int64_t rows, std::int64_t n, const LoopNest::Offsets& row_step,
                const LoopNest::Offsets& offsets, double* sum = nullptr) const {
    const std::int64_t height = std::max<std::int64_t>(1, kBlock / std::max<std::int64_t>(1, n));
    for (std::int64_t row = 0; row < rows; row += height) {
      for (std::int64_t begin = 0; begin < n; begin += kBlock) {
        ElementwiseRun block{};
        block.rows = std::min(height, rows - row);
        block.n = std::min(kBlock, n - begin);
        LoopNest::Offsets at = offsets;
        for (int i = 0; i <= inputs_; ++i) {
          const auto operand = static_cast<std::size_t>(i);
          at[operand] += row * row_step[operand] + begin * nest_.inner_stride(i);
        }
        run_block(args, block, row_step, at, sum);
      }
    }
  }

  /// With `sum`, the values are added to it instead of being stored.
  void run_block(const StepArgs& args, ElementwiseRun block, const LoopNest::Offsets& row_step,
                 const LoopNest::Offsets& at, double* sum) const {
    alignas(64) float buffer[kBuffers][kBlock];
    const bool dense = block.rows == 1 || row_step[0] == block.n;
    const bool streams = large_ && dense && !over_input(args);
    for (const Link& link : links_) {
      for (int i = 0; i < link.function->inputs; ++i) {
        const int operand = link.operand[static_cast<std::size_t>(i)];
        const auto input = static_cast<std::size_t>(operand);
        if (operand < kMaxInputs) {
          block.in[i] = args.input(input) + at[input + 1];
          block.in_row[i] = row_step[input + 1];
          block.in_step[i] = nest_.inner_stride(operand + 1);
        } else {
          block.in[i] = buffer[operand - kMaxInputs];
          block.in_row[i] = block.n;
          block.in_step[i] = 1;
        }
      }
      float* const out =
          link.output < 0 ? nullptr : args.output(static_cast<std::size_t>(link.output)) + at[0];
      block.past_caches = streams && out != nullptr && &link == &links_.back() && link.function->is_long &&
                          takes_lines(block, out);
      const bool direct = out != nullptr && &link == &links_.back() && (!streams || block.past_caches);
      block.out = direct ? out : buffer[link.buffer];
      block.out_row = direct ? row_step[0] : block.n;
      block.out_step = direct ? nest_.inner_stride(0) : 1;
      block.alpha = link.alpha;
      block.beta = link.beta;
      link.function->run(block);
      if (out != nullptr && !direct) store(buffer[link.buffer], block, row_step[0], streams, out);
    }
    if (sum == nullptr) return;
    double value = 0.0;
    const ReduceRun all{1, block.rows * block.n, buffer[links_.back().buffer], 0, 1};
    kernels().reduce.sum.across_rows(all, &value);
    *sum += value;
  }

  /// Whether a function's results fill lines, vector by vector.
  static bool takes_lines(const ElementwiseRun& block, const float* out) {
    return reinterpret_cast<std::uintptr_t>(out) % std::uintptr_t{kLineBytes} == 0 &&
           block.n % (ElementwiseRun::kMostVectors * kernels().width) == 0;
  }

  void store(const float* values, const ElementwiseRun& block, std::int64_t row, bool streams,
             float* out) const {
    if (streams) return kernels().copy.past_cache(values, block.rows * block.n, out);
    constexpr std::int64_t kBytes = sizeof(float);
    kernels().copy.rows(
        {block.rows, block.n, reinterpret_cast<const std::byte*>(values), block.n * kBytes, kBytes,
         reinterpret_cast<std::byte*>(out), row * kBytes, nest_.inner_stride(0) * kBytes},
        sizeof(float));
  }

  std::vector<Link> links_;
  LoopNest nest_;
  RowTasks tasks_;
  int inputs_;
  bool large_;
  double cost_ = 0.0;
};

/// The sum or mean of a chain's values: nothing but its inputs passes through memory.
class ElementwiseChainSum final : public ElementwiseChain {
 public:
  ElementwiseChainSum(std::vector<Link> links, const LoopNest& nest, int inputs, bool mean)
      : ElementwiseChain(std::move(links), nest, inputs, true),
        divisor_(mean ? static_cast<double>(nest.numel()) : 1.0) {}

  std::size_t workspace_bytes() const override {
    return static_cast<std::size_t>(tasks_.count) * sizeof(double);
  }
  std::string algorithm() const override { return "summed"; }

  void run(const StepArgs& args) const override {
    auto* partials = reinterpret_cast<double*>(args.workspace);
    const double work = static_cast<double>(nest_.numel()) / kernels().width * (1.0 + cost_);
    parallel_for(tasks_.count, work, [&](std::int64_t task, int) {
      partials[task] = 0.0;
      tasks_.visit(nest_, task,
                   [&](std::int64_t rows, std::int64_t n, const LoopNest::Offsets& row_step,
                       const LoopNest::Offsets& offsets) {
                     run_rows(args, rows, n, row_step, offsets, &partials[task]);
                   });
    });
    double total = 0.0;
    for (std::int64_t task = 0; task < tasks_.count; ++task) total += partials[task];
    *args.output(0) = static_cast<float>(total / divisor_);
  }

 private:
  double divisor_;
};

/// Gives each result a buffer, from its function to the last that reads it; one may write where it reads.
void assign_buffers(std::vector<Link>& links, const std::vector<std::int64_t>& operands, int inputs) {
  std::vector<std::size_t> last_use(links.size(), 0);
  for (std::size_t k = 0; k < operands.size(); ++k) {
    if (operands[k] >= inputs) last_use[static_cast<std::size_t>(operands[k] - inputs)] = k / kOperands;
  }
  std::array<std::size_t, kBuffers> busy_until{};
  for (std::size_t k = 0; k < links.size(); ++k) {
    int free = 0;
    while (free < kBuffers && busy_until[static_cast<std::size_t>(free)] > k) ++free;
    require(free < kBuffers, "elementwise_chain: more than ", kBuffers, " results are needed at a time");
    links[k].buffer = free;
    busy_until[static_cast<std::size_t>(free)] = last_use[k];
  }
}

std::vector<Link> links_of(const StepSpec& spec, int inputs) {
  std::istringstream names(spec.attrs.text("function"));
  const auto& operands = spec.attrs.integers("operands");
  const auto& alpha = spec.attrs.reals("alpha");
  const auto& beta = spec.attrs.reals("beta");
  std::vector<Link> links;
  for (std::string name; names >> name;) {
    const std::size_t k = links.size();
    require(operands.size() >= kOperands * (k + 1) && alpha.size() > k && beta.size() > k,
            "elementwise_chain: expected ", kOperands, " operands, alpha and beta of ", name);
    links.push_back(
        {&elementwise_function(name), {}, 0, static_cast<float>(alpha[k]), static_cast<float>(beta[k]), -1});
    for (int i = 0; i < links[k].function->inputs; ++i) {
      const std::int64_t operand = operands[kOperands * k + static_cast<std::size_t>(i)];
      require(operand >= 0 && operand < inputs + static_cast<std::int64_t>(k), "elementwise_chain: ", name,
              " reads value ", operand, ", which is not there");
    }
  }
  require(!links.empty() && operands.size() == kOperands * links.size(),
          "elementwise_chain: expected functions");
  assign_buffers(links, operands, inputs);
  for (std::size_t k = 0; k < links.size(); ++k) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(links[k].function->inputs); ++i) {
      const auto operand = static_cast<int>(operands[kOperands * k + i]);
      links[k].operand[i] =
          operand < inputs ? operand : kMaxInputs + links[static_cast<std::size_t>(operand - inputs)].buffer;
    }
  }
  return links;
}

/// Says which results are stored: the last one's, or those of `results`.
void assign_outputs(const StepSpec& spec, std::vector<Link>& links) {
  if (!spec.has_output(1)) {
    links.back().output = 0;
    return;
  }
  const auto& results = spec.attrs.integers("results");
  require(results.size() == spec.outputs.size(), spec.op, ": expected the function of each of ",
          spec.outputs.size(), " results");
  for (std::size_t i = 0; i < results.size(); ++i) {
    check_output_like(spec, i, spec.output(0), "result");
    require(results[i] >= 0 && results[i] < static_cast<std::int64_t>(links.size()), spec.op,
            ": there is no function ", results[i]);
    links[static_cast<std::size_t>(results[i])].output = static_cast<int>(i);
  }
}

/// The shape that the inputs have together, by numpy's rules.
void broadcast(const StepSpec& spec, int inputs, std::array<std::int64_t, kMaxRank>& shape, int& rank) {
  rank = 0;
  for (int i = 0; i < inputs; ++i) rank = std::max(rank, spec.input(static_cast<std::size_t>(i)).rank);
  shape.fill(1);
  for (int i = 0; i < inputs; ++i) {
    const TensorDesc& x = spec.input(static_cast<std::size_t>(i));
    for (int axis = 0; axis < x.rank; ++axis) {
      if (x.dim(axis) != 1) shape[static_cast<std::size_t>(rank - x.rank + axis)] = x.dim(axis);
    }
  }
}

std::unique_ptr<Step> make_elementwise_chain(const StepSpec& spec) {
  const TensorDesc& y = spec.output(0);
  const std::string reduction = spec.attrs.text("reduction", "none");
  const bool summed = reduction != "none";
  require(reduction == "none" || reduction == "sum" || reduction == "mean",
          "elementwise_chain: expected reduction none, sum or mean, got '", reduction, "'");
  check_float(y, spec.op + ": result");
  require(!summed || y.numel() == 1, spec.op, ": expected a scalar where the result is summed, got ",
          y.shape_text());
  int inputs = 0;
  for (; inputs < kMaxInputs && spec.has_input(static_cast<std::size_t>(inputs)); ++inputs) {
    check_float(spec.input(static_cast<std::size_t>(inputs)), spec.op + ": input");
  }
  require(!spec.has_input(kMaxInputs), "elementwise_chain: expected at most ", kMaxInputs, " inputs");
  std::array<std::int64_t, kMaxRank> shape = y.shape, no_strides{};
  int rank = y.rank;
  if (summed) broadcast(spec, inputs, shape, rank);
  std::array<std::array<std::int64_t, kMaxRank>, kMaxInputs> strides{};
  for (std::size_t i = 0; i < static_cast<std::size_t>(inputs); ++i) {
    strides[i] = broadcast_strides(spec.input(i), shape.data(), rank);
  }
  static_assert(kMaxInputs == 7, "the list below has as many strides");
  const LoopNest nest = loop_nest(
      shape.data(), rank,
      {summed ? no_strides.data() : y.stride.data(), strides[0].data(), strides[1].data(), strides[2].data(),
       strides[3].data(), strides[4].data(), strides[5].data(), strides[6].data()});
  std::vector<Link> links = links_of(spec, inputs);
  if (summed) {
    return std::make_unique<ElementwiseChainSum>(std::move(links), nest, inputs, reduction == "mean");
  }
  assign_outputs(spec, links);
  return std::make_unique<ElementwiseChain>(std::move(links), nest, inputs);
}

}  // namespace

std::unique_ptr<Step> make_large_elementwise(const ElementwiseFunction& function, const LoopNest& nest,
                                             float alpha, float beta) {
  Link link{&function, {}, 0, alpha, beta, 0};
  for (int i = 0; i < kOperands; ++i) link.operand[static_cast<std::size_t>(i)] = i;
  return std::make_unique<ElementwiseChain>(std::vector<Link>{link}, nest, function.inputs);
}

void register_elementwise_chain(StepRegistry& registry) {
  registry.add("elementwise_chain", make_elementwise_chain);
}

}  // namespace cnncore
