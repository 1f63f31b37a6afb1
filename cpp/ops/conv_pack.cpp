// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_pack.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/transpose.h"

namespace cnncore {
namespace {

constexpr std::int64_t kTaskRows = 64;  // input channels of a task

/// Input channels whose taps are transposed together in the scratch of a thread.
std::int64_t rows_at_once(std::int64_t taps) { return std::clamp<std::int64_t>(128 / taps, 1, kTaskRows); }

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

PanelCut::PanelCut(std::int64_t columns) : columns_(columns) {
  const std::int64_t width = kernels().width;
  const std::int64_t widest = kernels().gemm_tile.nr / width;
  even_vectors_ = ceil_div(columns, width);
  // One and a half vectors are a tile of their own where the instruction set has half vectors.
  const std::int64_t last = columns - (even_vectors_ - 2) * width;
  const bool half = even_vectors_ >= 2 && kernels().gemm_tile.panel_width(last) < 2 * width;
  if (half) even_vectors_ -= 2;
  even_panels_ = ceil_div(even_vectors_, widest);
  const bool odd = even_panels_ > 1 && even_panels_ % 2 == 1 && !half;
  if (odd && 2 * even_vectors_ >= 5 * (even_panels_ + 1)) ++even_panels_;
  panels_ = even_panels_ + (half ? 1 : 0);
}

std::int64_t PanelCut::begin(std::int64_t panel) const {
  if (panel >= panels_) return columns_;
  if (panel == even_panels_) return even_vectors_ * kernels().width;
  return even_vectors_ * panel / even_panels_ * kernels().width;
}

std::int64_t PanelCut::width() const {
  const std::int64_t last = begin(panels_ - 1);
  return last + kernels().gemm_tile.panel_width(columns_ - last);
}

std::int64_t packed_group_floats(const ConvLoop& loop) {
  return loop.taps() * loop.in_channels * PanelCut(loop.out_channels).width();
}

struct WeightPack::Panel {
  float* target;
  std::int64_t rows, columns, width;
  std::int64_t tap_step;  // from tap to tap
};

WeightPack::WeightPack(const ConvLoop& loop, const WeightLayout& layout) : loop_(loop), layout_(layout) {
  for (std::int64_t tap = 0; tap < loop.taps(); ++tap)
    tap_source_.push_back(tap_source(loop, layout.kernel, tap));
  turned_ =
      static_cast<std::int64_t>(tap_source_.size()) == layout.kernel[0] * layout.kernel[1] * layout.kernel[2];
  for (std::size_t tap = 0; tap < tap_source_.size(); ++tap)
    turned_ = turned_ && tap_source_[tap_source_.size() - 1 - tap] == static_cast<std::int64_t>(tap);
}

std::int64_t WeightPack::scratch_floats() const {
  const std::int64_t taps = layout_.reduction;
  if (layout_.column < layout_.reduction || taps == 1) return 0;
  return rows_at_once(taps) * taps * kernels().gemm_tile.nr;
}

void WeightPack::clear_padding(const Panel& panel) const {
  if (panel.columns == panel.width) return;
  for (std::int64_t tap = 0; tap < loop_.taps(); ++tap) {
    float* row = panel.target + tap * panel.tap_step;
    for (std::int64_t r = 0; r < panel.rows; ++r, row += panel.width)
      std::fill(row + panel.columns, row + panel.width, 0.0f);
  }
}

/// Columns are the nearer axis of the tensor (backward-data): each row is read once, in order. Rows lie too
/// far apart for the hardware to fetch the next one.
void WeightPack::pack_rows(const Panel& panel, const float* source) const {
  constexpr std::int64_t kAhead = 4;
  for (std::int64_t row = 0; row < panel.rows; ++row, source += layout_.reduction) {
    const float* next = source + kAhead * layout_.reduction;
    for (std::int64_t i = 0; i < panel.columns * layout_.column; i += kLineFloats)
      __builtin_prefetch(next + i);
    float* to = panel.target + row * panel.width;
    if (turned_ && layout_.column > 1) {
      transpose(source, layout_.column, loop_.taps(), panel.columns, to + (loop_.taps() - 1) * panel.tap_step,
                -panel.tap_step);
      continue;
    }
    for (const auto tap : tap_source_) {
      const float* from = source + tap;
      if (layout_.column == 1) {
        std::memcpy(to, from, static_cast<std::size_t>(panel.columns) * sizeof(float));
      } else {
        for (std::int64_t c = 0; c < panel.columns; ++c) to[c] = from[c * layout_.column];
      }
      to += panel.tap_step;
    }
  }
}

/// Rows of a column are contiguous with their taps (forward): transposed as a whole, then dealt out by tap.
void WeightPack::pack_columns(const Panel& panel, const float* source, float* scratch) const {
  const std::int64_t taps = layout_.reduction;
  if (taps == 1) {
    transpose(source, layout_.column, panel.rows, panel.columns, panel.target, panel.width);
    return;
  }
  const std::int64_t step = rows_at_once(taps);
  for (std::int64_t row = 0; row < panel.rows; row += step) {
    const std::int64_t rows = std::min(step, panel.rows - row);
    transpose(source + row * taps, layout_.column, rows * taps, panel.columns, scratch, panel.width);
    float* to = panel.target + row * panel.width;
    for (const auto tap : tap_source_) {
      for (std::int64_t r = 0; r < rows; ++r) {
        std::memcpy(to + r * panel.width, scratch + (r * taps + tap) * panel.width,
                    static_cast<std::size_t>(panel.columns) * sizeof(float));
      }
      to += panel.tap_step;
    }
  }
}

void WeightPack::run(const float* weight, float* packed, const StepArgs& args) const {
  const auto& tile = kernels().gemm_tile;
  const PanelCut panels(loop_.out_channels);
  const std::int64_t pieces = ceil_div(loop_.in_channels, kTaskRows);
  const std::int64_t group_floats = packed_group_floats(loop_);
  const double work = static_cast<double>(packed_floats()) / 4.0;
  if (group_floats == 0) return;  // no tap reaches this phase
  parallel_for(loop_.groups * panels.count() * pieces, work, [&](std::int64_t task, int thread) {
    const std::int64_t row = task % pieces * kTaskRows;
    const std::int64_t index = task / pieces % panels.count();
    const std::int64_t column = panels.begin(index);
    const std::int64_t group = task / pieces / panels.count();
    Panel panel;
    panel.columns = panels.columns(index);
    panel.width = tile.panel_width(panel.columns);
    panel.tap_step = loop_.in_channels * panel.width;
    panel.rows = std::min(kTaskRows, loop_.in_channels - row);
    panel.target =
        packed + group * group_floats + column * loop_.taps() * loop_.in_channels + row * panel.width;
    const float* source = weight + group * layout_.group + column * layout_.column + row * layout_.reduction;
    if (layout_.column < layout_.reduction) {
      pack_rows(panel, source);
    } else {
      pack_columns(panel, source, args.scratch_of(thread));
    }
    clear_padding(panel);
  });
}

}  // namespace cnncore
