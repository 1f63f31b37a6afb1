// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include "images/colour_range.h"
#include "images/images.h"

namespace cnncore {
namespace {

/// Where one pixel of the result is read: four neighbours and their weights.
struct Taps {
  std::int64_t offset[4];
  float weight[4];
  float outside;  // the weight of what lies beyond the border
};

class Reader {
 public:
  explicit Reader(const ImageShape& shape) : height_(shape.height), width_(shape.width) {}

  /// The taps of a place; NaN and places far away are outside.
  Taps at(double row, double column) const {
    Taps taps = {{0, 0, 0, 0}, {0, 0, 0, 0}, 1.0f};
    const bool inside = row > -1.0 && column > -1.0 && row < static_cast<double>(height_) &&
                        column < static_cast<double>(width_);
    if (!inside) return taps;
    const double top = std::floor(row), left = std::floor(column);
    const auto y = static_cast<std::int64_t>(top), x = static_cast<std::int64_t>(left);
    const auto down = static_cast<float>(row - top), right = static_cast<float>(column - left);
    add(taps, 0, y, x, (1.0f - down) * (1.0f - right));
    add(taps, 1, y, x + 1, (1.0f - down) * right);
    add(taps, 2, y + 1, x, down * (1.0f - right));
    add(taps, 3, y + 1, x + 1, down * right);
    return taps;
  }

 private:
  void add(Taps& taps, int i, std::int64_t row, std::int64_t column, float weight) const {
    if (row < 0 || column < 0 || row >= height_ || column >= width_) return;
    taps.offset[i] = row * width_ + column;
    taps.weight[i] = weight;
    taps.outside -= weight;
  }

  std::int64_t height_;
  std::int64_t width_;
};

/// Reads the pixel that is nearest to each place, or the colour outside.
template <class T, class Place>
void read_nearest(const T* x, const ImageShape& shape, const float* fill, T* y, std::int64_t height,
                  std::int64_t width, const Place& place) {
  constexpr std::int64_t kOutside = -1;
  // Compared as numbers, since far places, infinity and NaN are no integers.
  const double bottom = static_cast<double>(shape.height) - 0.5,
               right = static_cast<double>(shape.width) - 0.5;
  std::vector<std::int64_t> row_offsets(static_cast<std::size_t>(width));
  for (std::int64_t row = 0; row < height; ++row) {
    for (std::int64_t column = 0; column < width; ++column) {
      double down = 0.0, across = 0.0;
      place(row, column, down, across);
      const bool inside = down > -0.5 && across > -0.5 && down < bottom && across < right;
      const std::int64_t offset = inside ? static_cast<std::int64_t>(down + 0.5) * shape.width +
                                               static_cast<std::int64_t>(across + 0.5)
                                         : kOutside;
      row_offsets[static_cast<std::size_t>(column)] = offset;
    }
    for (std::int64_t channel = 0; channel < shape.channels; ++channel) {
      const T* plane = x + channel * shape.pixels();
      const T outside = to_element<T>(fill[channel]);
      T* to = y + (channel * height + row) * width;
      const std::int64_t* offsets = row_offsets.data();
      for (std::int64_t column = 0; column < width; ++column) {
        to[column] = offsets[column] == kOutside ? outside : plane[offsets[column]];
      }
    }
  }
}

/// Reads all channels of an image; place(row, column) gives (row, column) in x.
template <class T, class Place>
void read_image(const T* x, const ImageShape& shape, Between between, const float* fill, T* y,
                std::int64_t height, std::int64_t width, const Place& place) {
  if (between == Between::nearest) return read_nearest(x, shape, fill, y, height, width, place);
  const Reader reader(shape);
  std::vector<Taps> row_taps(static_cast<std::size_t>(width));
  for (std::int64_t row = 0; row < height; ++row) {
    for (std::int64_t column = 0; column < width; ++column) {
      double from_row = 0.0, from_column = 0.0;
      place(row, column, from_row, from_column);
      row_taps[static_cast<std::size_t>(column)] = reader.at(from_row, from_column);
    }
    for (std::int64_t channel = 0; channel < shape.channels; ++channel) {
      const T* plane = x + channel * shape.pixels();
      T* to = y + (channel * height + row) * width;
      for (std::int64_t column = 0; column < width; ++column) {
        const Taps& taps = row_taps[static_cast<std::size_t>(column)];
        float value = taps.outside * fill[channel];
        for (int i = 0; i < 4; ++i) value += taps.weight[i] * static_cast<float>(plane[taps.offset[i]]);
        to[column] = to_element<T>(value);
      }
    }
  }
}

}  // namespace

template <class T>
void warp(const T* x, const ImageShape& shape, const double* matrices, Between between, const float* fill,
          T* y, std::int64_t height, std::int64_t width) {
  for (std::int64_t i = 0; i < shape.count; ++i) {
    std::array<double, 9> m;
    std::copy_n(matrices + 9 * i, 9, m.begin());
    const T* from = x + i * shape.channels * shape.pixels();
    T* to = y + i * shape.channels * height * width;
    const auto dividend = [m](std::int64_t row, std::int64_t column, double& from_row, double& from_column) {
      const auto across = static_cast<double>(column), down = static_cast<double>(row);
      from_column = m[0] * across + m[1] * down + m[2];
      from_row = m[3] * across + m[4] * down + m[5];
    };
    if (m[6] == 0.0 && m[7] == 0.0 && m[8] == 1.0) {
      read_image(from, shape, between, fill, to, height, width, dividend);
      continue;
    }
    read_image(from, shape, between, fill, to, height, width,
               [m, dividend](std::int64_t row, std::int64_t column, double& from_row, double& from_column) {
                 dividend(row, column, from_row, from_column);
                 const double divisor =
                     m[6] * static_cast<double>(column) + m[7] * static_cast<double>(row) + m[8];
                 from_column /= divisor;
                 from_row /= divisor;
               });
  }
}

template <class T>
void remap(const T* x, const ImageShape& shape, const float* places, Between between, const float* fill, T* y,
           std::int64_t height, std::int64_t width) {
  for (std::int64_t i = 0; i < shape.count; ++i) {
    const float* rows = places + 2 * i * height * width;
    const float* columns = rows + height * width;
    read_image(x + i * shape.channels * shape.pixels(), shape, between, fill,
               y + i * shape.channels * height * width, height, width,
               [=](std::int64_t row, std::int64_t column, double& from_row, double& from_column) {
                 from_row = static_cast<double>(rows[row * width + column]);
                 from_column = static_cast<double>(columns[row * width + column]);
               });
  }
}

template void warp(const std::uint8_t*, const ImageShape&, const double*, Between, const float*,
                   std::uint8_t*, std::int64_t, std::int64_t);
template void warp(const float*, const ImageShape&, const double*, Between, const float*, float*,
                   std::int64_t, std::int64_t);
template void remap(const std::uint8_t*, const ImageShape&, const float*, Between, const float*,
                    std::uint8_t*, std::int64_t, std::int64_t);
template void remap(const float*, const ImageShape&, const float*, Between, const float*, float*,
                    std::int64_t, std::int64_t);

}  // namespace cnncore
