// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <vector>

#include "images/colour_range.h"
#include "images/images.h"

namespace cnncore {
namespace {

/// The place that a mirror at the first and the last element shows, however far outside.
std::int64_t mirrored(std::int64_t i, std::int64_t extent) {
  if (extent == 1) return 0;
  const std::int64_t period = 2 * (extent - 1);
  const std::int64_t place = ((i % period) + period) % period;
  return std::min(place, period - place);
}

template <class T>
void filter_plane(const T* x, const ImageShape& shape, const float* kernel, std::int64_t size, float* line,
                  T* y) {
  const std::int64_t half = size / 2, width = shape.width;
  for (std::int64_t row = 0; row < shape.height; ++row) {
    float* middle = line + half;
    std::fill_n(middle, width, 0.0f);
    for (std::int64_t k = 0; k < size; ++k) {
      const T* from = x + mirrored(row + k - half, shape.height) * width;
      for (std::int64_t j = 0; j < width; ++j) middle[j] += kernel[k] * static_cast<float>(from[j]);
    }
    for (std::int64_t j = 0; j < half; ++j) {
      middle[-1 - j] = middle[mirrored(-1 - j, width)];
      middle[width + j] = middle[mirrored(width + j, width)];
    }
    for (std::int64_t j = 0; j < width; ++j) {
      float sum = 0.0f;
      for (std::int64_t k = 0; k < size; ++k) sum += kernel[k] * line[j + k];
      y[row * width + j] = to_element<T>(sum);
    }
  }
}

template <class T>
void sharpen_plane(const T* x, const ImageShape& shape, float factor, T* y) {
  const std::int64_t width = shape.width;
  std::copy_n(x, shape.pixels(), y);
  for (std::int64_t row = 1; row + 1 < shape.height; ++row) {
    const T* from = x + row * width;
    for (std::int64_t j = 1; j + 1 < width; ++j) {
      float sum = 4.0f * static_cast<float>(from[j]);
      for (std::int64_t k = -1; k <= 1; ++k) {
        const T* line = from + k * width + j;
        sum += static_cast<float>(line[-1]) + static_cast<float>(line[0]) + static_cast<float>(line[1]);
      }
      const float smooth = sum / 13.0f;
      y[row * width + j] = to_colour<T>(factor * static_cast<float>(from[j]) + (1.0f - factor) * smooth);
    }
  }
}

}  // namespace

template <class T>
void filter(const T* x, const ImageShape& shape, const float* kernels, std::int64_t size, T* y) {
  std::vector<float> line(static_cast<std::size_t>(shape.width + size - 1));
  for (std::int64_t plane = 0; plane < shape.count * shape.channels; ++plane) {
    const std::int64_t start = plane * shape.pixels();
    filter_plane(x + start, shape, kernels + plane / shape.channels * size, size, line.data(), y + start);
  }
}

template <class T>
void sharpen(const T* x, const ImageShape& shape, const float* factors, T* y) {
  for (std::int64_t plane = 0; plane < shape.count * shape.channels; ++plane) {
    const std::int64_t start = plane * shape.pixels();
    sharpen_plane(x + start, shape, factors[plane / shape.channels], y + start);
  }
}

template void filter(const std::uint8_t*, const ImageShape&, const float*, std::int64_t, std::uint8_t*);
template void filter(const float*, const ImageShape&, const float*, std::int64_t, float*);
template void sharpen(const std::uint8_t*, const ImageShape&, const float*, std::uint8_t*);
template void sharpen(const float*, const ImageShape&, const float*, float*);

}  // namespace cnncore
