// SPDX-License-Identifier: Apache-2.0
// Step `elementwise` on integers and booleans, each operand of a type of its own. The functions are listed in
// isa/kernels/integer.cpp; they take no alpha and beta, whose bits would not do for an int64.
#include <algorithm>
#include <array>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/integer.h"
#include "ops/loop_nest.h"

namespace cnncore {
namespace {

constexpr int kMaxInputs = IntegerFunction::kMaxInputs;
using Offsets = LoopNest::Offsets;

class IntegerElementwise final : public Step {
 public:
  /// Operand 0 is the output.
  using Operands = std::array<IntegerRows, kMaxInputs + 1>;

  IntegerElementwise(const IntegerFunction& function, const LoopNest& nest, const Operands& operands)
      : function_(function), nest_(nest), tasks_(nest), operands_(operands) {}

  void run(const StepArgs& args) const override {
    parallel_for(tasks_.count, flops(), [&](std::int64_t task, int) {
      tasks_.visit(nest_, task,
                   [&](std::int64_t rows, std::int64_t n, const Offsets& step, const Offsets& offsets) {
                     for (std::int64_t row = 0; row < rows; ++row) run_row(args, row, n, step, offsets);
                   });
    });
  }

  double flops() const override { return static_cast<double>(nest_.numel()) * (1.0 + function_.cost); }

 private:
  void run_row(const StepArgs& args, std::int64_t row, std::int64_t n, const Offsets& step,
               const Offsets& offsets) const {
    std::array<IntegerRows::Block, kMaxInputs + 1> blocks;
    std::array<const std::int64_t*, kMaxInputs> in{};
    const auto place = [&](std::size_t operand, std::int64_t begin) {
      return offsets[operand] + row * step[operand] + begin * nest_.inner_stride(static_cast<int>(operand));
    };
    for (std::int64_t begin = 0; begin < n; begin += IntegerRows::kBlock) {
      const std::int64_t count = std::min(IntegerRows::kBlock, n - begin);
      for (std::size_t i = 0; i < static_cast<std::size_t>(function_.inputs); ++i) {
        in[i] = operands_[i + 1].read(args.inputs[i], place(i + 1, begin),
                                      nest_.inner_stride(static_cast<int>(i) + 1), count, blocks[i + 1]);
      }
      const std::int64_t out_step = nest_.inner_stride(0);
      std::int64_t* out = operands_[0].target(args.outputs[0], place(0, begin), out_step, blocks[0]);
      function_.run(count, in.data(), out);
      operands_[0].write(out, args.outputs[0], place(0, begin), out_step, count);
    }
  }

  const IntegerFunction& function_;
  LoopNest nest_;
  RowTasks tasks_;
  Operands operands_;
};

const IntegerFunction& integer_function(const std::string& name, DType dtype) {
  const IntegerKernels& table = kernels().integer;
  for (int i = 0; i < table.function_count; ++i) {
    if (name == table.functions[i].name) return table.functions[i];
  }
  fail("elementwise ", name, ": expected float32, got ", name_of(dtype));
}

}  // namespace

std::unique_ptr<Step> make_integer_elementwise(const StepSpec& spec) {
  const std::string name = spec.attrs.text("function");
  const IntegerFunction& function = integer_function(name, spec.input(0).dtype);
  const TensorDesc& y = spec.output(0);
  const std::string what = "elementwise " + name;
  IntegerElementwise::Operands operands{};
  operands[0] = IntegerRows(y.dtype, what.c_str());
  std::array<std::array<std::int64_t, kMaxRank>, kMaxInputs> strides{};
  for (std::size_t i = 0; i < kMaxInputs; ++i) {
    require(spec.has_input(i) == (static_cast<int>(i) < function.inputs), what, ": expected ",
            function.inputs, " inputs");
    if (!spec.has_input(i)) continue;
    operands[i + 1] = IntegerRows(spec.input(i).dtype, what.c_str());
    strides[i] = broadcast_strides(spec.input(i), y.shape.data(), y.rank);
  }
  const LoopNest nest = loop_nest(y.shape.data(), y.rank,
                                  {y.stride.data(), strides[0].data(), strides[1].data(), strides[2].data()});
  return std::make_unique<IntegerElementwise>(function, nest, operands);
}

}  // namespace cnncore
