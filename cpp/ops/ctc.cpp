// SPDX-License-Identifier: Apache-2.0
// Connectionist temporal classification (Graves et al., 2006) in the log domain, in double, a sample a task.
//
// ctc_loss [log_probs (T, N, C), targets int64 (N, S) or all in a row, input_lengths int64 (N),
// target_lengths int64 (N)] -> [losses (N)] ctc_loss_backward [the same, grad_losses (N)] -> [grad_log_probs
// (T, N, C)] ctc_guard [targets, input_lengths, target_lengths] -> [how many samples have lengths or labels
// outside]
//   attributes blank; zero_infinity (0/1) of the first two; time and classes of the guard.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

double log_add(double a, double b, double c = kNever) {
  const double most = std::max({a, b, c});
  if (most == kNever) return a + b + c;  // max() may have passed over NaN
  double sum = 0.0;
  for (const double x : {a, b, c}) {
    if (x != kNever) sum += x == most ? 1.0 : std::exp(x - most);
  }
  return sum == 1.0 ? most : most + std::log(sum);
}

struct CtcProblem {
  std::int64_t time = 0;
  std::int64_t batch = 0;
  std::int64_t classes = 0;
  std::int64_t labels = 0;  // the most a sample may have
  bool in_a_row = false;    // the samples' labels follow one another
  std::int64_t blank = 0;
  bool zero_infinity = false;

  /// States of the longest sample: its labels with blanks around them.
  std::int64_t states() const { return 2 * labels + 1; }
  double work(double passes) const {
    return passes * 40.0 * static_cast<double>(time * batch) * static_cast<double>(states());
  }
};

bool is_lengths(const TensorDesc& desc, std::int64_t batch) {
  return desc.dtype == DType::i64 && desc.rank == 1 && desc.dim(0) == batch && desc.is_contiguous();
}

void check_targets(const StepSpec& spec, CtcProblem& problem, std::size_t first) {
  const TensorDesc& targets = spec.input(first);
  problem.in_a_row = targets.rank == 1;
  require(
      targets.dtype == DType::i64 && targets.is_contiguous() && (targets.rank == 1 || targets.rank == 2) &&
          (problem.in_a_row || targets.dim(0) == problem.batch),
      spec.op, ": expected int64 targets (batch, labels) or (labels of all,), got ", targets.shape_text());
  problem.labels = targets.dim(targets.rank - 1);
  require(
      is_lengths(spec.input(first + 1), problem.batch) && is_lengths(spec.input(first + 2), problem.batch),
      spec.op, ": expected int64 lengths (", problem.batch, ",)");
}

CtcProblem ctc_problem(const StepSpec& spec) {
  CtcProblem problem;
  const TensorDesc& log_probs = spec.input(0);
  check_in_order(log_probs, 3, spec.op + ": log_probs");
  problem.time = log_probs.dim(0);
  problem.batch = log_probs.dim(1);
  problem.classes = log_probs.dim(2);
  problem.blank = spec.attrs.integer("blank");
  problem.zero_infinity = spec.attrs.integer("zero_infinity", 0) != 0;
  require(problem.blank >= 0 && problem.blank < problem.classes, spec.op, ": expected blank below ",
          problem.classes, ", got ", problem.blank);
  check_targets(spec, problem, 1);
  return problem;
}

/// One sample's labels, lengths and log-probabilities.
struct Sample {
  Sample(const CtcProblem& problem, const StepArgs& args, std::int64_t number)
      : classes(problem.classes), blank(problem.blank), step(problem.batch * problem.classes) {
    const auto* targets = args.input<std::int64_t>(1);
    const auto* target_lengths = args.input<std::int64_t>(3);
    std::int64_t begin = number * problem.labels;
    if (problem.in_a_row) {
      begin = 0;
      for (std::int64_t i = 0; i < number; ++i) begin += target_lengths[i];
    }
    labels = targets + begin;
    time = args.input<std::int64_t>(2)[number];
    count = target_lengths[number];
    log_probs = args.input(0) + number * classes;
  }

  std::int64_t states() const { return 2 * count + 1; }
  std::int64_t label(std::int64_t state) const { return state % 2 == 0 ? blank : labels[state / 2]; }
  /// Whether a path may go from the state two before: not over a blank between equal labels.
  bool skips(std::int64_t state) const {
    return state % 2 == 1 && state > 1 && labels[state / 2] != labels[state / 2 - 1];
  }
  double at(std::int64_t t, std::int64_t state) const {
    return static_cast<double>(log_probs[t * step + label(state)]);
  }

  /// row[s] = log of the probability of all beginnings of paths that are in state s at time t.
  void forward(std::int64_t t, const double* before, double* row) const {
    for (std::int64_t s = 0; s < states(); ++s) {
      double sum = s < 2 ? 0.0 : kNever;
      if (t > 0) {
        sum = log_add(before[s], s > 0 ? before[s - 1] : kNever, skips(s) ? before[s - 2] : kNever);
      }
      row[s] = sum == kNever ? kNever : sum + at(t, s);
    }
  }

  /// row[s] = log of the probability of all ends of paths that are in state s at time t, without that time's.
  void backward(std::int64_t t, const double* after, double* row) const {
    for (std::int64_t s = 0; s < states(); ++s) {
      if (t == time - 1) {
        row[s] = s >= states() - 2 ? 0.0 : kNever;
        continue;
      }
      const bool one = s + 1 < states(), two = s + 2 < states() && skips(s + 2);
      row[s] = log_add(after[s] + at(t + 1, s), one ? after[s + 1] + at(t + 1, s + 1) : kNever,
                       two ? after[s + 2] + at(t + 1, s + 2) : kNever);
    }
  }

  /// log of the probability of the labels, from the last row of `forward`.
  double likelihood(const double* last) const {
    if (time == 0) return count == 0 ? 0.0 : kNever;
    return count == 0 ? last[0] : log_add(last[states() - 1], last[states() - 2]);
  }

  std::int64_t classes;
  std::int64_t blank;
  std::int64_t step;  // from one time to the next
  std::int64_t time = 0;
  std::int64_t count = 0;
  const std::int64_t* labels = nullptr;
  const float* log_probs = nullptr;
};

class CtcLoss final : public Step {
 public:
  explicit CtcLoss(const StepSpec& spec) : problem_(ctc_problem(spec)) {
    check_vector(spec.output(0), problem_.batch, spec.op + ": losses");
  }

  std::size_t scratch_bytes() const override {
    return 2 * static_cast<std::size_t>(problem_.states()) * sizeof(double);
  }
  double flops() const override { return problem_.work(1.0); }

  void run(const StepArgs& args) const override {
    parallel_for(problem_.batch, problem_.work(1.0), [&](std::int64_t number, int thread) {
      const Sample sample(problem_, args, number);
      auto* row = args.scratch_of<double>(thread);
      double* before = row + problem_.states();
      for (std::int64_t t = 0; t < sample.time; ++t) {
        std::swap(row, before);
        sample.forward(t, before, row);
      }
      const double loss = -sample.likelihood(row);
      const bool zeroed = problem_.zero_infinity && loss == -kNever;
      args.output(0)[number] = zeroed ? 0.0f : static_cast<float>(loss);
    });
  }

 private:
  CtcProblem problem_;
};

/// The gradient by a log-probability is minus the share of paths that go through it.
class CtcLossBackward final : public Step {
 public:
  explicit CtcLossBackward(const StepSpec& spec) : problem_(ctc_problem(spec)) {
    check_vector(spec.input(4), problem_.batch, spec.op + ": losses");
    check_like(spec.output(0), spec.input(0), spec.op + ": grad_log_probs");
  }

  /// All rows of `forward`, two of `backward`, the sums of a time's classes.
  std::size_t scratch_bytes() const override {
    const std::int64_t rows = (problem_.time + 2) * problem_.states();
    return static_cast<std::size_t>(rows + problem_.classes) * sizeof(double);
  }
  double flops() const override { return problem_.work(2.5); }

  void run(const StepArgs& args) const override {
    parallel_for(problem_.batch, problem_.work(2.5), [&](std::int64_t number, int thread) {
      run_sample(args, number, args.scratch_of<double>(thread));
    });
  }

 private:
  void run_sample(const StepArgs& args, std::int64_t number, double* ahead) const {
    const Sample sample(problem_, args, number);
    const std::int64_t states = sample.states();
    for (std::int64_t t = 0; t < sample.time; ++t) {
      sample.forward(t, ahead + (t - 1) * states, ahead + t * states);
    }
    const double likelihood =
        sample.likelihood(sample.time == 0 ? nullptr : ahead + (sample.time - 1) * states);
    double* row = ahead + problem_.time * problem_.states();
    double* after = row + problem_.states();
    double* shares = after + problem_.states();
    const double gradient = static_cast<double>(args.input(4)[number]);
    const bool never = likelihood == kNever;
    for (std::int64_t t = problem_.time - 1; t >= 0; --t) {
      std::fill_n(shares, problem_.classes, 0.0);
      if (t < sample.time && !(never && problem_.zero_infinity)) {
        std::swap(row, after);
        sample.backward(t, after, row);
        for (std::int64_t s = 0; s < states; ++s) {
          shares[sample.label(s)] += std::exp(ahead[t * states + s] + row[s] - likelihood);
        }
      }
      float* out = args.output(0) + t * sample.step + number * problem_.classes;
      for (std::int64_t c = 0; c < problem_.classes; ++c) out[c] = static_cast<float>(-gradient * shares[c]);
    }
  }

  CtcProblem problem_;
};

class CtcGuard final : public Step {
 public:
  explicit CtcGuard(const StepSpec& spec) {
    const TensorDesc& lengths = spec.input(1);
    problem_.batch = lengths.numel();
    problem_.time = spec.attrs.integer("time");
    problem_.classes = spec.attrs.integer("classes");
    check_targets(spec, problem_, 0);
    require(spec.output(0).dtype == DType::i64 && spec.output(0).numel() == 1,
            "ctc_guard: expected an int64 scalar as output, got ", spec.output(0).shape_text());
  }

  void run(const StepArgs& args) const override {
    const auto* targets = args.input<std::int64_t>(0);
    const auto* target_lengths = args.input<std::int64_t>(2);
    std::int64_t bad = 0, begin = 0;
    for (std::int64_t n = 0; n < problem_.batch; ++n) {
      if (!problem_.in_a_row) begin = n * problem_.labels;
      const std::int64_t time = args.input<std::int64_t>(1)[n], count = target_lengths[n];
      const std::int64_t room = problem_.in_a_row ? problem_.labels - begin : problem_.labels;
      bool fits = time >= 0 && time <= problem_.time && count >= 0 && count <= room;
      for (std::int64_t i = 0; fits && i < count; ++i) {
        fits = targets[begin + i] >= 0 && targets[begin + i] < problem_.classes;
      }
      bad += fits ? 0 : 1;
      if (problem_.in_a_row) begin += std::clamp<std::int64_t>(count, 0, room);
    }
    *args.output<std::int64_t>(0) = bad;
  }

 private:
  CtcProblem problem_;
};

template <class StepType>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<StepType>(spec);
}

}  // namespace

void register_ctc(StepRegistry& registry) {
  registry.add("ctc_loss", make<CtcLoss>);
  registry.add("ctc_loss_backward", make<CtcLossBackward>);
  registry.add("ctc_guard", make<CtcGuard>);
}

}  // namespace cnncore
