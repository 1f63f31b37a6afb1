// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_pixels.h"

#include <algorithm>

namespace cnncore {
namespace {

/// Taps of output pixel i that lie inside the input.
TapRange valid_taps(const ConvAxis& axis, std::int64_t i) {
  const std::int64_t first = axis.in_start + i * axis.in_step;
  const std::int64_t begin = first < 0 ? ceil_div(-first, axis.tap_step) : 0;
  const std::int64_t end = first < axis.in_size ? (axis.in_size - 1 - first) / axis.tap_step + 1 : 0;
  const std::int64_t low = std::min(begin, axis.taps);
  return {low, std::clamp(end, low, axis.taps)};
}

/// Neighbours on an axis that have the same taps.
struct TapRun {
  TapRange taps;
  std::int64_t begin, count;
};

/// Output pixels start ... start + count - 1 of an axis, counted from `start`, as runs of equal taps. Both
/// ends of the taps only fall along the axis, so pixels between two equal ones are like them.
std::vector<TapRun> tap_runs(const ConvAxis& axis, std::int64_t start, std::int64_t count) {
  std::vector<TapRun> runs;
  for (std::int64_t begin = 0; begin < count;) {
    const TapRange taps = valid_taps(axis, start + begin);
    std::int64_t last = count - 1;
    if (valid_taps(axis, start + last) != taps) {
      std::int64_t same = begin;  // and `last` differs
      while (last - same > 1) {
        const std::int64_t middle = same + (last - same) / 2;
        (valid_taps(axis, start + middle) == taps ? same : last) = middle;
      }
      last = same;
    }
    runs.push_back({taps, begin, last + 1 - begin});
    begin = last + 1;
  }
  return runs;
}

/// The same in the order of their taps.
std::vector<TapRun> by_taps(const ConvAxis& axis, std::int64_t start, std::int64_t count) {
  std::vector<TapRun> runs = tap_runs(axis, start, count);
  std::reverse(runs.begin(), runs.end());
  return runs;
}

bool is_empty(const TapBox& box) {
  return std::any_of(box.begin(), box.end(), [](const auto& range) { return range[0] >= range[1]; });
}

struct Pixel {
  std::int64_t input, output;
};

/// Taps of a loop as its panels are packed: those of the merged axis are one.
class TapList {
 public:
  TapList(const ConvLoop& loop, const TapGeometry& geometry) : geometry_(geometry) {
    for (std::size_t a = 0; a < 3; ++a) {
      taps_[a] = geometry.merged == static_cast<int>(a) ? 1 : loop.axis[a].taps;
      step_[a] = loop.axis[a].tap_step * geometry.stride[a];
    }
    const std::int64_t all = taps_[0] * taps_[1] * taps_[2];
    if (all > 0) rows_ = loop.taps() / all * geometry.channels;
  }

  /// Gives the pixels of `box` their taps: part of the table's list where they lie side by side, else a list
  /// of their own.
  void set_taps(const TapBox& box, PixelTable& table, PixelClass& pixels) const {
    TapBox outer = box;
    pixels.depth = geometry_.channels;
    if (geometry_.merged >= 0) {
      auto& range = outer[static_cast<std::size_t>(geometry_.merged)];
      pixels.channel = range[0] * geometry_.channels;
      pixels.depth = (range[1] - range[0]) * geometry_.channels;
      range = {0, 1};
    }
    pixels.taps = 1;
    for (const auto& range : outer) pixels.taps *= range[1] - range[0];
    if (table.tap_number.empty()) append({{{0, taps_[0]}, {0, taps_[1]}, {0, taps_[2]}}}, table);
    if (side_by_side(outer)) {
      pixels.tap_begin = (outer[0][0] * taps_[1] + outer[1][0]) * taps_[2] + outer[2][0];
    } else {
      pixels.tap_begin = static_cast<std::int64_t>(table.tap_offset.size());
      append(outer, table);
    }
  }

 private:
  bool side_by_side(const TapBox& box) const {
    std::size_t a = 0;
    while (a < 2 && box[a][1] - box[a][0] == 1) ++a;
    for (++a; a < 3; ++a) {
      if (box[a][1] - box[a][0] != taps_[a]) return false;
    }
    return true;
  }

  void append(const TapBox& box, PixelTable& table) const {
    for (std::int64_t d = box[0][0]; d < box[0][1]; ++d) {
      for (std::int64_t h = box[1][0]; h < box[1][1]; ++h) {
        for (std::int64_t w = box[2][0]; w < box[2][1]; ++w) {
          table.tap_offset.push_back(d * step_[0] + h * step_[1] + w * step_[2]);
          table.tap_number.push_back((d * taps_[1] + h) * taps_[2] + w);
          table.tap_row.push_back(table.tap_number.back() * rows_);
        }
      }
    }
  }

  const TapGeometry& geometry_;
  std::array<std::int64_t, 3> taps_{}, step_{};
  std::int64_t rows_ = 0;  // of the panel, for each tap
};

}  // namespace

std::size_t PixelTable::bytes() const {
  const std::size_t offsets = input_offset.capacity() + output_offset.capacity() + tap_offset.capacity() +
                              tap_number.capacity() + tap_row.capacity();
  return offsets * sizeof(std::int64_t) + classes.capacity() * sizeof(PixelClass);
}

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

std::vector<std::int64_t> axis_key(const ConvAxis& axis, std::int64_t start, std::int64_t count) {
  std::vector<std::int64_t> key;
  for (const TapRun& run : tap_runs(axis, start, count))
    key.insert(key.end(), {run.count, run.taps[0], run.taps[1]});
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
  const auto columns = by_taps(width, chunk.start[3], chunk.count[3]);
  const TapList taps(loop, geometry);
  PixelTable table;
  const std::int64_t pixels_of_chunk = chunk.count[0] * chunk.count[1] * chunk.count[2] * chunk.count[3];
  table.input_offset.reserve(static_cast<std::size_t>(pixels_of_chunk));
  table.output_offset.reserve(static_cast<std::size_t>(pixels_of_chunk));
  const auto add_pixels = [&](const TapRun& d, const TapRun& h, const TapRun& w) {
    for (std::int64_t n = 0; n < chunk.count[0]; ++n) {
      for (std::int64_t z = d.begin; z < d.begin + d.count; ++z) {
        for (std::int64_t y = h.begin; y < h.begin + h.count; ++y) {
          const std::int64_t input = n * geometry.image_stride + z * step(0) + y * step(1);
          const std::int64_t output =
              (n * depth.out_size + z * depth.out_step) * plane + y * height.out_step * row;
          for (std::int64_t x = w.begin; x < w.begin + w.count; ++x) {
            table.input_offset.push_back(input + x * step(2));
            table.output_offset.push_back(output + x * width.out_step * output_pitch);
          }
        }
      }
    }
  };
  for (const TapRun& d : planes) {
    for (const TapRun& h : rows) {
      for (const TapRun& w : columns) {
        PixelClass pixels;
        pixels.begin = static_cast<std::int64_t>(table.input_offset.size());
        pixels.count = chunk.count[0] * d.count * h.count * w.count;
        add_pixels(d, h, w);
        const TapBox box = {d.taps, h.taps, w.taps};
        if (!is_empty(box)) taps.set_taps(box, table, pixels);
        table.classes.push_back(pixels);
      }
    }
  }
  return table;
}

}  // namespace cnncore
