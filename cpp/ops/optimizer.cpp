// SPDX-License-Identifier: Apache-2.0
#include "ops/optimizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

constexpr std::size_t kLeadingInputs = 2;  // hyper, gradient_scale

/// A piece of one tensor: what one task updates.
struct Chunk {
  std::size_t tensor;
  std::int64_t begin;
  std::int64_t n;
};

/// Both steps: the tensors of a group, `kInputs` inputs and `kOutputs` outputs each, cut into chunks. Short
/// tensors share a task.
class Group {
 public:
  Group(const StepSpec& spec, std::size_t inputs, std::size_t outputs, std::size_t hyper_count)
      : inputs_(inputs), outputs_(outputs) {
    const std::string& op = spec.op;
    require(spec.has_input(0) && spec.input(0).dtype == DType::i64 &&
                spec.input(0).numel() >= static_cast<std::int64_t>(hyper_count),
            op, ": expected input 0 to be ", hyper_count, " float64 bit patterns in an int64 value");
    require(!spec.has_input(1) || (spec.input(1).dtype == DType::f32 && spec.input(1).numel() == 1), op,
            ": expected gradient_scale to be a float32 scalar");
    require(spec.inputs.size() >= kLeadingInputs && (spec.inputs.size() - kLeadingInputs) % inputs == 0, op,
            ": expected ", inputs, " inputs for each tensor");
    tensors_ = (spec.inputs.size() - kLeadingInputs) / inputs;
    require(spec.outputs.size() == tensors_ * outputs, op, ": expected ", outputs,
            " outputs for each tensor");
    for (std::size_t tensor = 0; tensor < tensors_; ++tensor) {
      check_tensor(spec, tensor);
      add_chunks(tensor, spec.input(input_index(tensor, 0)).numel());
    }
    first_chunk_.push_back(chunks_.size());
  }

  std::size_t input_index(std::size_t tensor, std::size_t i) const {
    return kLeadingInputs + tensor * inputs_ + i;
  }
  std::size_t output_index(std::size_t tensor, std::size_t i) const { return tensor * outputs_ + i; }
  std::int64_t numel() const { return numel_; }

  /// body(chunk) for every chunk, in parallel; `cost` is the vector operations for a vector of parameters.
  template <class Body>
  void for_each_chunk(double cost, Body&& body) const {
    const auto tasks = static_cast<std::int64_t>(first_chunk_.size()) - 1;
    parallel_for(tasks, cost * static_cast<double>(numel_) / kernels().width, [&](std::int64_t task, int) {
      const auto position = static_cast<std::size_t>(task);
      for (std::size_t i = first_chunk_[position]; i < first_chunk_[position + 1]; ++i) body(chunks_[i]);
    });
  }

 private:
  void check_tensor(const StepSpec& spec, std::size_t tensor) const {
    const std::string& op = spec.op;
    require(spec.has_input(input_index(tensor, 0)) && spec.has_input(input_index(tensor, 1)), op, ": tensor ",
            tensor, " lacks its parameter or its gradient");
    const TensorDesc& parameter = spec.input(input_index(tensor, 0));
    require(parameter.dtype == DType::f32, op, ": expected float32 parameters, got ",
            name_of(parameter.dtype));
    require(parameter.is_contiguous() || parameter.is_channels_last(), op,
            ": expected parameters without gaps");
    for (std::size_t i = 1; i < inputs_; ++i)
      check_like(spec, parameter, spec.inputs[input_index(tensor, i)]);
    for (std::size_t i = 0; i < outputs_; ++i)
      check_like(spec, parameter, spec.outputs[output_index(tensor, i)]);
  }

  static void check_like(const StepSpec& spec, const TensorDesc& parameter, const StepTensor& other) {
    require(!other.present || (other.desc.dtype == DType::f32 && other.desc.same_layout(parameter)), spec.op,
            ": gradients, state and results must be float32 and laid out like their parameter ",
            parameter.shape_text());
  }

  void add_chunks(std::size_t tensor, std::int64_t n) {
    numel_ += n;
    for (std::int64_t begin = 0; begin < n; begin += machine().task_elements) {
      const std::int64_t length = std::min(machine().task_elements, n - begin);
      if (first_chunk_.empty() || in_task_ + length > machine().task_elements) {
        first_chunk_.push_back(chunks_.size());
        in_task_ = 0;
      }
      chunks_.push_back({tensor, begin, length});
      in_task_ += length;
    }
  }

  std::size_t inputs_;
  std::size_t outputs_;
  std::size_t tensors_ = 0;
  std::int64_t numel_ = 0;
  std::int64_t in_task_ = 0;
  std::vector<Chunk> chunks_;
  std::vector<std::size_t> first_chunk_;  // of each task, and the end
};

template <std::size_t kCount>
std::array<double, kCount> read_hyper(const StepArgs& args) {
  std::array<double, kCount> hyper;
  std::memcpy(hyper.data(), args.inputs[0], sizeof hyper);
  return hyper;
}

float read_scale(const StepArgs& args) { return args.inputs[1] == nullptr ? 1.0f : *args.input(1); }

template <class T>
T* at(T* base, std::int64_t offset) {
  return base == nullptr ? nullptr : base + offset;
}

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
    const SgdSettings settings = sgd_settings(hyper.data(), read_scale(args), nesterov_);
    group_.for_each_chunk(6.0, [&](const Chunk& chunk) {
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
  Group group_;
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
    const AdamSettings settings = adam_settings(hyper.data(), read_scale(args), decoupled_);
    group_.for_each_chunk(24.0, [&](const Chunk& chunk) {
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
  Group group_;
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
  registry.add("sgd_update", [](const StepSpec& spec) -> std::unique_ptr<Step> {
    return std::make_unique<SgdUpdate>(spec);
  });
  registry.add("adam_update", [](const StepSpec& spec) -> std::unique_ptr<Step> {
    return std::make_unique<AdamUpdate>(spec);
  });
}

}  // namespace cnncore
