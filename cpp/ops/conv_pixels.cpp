// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_pixels.h"

#include <algorithm>
#include <map>

namespace cnncore {
namespace {

/// Taps of output pixel i that lie inside the input.
std::array<std::int64_t, 2> valid_taps(const ConvAxis& axis, std::int64_t i) {
  const std::int64_t first = axis.in_start + i * axis.in_step;
  const std::int64_t begin = first < 0 ? ceil_div(-first, axis.tap_step) : 0;
  const std::int64_t end = first < axis.in_size ? (axis.in_size - 1 - first) / axis.tap_step + 1 : 0;
  const std::int64_t low = std::min(begin, axis.taps);
  return {low, std::clamp(end, low, axis.taps)};
}

/// Output pixels start ... start + count - 1 of an axis, counted from `start`, by their taps.
std::map<std::array<std::int64_t, 2>, std::vector<std::int64_t>> by_taps(const ConvAxis& axis,
                                                                         std::int64_t start,
                                                                         std::int64_t count) {
  std::map<std::array<std::int64_t, 2>, std::vector<std::int64_t>> lists;
  for (std::int64_t i = 0; i < count; ++i) lists[valid_taps(axis, start + i)].push_back(i);
  return lists;
}

bool is_empty(const TapBox& box) {
  return std::any_of(box.begin(), box.end(), [](const auto& range) { return range[0] >= range[1]; });
}

struct Pixel {
  std::int64_t input, output;
};

void add_class(const ConvLoop& loop, const TapGeometry& geometry, const TapBox& box,
               const std::vector<Pixel>& pixels, PixelTable& table) {
  PixelClass one;
  one.begin = static_cast<std::int64_t>(table.input_offset.size());
  one.count = static_cast<std::int64_t>(pixels.size());
  one.tap_begin = static_cast<std::int64_t>(table.tap_offset.size());
  for (const auto& pixel : pixels) {
    table.input_offset.push_back(pixel.input);
    table.output_offset.push_back(pixel.output);
  }
  if (!is_empty(box)) {
    TapBox outer = box;
    one.depth = geometry.channels;
    if (geometry.merged >= 0) {
      auto& range = outer[static_cast<std::size_t>(geometry.merged)];
      one.channel = range[0] * geometry.channels;
      one.depth = (range[1] - range[0]) * geometry.channels;
      range = {0, 1};
    }
    const auto taps = [&](std::size_t a) {
      return geometry.merged == static_cast<int>(a) ? 1 : loop.axis[a].taps;
    };
    const auto step = [&](std::size_t a) { return loop.axis[a].tap_step * geometry.stride[a]; };
    const std::int64_t tap_rows = loop.taps() / (taps(0) * taps(1) * taps(2)) * geometry.channels;
    for (std::int64_t d = outer[0][0]; d < outer[0][1]; ++d) {
      for (std::int64_t h = outer[1][0]; h < outer[1][1]; ++h) {
        for (std::int64_t w = outer[2][0]; w < outer[2][1]; ++w) {
          table.tap_offset.push_back(d * step(0) + h * step(1) + w * step(2));
          table.tap_number.push_back((d * taps(1) + h) * taps(2) + w);
          table.tap_row.push_back(table.tap_number.back() * tap_rows);
        }
      }
    }
  }
  one.taps = static_cast<std::int64_t>(table.tap_offset.size()) - one.tap_begin;
  table.classes.push_back(one);
}

}  // namespace

TapGeometry::TapGeometry(const ConvLoop& loop, std::int64_t pitch) : channels(loop.in_channels) {
  std::int64_t step = pitch;
  for (std::size_t a = 3; a-- > 0;) {
    stride[a] = step;
    step *= loop.axis[a].in_size;
  }
  image_stride = step;
  // The innermost axis with several taps, when each tap starts where the channels of the one before it end.
  // The tile has a faster way with taps of a single float.
  for (std::size_t a = 3; a-- > 0 && channels > 1;) {
    if (loop.axis[a].taps == 1) continue;
    if (loop.axis[a].tap_step * stride[a] == channels) merged = static_cast<int>(a);
    break;
  }
}

std::vector<std::int64_t> pixel_table_key(const ConvLoop& loop, const ConvChunk& chunk) {
  std::vector<std::int64_t> key = {chunk.count[0]};
  for (std::size_t a = 0; a < 2; ++a) {
    key.push_back(chunk.count[a + 1]);
    for (std::int64_t i = 0; i < chunk.count[a + 1]; ++i) {
      const auto range = valid_taps(loop.axis[a], chunk.start[a + 1] + i);
      key.insert(key.end(), range.begin(), range.end());
    }
  }
  return key;
}

PixelTable make_pixel_table(const ConvLoop& loop, const TapGeometry& geometry, const ConvChunk& chunk,
                            std::int64_t output_pitch) {
  const auto& [depth, height, width] = loop.axis;
  const std::int64_t row = width.out_size * output_pitch;
  const std::int64_t plane = height.out_size * row;
  const auto step = [&](std::size_t a) { return loop.axis[a].in_step * geometry.stride[a]; };
  const auto planes = by_taps(depth, chunk.start[1], chunk.count[1]);
  const auto rows = by_taps(height, chunk.start[2], chunk.count[2]);
  const auto columns = by_taps(width, 0, width.count);
  PixelTable table;
  std::vector<Pixel> pixels;
  for (const auto& [plane_taps, plane_list] : planes) {
    for (const auto& [row_taps, row_list] : rows) {
      for (const auto& [column_taps, column_list] : columns) {
        pixels.clear();
        for (std::int64_t n = 0; n < chunk.count[0]; ++n) {
          for (const auto d : plane_list) {
            for (const auto h : row_list) {
              const std::int64_t input = n * geometry.image_stride + d * step(0) + h * step(1);
              const std::int64_t output =
                  (n * depth.out_size + d * depth.out_step) * plane + h * height.out_step * row;
              for (const auto w : column_list)
                pixels.push_back({input + w * step(2), output + w * width.out_step * output_pitch});
            }
          }
        }
        add_class(loop, geometry, {plane_taps, row_taps, column_taps}, pixels, table);
      }
    }
  }
  return table;
}

}  // namespace cnncore
