// SPDX-License-Identifier: Apache-2.0
// Batch normalisation. Statistics travel as rows of (count, mean, sum of squared deviations), one row a
// chunk of pixels, written either by batch_norm_statistics or by the convolution before; merging them
// (Chan, Golub and LeVeque 1979) loses nothing to cancellation.
#include "ops/norm.h"

#include <array>
#include <cmath>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/pixel_pitch.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

float value_or(const float* values, std::int64_t i, float fallback) {
  return values == nullptr ? fallback : values[i];
}

class BatchNormStatistics final : public Step {
 public:
  explicit BatchNormStatistics(const StepSpec& spec) : blocks_(spec.input(0)) {
    check_in_order(spec.output(0), 3, spec.op + ": statistics");
    check_shape(spec.output(0), {blocks_.chunks(), 3, blocks_.channels}, spec.op + ": statistics");
  }

  void run(const StepArgs& args) const override {
    parallel_for(blocks_.chunks(), blocks_.work(3.0), [&](std::int64_t chunk, int) {
      kernels().norm.statistics(args.input(0) + blocks_.begin(chunk), blocks_.block(chunk),
                                args.output(0) + chunk * 3 * blocks_.channels);
    });
  }
  double flops() const override { return 4.0 * static_cast<double>(blocks_.floats()); }

 private:
  ChannelBlocks blocks_;
};

class BatchNormFinalize final : public Step {
 public:
  explicit BatchNormFinalize(const StepSpec& spec)
      : given_(spec), momentum_(spec.attrs.real("momentum", 0.1)), eps_(spec.attrs.real("eps", 1e-5)) {
    const TensorDesc& statistics = spec.input(0);
    check_in_order(statistics, 3, spec.op + ": statistics");
    require(statistics.dim(1) == 3, spec.op, ": expected statistics (rows, 3, channels), got ",
            statistics.shape_text());
    rows_ = statistics.dim(0);
    channels_ = statistics.dim(2);
    check_input(spec, 1, channels_, "running_mean");
    check_input(spec, 2, channels_, "running_var");
    check_output(spec, 0, channels_, "mean");
    check_output(spec, 1, channels_, "invstd");
    check_output(spec, 2, channels_, "new_running_mean");
    check_output(spec, 3, channels_, "new_running_var");
    require(spec.has_input(1) == spec.has_output(2) && spec.has_input(2) == spec.has_output(3),
            "batch_norm_finalize: expected each running statistic both as input and as output");
  }

  std::size_t workspace_bytes() const override {
    return 2 * static_cast<std::size_t>(channels_) * sizeof(double);
  }

  void run(const StepArgs& args) const override {
    auto* mean = reinterpret_cast<double*>(args.workspace);
    double* squares = mean + channels_;
    const float* statistics = args.input(0);
    double count = 0.0;
    for (std::int64_t row = 0; row < rows_; ++row) {
      count += static_cast<double>(statistics[row * 3 * channels_]);
    }
    for_channel_blocks(channels_, rows_ + 8, [&](std::int64_t begin, std::int64_t end) {
      kernels().norm.merge_statistics(statistics, rows_, channels_, begin, end, mean, squares);
      for (std::int64_t c = begin; c < end; ++c) args.output(0)[c] = static_cast<float>(mean[c]);
      kernels().norm.inverse_deviation(squares + begin, count, eps_, end - begin, args.output(1) + begin);
      update_running(given_.input(args, 1), given_.output(args, 2), mean, 1.0, begin, end);
      update_running(given_.input(args, 2), given_.output(args, 3), squares, 1.0 / (count - 1.0), begin, end);
    });
  }

 private:
  void update_running(const float* from, float* to, const double* batch, double factor, std::int64_t begin,
                      std::int64_t end) const {
    if (to == nullptr) return;
    for (std::int64_t c = begin; c < end; ++c) {
      to[c] = static_cast<float>((1.0 - momentum_) * static_cast<double>(from[c]) +
                                 momentum_ * factor * batch[c]);
    }
  }

  Given given_;
  double momentum_;
  double eps_;
  std::int64_t rows_ = 0;
  std::int64_t channels_ = 0;
};

/// [statistics, active] -> [one row (1, 3, channels) of all of them], which counts nothing where active is 0.
class BatchNormMerge final : public Step {
 public:
  explicit BatchNormMerge(const StepSpec& spec) {
    check_in_order(spec.input(0), 3, spec.op + ": statistics");
    check_vector(spec.input(1), 1, spec.op + ": active");
    rows_ = spec.input(0).dim(0);
    channels_ = spec.input(0).dim(2);
    check_shape(spec.input(0), {rows_, 3, channels_}, spec.op + ": statistics");
    check_in_order(spec.output(0), 3, spec.op + ": merged");
    check_shape(spec.output(0), {1, 3, channels_}, spec.op + ": merged");
  }

  std::size_t workspace_bytes() const override {
    return 2 * static_cast<std::size_t>(channels_) * sizeof(double);
  }

  void run(const StepArgs& args) const override {
    auto* mean = reinterpret_cast<double*>(args.workspace);
    double* squares = mean + channels_;
    const float* statistics = args.input(0);
    const double active = static_cast<double>(*args.input(1));
    double count = 0.0;
    for (std::int64_t row = 0; row < rows_; ++row)
      count += static_cast<double>(statistics[row * 3 * channels_]);
    float* merged = args.output(0);
    for_channel_blocks(channels_, rows_ + 8, [&](std::int64_t begin, std::int64_t end) {
      kernels().norm.merge_statistics(statistics, rows_, channels_, begin, end, mean, squares);
      for (std::int64_t c = begin; c < end; ++c) {
        merged[c] = static_cast<float>(active * count);
        merged[channels_ + c] = static_cast<float>(mean[c]);
        merged[2 * channels_ + c] = static_cast<float>(active * squares[c]);
      }
    });
  }

 private:
  std::int64_t rows_ = 0;
  std::int64_t channels_ = 0;
};

class BatchNormInvstd final : public Step {
 public:
  explicit BatchNormInvstd(const StepSpec& spec)
      : eps_(spec.attrs.real("eps", 1e-5)), channels_(spec.input(0).numel()) {
    check_input(spec, 0, channels_, "running_var");
    check_output(spec, 0, channels_, "invstd");
  }
  void run(const StepArgs& args) const override {
    for (std::int64_t c = 0; c < channels_; ++c) {
      args.output(0)[c] = static_cast<float>(1.0 / std::sqrt(static_cast<double>(args.input(0)[c]) + eps_));
    }
  }

 private:
  double eps_;
  std::int64_t channels_;
};

/// A tensor of these extents without gaps between its pixels.
TensorDesc without_gaps(const TensorDesc& desc) {
  return pixel_pitch(desc) > desc.dim(1) ? dense_desc(desc.dtype, desc.shape.data(), desc.rank, true) : desc;
}

class BatchNormApply final : public Step {
 public:
  explicit BatchNormApply(const StepSpec& spec)
      : given_(spec), blocks_(without_gaps(spec.input(0))), gate_(activation_from_attrs(spec.attrs)) {
    const TensorDesc &input = spec.input(0), &output = spec.output(0);
    const TensorDesc x = without_gaps(input);
    static constexpr std::array<const char*, 5> kNames = {"x", "mean", "invstd", "weight", "bias"};
    for (std::size_t i = 1; i < kNames.size(); ++i) check_input(spec, i, blocks_.channels, kNames[i]);
    require(spec.has_input(1) && spec.has_input(2), "batch_norm_apply: expected mean and invstd");
    check_input_like(spec, 5, x, "residual");
    check_float(output, spec.op + ": output");
    require(output.same_shape(x), spec.op, ": expected output like x ", x.shape_text(), ", got ",
            output.shape_text());
    if (input.same_layout(x) && output.same_layout(x)) return;
    input_pitch_ = pixel_pitch(input);
    output_pitch_ = pixel_pitch(output);
    require(output_pitch_ > 0, "batch_norm_apply: expected channels-last output, got ", output.shape_text());
  }

  std::size_t workspace_bytes() const override {
    return 2 * static_cast<std::size_t>(blocks_.wide_channels()) * sizeof(float);
  }

  void run(const StepArgs& args) const override {
    auto* scale = reinterpret_cast<float*>(args.workspace);
    float* shift = scale + blocks_.wide_channels();
    fill_scale_and_shift(blocks_, args.input(1), args.input(2), given_.input(args, 3), given_.input(args, 4),
                         scale, shift);
    const float* residual = given_.input(args, 5);
    const auto apply = [&](const float* x, std::int64_t x_pitch, std::int64_t at, PixelBlock block,
                           float* output, std::int64_t pitch) {
      kernels().norm.apply(x, x_pitch, scale, shift, residual == nullptr ? nullptr : residual + at, block,
                           gate_.activation, gate_.alpha, output, pitch);
    };
    parallel_for(blocks_.chunks(), blocks_.work(2.0), [&](std::int64_t chunk, int) {
      const std::int64_t begin = blocks_.begin(chunk), pixel = begin / blocks_.channels;
      if (output_pitch_ > 0) {
        return apply(args.input(0) + pixel * input_pitch_, input_pitch_, begin, blocks_.block(chunk),
                     args.output(0) + pixel * output_pitch_, output_pitch_);
      }
      blocks_.for_wide(chunk, [&](std::int64_t offset, PixelBlock block) {
        const std::int64_t at = begin + offset;
        apply(args.input(0) + at, block.channels, at, block, args.output(0) + at, block.channels);
      });
    });
  }
  double flops() const override { return 2.0 * static_cast<double>(blocks_.floats()); }

 private:
  Given given_;
  ChannelBlocks blocks_;
  ActivationGate gate_;
  // Of an input or output that is some of the channels of a wider tensor, and then of both; else 0.
  std::int64_t input_pitch_ = 0;
  std::int64_t output_pitch_ = 0;
};

template <class StepType>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<StepType>(spec);
}

}  // namespace

void fill_scale_and_shift(const ChannelBlocks& blocks, const float* mean, const float* invstd,
                          const float* weight, const float* bias, float* scale, float* shift) {
  for (std::int64_t c = 0; c < blocks.channels; ++c) {
    scale[c] = invstd[c] * value_or(weight, c, 1.0f);
    shift[c] = value_or(bias, c, 0.0f) - mean[c] * scale[c];
  }
  blocks.repeat_values(scale);
  blocks.repeat_values(shift);
}

std::int64_t statistics_rows(const std::vector<std::int64_t>& shape) {
  return ChannelBlocks(dense_desc(DType::f32, shape.data(), static_cast<int>(shape.size()), true)).chunks();
}

void register_norm(StepRegistry& registry) {
  registry.add("batch_norm_statistics", make<BatchNormStatistics>);
  registry.add("batch_norm_finalize", make<BatchNormFinalize>);
  registry.add("batch_norm_merge", make<BatchNormMerge>);
  registry.add("batch_norm_invstd", make<BatchNormInvstd>);
  registry.add("batch_norm_apply", make<BatchNormApply>);
  registry.add("batch_norm_backward", make_batch_norm_backward);
  registry.add("activation_backward", make_activation_backward);
}

}  // namespace cnncore
