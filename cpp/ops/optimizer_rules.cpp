// SPDX-License-Identifier: Apache-2.0
// Step `rule_update`: one pass over all tensors of a group with a rule of isa/kernels/optimizer_rules.cpp;
// two where a tensor's step depends on its norms.
#include <cmath>
#include <string>

#include "ops/optimizer.h"
#include "ops/optimizer_group.h"

namespace cnncore {
namespace {

constexpr int kMaxNumbers = 12;
constexpr std::int64_t kBlock = 512;

const OptimizerRule& rule_named(const std::string& name) {
  const OptimizerKernels& all = kernels().optimizer;
  for (int i = 0; i < all.rule_count; ++i) {
    if (name == all.rules[i].name) return all.rules[i];
  }
  fail("rule_update: unknown rule '", name, "'");
}

class RuleUpdate : public Step {
 public:
  explicit RuleUpdate(const StepSpec& spec)
      : rule_(rule_named(spec.attrs.text("rule"))),
        state_(checked_state(spec, rule_)),
        first_(spec.attrs.integer("first", 0)),
        group_(spec, 2 + state_, 1 + state_, static_cast<std::size_t>(first_ + rule_.numbers)) {
    require(first_ >= 0 && first_ < 64, "rule_update: expected first of 0 or more, got ", first_);
    for (std::size_t tensor = 0; tensor < group_.tensors(); ++tensor) {
      for (std::size_t i = 0; i <= state_; ++i) {
        const std::size_t input = group_.input_index(tensor, i == 0 ? 0 : i + 1);
        require(spec.has_output(group_.output_index(tensor, i)) == spec.has_input(input),
                "rule_update: expected a result for each parameter and each of its state arrays");
        require(spec.has_input(input) || i > static_cast<std::size_t>(rule_.needed), "rule_update: rule ",
                rule_.name, " needs ", rule_.needed, " state arrays of each tensor");
      }
    }
  }

  void run(const StepArgs& args) const override {
    const Numbers numbers = read_numbers(args);
    group_.for_each_chunk(rule_.cost, [&](std::size_t number) {
      rule_.run(run_of(args, group_.chunks()[number]), numbers.data());
    });
  }

  std::string algorithm() const override { return rule_.name; }
  double flops() const override { return rule_.cost * static_cast<double>(group_.numel()); }

 protected:
  using Numbers = std::array<float, kMaxNumbers>;

  Numbers read_numbers(const StepArgs& args) const {
    Numbers numbers{};
    for (std::size_t i = 0; i < static_cast<std::size_t>(rule_.numbers); ++i) {
      double number;
      std::memcpy(&number, args.input<std::int64_t>(0) + first_ + static_cast<std::int64_t>(i),
                  sizeof number);
      numbers[i] = static_cast<float>(number);
    }
    return numbers;
  }

  RuleRun run_of(const StepArgs& args, const OptimizerChunk& chunk) const {
    RuleRun run{};
    run.n = chunk.n;
    run.gradient_scale = group_.gradient_scale(args);
    run.trust = 1.0f;
    for (std::size_t i = 0; i < 2 + state_; ++i) {
      run.in[i] = at(args.input(group_.input_index(chunk.tensor, i)), chunk.begin);
    }
    for (std::size_t i = 0; i < 1 + state_; ++i) {
      run.out[i] = at(args.output(group_.output_index(chunk.tensor, i)), chunk.begin);
    }
    return run;
  }

  const OptimizerRule& rule_;
  std::size_t state_;
  std::int64_t first_;
  OptimizerGroup group_;

 private:
  static std::size_t checked_state(const StepSpec& spec, const OptimizerRule& rule) {
    const std::int64_t state = spec.attrs.integer("state");
    require(state >= rule.needed && state <= rule.state, "rule_update: expected ", rule.needed, " to ",
            rule.state, " state arrays for rule ", rule.name, ", got ", state);
    return static_cast<std::size_t>(state);
  }
};

/// Steps whose length is `trust` times as large: coefficient * |parameter| / (|direction| + decay *
/// |parameter| + eps), or 1 where a norm or the coefficient is 0. hyper holds these three after the rule's
/// numbers.
class TrustUpdate final : public RuleUpdate {
 public:
  explicit TrustUpdate(const StepSpec& spec) : RuleUpdate(spec) {
    require(spec.input(0).numel() >= first_ + rule_.numbers + kMore, "rule_update: expected ",
            rule_.numbers + kMore, " numbers for rule ", rule_.name);
  }

  std::size_t workspace_bytes() const override {
    return group_.chunks().size() * sizeof(Squares) + group_.tensors() * sizeof(float);
  }

  void run(const StepArgs& args) const override {
    const Numbers numbers = read_numbers(args);
    auto* squares = reinterpret_cast<Squares*>(args.workspace);
    auto* trust = reinterpret_cast<float*>(squares + group_.chunks().size());
    group_.for_each_chunk(rule_.cost, [&](std::size_t number) {
      squares[number] = direct(run_of(args, group_.chunks()[number]), numbers);
    });
    find_trust(args, squares, trust);
    group_.for_each_chunk(rule_.cost, [&](std::size_t number) {
      const OptimizerChunk& chunk = group_.chunks()[number];
      RuleRun run = run_of(args, chunk);
      if (rule_.direction_changes_state) {
        for (std::size_t i = 0; i < state_; ++i) run.in[2 + i] = run.out[1 + i];
      }
      run.trust = trust[chunk.tensor];
      rule_.run(run, numbers.data());
    });
  }

 private:
  struct Squares {
    double parameter = 0.0;
    double direction = 0.0;
  };
  static constexpr int kMore = 3;

  Squares direct(const RuleRun& whole, const Numbers& numbers) const {
    alignas(64) float direction[kBlock];
    Squares squares;
    for (std::int64_t begin = 0; begin < whole.n; begin += kBlock) {
      RuleRun run = whole;
      run.n = std::min(kBlock, whole.n - begin);
      for (const float*& p : run.in) p = at(p, begin);
      for (float*& p : run.out) p = at(p, begin);
      run.out[0] = direction;
      rule_.direction(run, numbers.data());
      squares.parameter += sum_squares(run.in[0], run.n);
      squares.direction += sum_squares(direction, run.n);
    }
    return squares;
  }

  static double sum_squares(const float* x, std::int64_t n) {
    double sum = 0.0;
    kernels().reduce.sum_squares.across_rows({1, n, x, 0, 1}, &sum);
    return sum;
  }

  void find_trust(const StepArgs& args, const Squares* squares, float* trust) const {
    double more[kMore];
    std::memcpy(more, args.input<std::int64_t>(0) + first_ + rule_.numbers, sizeof more);
    const auto [coefficient, decay, eps] = more;
    std::size_t number = 0;
    for (std::size_t tensor = 0; tensor < group_.tensors(); ++tensor) {
      Squares total;
      for (; number < group_.chunks().size() && group_.chunks()[number].tensor == tensor; ++number) {
        total.parameter += squares[number].parameter;
        total.direction += squares[number].direction;
      }
      const double length = std::sqrt(total.parameter), direction = std::sqrt(total.direction);
      const double quotient = coefficient * length / (direction + decay * length + eps);
      const bool known = length > 0.0 && direction > 0.0 && coefficient > 0.0;
      trust[tensor] = known ? static_cast<float>(quotient) : 1.0f;
    }
  }
};

}  // namespace

std::unique_ptr<Step> make_rule_update(const StepSpec& spec) {
  if (rule_named(spec.attrs.text("rule")).direction == nullptr) return std::make_unique<RuleUpdate>(spec);
  return std::make_unique<TrustUpdate>(spec);
}

}  // namespace cnncore
