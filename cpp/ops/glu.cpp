// SPDX-License-Identifier: Apache-2.0
// Gated linear units along attribute `axis`, whose halves are read and written where they lie.
//
// glu [x] -> [y]: a sigmoid(b) of the halves a, b of x. glu_backward [grad, x] -> [grad_x].
#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/parallel.h"
#include "ops/axis_rows.h"
#include "ops/checks.h"
#include "ops/elementwise.h"
#include "ops/loop_nest.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

/// Operand 0 of the nest is what is as large as a half, operand 1 what is whole.
class GluStep : public Step {
 public:
  GluStep(const StepSpec& spec, const TensorDesc& whole, const TensorDesc& part)
      : gate_(elementwise_function("glu")) {
    check_dense(whole, spec.op + ": input");
    check_dense(part, spec.op + ": result");
    const AxisRows rows = axis_rows(spec, whole, part);
    require(rows.extent == 2 * rows.count, spec.op, ": expected an even extent and its half, got ",
            whole.shape_text(), " and ", part.shape_text());
    half_ = rows.count * rows.inner;
    const std::array<std::int64_t, 2> shape{rows.outer, half_}, of_part{half_, 1}, of_whole{2 * half_, 1};
    nest_ = loop_nest(shape.data(), 2, {of_part.data(), of_whole.data()});
    tasks_ = RowTasks(nest_);
  }

  double flops() const override { return static_cast<double>(nest_.numel()) * gate_.cost; }

 protected:
  /// Calls body(block, offset in halves, offset in wholes, distance of rows in both) for blocks that stay in
  /// the first cache.
  template <class Body>
  void for_each_block(double cost, const Body& body) const {
    constexpr std::int64_t kBlock = 1024;
    const double work = static_cast<double>(nest_.numel()) / kernels().width * cost;
    parallel_for(tasks_.count, work, [&](std::int64_t task, int) {
      tasks_.visit(nest_, task,
                   [&](std::int64_t rows, std::int64_t n, const LoopNest::Offsets& step,
                       const LoopNest::Offsets& offsets) {
                     const std::int64_t height = std::max<std::int64_t>(1, kBlock / n);
                     for (std::int64_t row = 0; row < rows; row += height) {
                       for (std::int64_t i = 0; i < n; i += kBlock) {
                         ElementwiseRun run{};
                         run.rows = std::min(height, rows - row);
                         run.n = std::min(kBlock, n - i);
                         body(run, offsets[0] + row * step[0] + i * part_step(),
                              offsets[1] + row * step[1] + i * whole_step(), step);
                       }
                     }
                   });
    });
  }

  /// Between neighbours: 1, but where a half is a single element.
  std::int64_t part_step() const { return nest_.inner_stride(0); }
  std::int64_t whole_step() const { return nest_.inner_stride(1); }

  const ElementwiseFunction& gate_;
  std::int64_t half_ = 0;

 private:
  LoopNest nest_;
  RowTasks tasks_;
};

class Glu final : public GluStep {
 public:
  explicit Glu(const StepSpec& spec) : GluStep(spec, spec.input(0), spec.output(0)) {}

  void run(const StepArgs& args) const override {
    for_each_block(gate_.cost, [&](ElementwiseRun& run, std::int64_t part, std::int64_t whole,
                                   const LoopNest::Offsets& step) {
      run.in[0] = args.input(0) + whole;
      run.in[1] = run.in[0] + half_;
      run.in_row[0] = run.in_row[1] = step[1];
      run.in_step[0] = run.in_step[1] = whole_step();
      run.out = args.output(0) + part;
      run.out_row = step[0];
      run.out_step = part_step();
      gate_.run(run);
    });
  }
};

class GluBackward final : public GluStep {
 public:
  explicit GluBackward(const StepSpec& spec)
      : GluStep(spec, spec.input(1), spec.input(0)), by_gate_(elementwise_function("glu_gate_backward")) {
    check_like(spec.output(0), spec.input(1), spec.op + ": grad_input");
  }

  void run(const StepArgs& args) const override {
    for_each_block(gate_.cost + by_gate_.cost, [&](ElementwiseRun& run, std::int64_t part, std::int64_t whole,
                                                   const LoopNest::Offsets& step) {
      run.in[0] = args.input(0) + part;
      run.in_row[0] = step[0];
      run.in_step[0] = part_step();
      run.in[1] = args.input(1) + whole + half_;
      run.in_row[1] = run.in_row[2] = run.out_row = step[1];
      run.in_step[1] = run.in_step[2] = run.out_step = whole_step();
      run.out = args.output(0) + whole;
      gate_.run(run);
      run.in[2] = run.in[1];
      run.in[1] = args.input(1) + whole;
      run.out += half_;
      by_gate_.run(run);
    });
  }

 private:
  const ElementwiseFunction& by_gate_;
};

template <class T>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<T>(spec);
}

}  // namespace

void register_glu(StepRegistry& registry) {
  registry.add("glu", make<Glu>);
  registry.add("glu_backward", make<GluBackward>);
}

}  // namespace cnncore
