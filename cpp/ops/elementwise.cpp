// SPDX-License-Identifier: Apache-2.0
// Step `elementwise` [a, b?, c?] -> [y]: y = function(a, b, c; alpha, beta), inputs broadcast to y's shape as
// numpy does. Any strides; function "cast" changes between all dtypes. The functions of float32 are listed in
// isa/kernels/elementwise.cpp, those of integers and booleans, which take no alpha and beta, in
// isa/kernels/integer.cpp.

#include "ops/elementwise.h"

#include <array>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/copy.h"
#include "ops/integer.h"
#include "ops/loop_nest.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

constexpr int kMaxInputs = ElementwiseRun::kMaxInputs;

class Elementwise final : public Step {
 public:
  Elementwise(const ElementwiseFunction& function, LoopNest nest, float alpha, float beta)
      : function_(function), nest_(nest), tasks_(nest), alpha_(alpha), beta_(beta) {}

  void run(const StepArgs& args) const override {
    const double work = static_cast<double>(nest_.numel()) / kernels().width * (1.0 + function_.cost);
    parallel_for(tasks_.count, work, [&](std::int64_t task, int) {
      tasks_.visit(nest_, task,
                   [&](std::int64_t rows, std::int64_t n, const LoopNest::Offsets& row_step,
                       const LoopNest::Offsets& offsets) { run_rows(args, rows, n, row_step, offsets); });
    });
  }

  double flops() const override { return static_cast<double>(nest_.numel()) * function_.cost; }

 private:
  /// Operand 0 of the nest is the output.
  void run_rows(const StepArgs& args, std::int64_t rows, std::int64_t n, const LoopNest::Offsets& row_step,
                const LoopNest::Offsets& offsets) const {
    ElementwiseRun part{};
    part.rows = rows;
    part.n = n;
    for (int i = 0; i < function_.inputs; ++i) {
      const auto input = static_cast<std::size_t>(i);
      part.in[i] = args.input(input) + offsets[input + 1];
      part.in_row[i] = row_step[input + 1];
      part.in_step[i] = nest_.inner_stride(i + 1);
    }
    part.out = args.output(0) + offsets[0];
    part.out_row = row_step[0];
    part.out_step = nest_.inner_stride(0);
    part.alpha = alpha_;
    part.beta = beta_;
    function_.run(part);
  }

  const ElementwiseFunction& function_;
  LoopNest nest_;
  RowTasks tasks_;
  float alpha_;
  float beta_;
};

std::unique_ptr<Step> make_elementwise(const StepSpec& spec) {
  const std::string name = spec.attrs.text("function");
  if (name == "cast") return make_copy(spec);
  if (spec.has_input(0) && spec.input(0).dtype != DType::f32) return make_integer_elementwise(spec);
  const ElementwiseFunction& function = elementwise_function(name);
  const TensorDesc& y = spec.output(0);
  check_float(y, "elementwise " + name + ": result");
  std::array<std::array<std::int64_t, kMaxRank>, kMaxInputs> strides{};
  for (int i = 0; i < kMaxInputs; ++i) {
    const auto input = static_cast<std::size_t>(i);
    require(spec.has_input(input) == (i < function.inputs), "elementwise ", name, ": expected ",
            function.inputs, " inputs");
    if (!spec.has_input(input)) continue;
    const TensorDesc& desc = spec.input(input);
    check_float(desc, "elementwise " + name + ": input");
    strides[input] = broadcast_strides(desc, y.shape.data(), y.rank);
  }
  const LoopNest nest = loop_nest(y.shape.data(), y.rank,
                                  {y.stride.data(), strides[0].data(), strides[1].data(), strides[2].data()});
  const auto alpha = static_cast<float>(spec.attrs.real("alpha", 0.0));
  const auto beta = static_cast<float>(spec.attrs.real("beta", 0.0));
  // In blocks of short rows the beginnings and ends of rows cost more than is won.
  const bool long_rows = nest.inner_stride(0) == 1 && nest.inner_extent() >= machine().task_elements;
  if (exceeds_caches(y.numel()) && long_rows) return make_large_elementwise(function, nest, alpha, beta);
  return std::make_unique<Elementwise>(function, nest, alpha, beta);
}

}  // namespace

const ElementwiseFunction& elementwise_function(const std::string& name) {
  const ElementwiseKernels& table = kernels().elementwise;
  for (int i = 0; i < table.count; ++i) {
    if (name == table.functions[i].name) return table.functions[i];
  }
  fail("elementwise: unknown function '", name, "'");
}

void register_elementwise(StepRegistry& registry) { registry.add("elementwise", make_elementwise); }

}  // namespace cnncore
