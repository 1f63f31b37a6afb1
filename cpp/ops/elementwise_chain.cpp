// SPDX-License-Identifier: Apache-2.0
// Step `elementwise_chain` [x, ...] -> [y]: several functions of `elementwise`, each applied to inputs and
// results of those before it, block by block, so that what lies between stays in the first cache. The last
// one's result is y. Attributes: `function`, their names separated by spaces; `operands`, three a function:
// an input's number, the number of inputs plus that of a function before, or -1; `alpha` and `beta` of each.
#include <algorithm>
#include <array>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/elementwise.h"
#include "ops/loop_nest.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

constexpr std::int64_t kBlock = 512;  // floats; the few buffers that a chain needs stay in the first cache
constexpr int kBuffers = 12;
constexpr int kOperands = ElementwiseRun::kMaxInputs;
constexpr int kMaxInputs = LoopNest::kMaxOperands - 1;

struct Link {
  const ElementwiseFunction* function;
  std::array<int, kOperands> operand;  // below kMaxInputs an input, from there on a buffer
  int buffer;                          // of the result
  float alpha, beta;
};

class ElementwiseChain final : public Step {
 public:
  ElementwiseChain(std::vector<Link> links, const LoopNest& nest, int inputs)
      : links_(std::move(links)), nest_(nest), tasks_(nest), inputs_(inputs) {
    for (const Link& link : links_) cost_ += 1.0 + link.function->cost;
  }

  void run(const StepArgs& args) const override {
    const double work = static_cast<double>(nest_.numel()) / kernels().width * cost_;
    parallel_for(tasks_.count, work, [&](std::int64_t task, int) {
      tasks_.visit(nest_, task,
                   [&](std::int64_t rows, std::int64_t n, const LoopNest::Offsets& row_step,
                       const LoopNest::Offsets& offsets) { run_rows(args, rows, n, row_step, offsets); });
    });
  }

  double flops() const override { return static_cast<double>(nest_.numel()) * cost_; }

 private:
  /// A block is part of one row, or several short rows.
  void run_rows(const StepArgs& args, std::int64_t rows, std::int64_t n, const LoopNest::Offsets& row_step,
                const LoopNest::Offsets& offsets) const {
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
        run_block(args, block, row_step, at);
      }
    }
  }

  void run_block(const StepArgs& args, ElementwiseRun block, const LoopNest::Offsets& row_step,
                 const LoopNest::Offsets& at) const {
    alignas(64) float buffer[kBuffers][kBlock];
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
      const bool last = &link == &links_.back();
      block.out = last ? args.output(0) + at[0] : buffer[link.buffer];
      block.out_row = last ? row_step[0] : block.n;
      block.out_step = last ? nest_.inner_stride(0) : 1;
      block.alpha = link.alpha;
      block.beta = link.beta;
      link.function->run(block);
    }
  }

  std::vector<Link> links_;
  LoopNest nest_;
  RowTasks tasks_;
  int inputs_;
  double cost_ = 0.0;
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
        {&elementwise_function(name), {}, 0, static_cast<float>(alpha[k]), static_cast<float>(beta[k])});
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

std::unique_ptr<Step> make_elementwise_chain(const StepSpec& spec) {
  const TensorDesc& y = spec.output(0);
  require(y.dtype == DType::f32, "elementwise_chain: expected a float32 result, got ", name_of(y.dtype));
  std::array<std::array<std::int64_t, kMaxRank>, kMaxInputs> strides{};
  int inputs = 0;
  for (; inputs < kMaxInputs && spec.has_input(static_cast<std::size_t>(inputs)); ++inputs) {
    const auto i = static_cast<std::size_t>(inputs);
    require(spec.input(i).dtype == DType::f32, "elementwise_chain: expected float32 inputs, got ",
            name_of(spec.input(i).dtype));
    strides[i] = broadcast_strides(spec.input(i), y.shape.data(), y.rank);
  }
  require(!spec.has_input(kMaxInputs), "elementwise_chain: expected at most ", kMaxInputs, " inputs");
  static_assert(kMaxInputs == 7, "the list below has as many strides");
  const LoopNest nest =
      loop_nest(y.shape.data(), y.rank,
                {y.stride.data(), strides[0].data(), strides[1].data(), strides[2].data(), strides[3].data(),
                 strides[4].data(), strides[5].data(), strides[6].data()});
  return std::make_unique<ElementwiseChain>(links_of(spec, inputs), nest, inputs);
}

}  // namespace

void register_elementwise_chain(StepRegistry& registry) {
  registry.add("elementwise_chain", make_elementwise_chain);
}

}  // namespace cnncore
