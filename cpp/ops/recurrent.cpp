// SPDX-License-Identifier: Apache-2.0
// One direction of a recurrent layer, all steps in time (Elman, 1990; Hochreiter and Schmidhuber, 1997; Cho
// et al., 2014; Sak et al., 2014).
//
// recurrent [projected (T, B, gates * units), packed weight_hh, h0 (B, outputs)?, c0 (B, units)?, bias_hh?,
// packed weight_hr?, lengths int64 (B)?] -> [output (T, B, outputs), h_n (B, outputs), c_n (B, units)?, gates
// like projected?, kept (T, B, units)?, unprojected (T, B, units)?]
//   attributes cell (lstm, gru, rnn_tanh, rnn_relu), units, outputs, projects, reverse, batch_first (0/1; the
//   last: values of all times are (B, T, ...)).
// gates are activated; kept is the LSTM's cell state or the state's share of the GRU's new gate.
// recurrent_guard [lengths] -> [how many are no length of a sequence, or longer than the one before]
//   attributes time, sorted (0/1).
#include "ops/recurrent.h"

#include <algorithm>

#include "core/error.h"
#include "core/phases.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

constexpr const char* kCells[kRecurrentCells] = {"lstm", "gru", "rnn_tanh", "rnn_relu"};
constexpr std::int64_t kGates[kRecurrentCells] = {4, 3, 1, 1};

RecurrentCell cell_from_name(const std::string& name) {
  for (int i = 0; i < kRecurrentCells; ++i) {
    if (name == kCells[i]) return static_cast<RecurrentCell>(i);
  }
  fail("recurrent: expected cell lstm, gru, rnn_tanh or rnn_relu, got ", name);
}

class Recurrent final : public Step {
 public:
  explicit Recurrent(const StepSpec& spec);

  std::size_t workspace_bytes() const override {
    const std::int64_t unprojected = problem_.projects ? problem_.batch * problem_.units : 0;
    return static_cast<std::size_t>(2 * problem_.batch * pitch_ + unprojected) * sizeof(float);
  }
  std::size_t scratch_bytes() const override {
    const std::int64_t floats = std::max(tasks_.sums_floats(), projection_tasks_.sums_floats());
    return static_cast<std::size_t>(floats) * sizeof(float);
  }
  double flops() const override {
    const auto steps = static_cast<double>(problem_.time * problem_.batch);
    return 2.0 * steps * static_cast<double>(problem_.units) *
           static_cast<double>((problem_.gates + (problem_.projects ? 1 : 0)) * problem_.outputs);
  }

  void run(const StepArgs& args) const override;

 private:
  enum Input : std::size_t { kProjected, kWeight, kState, kCell, kBias, kProjection, kLengths, kInputs };
  enum Output : std::size_t { kOutput, kLast, kLastCell, kOutGates, kOutKept, kUnprojected, kOutputs };
  struct Run;
  void run_units(const Run& run, std::int64_t step, std::int64_t task, float* sums) const;
  void run_projection(const Run& run, std::int64_t step, std::int64_t task, float* sums) const;
  RecurrentForwardArgs states(const Run& run, std::int64_t step, std::int64_t row, std::int64_t rows,
                              std::int64_t block) const;

  RecurrentProblem problem_;
  UnitPanels panels_, projection_;
  RecurrentTasks tasks_, projection_tasks_;
  std::int64_t pitch_ = 0;  // of a row of the state
  bool is_lstm_ = false;
};

Recurrent::Recurrent(const StepSpec& spec) : problem_(spec, spec.input(kProjected), kLengths) {
  require(spec.inputs.size() == kInputs && spec.outputs.size() == kOutputs, spec.op, ": expected ", +kInputs,
          " inputs and ", +kOutputs, " outputs, absent ones included");
  const RecurrentProblem& p = problem_;
  is_lstm_ = p.cell == RecurrentCell::lstm;
  panels_ = RecurrentWeight{p.gates, p.units, p.outputs}.forward();
  tasks_ = RecurrentTasks(panels_, p.batch);
  if (p.projects) {
    projection_ = RecurrentWeight{1, p.outputs, p.units}.forward();
    projection_tasks_ = RecurrentTasks(projection_, p.batch);
  }
  // A line more than the row, so that rows of whole pages do not meet in the cache.
  pitch_ = round_up(p.outputs, kLineFloats) + kLineFloats;
  require(spec.has_input(kWeight) && spec.has_output(kLast), spec.op, ": expected a weight and a last state");
  check_vector(spec.input(kWeight), panels_.floats(), spec.op + ": packed weight");
  check_input(spec, kState, p.batch * p.outputs, "state");
  check_input(spec, kCell, p.batch * p.units, "cell state");
  check_input(spec, kBias, p.gates * p.units, "bias");
  check_input(spec, kProjection, projection_.floats(), "packed projection");
  require(spec.has_input(kProjection) == p.projects, spec.op, ": expected a projection just with `projects`");
  check_output(spec, kLast, p.batch * p.outputs, "last state");
  check_output(spec, kLastCell, p.batch * p.units, "last cell state");
  require(spec.has_output(kLastCell) == is_lstm_, spec.op, ": expected a cell state of an LSTM alone");
  check_output_like(spec, kOutGates, spec.input(kProjected), "gates");
  check_output(spec, kOutput, p.time * p.batch * p.outputs, "output");
  check_output(spec, kOutKept, p.time * p.batch * p.units, "kept");
  check_output(spec, kUnprojected, p.time * p.batch * p.units, "unprojected output");
}

struct Recurrent::Run {
  Run(const Recurrent& step, const StepArgs& step_args)
      : args(step_args), pitch(step.pitch_), batch(step.problem_.batch) {
    state = reinterpret_cast<float*>(step_args.workspace);
    unprojected = state + 2 * batch * pitch;
    lengths = step_args.input<std::int64_t>(kLengths);
  }
  /// The state before a step, or after the one before it.
  float* state_before(std::int64_t step, std::int64_t row) const {
    return state + (step % 2 * batch + row) * pitch;
  }
  RecurrentRange range(const RecurrentProblem& problem, std::int64_t step, std::int64_t row,
                       std::int64_t rows, std::int64_t units) const {
    return {rows, units, lengths == nullptr ? nullptr : lengths + row, problem.time_of(step)};
  }

  const StepArgs& args;
  std::int64_t pitch, batch;
  float* state = nullptr;
  float* unprojected = nullptr;
  const std::int64_t* lengths = nullptr;
};

void Recurrent::run_units(const Run& run, std::int64_t step, std::int64_t task, float* sums) const {
  const RecurrentProblem& p = problem_;
  const StepArgs& args = run.args;
  const std::int64_t time = p.time_of(step), gated = p.gates * p.units;
  tasks_.run(task, step % 2 == 1, [&](const UnitBlocks& blocks, std::int64_t row, std::int64_t rows) {
    for (std::int64_t i = 0; i < blocks.count; ++i) {
      const std::int64_t block = blocks[i], at = row * p.row_stride(gated) + panels_.begin(block);
      const RecurrentRows projected = p.rows(args.input(kProjected), gated, time, at);
      kernels().recurrent.fetch(projected, rows, panels_.size(block), p.gates, p.units);
    }
    panels_.multiply(blocks, args.input(kWeight), {run.state_before(step, row), pitch_}, rows, sums);
    for (std::int64_t i = 0; i < blocks.count; ++i) {
      RecurrentForwardArgs call = states(run, step, row, rows, blocks[i]);
      call.sums = panels_.sums_of(i, rows, sums);
      kernels().recurrent.forward[static_cast<int>(p.cell)](call);
    }
  });
}

/// What a block's new states are made of, but for the sums.
RecurrentForwardArgs Recurrent::states(const Run& run, std::int64_t step, std::int64_t row, std::int64_t rows,
                                       std::int64_t block) const {
  const RecurrentProblem& p = problem_;
  const StepArgs& args = run.args;
  const std::int64_t time = p.time_of(step), gated = p.gates * p.units, unit = panels_.begin(block);
  const std::int64_t at = row * p.row_stride(p.units) + unit, gates_at = row * p.row_stride(gated) + unit;
  RecurrentForwardArgs call;
  call.range = run.range(p, step, row, rows, panels_.size(block));
  call.sums_gate = panels_.block();
  call.projected = p.rows(args.input(kProjected), gated, time, gates_at);
  call.gate = p.units;
  call.bias = args.input(kBias) == nullptr ? nullptr : args.input(kBias) + unit;
  call.before = {run.state_before(step, row) + unit, pitch_};
  if (!p.projects) {
    call.after = {run.state_before(step + 1, row) + unit, pitch_};
    call.output = p.target(args.output(kOutput), p.units, time, at);
  } else if (args.output(kUnprojected) != nullptr) {
    call.output = p.target(args.output(kUnprojected), p.units, time, at);
  } else {
    call.output = {run.unprojected + row * p.units + unit, p.units};
  }
  if (is_lstm_) call.cell = {args.output(kLastCell) + row * p.units + unit, p.units};
  call.gates = p.target(args.output(kOutGates), gated, time, gates_at);
  call.kept = p.target(args.output(kOutKept), p.units, time, at);
  return call;
}

void Recurrent::run_projection(const Run& run, std::int64_t step, std::int64_t task, float* sums) const {
  const RecurrentProblem& p = problem_;
  const StepArgs& args = run.args;
  const std::int64_t time = p.time_of(step);
  projection_tasks_.run(
      task, step % 2 == 1, [&](const UnitBlocks& blocks, std::int64_t row, std::int64_t rows) {
        RecurrentRows input = {run.unprojected + row * p.units, p.units};
        if (const float* kept = args.output(kUnprojected); kept != nullptr)
          input = p.rows(kept, p.units, time, row * p.row_stride(p.units));
        projection_.multiply(blocks, args.input(kProjection), input, rows, sums);
        for (std::int64_t i = 0; i < blocks.count; ++i) {
          const std::int64_t unit = projection_.begin(blocks[i]), at = row * p.row_stride(p.outputs) + unit;
          RecurrentStoreArgs call;
          call.range = run.range(p, step, row, rows, projection_.size(blocks[i]));
          call.sums = projection_.sums_of(i, rows, sums);
          call.before = {run.state_before(step, row) + unit, pitch_};
          call.after = {run.state_before(step + 1, row) + unit, pitch_};
          call.output = p.target(args.output(kOutput), p.outputs, time, at);
          kernels().recurrent.store(call);
        }
      });
}

void Recurrent::run(const StepArgs& args) const {
  const RecurrentProblem& p = problem_;
  const Run run(*this, args);
  const float* before = args.input(kState);
  for (std::int64_t row = 0; row < p.batch; ++row) {
    float* to = run.state_before(0, row);
    if (before != nullptr) {
      std::copy_n(before + row * p.outputs, p.outputs, to);
    } else {
      std::fill_n(to, p.outputs, 0.0f);
    }
  }
  if (is_lstm_) {
    if (const float* cell = args.input(kCell); cell != nullptr) {
      std::copy_n(cell, p.batch * p.units, args.output(kLastCell));
    } else {
      std::fill_n(args.output(kLastCell), p.batch * p.units, 0.0f);
    }
  }
  const std::int64_t parts = p.projects ? 2 : 1;
  const double work = static_cast<double>(p.time) * (tasks_.work() + projection_tasks_.work());
  const std::int64_t tasks = std::max(tasks_.count(), p.projects ? projection_tasks_.count() : 0);
  const std::int64_t chains = p.projects ? 1 : tasks_.row_groups();
  parallel_chains(chains, p.time * parts, tasks, work,
                  [&](std::int64_t phase, std::int64_t task, int thread) {
                    if (parts == 1 || phase % 2 == 0) {
                      if (task < tasks_.count()) run_units(run, phase / parts, task, args.scratch_of(thread));
                    } else if (task < projection_tasks_.count()) {
                      run_projection(run, phase / parts, task, args.scratch_of(thread));
                    }
                  });
  for (std::int64_t row = 0; row < p.batch; ++row)
    std::copy_n(run.state_before(p.time, row), p.outputs, args.output(kLast) + row * p.outputs);
}

class RecurrentGuard final : public Step {
 public:
  explicit RecurrentGuard(const StepSpec& spec)
      : time_(spec.attrs.integer("time")), sorted_(spec.attrs.integer("sorted") != 0) {
    batch_ = spec.input(0).numel();
    check_vector(spec.input(0), batch_, "recurrent_guard: lengths", DType::i64);
    check_vector(spec.output(0), 1, "recurrent_guard: count", DType::i64);
  }

  void run(const StepArgs& args) const override {
    const auto* lengths = args.input<std::int64_t>(0);
    std::int64_t bad = 0;
    for (std::int64_t i = 0; i < batch_; ++i) {
      const bool fits = lengths[i] >= 1 && lengths[i] <= time_;
      const bool falls = !sorted_ || i == 0 || lengths[i] <= lengths[i - 1];
      bad += fits && falls ? 0 : 1;
    }
    *args.output<std::int64_t>(0) = bad;
  }

 private:
  std::int64_t time_, batch_ = 0;
  bool sorted_;
};

template <class StepType>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<StepType>(spec);
}

}  // namespace

RecurrentProblem::RecurrentProblem(const StepSpec& spec, const TensorDesc& gated, std::size_t lengths)
    : cell(cell_from_name(spec.attrs.text("cell"))),
      gates(kGates[static_cast<int>(cell)]),
      units(spec.attrs.integer("units")),
      outputs(spec.attrs.integer("outputs")),
      reverse(spec.attrs.integer("reverse") != 0),
      batch_first(spec.attrs.integer("batch_first") != 0) {
  require(gated.dtype == DType::f32 && gated.rank == 3 && gated.is_contiguous() && units > 0 && outputs > 0 &&
              gated.dim(2) == gates * units && gated.numel() > 0,
          spec.op, ": expected float32 (time, batch, ", gates * units, ") in C order, got ",
          gated.shape_text());
  time = gated.dim(batch_first ? 1 : 0);
  batch = gated.dim(batch_first ? 0 : 1);
  projects = spec.attrs.integer("projects") != 0;
  require(projects ? cell == RecurrentCell::lstm : outputs == units, spec.op,
          ": expected a projection of an LSTM alone, or as many outputs as units");
  if (spec.has_input(lengths)) check_vector(spec.input(lengths), batch, spec.op + ": lengths", DType::i64);
}

RecurrentRows RecurrentProblem::rows(const float* values, std::int64_t features, std::int64_t at,
                                     std::int64_t offset) const {
  if (values == nullptr) return {};
  return {values + at * time_stride(features) + offset, row_stride(features)};
}

RecurrentTarget RecurrentProblem::target(float* values, std::int64_t features, std::int64_t at,
                                         std::int64_t offset) const {
  if (values == nullptr) return {};
  return {values + at * time_stride(features) + offset, row_stride(features)};
}

void register_recurrent_weight(StepRegistry& registry);
void register_recurrent_backward(StepRegistry& registry);

void register_recurrent(StepRegistry& registry) {
  registry.add("recurrent", make<Recurrent>);
  registry.add("recurrent_guard", make<RecurrentGuard>);
  register_recurrent_weight(registry);
  register_recurrent_backward(registry);
}

}  // namespace cnncore
