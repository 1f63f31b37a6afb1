// SPDX-License-Identifier: Apache-2.0
// The gradient of one direction of a recurrent layer through all steps in time. The weights' gradients are
// products over all times of what it gives, which other steps do.
//
// recurrent_backward [packed weight_hh, output (T, B, outputs), gates (T, B, gates * units)?, kept (T, B,
// units)?, grad_output?, grad_h_n?, grad_c_n?, packed weight_hr?, h0?, c0?, lengths?] -> [grad_projected (T,
// B, gates * units), grad_hidden like it?, grad_h0?, grad_c0?, previous (T, B, outputs)?, grad_state (T, B,
// outputs)?]
//   attributes as of `recurrent`.
// grad_hidden is the gradient by the state's share of a GRU's pre-activations; previous are the states before
// each step; grad_state is the gradient by projected states.
#include <algorithm>

#include "core/error.h"
#include "core/phases.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/recurrent.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

class RecurrentBackward final : public Step {
 public:
  explicit RecurrentBackward(const StepSpec& spec);

  std::size_t workspace_bytes() const override {
    return static_cast<std::size_t>(problem_.batch * problem_.outputs) * sizeof(float);
  }
  std::size_t scratch_bytes() const override {
    const std::int64_t floats = std::max(tasks_.sums_floats(), projection_tasks_.sums_floats());
    return static_cast<std::size_t>(floats) * sizeof(float);
  }
  double flops() const override {
    const auto steps = static_cast<double>(problem_.time * problem_.batch);
    return 2.0 * steps * static_cast<double>(panels_.floats() + projection_.floats());
  }

  void run(const StepArgs& args) const override;

 private:
  enum Input : std::size_t {
    kWeight,
    kOutput,
    kGates,
    kKept,
    kGrad,
    kGradLast,
    kGradLastCell,
    kProjection,
    kState,
    kCell,
    kLengths,
    kInputs
  };
  enum Output : std::size_t {
    kGradGates,
    kGradHidden,
    kGradState0,
    kGradCell0,
    kPrevious,
    kGradState,
    kOutputs
  };

  void run_outputs(const StepArgs& args, std::int64_t step, std::int64_t task, float* sums) const;
  void run_units(const StepArgs& args, std::int64_t step, std::int64_t task, float* sums) const;
  void run_initial(const StepArgs& args, std::int64_t task, float* sums) const;
  void fetch(const StepArgs& args, std::int64_t step, std::int64_t row, std::int64_t rows,
             std::int64_t block) const;
  bool multiply(const StepArgs& args, std::int64_t after, const UnitBlocks& blocks, std::int64_t row,
                std::int64_t rows, float* sums) const;
  RecurrentBackwardArgs step_args(const StepArgs& args, std::int64_t step, std::int64_t row,
                                  std::int64_t rows, std::int64_t unit, std::int64_t units) const;
  void set_states(const StepArgs& args, std::int64_t step, std::int64_t row, std::int64_t unit,
                  RecurrentBackwardArgs& call) const;
  void set_gates(const StepArgs& args, std::int64_t step, std::int64_t row, std::int64_t unit,
                 RecurrentBackwardArgs& call) const;

  RecurrentProblem problem_;
  UnitPanels panels_, projection_;
  RecurrentTasks tasks_, projection_tasks_;
};

RecurrentBackward::RecurrentBackward(const StepSpec& spec)
    : problem_(spec, spec.output(kGradGates), kLengths) {
  require(spec.inputs.size() == kInputs && spec.outputs.size() == kOutputs, spec.op, ": expected ", +kInputs,
          " inputs and ", +kOutputs, " outputs, absent ones included");
  const RecurrentProblem& p = problem_;
  const bool is_lstm = p.cell == RecurrentCell::lstm, is_gru = p.cell == RecurrentCell::gru;
  panels_ = RecurrentWeight{p.gates, p.units, p.outputs}.backward();
  tasks_ = RecurrentTasks(panels_, p.batch);
  if (p.projects) {
    projection_ = RecurrentWeight{1, p.outputs, p.units}.backward();
    projection_tasks_ = RecurrentTasks(projection_, p.batch);
  }
  const std::int64_t steps = p.time * p.batch;
  require(spec.has_input(kWeight) && spec.has_input(kOutput), spec.op, ": expected a weight and the output");
  check_input(spec, kWeight, panels_.floats(), "packed weight");
  check_input(spec, kOutput, steps * p.outputs, "output");
  check_input_like(spec, kGates, spec.output(kGradGates), "gates");
  check_input(spec, kKept, steps * p.units, "kept");
  require((spec.has_input(kGates) && spec.has_input(kKept)) == (is_lstm || is_gru), spec.op,
          ": expected gates of an LSTM or a GRU");
  check_input(spec, kGrad, steps * p.outputs, "grad_output");
  check_input(spec, kGradLast, p.batch * p.outputs, "grad_h_n");
  check_input(spec, kGradLastCell, p.batch * p.units, "grad_c_n");
  check_input(spec, kProjection, projection_.floats(), "packed projection");
  check_input(spec, kState, p.batch * p.outputs, "h0");
  check_input(spec, kCell, p.batch * p.units, "c0");
  check_output_like(spec, kGradHidden, spec.output(kGradGates), "grad_hidden");
  require(spec.has_output(kGradHidden) == is_gru && spec.has_output(kGradCell0) == is_lstm, spec.op,
          ": expected grad_hidden of a GRU and grad_c0 of an LSTM");
  check_output(spec, kGradState0, p.batch * p.outputs, "grad_h0");
  check_output(spec, kGradCell0, p.batch * p.units, "grad_c0");
  check_output(spec, kPrevious, steps * p.outputs, "previous");
  check_output(spec, kGradState, steps * p.outputs, "grad_state");
  require(spec.has_input(kProjection) == p.projects && spec.has_output(kGradState) == p.projects, spec.op,
          ": expected a projection just with `projects`");
}

/// Computes what the step `after` says of the state before it; false where there is no such step.
bool RecurrentBackward::multiply(const StepArgs& args, std::int64_t after, const UnitBlocks& blocks,
                                 std::int64_t row, std::int64_t rows, float* sums) const {
  const RecurrentProblem& p = problem_;
  if (after >= p.time) return false;
  const std::int64_t gated = p.gates * p.units;
  const float* grad = args.output(p.cell == RecurrentCell::gru ? kGradHidden : kGradGates);
  const RecurrentRows input = p.rows(grad, gated, p.time_of(after), row * p.row_stride(gated));
  panels_.multiply(blocks, args.input(kWeight), input, rows, sums);
  return true;
}

RecurrentBackwardArgs RecurrentBackward::step_args(const StepArgs& args, std::int64_t step, std::int64_t row,
                                                   std::int64_t rows, std::int64_t unit,
                                                   std::int64_t units) const {
  const auto* lengths = args.input<std::int64_t>(kLengths);
  RecurrentBackwardArgs call;
  call.range = {rows, units, lengths == nullptr ? nullptr : lengths + row, problem_.time_of(step)};
  call.reverse = problem_.reverse;
  call.is_first = step == 0;
  if (float* carry = args.output(kGradCell0); carry != nullptr)
    call.carry_cell = {carry + row * problem_.units + unit, problem_.units};
  return call;
}

/// What concerns states, from `unit` on.
void RecurrentBackward::set_states(const StepArgs& args, std::int64_t step, std::int64_t row,
                                   std::int64_t unit, RecurrentBackwardArgs& call) const {
  const RecurrentProblem& p = problem_;
  const std::int64_t time = p.time_of(step), at = row * p.row_stride(p.outputs) + unit;
  call.carry = {reinterpret_cast<float*>(args.workspace) + row * p.outputs + unit, p.outputs};
  call.grad = p.rows(args.input(kGrad), p.outputs, time, at);
  call.output = p.rows(args.input(kOutput), p.outputs, time, at);
  if (step > 0) call.before = p.rows(args.input(kOutput), p.outputs, p.time_of(step - 1), at);
  if (const float* state = args.input(kState); state != nullptr)
    call.initial = {state + row * p.outputs + unit, p.outputs};
  call.previous = p.target(args.output(kPrevious), p.outputs, time, at);
}

void RecurrentBackward::set_gates(const StepArgs& args, std::int64_t step, std::int64_t row,
                                  std::int64_t unit, RecurrentBackwardArgs& call) const {
  const RecurrentProblem& p = problem_;
  const std::int64_t time = p.time_of(step), gated = p.gates * p.units;
  const std::int64_t at = row * p.row_stride(p.units) + unit, gates_at = row * p.row_stride(gated) + unit;
  call.gate = p.units;
  call.gates = p.rows(args.input(kGates), gated, time, gates_at);
  call.kept = p.rows(args.input(kKept), p.units, time, at);
  if (step > 0) call.before_cell = p.rows(args.input(kKept), p.units, p.time_of(step - 1), at);
  if (const float* cell = args.input(kCell); cell != nullptr)
    call.initial_cell = {cell + row * p.units + unit, p.units};
  call.grad_gates = p.target(args.output(kGradGates), gated, time, gates_at);
  call.grad_hidden = p.target(args.output(kGradHidden), gated, time, gates_at);
}

/// The gradient by the outputs of a step, and of the step itself where they are its units.
void RecurrentBackward::run_outputs(const StepArgs& args, std::int64_t step, std::int64_t task,
                                    float* sums) const {
  const RecurrentProblem& p = problem_;
  tasks_.run(task, step % 2 == 1, [&](const UnitBlocks& blocks, std::int64_t row, std::int64_t rows) {
    for (std::int64_t i = 0; i < blocks.count; ++i) fetch(args, step, row, rows, blocks[i]);
    const bool has_sums = multiply(args, step + 1, blocks, row, rows, sums);
    for (std::int64_t i = 0; i < blocks.count; ++i) {
      const std::int64_t unit = panels_.begin(blocks[i]);
      RecurrentBackwardArgs call = step_args(args, step, row, rows, unit, panels_.size(blocks[i]));
      if (has_sums) call.sums = panels_.sums_of(i, rows, sums);
      set_states(args, step, row, unit, call);
      if (p.projects) {
        const std::int64_t at = row * p.row_stride(p.outputs) + unit;
        call.grad_gates = p.target(args.output(kGradState), p.outputs, p.time_of(step), at);
        kernels().recurrent.collect(call);
      } else {
        set_gates(args, step, row, unit, call);
        kernels().recurrent.backward[static_cast<int>(p.cell)](call);
      }
    }
  });
}

/// Brings the gates of a block to the core while products are summed.
void RecurrentBackward::fetch(const StepArgs& args, std::int64_t step, std::int64_t row, std::int64_t rows,
                              std::int64_t block) const {
  const RecurrentProblem& p = problem_;
  if (p.projects || args.input(kGates) == nullptr) return;
  const std::int64_t gated = p.gates * p.units, unit = panels_.begin(block);
  const RecurrentRows gates =
      p.rows(args.input(kGates), gated, p.time_of(step), row * p.row_stride(gated) + unit);
  kernels().recurrent.fetch(gates, rows, panels_.size(block), p.gates, p.units);
}

/// The gradient of a step from that by its projected outputs.
void RecurrentBackward::run_units(const StepArgs& args, std::int64_t step, std::int64_t task,
                                  float* sums) const {
  const RecurrentProblem& p = problem_;
  projection_tasks_.run(
      task, step % 2 == 1, [&](const UnitBlocks& blocks, std::int64_t row, std::int64_t rows) {
        const RecurrentRows grad =
            p.rows(args.output(kGradState), p.outputs, p.time_of(step), row * p.row_stride(p.outputs));
        projection_.multiply(blocks, args.input(kProjection), grad, rows, sums);
        for (std::int64_t i = 0; i < blocks.count; ++i) {
          const std::int64_t unit = projection_.begin(blocks[i]);
          RecurrentBackwardArgs call = step_args(args, step, row, rows, unit, projection_.size(blocks[i]));
          call.sums = projection_.sums_of(i, rows, sums);
          set_gates(args, step, row, unit, call);
          kernels().recurrent.backward[static_cast<int>(p.cell)](call);
        }
      });
}

void RecurrentBackward::run_initial(const StepArgs& args, std::int64_t task, float* sums) const {
  const RecurrentProblem& p = problem_;
  tasks_.run(task, false, [&](const UnitBlocks& blocks, std::int64_t row, std::int64_t rows) {
    multiply(args, 0, blocks, row, rows, sums);
    for (std::int64_t i = 0; i < blocks.count; ++i) {
      const std::int64_t at = row * p.outputs + panels_.begin(blocks[i]);
      const float* carry = reinterpret_cast<const float*>(args.workspace) + at;
      kernels().recurrent.add({rows, panels_.size(blocks[i]), nullptr, 0}, {carry, p.outputs},
                              panels_.sums_of(i, rows, sums), {args.output(kGradState0) + at, p.outputs});
    }
  });
}

void copy_or_clear(const float* from, std::int64_t count, float* to) {
  if (from != nullptr) {
    std::copy_n(from, count, to);
  } else {
    std::fill_n(to, count, 0.0f);
  }
}

void RecurrentBackward::run(const StepArgs& args) const {
  const RecurrentProblem& p = problem_;
  copy_or_clear(args.input(kGradLast), p.batch * p.outputs, reinterpret_cast<float*>(args.workspace));
  if (float* carry = args.output(kGradCell0); carry != nullptr)
    copy_or_clear(args.input(kGradLastCell), p.batch * p.units, carry);
  const std::int64_t parts = p.projects ? 2 : 1;
  const std::int64_t phases = p.time * parts + (args.output(kGradState0) != nullptr ? 1 : 0);
  const double work = static_cast<double>(p.time) * (tasks_.work() + projection_tasks_.work());
  const std::int64_t tasks = std::max(tasks_.count(), p.projects ? projection_tasks_.count() : 0);
  const std::int64_t chains = p.projects ? 1 : tasks_.row_groups();
  parallel_chains(chains, phases, tasks, work, [&](std::int64_t phase, std::int64_t task, int thread) {
    const std::int64_t step = p.time - 1 - phase / parts;
    float* sums = args.scratch_of(thread);
    if (phase % parts == 1) {
      if (task < projection_tasks_.count()) run_units(args, step, task, sums);
    } else if (task < tasks_.count()) {
      if (step >= 0) {
        run_outputs(args, step, task, sums);
      } else {
        run_initial(args, task, sums);
      }
    }
  });
}

}  // namespace

void register_recurrent_backward(StepRegistry& registry) {
  registry.add("recurrent_backward", [](const StepSpec& spec) -> std::unique_ptr<Step> {
    return std::make_unique<RecurrentBackward>(spec);
  });
}

}  // namespace cnncore
