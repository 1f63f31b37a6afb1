// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "images/colour_range.h"
#include "images/images.h"

namespace cnncore {
namespace {

/// The weights with which the elements of an axis become those of a new one: element i of the new axis is the
/// sum of weights[i][j] * old[begin[i] + j].
struct AxisFilter {
  std::int64_t reach = 0;  // the most weights of an element
  std::vector<std::int64_t> begin;
  std::vector<std::int64_t> count;
  std::vector<float> weights;  // `reach` places an element

  const float* of(std::int64_t i) const { return weights.data() + i * reach; }
};

double triangle(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

/// Keys' cubic (1981) with a = -0.5, as Pillow has it.
double keys(double x) {
  const double a = -0.5, d = std::abs(x);
  if (d < 1.0) return ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
  if (d < 2.0) return (((d - 5.0) * d + 8.0) * d - 4.0) * a;
  return 0.0;
}

AxisFilter axis_filter(double start, double length, std::int64_t old, std::int64_t now, Between between,
                       bool antialias) {
  const double scale = length / static_cast<double>(now);
  const double wide = antialias ? std::max(scale, 1.0) : 1.0;
  const double support = between == Between::cubic ? 2.0 * wide : wide;
  AxisFilter filter;
  filter.reach = between == Between::nearest ? 1 : static_cast<std::int64_t>(2.0 * support) + 2;
  filter.weights.resize(static_cast<std::size_t>(filter.reach * now), 0.0f);
  for (std::int64_t i = 0; i < now; ++i) {
    const double centre = start + (static_cast<double>(i) + 0.5) * scale;
    float* weights = filter.weights.data() + i * filter.reach;
    if (between == Between::nearest) {
      const auto at = static_cast<std::int64_t>(std::floor(centre));
      filter.begin.push_back(std::clamp<std::int64_t>(at, 0, old - 1));
      filter.count.push_back(1);
      weights[0] = 1.0f;
      continue;
    }
    const auto first = static_cast<std::int64_t>(std::ceil(centre - 0.5 - support));
    const std::int64_t begin = std::clamp<std::int64_t>(first, 0, old - 1);
    const std::int64_t last = std::min(old - 1, begin + filter.reach - 1);
    double sum = 0.0;
    std::int64_t count = 0;
    for (std::int64_t j = begin; j <= last; ++j, ++count) {
      const double x = (static_cast<double>(j) + 0.5 - centre) / wide;
      const double weight = between == Between::cubic ? keys(x) : triangle(x);
      weights[count] = static_cast<float>(weight);
      sum += weight;
    }
    for (std::int64_t j = 0; j < count; ++j) weights[j] = static_cast<float>(weights[j] / sum);
    while (count > 1 && weights[count - 1] == 0.0f) --count;
    filter.begin.push_back(begin);
    filter.count.push_back(count);
  }
  return filter;
}

/// One row of the result before its columns are resampled: neighbouring columns are independent.
template <class T>
void filter_rows(const T* plane, std::int64_t width, const AxisFilter& rows, std::int64_t i, float* line) {
  std::fill_n(line, width, 0.0f);
  for (std::int64_t j = 0; j < rows.count[static_cast<std::size_t>(i)]; ++j) {
    const T* from = plane + (rows.begin[static_cast<std::size_t>(i)] + j) * width;
    const float weight = rows.of(i)[j];
    for (std::int64_t k = 0; k < width; ++k) line[k] += weight * static_cast<float>(from[k]);
  }
}

template <class T>
void filter_columns(const float* line, const AxisFilter& columns, std::int64_t width, T* to) {
  for (std::int64_t i = 0; i < width; ++i) {
    const float* from = line + columns.begin[static_cast<std::size_t>(i)];
    const float* weights = columns.of(i);
    float sum = 0.0f;
    for (std::int64_t j = 0; j < columns.count[static_cast<std::size_t>(i)]; ++j) sum += weights[j] * from[j];
    to[i] = to_element<T>(sum);
  }
}

}  // namespace

template <class T>
void resample(const T* x, const ImageShape& shape, const double* boxes, Between between, bool antialias, T* y,
              std::int64_t height, std::int64_t width) {
  std::vector<float> line(static_cast<std::size_t>(shape.width));
  for (std::int64_t i = 0; i < shape.count; ++i) {
    const double* box = boxes + 4 * i;
    const AxisFilter rows = axis_filter(box[0], box[2], shape.height, height, between, antialias);
    const AxisFilter columns = axis_filter(box[1], box[3], shape.width, width, between, antialias);
    for (std::int64_t channel = 0; channel < shape.channels; ++channel) {
      const T* plane = x + (i * shape.channels + channel) * shape.pixels();
      T* to = y + (i * shape.channels + channel) * height * width;
      for (std::int64_t row = 0; row < height; ++row, to += width) {
        filter_rows(plane, shape.width, rows, row, line.data());
        filter_columns(line.data(), columns, width, to);
      }
    }
  }
}

template void resample(const std::uint8_t*, const ImageShape&, const double*, Between, bool, std::uint8_t*,
                       std::int64_t, std::int64_t);
template void resample(const float*, const ImageShape&, const double*, Between, bool, float*, std::int64_t,
                       std::int64_t);

}  // namespace cnncore
