// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// How a pixel follows from those around its place: it is the nearest one, or a sum weighted on each axis by
/// nearness (two of them) or by Keys' kernel with a = -0.75 (four).
enum class SampleMode : std::uint8_t { nearest, linear, cubic };
/// What lies outside of an image: zeros, its nearest pixel, or its mirror image.
enum class SamplePadding : std::uint8_t { zeros, border, reflection };

struct SampleRule {
  SampleMode mode = SampleMode::linear;
  SamplePadding padding = SamplePadding::zeros;
  bool align_corners = false;
};

/// Numbers from -1 (an axis's begin) to 1 (its end) that tell places; those outside are brought back inside
/// as the padding says, or to where nothing is read. NaN counts as -1.
struct PlaceRun {
  const float* grid = nullptr;
  std::int64_t step = 1;  // floats between them
  std::int64_t count = 0;
  std::int64_t extent = 1;
  SampleRule rule;
};

/// Pixels at places of a channels-last image.
struct SampleRun {
  std::int64_t extent[3] = {1, 1, 1};                   // depth, height, width
  const float* place[3] = {nullptr, nullptr, nullptr};  // of each pixel; that in depth may be null
  std::int64_t pixels = 0;
  std::int64_t pitch = 0;         // floats from pixel to pixel of the image
  std::int64_t sample_pitch = 0;  // and of the samples
  std::int64_t channels = 0;      // that are sampled
  const float* factor = nullptr;  // of each sample, or none
  SampleRule rule;
};

/// A pixel that is the sum of rows x columns of an image's pixels, each times a weight of its row and one of
/// its column.
struct WindowSum {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  const std::int64_t* row_offset = nullptr;  // in floats
  const float* row_weight = nullptr;
  const std::int64_t* column_offset = nullptr;
  const float* column_weight = nullptr;
};

struct SampleKernels {
  /// The pixel coordinates of places and, where `slope` is not null, their derivative.
  void (*places)(const PlaceRun& run, float* place, float* slope);
  void (*sample)(const SampleRun& run, const float* image, float* samples);
  /// The gradient by the image is added to rows `begin` to `end` - 1 of it (depth * height in all).
  void (*add)(const SampleRun& run, const float* grad, float* image, std::int64_t begin, std::int64_t end);
  /// Without factors. For each pixel `sums` gets three floats: the derivatives by its place in width, height
  /// and depth, summed over the channels; with `values` not null, that gets the sum of grad times the sample.
  void (*slopes)(const SampleRun& run, const float* image, const float* grad, float* sums, float* values);
  void (*sum_window)(const WindowSum& window, const float* image, std::int64_t channels, float* out);
  void (*add_window)(const WindowSum& window, const float* grad, std::int64_t channels, float* image);
};

}  // namespace cnncore
