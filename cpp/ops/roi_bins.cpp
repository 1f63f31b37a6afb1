// SPDX-License-Identifier: Apache-2.0
#include "ops/roi_bins.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "ops/checks.h"

namespace cnncore {
namespace {

/// A float as an integer, within what 32 bits hold.
std::int64_t whole(float x) {
  constexpr float kMost = 2147483520.0f;
  return static_cast<std::int64_t>(std::clamp(x, -kMost, kMost));
}

/// Adds a weight at a coordinate; they come in rising order, each at most once before the last.
void put(AxisWindow& window, std::int64_t index, float weight) {
  for (std::int64_t i = std::max<std::int64_t>(0, window.count - 2); i < window.count; ++i) {
    if (window.index[i] == index) {
      window.weight[i] += weight;
      return;
    }
  }
  window.index[window.count] = index;
  window.weight[window.count++] = weight;
}

}  // namespace

void RoiRule::fill(float begin, float end, std::int64_t bin, std::int64_t bins, std::int64_t extent,
                   AxisWindow& window) const {
  window.count = 0;
  if (!sampled) return touch(begin, end, bin, bins, extent, window);
  const float start = begin * scale - offset;
  const float length = (end * scale - offset) - start;
  if (!std::isfinite(start) || !std::isfinite(length)) return;
  sample(start, at_least_one ? std::max(length, 1.0f) : length, bin, bins, extent, window);
}

void RoiRule::sample(float start, float size, std::int64_t bin, std::int64_t bins, std::int64_t extent,
                     AxisWindow& window) const {
  const float each = size / static_cast<float>(bins);
  const auto count = samples > 0 ? static_cast<float>(samples) : std::ceil(each);
  if (!(count > 0.0f)) return;
  const float first = start + static_cast<float>(bin) * each, step = each / count;
  const auto last = static_cast<float>(extent);
  // Only samples between -1 and the extent count: of an immense region few do.
  std::int64_t begin = 0, end = whole(count);
  if (step > 0.0f) {
    begin = std::clamp<std::int64_t>(whole(std::floor((-1.0f - first) / step - 1.5f)), 0, end);
    end = std::clamp<std::int64_t>(whole(std::ceil((last - first) / step + 1.5f)), begin, end);
  }
  const float weight = 1.0f / count;
  for (std::int64_t k = begin; k < end; ++k) {
    // Places rise, also in a region whose end is before its begin.
    const auto i = static_cast<float>(step < 0.0f ? begin + end - 1 - k : k);
    const float place = first + (i + 0.5f) * each / count;
    if (!(place >= -1.0f && place <= last)) continue;
    const float inside = std::clamp(place, 0.0f, last - 1.0f);
    const auto below = static_cast<std::int64_t>(inside);
    const float t = inside - static_cast<float>(below);
    put(window, below, (1.0f - t) * weight);
    if (below + 1 < extent) put(window, below + 1, t * weight);
  }
}

void RoiRule::touch(float begin, float end, std::int64_t bin, std::int64_t bins, std::int64_t extent,
                    AxisWindow& window) const {
  if (!std::isfinite(begin) || !std::isfinite(end)) return;
  const std::int64_t start = whole(std::round(begin * scale));
  const std::int64_t size = std::max<std::int64_t>(whole(std::round(end * scale)) - start, 1);
  const float each = static_cast<float>(size) / static_cast<float>(bins);
  const std::int64_t low = start + whole(std::floor(static_cast<float>(bin) * each));
  const std::int64_t high = start + whole(std::ceil(static_cast<float>(bin + 1) * each));
  const std::int64_t from = std::clamp<std::int64_t>(low, 0, extent),
                     to = std::clamp<std::int64_t>(high, 0, extent);
  for (std::int64_t i = from; i < to; ++i) {
    window.index[window.count] = i;
    window.weight[window.count++] = 1.0f / static_cast<float>(to - from);
  }
}

BinSpan pooled_span(float begin, float end, float scale, std::int64_t bin, std::int64_t bins,
                    std::int64_t extent) {
  if (!std::isfinite(begin) || !std::isfinite(end)) return {};
  const std::int64_t start = whole(std::round(begin * scale));
  const std::int64_t size = std::max<std::int64_t>(whole(std::round(end * scale)) - start + 1, 1);
  const float each = static_cast<float>(size) / static_cast<float>(bins);
  const std::int64_t low = start + whole(std::floor(static_cast<float>(bin) * each));
  const std::int64_t high = start + whole(std::ceil(static_cast<float>(bin + 1) * each));
  return {std::clamp<std::int64_t>(low, 0, extent), std::clamp<std::int64_t>(high, 0, extent)};
}

RoiShapes::RoiShapes(const StepSpec& spec, const TensorDesc& image, const TensorDesc& rois,
                     const TensorDesc& output, bool by_bin) {
  check_activation(image, spec.op + ": image");
  check_activation(output, spec.op + ": bins");
  require(image.rank == 4 && output.rank == 4 && rois.rank == 2 && rois.dim(1) == 5, spec.op,
          ": expected an image (N, C, H, W), rois (K, 5) and bins (K, channels, H, W)");
  images = image.dim(0);
  image_channels = image.dim(1);
  height = image.dim(2);
  width = image.dim(3);
  regions = output.dim(0);
  channels = output.dim(1);
  down = output.dim(2);
  across = output.dim(3);
  check_vector(rois, 5 * regions, spec.op + ": rois");
  require(channels * (by_bin ? down * across : 1) == image_channels, spec.op, ": expected bins of ",
          image.shape_text(), ", got ", output.shape_text());
  require(height * width <= std::numeric_limits<std::int32_t>::max(), spec.op,
          ": images have too many pixels");
}

std::int64_t RoiShapes::image_of(const float* roi) const {
  return std::clamp<std::int64_t>(std::isnan(roi[0]) ? 0 : whole(roi[0]), 0, images - 1);
}

}  // namespace cnncore
