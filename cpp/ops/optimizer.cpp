// SPDX-License-Identifier: Apache-2.0
#include "ops/optimizer.h"

#include <cmath>

#include "ops/optimizer_group.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

class SgdUpdate final : public Step {
 public:
  explicit SgdUpdate(const StepSpec& spec)
      : group_(spec, 3, 2, kSgdHyperCount), nesterov_(spec.attrs.integer("nesterov", 0) != 0) {
    for (std::size_t i = 0; i * 2 < spec.outputs.size(); ++i) {
      require(
          spec.has_output(2 * i) && spec.has_output(2 * i + 1) == spec.has_input(group_.input_index(i, 2)),
          "sgd_update: expected a result for each parameter and each momentum buffer");
    }
  }

  void run(const StepArgs& args) const override {
    const auto hyper = read_hyper<kSgdHyperCount>(args);
    const SgdSettings settings = sgd_settings(hyper.data(), group_.gradient_scale(args), nesterov_);
    group_.for_each_chunk(6.0, [&](std::size_t number) {
      const OptimizerChunk& chunk = group_.chunks()[number];
      const auto in = [&](std::size_t i) {
        return at(args.input(group_.input_index(chunk.tensor, i)), chunk.begin);
      };
      const auto out = [&](std::size_t i) {
        return at(args.output(group_.output_index(chunk.tensor, i)), chunk.begin);
      };
      kernels().optimizer.sgd({chunk.n, in(0), in(1), in(2), out(0), out(1)}, settings);
    });
  }

  double flops() const override { return 6.0 * static_cast<double>(group_.numel()); }

 private:
  OptimizerGroup group_;
  bool nesterov_;
};

class AdamUpdate final : public Step {
 public:
  explicit AdamUpdate(const StepSpec& spec)
      : group_(spec, 4, 3, kAdamHyperCount), decoupled_(spec.attrs.integer("decoupled", 0) != 0) {
    const auto all_present = [](const std::vector<StepTensor>& tensors, std::size_t first) {
      return std::all_of(tensors.begin() + static_cast<std::ptrdiff_t>(first), tensors.end(),
                         [](const StepTensor& tensor) { return tensor.present; });
    };
    require(all_present(spec.inputs, kLeadingInputs) && all_present(spec.outputs, 0),
            "adam_update: expected parameter, gradient, mean and square of every tensor");
  }

  void run(const StepArgs& args) const override {
    const auto hyper = read_hyper<kAdamHyperCount>(args);
    const AdamSettings settings = adam_settings(hyper.data(), group_.gradient_scale(args), decoupled_);
    group_.for_each_chunk(24.0, [&](std::size_t number) {
      const OptimizerChunk& chunk = group_.chunks()[number];
      const auto in = [&](std::size_t i) {
        return args.input(group_.input_index(chunk.tensor, i)) + chunk.begin;
      };
      const auto out = [&](std::size_t i) {
        return args.output(group_.output_index(chunk.tensor, i)) + chunk.begin;
      };
      kernels().optimizer.adam({chunk.n, in(0), in(1), in(2), in(3), out(0), out(1), out(2)}, settings);
    });
  }

  double flops() const override { return 14.0 * static_cast<double>(group_.numel()); }

 private:
  OptimizerGroup group_;
  bool decoupled_;
};

}  // namespace

SgdSettings sgd_settings(const double* hyper, float gradient_scale, bool nesterov) {
  const bool first = hyper[kSgdStepsTaken] == 0.0;
  SgdSettings settings{};
  settings.lr = static_cast<float>(hyper[kSgdLr]);
  settings.weight_decay = static_cast<float>(hyper[kSgdWeightDecay]);
  settings.gradient_scale = gradient_scale;
  settings.momentum = static_cast<float>(hyper[kSgdMomentum]);
  settings.buffer_decay = first ? 0.0f : settings.momentum;
  settings.gradient_gain = first ? 1.0f : static_cast<float>(1.0 - hyper[kSgdDampening]);
  settings.nesterov = nesterov;
  return settings;
}

AdamSettings adam_settings(const double* hyper, float gradient_scale, bool decoupled) {
  const double lr = hyper[kAdamLr];
  const double weight_decay = hyper[kAdamWeightDecay];
  const double bias1 = 1.0 - std::pow(hyper[kAdamBeta1], hyper[kAdamStep]);
  const double bias2 = 1.0 - std::pow(hyper[kAdamBeta2], hyper[kAdamStep]);
  AdamSettings settings{};
  settings.shrink = decoupled ? static_cast<float>(1.0 - lr * weight_decay) : 1.0f;
  settings.weight_decay = decoupled ? 0.0f : static_cast<float>(weight_decay);
  settings.gradient_scale = gradient_scale;
  settings.beta1 = static_cast<float>(hyper[kAdamBeta1]);
  settings.one_minus_beta1 = static_cast<float>(1.0 - hyper[kAdamBeta1]);
  settings.beta2 = static_cast<float>(hyper[kAdamBeta2]);
  settings.one_minus_beta2 = static_cast<float>(1.0 - hyper[kAdamBeta2]);
  settings.step_size = static_cast<float>(lr / bias1);
  settings.inverse_root_bias = static_cast<float>(1.0 / std::sqrt(bias2));
  settings.eps = static_cast<float>(hyper[kAdamEps]);
  return settings;
}

void register_optimizer(StepRegistry& registry) {
  registry.add("rule_update", make_rule_update);
  registry.add("adafactor_update", make_adafactor_update);
  registry.add("sgd_update", [](const StepSpec& spec) -> std::unique_ptr<Step> {
    return std::make_unique<SgdUpdate>(spec);
  });
  registry.add("adam_update", [](const StepSpec& spec) -> std::unique_ptr<Step> {
    return std::make_unique<AdamUpdate>(spec);
  });
}

}  // namespace cnncore
