// SPDX-License-Identifier: Apache-2.0
// The largest values of regions' bins (Girshick, 2015).
//
// roi_pool [input (N, C, H, W), rois (K, 5)] -> [bins (K, C, bins down, bins across), int32 pixels of the
// same shape: where they are from, -1 of empty bins] roi_pool_backward [grad_bins, rois, pixels] ->
// [grad_input]
//   attribute scale (of the first).
#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/registry.h"
#include "ops/roi_bins.h"
#include "ops/scatter_tasks.h"

namespace cnncore {
namespace {

void check_pixels(const StepSpec& spec, const TensorDesc& pixels, const TensorDesc& bins) {
  require(pixels.dtype == DType::i32 && pixels.same_layout(bins), spec.op,
          ": expected int32 pixels of the bins' layout");
}

class RoiPool final : public Step {
 public:
  explicit RoiPool(const StepSpec& spec)
      : shapes_(spec, spec.input(0), spec.input(1), spec.output(0), false),
        scale_(static_cast<float>(spec.attrs.real("scale"))) {
    check_pixels(spec, spec.output(1), spec.output(0));
  }

  void run(const StepArgs& args) const override {
    const double work = static_cast<double>(shapes_.regions * shapes_.bin_floats()) / kernels().width * 16.0;
    parallel_for(shapes_.regions, work, [&](std::int64_t region, int) {
      const float* roi = args.input(1) + 5 * region;
      const float* image = args.input(0) + shapes_.image_of(roi) * shapes_.image_floats();
      std::int64_t at = region * shapes_.bin_floats();
      for (std::int64_t row = 0; row < shapes_.down; ++row) {
        const BinSpan y = pooled_span(roi[2], roi[4], scale_, row, shapes_.down, shapes_.height);
        for (std::int64_t column = 0; column < shapes_.across; ++column, at += shapes_.channels) {
          const BinSpan x = pooled_span(roi[1], roi[3], scale_, column, shapes_.across, shapes_.width);
          kernels().boxes.largest(image, shapes_.width, shapes_.channels, {y.begin, y.end, x.begin, x.end},
                                  shapes_.channels, args.output(0) + at, args.output<std::int32_t>(1) + at);
        }
      }
    });
  }

 private:
  RoiShapes shapes_;
  float scale_;
};

/// Sums in grad_input are made in the order of regions and bins, whoever makes them.
class RoiPoolBackward final : public Step {
 public:
  explicit RoiPoolBackward(const StepSpec& spec)
      : shapes_(spec, spec.output(0), spec.input(1), spec.input(0), false),
        tasks_(shapes_.images, shapes_.channels, shapes_.height) {
    check_pixels(spec, spec.input(2), spec.input(0));
  }

  void run(const StepArgs& args) const override {
    const double work = static_cast<double>(shapes_.regions * shapes_.bin_floats()) * 2.0;
    parallel_for(tasks_.count(), work, [&](std::int64_t number, int) {
      const ScatterTask task = tasks_.task(number);
      float* image = args.output(0) + task.image * shapes_.image_floats() + task.channel;
      task.clear(image, shapes_.width, shapes_.channels);
      for (std::int64_t region = 0; region < shapes_.regions; ++region) {
        if (shapes_.image_of(args.input(1) + 5 * region) == task.image) add_region(args, task, region, image);
      }
    });
  }

 private:
  void add_region(const StepArgs& args, const ScatterTask& task, std::int64_t region, float* image) const {
    const std::int64_t first = task.rows.begin * shapes_.width, end = task.rows.end * shapes_.width;
    for (std::int64_t bin = 0; bin < shapes_.down * shapes_.across; ++bin) {
      const std::int64_t at = region * shapes_.bin_floats() + bin * shapes_.channels + task.channel;
      const float* grad = args.input(0) + at;
      const auto* pixels = args.input<std::int32_t>(2) + at;
      for (std::int64_t c = 0; c < task.channels; ++c) {
        if (pixels[c] >= first && pixels[c] < end) image[pixels[c] * shapes_.channels + c] += grad[c];
      }
    }
  }

  RoiShapes shapes_;
  ScatterTasks tasks_;
};

template <class T>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<T>(spec);
}

}  // namespace

void register_roi_pool(StepRegistry& registry) {
  registry.add("roi_pool", make<RoiPool>);
  registry.add("roi_pool_backward", make<RoiPoolBackward>);
}

}  // namespace cnncore
