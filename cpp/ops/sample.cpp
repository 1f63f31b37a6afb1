// SPDX-License-Identifier: Apache-2.0
// Samples of images at the places that a grid tells.
//
// grid_sample [input (N, C, spatial...) channels-last, grid (N, out..., axes) in C order, places from -1 to 1
// with width first] -> [output (N, C, out...) channels-last]
// grid_sample_backward_input [grad_output, grid] -> [grad_input]
// grid_sample_backward_grid [grad_output, grid, input] -> [grad_grid]
//   attributes mode (nearest, linear, cubic), padding (zeros, border, reflection), align_corners (0/1).
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

constexpr std::int64_t kChunk = 128;  // pixels whose places are in the first cache

SampleRule rule_of(const StepSpec& spec, int axes) {
  const std::string mode = spec.attrs.text("mode"), padding = spec.attrs.text("padding");
  require(mode == "nearest" || mode == "linear" || (mode == "cubic" && axes == 2), spec.op,
          ": unknown mode '", mode, "' for ", axes, " axes");
  require(padding == "zeros" || padding == "border" || padding == "reflection", spec.op,
          ": unknown padding '", padding, "'");
  SampleRule rule;
  rule.mode = mode == "nearest"  ? SampleMode::nearest
              : mode == "linear" ? SampleMode::linear
                                 : SampleMode::cubic;
  rule.padding = padding == "zeros"    ? SamplePadding::zeros
                 : padding == "border" ? SamplePadding::border
                                       : SamplePadding::reflection;
  rule.align_corners = spec.attrs.integer("align_corners") != 0;
  return rule;
}

class GridSampleStep : public Step {
 public:
  GridSampleStep(const StepSpec& spec, const TensorDesc& output, const TensorDesc& input) {
    const TensorDesc& grid = spec.input(1);
    check_activation(input, spec.op + ": input");
    check_activation(output, spec.op + ": output");
    check_float(grid, spec.op + ": grid");
    axes_ = input.rank - 2;
    require((axes_ == 2 || axes_ == 3) && grid.rank == input.rank && output.rank == input.rank &&
                grid.is_contiguous() && grid.dim(grid.rank - 1) == axes_ && grid.dim(0) == input.dim(0) &&
                output.dim(0) == input.dim(0) && output.dim(1) == input.dim(1),
            spec.op, ": expected a grid of places for each image, got input ", input.shape_text(), ", grid ",
            grid.shape_text(), " and output ", output.shape_text());
    pixels_ = 1;
    for (int axis = 1; axis <= axes_; ++axis) {
      require(grid.dim(axis) == output.dim(axis + 1), spec.op, ": expected a place for each pixel");
      pixels_ *= grid.dim(axis);
      extent_[axis + 2 - axes_] = input.dim(axis + 1);
    }
    for (const std::int64_t extent : extent_) {
      require(extent >= 1 && extent <= kLargestSetting, spec.op, ": expected extents from 1 to ",
              kLargestSetting, ", got input ", input.shape_text());
    }
    images_ = input.dim(0);
    channels_ = input.dim(1);
    rule_ = rule_of(spec, axes_);
    chunks_ = ceil_div(pixels_, kChunk);
  }

 protected:
  std::int64_t image_floats() const { return extent_[0] * extent_[1] * extent_[2] * channels_; }
  std::int64_t chunk_pixels(std::int64_t chunk) const { return std::min(kChunk, pixels_ - chunk * kChunk); }
  int first_axis() const { return 3 - axes_; }

  /// What the places of a chunk, at `places` (kChunk for each axis), are sampled from.
  SampleRun run_of(std::int64_t chunk, const float* places) const {
    SampleRun run;
    std::copy_n(extent_, 3, run.extent);
    for (int axis = first_axis(); axis < 3; ++axis) run.place[axis] = places + axis * kChunk;
    run.pixels = chunk_pixels(chunk);
    run.pitch = run.sample_pitch = run.channels = channels_;
    run.rule = rule_;
    return run;
  }

  void place_chunk(const float* grid, std::int64_t image, std::int64_t chunk, float* places,
                   float* slopes) const {
    PlaceRun run;
    run.step = axes_;
    run.count = chunk_pixels(chunk);
    run.rule = rule_;
    for (int axis = first_axis(); axis < 3; ++axis) {
      run.grid = grid + (image * pixels_ + chunk * kChunk) * axes_ + (2 - axis);
      run.extent = extent_[axis];
      float* slope = slopes == nullptr ? nullptr : slopes + axis * kChunk;
      kernels().sample.places(run, places + axis * kChunk, slope);
    }
  }

  /// Calls body(image, chunk, thread) for all chunks of all images; a task is several.
  template <class Body>
  void for_chunks(double cost, const Body& body) const {
    const std::int64_t all = images_ * chunks_, group = items_in_task(kChunk * (channels_ + 16));
    parallel_for(ceil_div(all, group), work(cost), [&](std::int64_t task, int thread) {
      const std::int64_t end = std::min(all, (task + 1) * group);
      for (std::int64_t i = task * group; i < end; ++i) body(i / chunks_, i % chunks_, thread);
    });
  }

  double work(double cost) const {
    const double taps = rule_.mode == SampleMode::nearest ? 1.0
                        : rule_.mode == SampleMode::cubic ? 16.0
                                                          : 8.0;
    const double vectors = std::ceil(static_cast<double>(channels_) / kernels().width);
    return static_cast<double>(images_ * pixels_) * (8.0 + cost * taps * vectors);
  }

  int axes_ = 2;
  std::int64_t extent_[3] = {1, 1, 1};
  std::int64_t images_ = 0;
  std::int64_t channels_ = 0;
  std::int64_t pixels_ = 0;  // of a sampled image
  std::int64_t chunks_ = 0;  // of an image
  SampleRule rule_;
};

class GridSample final : public GridSampleStep {
 public:
  explicit GridSample(const StepSpec& spec) : GridSampleStep(spec, spec.output(0), spec.input(0)) {}

  std::size_t scratch_bytes() const override { return 3 * kChunk * sizeof(float); }

  void run(const StepArgs& args) const override {
    for_chunks(1.0, [&](std::int64_t image, std::int64_t chunk, int thread) {
      auto* places = args.scratch_of(thread);
      place_chunk(args.input(1), image, chunk, places, nullptr);
      kernels().sample.sample(run_of(chunk, places), args.input(0) + image * image_floats(),
                              args.output(0) + (image * pixels_ + chunk * kChunk) * channels_);
    });
  }
  double flops() const override { return 2.0 * work(1.0) * kernels().width; }
};

/// Sums in grad_input are made in the order of the samples, whoever makes them.
class GridSampleInputGradient final : public GridSampleStep {
 public:
  explicit GridSampleInputGradient(const StepSpec& spec)
      : GridSampleStep(spec, spec.input(0), spec.output(0)),
        tasks_(images_, channels_, extent_[0] * extent_[1]) {}

  /// The places of all samples, and of each chunk the rows that it reads.
  std::size_t workspace_bytes() const override {
    return static_cast<std::size_t>(images_ * chunks_) * (sizeof(RowRange) + 3 * kChunk * sizeof(float));
  }

  void run(const StepArgs& args) const override {
    auto* places = reinterpret_cast<float*>(args.workspace);
    auto* ranges = reinterpret_cast<RowRange*>(places + images_ * chunks_ * 3 * kChunk);
    for_chunks(0.0, [&](std::int64_t image, std::int64_t chunk, int) {
      const std::int64_t number = image * chunks_ + chunk;
      float* own = places + number * 3 * kChunk;
      place_chunk(args.input(1), image, chunk, own, nullptr);
      ranges[number] = rows_of(chunk, own);
    });
    parallel_for(tasks_.count(), work(1.0), [&](std::int64_t number, int) {
      const ScatterTask task = tasks_.task(number);
      const std::int64_t first = task.image * chunks_;
      add_samples(args, task, places + first * 3 * kChunk, ranges + first);
    });
  }
  double flops() const override { return 2.0 * work(1.0) * kernels().width; }

 private:
  void add_samples(const StepArgs& args, const ScatterTask& task, const float* places,
                   const RowRange* ranges) const {
    float* image = args.output(0) + task.image * image_floats() + task.channel;
    task.clear(image, extent_[2], channels_);
    for (std::int64_t chunk = 0; chunk < chunks_; ++chunk) {
      if (!task.rows.meets(ranges[chunk])) continue;
      SampleRun run = run_of(chunk, places + chunk * 3 * kChunk);
      run.channels = task.channels;
      const float* grad = args.input(0) + (task.image * pixels_ + chunk * kChunk) * channels_ + task.channel;
      kernels().sample.add(run, grad, image, task.rows.begin, task.rows.end);
    }
  }

  RowRange rows_of(std::int64_t chunk, const float* places) const {
    if (rule_.mode == SampleMode::cubic && rule_.padding == SamplePadding::reflection) return {0, extent_[1]};
    const std::int64_t reach =
        rule_.mode == SampleMode::cubic ? 1 : 0;  // of taps beyond the two next to a place
    RowRange rows;
    for (int axis = first_axis(); axis < 2; ++axis) {
      const float* place = places + axis * kChunk;
      const auto [least, most] = std::minmax_element(place, place + chunk_pixels(chunk));
      const std::int64_t extent = extent_[axis];
      const auto inside = [extent](std::int64_t i) { return std::clamp<std::int64_t>(i, 0, extent - 1); };
      const std::int64_t low = inside(static_cast<std::int64_t>(std::floor(*least)) - reach);
      const std::int64_t high = inside(static_cast<std::int64_t>(std::floor(*most)) + 1 + reach);
      const std::int64_t last = axis == first_axis() ? 0 : rows.end - 1;
      rows = {rows.begin * extent + low, last * extent + high + 1};
    }
    return rows;
  }

  ScatterTasks tasks_;
};

class GridSampleGridGradient final : public GridSampleStep {
 public:
  explicit GridSampleGridGradient(const StepSpec& spec) : GridSampleStep(spec, spec.input(0), spec.input(2)) {
    check_like(spec.output(0), spec.input(1), spec.op + ": grad_grid");
  }

  /// Places, their derivatives, three sums a pixel.
  std::size_t scratch_bytes() const override { return 9 * kChunk * sizeof(float); }

  void run(const StepArgs& args) const override {
    for_chunks(3.0, [&](std::int64_t image, std::int64_t chunk, int thread) {
      float* places = args.scratch_of(thread);
      float* slopes = places + 3 * kChunk;
      float* sums = slopes + 3 * kChunk;
      place_chunk(args.input(1), image, chunk, places, slopes);
      const std::int64_t first = image * pixels_ + chunk * kChunk;
      kernels().sample.slopes(run_of(chunk, places), args.input(2) + image * image_floats(),
                              args.input(0) + first * channels_, sums, nullptr);
      float* grad = args.output(0) + first * axes_;
      for (std::int64_t i = 0; i < chunk_pixels(chunk); ++i) {
        for (int k = 0; k < axes_; ++k) grad[i * axes_ + k] = sums[3 * i + k] * slopes[(2 - k) * kChunk + i];
      }
    });
  }
  double flops() const override { return 2.0 * work(3.0) * kernels().width; }
};

template <class T>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<T>(spec);
}

}  // namespace

void register_sample(StepRegistry& registry) {
  registry.add("grid_sample", make<GridSample>);
  registry.add("grid_sample_backward_input", make<GridSampleInputGradient>);
  registry.add("grid_sample_backward_grid", make<GridSampleGridGradient>);
}

}  // namespace cnncore
