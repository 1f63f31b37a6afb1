// SPDX-License-Identifier: Apache-2.0
// Columns of deformable convolution (Dai et al., 2017; Zhu et al., 2019): what each tap of a kernel meets
// where offsets move it, times a factor.
//
// deform_columns [input (N, C, H, W), offset (N, 2 * offset groups * taps, H', W'), mask (N, offset groups *
// taps, H', W') or none] -> [columns (N, C * taps, H', W')]
// deform_columns_backward_input [grad_columns, offset, mask or none] -> [grad_input]
// deform_columns_backward_offset [grad_columns, offset, mask or none, input] -> [grad_offset, grad_mask if
// there is a mask]
//   attributes kernel, stride, padding, dilation (height and width); groups, into which a column's channels
//   are cut before its taps; offset_groups. All tensors are channels-last.
#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "core/sizes.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/registry.h"
#include "ops/scatter_tasks.h"

namespace cnncore {
namespace {

constexpr std::int64_t kChunk = 64;  // pixels whose places for one tap are computed together

struct Pair {
  std::int64_t height, width;
};

Pair pair_of(const StepSpec& spec, const char* name, std::int64_t least) {
  const auto& values = spec.attrs.integers(name);
  require(values.size() == 2 && values[0] >= least && values[1] >= least && values[0] <= kLargestSetting &&
              values[1] <= kLargestSetting,
          spec.op, ": expected two of ", name, " of at least ", least);
  return {values[0], values[1]};
}

/// Channels of an image that share offsets and a group of the convolution.
struct Segment {
  std::int64_t channel, channels;
  std::int64_t column;  // their place among a pixel's columns at the first tap
  std::int64_t step;    // and from tap to tap
};

class DeformStep : public Step {
 public:
  DeformStep(const StepSpec& spec, const TensorDesc& image, const TensorDesc& columns)
      : kernel_(pair_of(spec, "kernel", 1)),
        stride_(pair_of(spec, "stride", 1)),
        padding_(pair_of(spec, "padding", 0)),
        dilation_(pair_of(spec, "dilation", 1)),
        groups_(spec.attrs.integer("groups")),
        offset_groups_(spec.attrs.integer("offset_groups")),
        masked_(spec.has_input(2)) {
    check_activation(image, spec.op + ": image");
    check_activation(columns, spec.op + ": columns");
    require(image.rank == 4 && columns.rank == 4, spec.op, ": expected images (N, C, H, W)");
    images_ = image.dim(0);
    channels_ = image.dim(1);
    height_ = image.dim(2);
    width_ = image.dim(3);
    rows_ = columns.dim(2);
    row_pixels_ = columns.dim(3);
    taps_ = kernel_.height * kernel_.width;
    require(
        groups_ >= 1 && offset_groups_ >= 1 && channels_ % groups_ == 0 && channels_ % offset_groups_ == 0,
        spec.op, ": expected channels that divide by the groups");
    check_shape(columns, {images_, channels_ * taps_, rows_, row_pixels_}, spec.op + ": columns");
    check_moves(spec, spec.input(1), 2, "offset");
    if (masked_) check_moves(spec, spec.input(2), 1, "mask");
    chunks_ = ceil_div(pixels(), kChunk);
  }

  std::size_t scratch_bytes() const override { return 10 * kChunk * sizeof(float); }
  double flops() const override { return 8.0 * static_cast<double>(images_ * pixels() * taps_ * channels_); }

 protected:
  std::int64_t pixels() const { return rows_ * row_pixels_; }
  std::int64_t image_floats() const { return height_ * width_ * channels_; }
  std::int64_t chunk_pixels(std::int64_t chunk) const { return std::min(kChunk, pixels() - chunk * kChunk); }
  double work() const {
    const double vectors = std::ceil(static_cast<double>(channels_) / kernels().width);
    return static_cast<double>(images_ * pixels() * taps_) * (10.0 + 8.0 * vectors);
  }

  /// A chunk's places for one tap of an offset group: rows, columns and factors, kChunk of each.
  void place(const StepArgs& args, std::int64_t image, std::int64_t chunk, std::int64_t group,
             std::int64_t tap, float* places) const {
    const std::int64_t first = image * pixels() + chunk * kChunk, number = group * taps_ + tap;
    const std::int64_t moves = offset_groups_ * taps_;
    const float* offset = args.input(1) + first * 2 * moves + 2 * number;
    const float* mask = masked_ ? args.input(2) + first * moves + number : nullptr;
    const std::int64_t down = tap / kernel_.width * dilation_.height - padding_.height;
    const std::int64_t across = tap % kernel_.width * dilation_.width - padding_.width;
    for (std::int64_t i = 0; i < chunk_pixels(chunk); ++i) {
      const std::int64_t pixel = chunk * kChunk + i;
      const std::int64_t y = pixel / row_pixels_ * stride_.height + down;
      const std::int64_t x = pixel % row_pixels_ * stride_.width + across;
      places[i] = reachable(static_cast<float>(y) + offset[2 * i * moves], height_);
      places[kChunk + i] = reachable(static_cast<float>(x) + offset[2 * i * moves + 1], width_);
      if (masked_) places[2 * kChunk + i] = mask[i * moves];
    }
  }

  SampleRun run_of(std::int64_t chunk, const float* places, std::int64_t channels) const {
    SampleRun run;
    run.extent[1] = height_;
    run.extent[2] = width_;
    run.place[1] = places;
    run.place[2] = places + kChunk;
    run.pixels = chunk_pixels(chunk);
    run.pitch = channels_;
    run.sample_pitch = channels_ * taps_;
    run.channels = channels;
    run.factor = masked_ ? places + 2 * kChunk : nullptr;
    return run;
  }

  /// Calls body(segment) for the channels of an offset group from `begin` to `end` - 1.
  template <class Body>
  void for_segments(std::int64_t offset_group, std::int64_t begin, std::int64_t end, const Body& body) const {
    const std::int64_t shared = channels_ / offset_groups_, together = channels_ / groups_;
    std::int64_t channel = std::max(begin, offset_group * shared);
    const std::int64_t last = std::min(end, (offset_group + 1) * shared);
    while (channel < last) {
      const std::int64_t group = channel / together, stop = std::min(last, (group + 1) * together);
      body(Segment{channel, stop - channel, group * together * taps_ + channel % together, together});
      channel = stop;
    }
  }

  Pair kernel_, stride_, padding_, dilation_;
  std::int64_t groups_, offset_groups_;
  bool masked_;
  std::int64_t images_ = 0, channels_ = 0, height_ = 0, width_ = 0;
  std::int64_t rows_ = 0, row_pixels_ = 0;  // of the columns' image
  std::int64_t taps_ = 1;
  std::int64_t chunks_ = 0;  // of an image

 private:
  /// Nothing is read beyond; NaN is outside.
  static float reachable(float place, std::int64_t extent) {
    const float raised = place > -3.0f ? place : -3.0f;
    return std::min(raised, static_cast<float>(extent) + 2.0f);
  }

  void check_moves(const StepSpec& spec, const TensorDesc& desc, std::int64_t each, const char* name) const {
    check_activation(desc, spec.op + ": " + name);
    check_shape(desc, {images_, each * offset_groups_ * taps_, rows_, row_pixels_}, spec.op + ": " + name);
  }
};

class DeformColumns final : public DeformStep {
 public:
  explicit DeformColumns(const StepSpec& spec) : DeformStep(spec, spec.input(0), spec.output(0)) {}

  void run(const StepArgs& args) const override {
    parallel_for(images_ * chunks_, work(), [&](std::int64_t task, int thread) {
      const std::int64_t image = task / chunks_, chunk = task % chunks_;
      float* places = args.scratch_of(thread);
      const float* source = args.input(0) + image * image_floats();
      float* columns = args.output(0) + (image * pixels() + chunk * kChunk) * channels_ * taps_;
      for (std::int64_t group = 0; group < offset_groups_; ++group) {
        for (std::int64_t tap = 0; tap < taps_; ++tap) {
          place(args, image, chunk, group, tap, places);
          for_segments(group, 0, channels_, [&](const Segment& s) {
            kernels().sample.sample(run_of(chunk, places, s.channels), source + s.channel,
                                    columns + s.column + tap * s.step);
          });
        }
      }
    });
  }
};

/// Sums in grad_input are made in the order of chunks, offset groups, taps and pixels, whoever makes them.
class DeformInputGradient final : public DeformStep {
 public:
  explicit DeformInputGradient(const StepSpec& spec)
      : DeformStep(spec, spec.output(0), spec.input(0)), tasks_(images_, channels_, height_) {}

  void run(const StepArgs& args) const override {
    parallel_for(tasks_.count(), work(), [&](std::int64_t number, int thread) {
      const ScatterTask task = tasks_.task(number);
      float* image = args.output(0) + task.image * image_floats();
      task.clear(image + task.channel, width_, channels_);
      for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) {
        add_chunk(args, task, chunk, args.scratch_of(thread), image);
      }
    });
  }

 private:
  void add_chunk(const StepArgs& args, const ScatterTask& task, std::int64_t chunk, float* places,
                 float* image) const {
    const float* grad = args.input(0) + (task.image * pixels() + chunk * kChunk) * channels_ * taps_;
    const std::int64_t end = task.channel + task.channels, shared = channels_ / offset_groups_;
    for (std::int64_t group = task.channel / shared; group * shared < end; ++group) {
      for (std::int64_t tap = 0; tap < taps_; ++tap) {
        place(args, task.image, chunk, group, tap, places);
        const auto [least, most] = std::minmax_element(places, places + chunk_pixels(chunk));
        const RowRange rows = {static_cast<std::int64_t>(std::floor(*least)),
                               static_cast<std::int64_t>(std::floor(*most)) + 2};
        if (!task.rows.meets(rows)) continue;
        for_segments(group, task.channel, end, [&](const Segment& s) {
          kernels().sample.add(run_of(chunk, places, s.channels), grad + s.column + tap * s.step,
                               image + s.channel, task.rows.begin, task.rows.end);
        });
      }
    }
  }

  ScatterTasks tasks_;
};

class DeformOffsetGradient final : public DeformStep {
 public:
  explicit DeformOffsetGradient(const StepSpec& spec) : DeformStep(spec, spec.input(3), spec.input(0)) {
    check_output_like(spec, 0, spec.input(1), "grad_offset");
    if (masked_) check_output_like(spec, 1, spec.input(2), "grad_mask");
  }

  void run(const StepArgs& args) const override {
    parallel_for(images_ * chunks_, work(), [&](std::int64_t task, int thread) {
      for (std::int64_t group = 0; group < offset_groups_; ++group) {
        for (std::int64_t tap = 0; tap < taps_; ++tap) {
          tap_gradient(args, task / chunks_, task % chunks_, group, tap, args.scratch_of(thread));
        }
      }
    });
  }

 private:
  void tap_gradient(const StepArgs& args, std::int64_t image, std::int64_t chunk, std::int64_t group,
                    std::int64_t tap, float* places) const {
    float *sums = places + 3 * kChunk, *values = places + 6 * kChunk, *total = places + 7 * kChunk;
    const std::int64_t first = image * pixels() + chunk * kChunk, count = chunk_pixels(chunk);
    place(args, image, chunk, group, tap, places);
    std::fill_n(total, 3 * kChunk, 0.0f);
    for_segments(group, 0, channels_, [&](const Segment& s) {
      kernels().sample.slopes(
          run_of(chunk, places, s.channels), args.input(3) + image * image_floats() + s.channel,
          args.input(0) + first * channels_ * taps_ + s.column + tap * s.step, sums, values);
      for (std::int64_t i = 0; i < count; ++i) {
        total[3 * i] += sums[3 * i + 1];
        total[3 * i + 1] += sums[3 * i];
        total[3 * i + 2] += values[i];
      }
    });
    const std::int64_t moves = offset_groups_ * taps_, number = group * taps_ + tap;
    float* grad = args.output(0) + first * 2 * moves + 2 * number;
    for (std::int64_t i = 0; i < count; ++i) {
      const float factor = masked_ ? places[2 * kChunk + i] : 1.0f;
      grad[2 * i * moves] = total[3 * i] * factor;
      grad[2 * i * moves + 1] = total[3 * i + 1] * factor;
      if (masked_) args.output(1)[(first + i) * moves + number] = total[3 * i + 2];
    }
  }
};

template <class T>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<T>(spec);
}

}  // namespace

void register_deform(StepRegistry& registry) {
  registry.add("deform_columns", make<DeformColumns>);
  registry.add("deform_columns_backward_input", make<DeformInputGradient>);
  registry.add("deform_columns_backward_offset", make<DeformOffsetGradient>);
}

}  // namespace cnncore
