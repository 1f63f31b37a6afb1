// SPDX-License-Identifier: Apache-2.0
// Regions of interest: rois (K, 5) are (image, left, top, right, bottom), cut into bins.
#pragma once

#include <cstdint>

#include "isa/boxes.h"
#include "program/step.h"

namespace cnncore {

/// How much of which coordinates along an axis a bin takes.
struct AxisWindow {
  std::int64_t count = 0;
  std::int64_t* index = nullptr;  // room for the axis's extent
  float* weight = nullptr;
};

/// What a region's bins are made of. In regions that are `sampled` a bin is the mean of values between pixels
/// (He et al., 2017), otherwise of all the pixels that it touches (Dai et al., 2016).
struct RoiRule {
  bool sampled = true;
  float scale = 1.0f;         // pixels for one of the boxes'
  float offset = 0.0f;        // subtracted from samples' coordinates
  bool at_least_one = false;  // pixel is in a region
  std::int64_t samples = 0;   // of a bin along an axis, 0 for as many as it has pixels

  /// Fills `window` for bin `bin` of `bins` along an axis of `extent` pixels, where the region goes from
  /// `begin` to `end` in the boxes' units. Numbers that are not finite give nothing.
  void fill(float begin, float end, std::int64_t bin, std::int64_t bins, std::int64_t extent,
            AxisWindow& window) const;

 private:
  void sample(float start, float size, std::int64_t bin, std::int64_t bins, std::int64_t extent,
              AxisWindow& window) const;
  void touch(float begin, float end, std::int64_t bin, std::int64_t bins, std::int64_t extent,
             AxisWindow& window) const;
};

/// The pixels along an axis that a bin of a max-pooled region touches (Girshick, 2015), the last not
/// included.
struct BinSpan {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};
BinSpan pooled_span(float begin, float end, float scale, std::int64_t bin, std::int64_t bins,
                    std::int64_t extent);

/// Shapes of a step on regions: an image (N, C, H, W) and bins (K, channels, bins down, bins across), both
/// channels-last. Each bin has `channels` of its own in the image where they are `by_bin`.
struct RoiShapes {
  std::int64_t images = 0, image_channels = 0, height = 0, width = 0;
  std::int64_t regions = 0, channels = 0, down = 0, across = 0;

  RoiShapes() = default;
  RoiShapes(const StepSpec& spec, const TensorDesc& image, const TensorDesc& rois, const TensorDesc& output,
            bool by_bin);

  std::int64_t image_floats() const { return height * width * image_channels; }
  std::int64_t bin_floats() const { return down * across * channels; }
  /// The image that a region is of; the nearest one there is.
  std::int64_t image_of(const float* roi) const;
};

}  // namespace cnncore
