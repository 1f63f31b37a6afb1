// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_pack.h"

#include <algorithm>

#include "core/parallel.h"
#include "isa/kernel_table.h"

namespace cnncore {
namespace {

constexpr std::int64_t kTaskRows = 64;  // input channels of a task

/// Offset in the tensor of every tap of the loop.
std::int64_t tap_source(const ConvLoop& loop, const Spatial& kernel, std::int64_t tap) {
  const auto& [depth, height, width] = loop.axis;
  const std::int64_t w = tap % width.taps;
  const std::int64_t h = tap / width.taps % height.taps;
  const std::int64_t d = tap / width.taps / height.taps;
  const std::int64_t kd = depth.kernel_start + d * depth.kernel_step;
  const std::int64_t kh = height.kernel_start + h * height.kernel_step;
  const std::int64_t kw = width.kernel_start + w * width.kernel_step;
  return (kd * kernel[1] + kh) * kernel[2] + kw;
}

}  // namespace

std::int64_t packed_group_floats(const ConvLoop& loop) {
  const auto& tile = kernels().gemm_tile;
  const std::int64_t full = (loop.out_channels - 1) / tile.nr * tile.nr;
  return loop.taps() * loop.in_channels * (full + tile.panel_width(loop.out_channels - full));
}

void pack_weight(const ConvLoop& loop, const WeightLayout& layout, const float* weight, float* packed) {
  const auto& tile = kernels().gemm_tile;
  const std::int64_t taps = loop.taps();
  const std::int64_t panels = ceil_div(loop.out_channels, tile.nr);
  const std::int64_t pieces = ceil_div(loop.in_channels, kTaskRows);
  const std::int64_t group_floats = packed_group_floats(loop);
  const double work = static_cast<double>(loop.groups * group_floats);
  parallel_for(loop.groups * panels * pieces, work, [&](std::int64_t task, int) {
    const std::int64_t piece = task % pieces;
    const std::int64_t panel = task / pieces % panels;
    const std::int64_t group = task / pieces / panels;
    const std::int64_t column = panel * tile.nr;
    const std::int64_t columns = std::min<std::int64_t>(tile.nr, loop.out_channels - column);
    const std::int64_t width = tile.panel_width(columns);
    const std::int64_t row_begin = piece * kTaskRows;
    const std::int64_t row_end = std::min(row_begin + kTaskRows, loop.in_channels);
    const float* source = weight + group * layout.group + column * layout.column;
    float* target = packed + group * group_floats + column * taps * loop.in_channels;
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const float* from = source + tap_source(loop, layout.kernel, tap);
      float* to = target + (tap * loop.in_channels + row_begin) * width;
      for (std::int64_t row = row_begin; row < row_end; ++row, to += width) {
        const float* element = from + row * layout.reduction;
        for (std::int64_t c = 0; c < columns; ++c) to[c] = element[c * layout.column];
        for (std::int64_t c = columns; c < width; ++c) to[c] = 0.0f;
      }
    }
  });
}

}  // namespace cnncore
