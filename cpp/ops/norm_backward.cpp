// SPDX-License-Identifier: Apache-2.0
// Gradients of batch normalisation and of an activation with a bias before it.
#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/norm.h"

namespace cnncore {
namespace {

/// Two passes over memory: sums of each channel, then the gradients. The first leaves the gated gradient in
/// grad_residual where there is one, so that the second need not read the activation's output again.
class BatchNormBackward final : public Step {
 public:
  explicit BatchNormBackward(const StepSpec& spec)
      : given_(spec),
        blocks_(spec.input(1)),
        gate_(activation_from_attrs(spec.attrs)),
        training_(spec.attrs.integer("training", 1) != 0) {
    const TensorDesc& x = spec.input(1);
    check_input_like(spec, 0, x, "grad_output");
    require(spec.has_input(2) && spec.has_input(3), "batch_norm_backward: expected mean and invstd");
    check_input(spec, 2, blocks_.channels, "mean");
    check_input(spec, 3, blocks_.channels, "invstd");
    check_input(spec, 4, blocks_.channels, "weight");
    check_input_like(spec, 5, x, "output");
    require(!spec.has_input(5) || !function_of(gate_.activation).reads_argument,
            "batch_norm_backward: the activation's gradient reads its argument, not the output");
    check_input(spec, 6, blocks_.channels, "bias");
    check_output_like(spec, 0, x, "grad_input");
    check_output(spec, 1, blocks_.channels, "grad_weight");
    check_output(spec, 2, blocks_.channels, "grad_bias");
    check_output_like(spec, 3, x, "grad_residual");
  }

  std::size_t workspace_bytes() const override {
    const std::int64_t channels = blocks_.channels;
    return static_cast<std::size_t>(2 * channels) * sizeof(double) +
           static_cast<std::size_t>(kArrays * blocks_.wide_channels() + blocks_.chunks() * 2 * channels) *
               sizeof(float);
  }
  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(2 * blocks_.wide_channels()) * sizeof(float);
  }

  void run(const StepArgs& args) const override {
    Memory memory(args, blocks_);
    fill_scale_and_shift(blocks_, args.input(2), args.input(3), given_.input(args, 4), given_.input(args, 6),
                         memory.scale, memory.shift);
    std::copy_n(args.input(2), blocks_.channels, memory.mean);
    blocks_.repeat_values(memory.mean);
    const bool summed = training_ || given_.output(1) || given_.output(2);
    if (summed) sum(args, memory);
    if (summed && given_.output(3)) {
      apply(args, memory, args.output(3), ActivationGate{}, nullptr);
    } else {
      apply(args, memory, args.input(0), gate_, given_.output(args, 3));
    }
  }
  double flops() const override { return 8.0 * static_cast<double>(blocks_.floats()); }

 private:
  static constexpr std::int64_t kArrays = 5;  // of wide_channels() floats

  struct Memory {
    double* totals;  // [2][channels]
    float* scale;
    float* shift;
    float* mean;
    float* b;
    float* c;
    float* partial;  // [chunks][2][channels]

    Memory(const StepArgs& args, const ChannelBlocks& blocks)
        : totals(reinterpret_cast<double*>(args.workspace)) {
      const std::int64_t wide = blocks.wide_channels();
      scale = reinterpret_cast<float*>(totals + 2 * blocks.channels);
      shift = scale + wide;
      mean = shift + wide;
      b = mean + wide;
      c = b + wide;
      partial = c + wide;
    }
  };

  ActivationGate gate_at(ActivationGate gate, const StepArgs& args, const Memory& memory,
                         std::int64_t at) const {
    const float* output = given_.input(args, 5);
    gate.saved = output == nullptr ? nullptr : output + at;
    gate.scale = memory.scale;
    gate.shift = memory.shift;
    return gate;
  }

  void sum(const StepArgs& args, const Memory& memory) const {
    const std::int64_t channels = blocks_.channels;
    float* grad_residual = given_.output(args, 3);
    parallel_for(blocks_.chunks(), blocks_.work(4.0), [&](std::int64_t chunk, int thread) {
      float* sums = args.scratch_of(thread);
      float* row = memory.partial + chunk * 2 * channels;
      std::fill_n(row, 2 * channels, 0.0f);
      blocks_.for_runs(chunk, [&](std::int64_t at, PixelBlock block) {
        kernels().norm.backward_sums(args.input(0) + at, args.input(1) + at, memory.mean,
                                     gate_at(gate_, args, memory, at), block, sums,
                                     grad_residual == nullptr ? nullptr : grad_residual + at);
        for (std::int64_t k = 0; k < 2; ++k) {
          blocks_.fold_sums(sums + k * block.channels, block.channels, row + k * channels);
        }
      });
    });
    for_channel_blocks(2 * channels, blocks_.chunks(), [&](std::int64_t begin, std::int64_t end) {
      kernels().norm.sum_rows(memory.partial, blocks_.chunks(), 2 * channels, begin, end, memory.totals);
    });
    const double factor = 1.0 / static_cast<double>(blocks_.pixels);
    for (std::int64_t i = 0; i < channels; ++i) {
      const double invstd = static_cast<double>(args.input(3)[i]);
      const double scale = static_cast<double>(memory.scale[i]);
      const double slope = -scale * invstd * invstd * memory.totals[channels + i] * factor;
      memory.b[i] = static_cast<float>(slope);
      memory.c[i] = static_cast<float>(-scale * memory.totals[i] * factor -
                                       slope * static_cast<double>(memory.mean[i]));
      if (given_.output(1)) args.output(1)[i] = static_cast<float>(memory.totals[channels + i] * invstd);
      if (given_.output(2)) args.output(2)[i] = static_cast<float>(memory.totals[i]);
    }
    blocks_.repeat_values(memory.b);
    blocks_.repeat_values(memory.c);
  }

  /// Chunks in reverse, because the last ones are still in the cache.
  void apply(const StepArgs& args, const Memory& memory, const float* grad_output, const ActivationGate& gate,
             float* grad_residual) const {
    const float* slope = training_ ? memory.b : nullptr;
    parallel_for(blocks_.chunks(), blocks_.work(4.0), [&](std::int64_t task, int) {
      const std::int64_t chunk = blocks_.chunks() - 1 - task;
      blocks_.for_wide(chunk, [&](std::int64_t offset, PixelBlock block) {
        const std::int64_t at = blocks_.begin(chunk) + offset;
        kernels().norm.backward_apply(grad_output + at, args.input(1) + at, memory.scale, slope, memory.c,
                                      gate_at(gate, args, memory, at), block, args.output(0) + at,
                                      grad_residual == nullptr ? nullptr : grad_residual + at);
      });
    });
  }

  Given given_;
  ChannelBlocks blocks_;
  ActivationGate gate_;
  bool training_;
};

/// Masks a gradient by an activation and sums it over all axes but the channels, in one pass.
class ActivationBackward final : public Step {
 public:
  explicit ActivationBackward(const StepSpec& spec)
      : given_(spec), blocks_(spec.input(0)), gate_(activation_from_attrs(spec.attrs)) {
    const TensorDesc& grad_output = spec.input(0);
    require(gate_.activation == Activation::none || spec.has_input(1),
            "activation_backward: expected the activation's result or argument");
    check_input_like(spec, 1, grad_output, "output");
    check_output_like(spec, 0, grad_output, "grad_input");
    check_output(spec, 1, blocks_.channels, "grad_bias");
  }

  std::size_t workspace_bytes() const override {
    if (!given_.output(1)) return 0;
    return static_cast<std::size_t>(blocks_.channels) * sizeof(double) +
           static_cast<std::size_t>(blocks_.chunks() * blocks_.channels) * sizeof(float);
  }
  std::size_t scratch_bytes() const override {
    return given_.output(1) ? static_cast<std::size_t>(blocks_.wide_channels()) * sizeof(float) : 0;
  }

  void run(const StepArgs& args) const override {
    const std::int64_t channels = blocks_.channels;
    const float* output = given_.input(args, 1);
    float* grad_input = given_.output(args, 0);
    float* grad_bias = given_.output(args, 1);
    auto* totals = reinterpret_cast<double*>(args.workspace);
    auto* partial = reinterpret_cast<float*>(totals + channels);
    parallel_for(blocks_.chunks(), blocks_.work(3.0), [&](std::int64_t chunk, int thread) {
      float* sums = grad_bias == nullptr ? nullptr : args.scratch_of(thread);
      float* row = partial + chunk * channels;
      if (sums != nullptr) std::fill_n(row, channels, 0.0f);
      blocks_.for_runs(chunk, [&](std::int64_t at, PixelBlock block) {
        ActivationGate gate = gate_;
        gate.saved = output == nullptr ? nullptr : output + at;
        kernels().norm.gate(args.input(0) + at, gate, block,
                            grad_input == nullptr ? nullptr : grad_input + at, sums);
        if (sums != nullptr) blocks_.fold_sums(sums, block.channels, row);
      });
    });
    if (grad_bias == nullptr) return;
    for_channel_blocks(channels, blocks_.chunks(), [&](std::int64_t begin, std::int64_t end) {
      kernels().norm.sum_rows(partial, blocks_.chunks(), channels, begin, end, totals);
      for (std::int64_t c = begin; c < end; ++c) grad_bias[c] = static_cast<float>(totals[c]);
    });
  }
  double flops() const override { return static_cast<double>(blocks_.floats()); }

 private:
  Given given_;
  ChannelBlocks blocks_;
  ActivationGate gate_;
};

}  // namespace

std::unique_ptr<Step> make_batch_norm_backward(const StepSpec& spec) {
  return std::make_unique<BatchNormBackward>(spec);
}

std::unique_ptr<Step> make_activation_backward(const StepSpec& spec) {
  return std::make_unique<ActivationBackward>(spec);
}

}  // namespace cnncore
