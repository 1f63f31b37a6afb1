// SPDX-License-Identifier: Apache-2.0
// Bins of regions as weighted sums of pixels.
//
// roi_align [input (N, C, H, W), rois (K, 5)] -> [bins (K, channels, bins down, bins across)]
// roi_align_backward [grad_bins, rois] -> [grad_input]
//   attributes scale, offset, at_least_one (0/1), samples, sampled (0/1) as RoiRule has them; by_bin (0/1):
//   bin i reads the i-th of `bins` equal blocks of channels.
#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/registry.h"
#include "ops/roi_bins.h"
#include "ops/scatter_tasks.h"

namespace cnncore {
namespace {

RoiRule rule_of(const StepSpec& spec) {
  RoiRule rule;
  rule.sampled = spec.attrs.integer("sampled") != 0;
  rule.scale = static_cast<float>(spec.attrs.real("scale"));
  rule.offset = static_cast<float>(spec.attrs.real("offset"));
  rule.at_least_one = spec.attrs.integer("at_least_one") != 0;
  rule.samples = spec.attrs.integer("samples");
  return rule;
}

class RoiSums : public Step {
 public:
  RoiSums(const StepSpec& spec, const TensorDesc& image, const TensorDesc& bins)
      : by_bin_(spec.attrs.integer("by_bin") != 0),
        shapes_(spec, image, spec.input(1), bins, by_bin_),
        rule_(rule_of(spec)) {}

  /// A region's columns, and the rows of one of its bins.
  std::size_t scratch_bytes() const override {
    const std::int64_t places = shapes_.across * shapes_.width + shapes_.height;
    return static_cast<std::size_t>(places) * (sizeof(std::int64_t) + sizeof(float)) +
           static_cast<std::size_t>(shapes_.across) * sizeof(std::int64_t);
  }
  double flops() const override { return 2.0 * work() * kernels().width; }

 protected:
  /// The windows of a region's bins, in scratch memory.
  class Windows {
   public:
    Windows(const RoiSums& step, const StepArgs& args, int thread) : step_(step) {
      const RoiShapes& s = step.shapes_;
      offset_ = args.scratch_of<std::int64_t>(thread);
      count_ = offset_ + s.across * s.width + s.height;
      weight_ = reinterpret_cast<float*>(count_ + s.across);
    }
    void set_columns(const float* roi) {
      const RoiShapes& s = step_.shapes_;
      for (std::int64_t bin = 0; bin < s.across; ++bin) {
        AxisWindow window = {0, offset_ + bin * s.width, weight_ + bin * s.width};
        step_.rule_.fill(roi[1], roi[3], bin, s.across, s.width, window);
        for (std::int64_t i = 0; i < window.count; ++i) window.index[i] *= s.image_channels;
        count_[bin] = window.count;
      }
    }
    /// Those in `range`.
    void set_rows(const float* roi, std::int64_t bin, const RowRange& range) {
      const RoiShapes& s = step_.shapes_;
      AxisWindow window = {0, offset_ + s.across * s.width, weight_ + s.across * s.width};
      step_.rule_.fill(roi[2], roi[4], bin, s.down, s.height, window);
      rows_ = 0;
      for (std::int64_t i = 0; i < window.count; ++i) {
        if (window.index[i] < range.begin || window.index[i] >= range.end) continue;
        window.weight[rows_] = window.weight[i];
        window.index[rows_++] = window.index[i] * s.width * s.image_channels;
      }
    }
    WindowSum bin(std::int64_t column) const {
      const RoiShapes& s = step_.shapes_;
      const std::int64_t rows = s.across * s.width, columns = column * s.width;
      return {rows_, count_[column], offset_ + rows, weight_ + rows, offset_ + columns, weight_ + columns};
    }
    std::int64_t rows() const { return rows_; }

   private:
    const RoiSums& step_;
    std::int64_t* offset_;
    std::int64_t* count_;
    float* weight_;
    std::int64_t rows_ = 0;
  };

  /// The first channel of the image that a bin reads.
  std::int64_t channel_of(std::int64_t row, std::int64_t column) const {
    return by_bin_ ? (row * shapes_.across + column) * shapes_.channels : 0;
  }
  double work() const {
    const double bins = static_cast<double>(shapes_.regions * shapes_.down * shapes_.across);
    return bins * 16.0 * (4.0 + static_cast<double>(shapes_.channels) / kernels().width);
  }

  bool by_bin_;
  RoiShapes shapes_;
  RoiRule rule_;
};

class RoiAlign final : public RoiSums {
 public:
  explicit RoiAlign(const StepSpec& spec) : RoiSums(spec, spec.input(0), spec.output(0)) {}

  void run(const StepArgs& args) const override {
    parallel_for(shapes_.regions, work(), [&](std::int64_t region, int thread) {
      const float* roi = args.input(1) + 5 * region;
      const float* image = args.input(0) + shapes_.image_of(roi) * shapes_.image_floats();
      float* bins = args.output(0) + region * shapes_.bin_floats();
      Windows windows(*this, args, thread);
      windows.set_columns(roi);
      for (std::int64_t row = 0; row < shapes_.down; ++row) {
        windows.set_rows(roi, row, {0, shapes_.height});
        for (std::int64_t column = 0; column < shapes_.across; ++column, bins += shapes_.channels) {
          const float* channels = image + channel_of(row, column);
          kernels().sample.sum_window(windows.bin(column), channels, shapes_.channels, bins);
        }
      }
    });
  }
};

/// Sums in grad_input are made in the order of regions and bins, whoever makes them.
class RoiAlignBackward final : public RoiSums {
 public:
  explicit RoiAlignBackward(const StepSpec& spec)
      : RoiSums(spec, spec.output(0), spec.input(0)),
        tasks_(shapes_.images, by_bin_ ? 1 : shapes_.image_channels, shapes_.height) {}

  void run(const StepArgs& args) const override {
    parallel_for(tasks_.count(), work(), [&](std::int64_t number, int thread) {
      ScatterTask task = tasks_.task(number);
      if (by_bin_) task.channels = shapes_.image_channels;
      float* image = args.output(0) + task.image * shapes_.image_floats() + task.channel;
      task.clear(image, shapes_.width, shapes_.image_channels);
      Windows windows(*this, args, thread);
      for (std::int64_t region = 0; region < shapes_.regions; ++region) {
        const float* roi = args.input(1) + 5 * region;
        if (shapes_.image_of(roi) != task.image) continue;
        add_region(args, task, region, roi, windows, image);
      }
    });
  }

 private:
  void add_region(const StepArgs& args, const ScatterTask& task, std::int64_t region, const float* roi,
                  Windows& windows, float* image) const {
    const float* grad = args.input(0) + region * shapes_.bin_floats() + task.channel;
    const std::int64_t channels = std::min(task.channels, shapes_.channels);
    bool met = false;
    for (std::int64_t row = 0; row < shapes_.down; ++row, grad += shapes_.across * shapes_.channels) {
      windows.set_rows(roi, row, task.rows);
      if (windows.rows() == 0) continue;
      if (!met) windows.set_columns(roi);
      met = true;
      for (std::int64_t column = 0; column < shapes_.across; ++column) {
        kernels().sample.add_window(windows.bin(column), grad + column * shapes_.channels, channels,
                                    image + channel_of(row, column));
      }
    }
  }

  ScatterTasks tasks_;
};

template <class T>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<T>(spec);
}

}  // namespace

void register_roi_align(StepRegistry& registry) {
  registry.add("roi_align", make<RoiAlign>);
  registry.add("roi_align_backward", make<RoiAlignBackward>);
}

}  // namespace cnncore
