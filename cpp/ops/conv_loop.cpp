// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_loop.h"

#include <algorithm>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/conv_pack.h"

namespace cnncore {
namespace {

// A chunk's input stays in the second cache (256 KiB on the smallest CPUs served, 1 MiB on most) next to
// the block of the weight panel that passes over it.
constexpr std::int64_t kChunkFloats = 48 * 1024;
constexpr std::int64_t kBlockFloats = 64 * 1024;
constexpr std::int64_t kMaxPixels = 2048;
constexpr std::int64_t kMinPixels = 96;
// Enough tasks that a few threads end at nearly the same time.
constexpr std::int64_t kTasks = 16;

std::int64_t reduction_pieces(std::int64_t depth) {
  return std::max<std::int64_t>(1, ceil_div(depth * kernels().gemm_tile.nr, kBlockFloats));
}

/// Turns the tile's shift, sum and sum of squares into count, mean and squared deviations from the mean.
void finish_statistics(const float* sums, std::int64_t rows, std::int64_t columns, std::int64_t nr,
                       float* count, std::int64_t channels) {
  const float inverse = 1.0f / static_cast<float>(rows);
  for (std::int64_t c = 0; c < columns; ++c) {
    const float sum = sums[nr + c];
    count[c] = static_cast<float>(rows);
    count[channels + c] = sums[c] + sum * inverse;
    const float deviations = sums[2 * nr + c] - sum * (sum * inverse);
    count[2 * channels + c] = deviations < 0.0f ? 0.0f : deviations;  // a NaN stays
  }
}

}  // namespace

ConvLoopPlan::ConvLoopPlan(const ConvLoop& loop) : loop_(flatten_pointwise(loop)) {
  const auto& tile = kernels().gemm_tile;
  in_pitch_ = loop_.in_channels * loop_.groups;
  out_pitch_ = loop_.out_channels * loop_.groups;
  panels_ = ceil_div(loop_.out_channels, tile.nr);
  group_floats_ = packed_group_floats(loop_);
  plan_view();
  plan_blocks();
  plan_offsets();
  plan_tasks();
}

/// Decides whether chunks work on a padded copy of the input, and their size.
void ConvLoopPlan::plan_view() {
  bool padded = false;
  for (const auto& axis : loop_.axis) padded |= axis.needs_padding();
  // A single tap reads the channels of a pixel block by block, so only one block has to stay in cache.
  std::int64_t pixel_floats = loop_.in_channels;
  if (loop_.taps() == 1) pixel_floats = ceil_div(pixel_floats, reduction_pieces(pixel_floats));
  for (const auto& axis : loop_.axis) {
    if (axis.taps > 1) pixel_floats *= axis.in_step;
  }
  const std::int64_t fit = std::clamp<std::int64_t>(kChunkFloats / pixel_floats, kMinPixels, kMaxPixels);
  const std::int64_t share = std::max(kMinPixels, ceil_div(loop_.pixels() * loop_.groups, kTasks));
  grid_ = ChunkGrid(loop_, std::min(fit, share));
  view_ = InputView(loop_, grid_, in_pitch_, padded, loop_.in_channels);
  depth_ = loop_.in_channels;
  tap_offset_ = merge_taps(loop_, view_, depth_);
}

/// Cuts the reduction into blocks whose part of a panel stays in the second cache: taps, or, when there is
/// one only, its channels.
void ConvLoopPlan::plan_blocks() {
  const auto taps = static_cast<std::int64_t>(tap_offset_.size());
  const std::int64_t pieces = reduction_pieces(taps * depth_);
  if (taps == 1) {
    const std::int64_t step = ceil_div(depth_, pieces);
    for (std::int64_t c = 0; c < depth_; c += step) blocks_.push_back({0, 1, c, std::min(step, depth_ - c)});
  } else {
    const std::int64_t step = std::max<std::int64_t>(1, ceil_div(taps, pieces));
    for (std::int64_t t = 0; t < taps; t += step) blocks_.push_back({t, std::min(step, taps - t), 0, depth_});
  }
  if (blocks_.empty()) blocks_.push_back({0, 0, 0, 0});  // no tap reaches these pixels: an empty sum
}

void ConvLoopPlan::plan_offsets() {
  const ConvChunk chunk = grid_.largest();
  const auto& axis = loop_.axis;
  const std::int64_t row = axis[2].out_size * out_pitch_;
  const std::int64_t plane = axis[1].out_size * row;
  for (std::int64_t n = 0; n < chunk.count[0]; ++n) {
    for (std::int64_t d = 0; d < chunk.count[1]; ++d) {
      for (std::int64_t h = 0; h < chunk.count[2]; ++h) {
        for (std::int64_t w = 0; w < axis[2].count; ++w) {
          row_offset_.push_back(n * view_.image_stride() + d * view_.pixel_step(0) + h * view_.pixel_step(1) +
                                w * view_.pixel_step(2));
          output_offset_.push_back((n * axis[0].out_size + d * axis[0].out_step) * plane +
                                   h * axis[1].out_step * row + w * axis[2].out_step * out_pitch_);
        }
      }
    }
  }
}

void ConvLoopPlan::plan_tasks() {
  const std::int64_t chunks = grid_.chunks() * loop_.groups;
  const std::int64_t groups = std::clamp<std::int64_t>(kTasks / chunks, 1, panels_);
  panels_per_task_ = ceil_div(panels_, groups);
}

std::int64_t ConvLoopPlan::output_base(const ConvChunk& chunk) const {
  const auto& [depth, height, width] = loop_.axis;
  std::int64_t pixel = chunk.start[0] * depth.out_size + depth.out_start + chunk.start[1] * depth.out_step;
  pixel = pixel * height.out_size + height.out_start + chunk.start[2] * height.out_step;
  return (pixel * width.out_size + width.out_start) * out_pitch_;
}

void ConvLoopPlan::run(const ConvLoopMemory& memory, const ConvEpilogue& epilogue,
                       const StepArgs& args) const {
  const std::int64_t panel_groups = ceil_div(panels_, panels_per_task_);
  const std::int64_t tasks = grid_.chunks() * loop_.groups * panel_groups;
  const double work = static_cast<double>(loop_.pixels() * loop_.groups * loop_.out_channels) *
                      static_cast<double>(loop_.taps() * loop_.in_channels + 4) / kernels().width;
  parallel_for(tasks, work, [&](std::int64_t task, int thread) {
    run_task(task, memory, epilogue, args.scratch_of(thread));
  });
}

void ConvLoopPlan::run_task(std::int64_t task, const ConvLoopMemory& memory, const ConvEpilogue& epilogue,
                            float* scratch) const {
  const auto& tile = kernels().gemm_tile;
  const std::int64_t panel_groups = ceil_div(panels_, panels_per_task_);
  const std::int64_t first_panel = task % panel_groups * panels_per_task_;
  const std::int64_t end_panel = std::min(first_panel + panels_per_task_, panels_);
  task /= panel_groups;
  const std::int64_t group = task % loop_.groups;
  const std::int64_t chunk_index = task / loop_.groups;
  const ConvChunk chunk = grid_.at(chunk_index);
  const std::int64_t first_channel = group * loop_.out_channels;

  GemmTileArgs call;
  call.row_offset = row_offset_.data();
  call.output_offset = output_offset_.data();
  call.rows = chunk.count[0] * chunk.count[1] * chunk.count[2] * loop_.axis[2].count;
  call.alpha = epilogue.alpha;
  const std::int64_t out_base = output_base(chunk) + first_channel;
  const std::int64_t panel_rows = loop_.taps() * loop_.in_channels;
  const float* input =
      view_.prepare(loop_, chunk, memory.input, group * loop_.in_channels, loop_.in_channels, scratch);
  float statistics[3 * kMaxPanelColumns];

  for (const Block& block : blocks_) {
    const bool first = &block == &blocks_.front();
    const bool last = &block == &blocks_.back();
    call.tap_offset = tap_offset_.data() + block.tap;
    call.taps = block.taps;
    call.depth = block.channels;
    call.input = input + block.channel;
    for (std::int64_t panel = first_panel; panel < end_panel; ++panel) {
      const std::int64_t column = panel * tile.nr;
      call.columns = std::min<std::int64_t>(tile.nr, loop_.out_channels - column);
      call.panel = memory.packed + group * group_floats_ + column * panel_rows +
                   (block.tap * depth_ + block.channel) * tile.panel_width(call.columns);
      call.output = memory.output + out_base + column;
      call.accumulate = !first;
      call.prefetch = !view_.copies() && panel == first_panel;
      if (last) {
        call.bias = memory.bias != nullptr ? memory.bias + first_channel + column : nullptr;
        call.residual = memory.residual != nullptr ? memory.residual + out_base + column : nullptr;
        call.activation = epilogue.activation;
        call.statistics = memory.statistics != nullptr ? statistics : nullptr;
        call.statistics_begin = true;
      }
      tile.run(call);
      if (call.statistics != nullptr) {
        float* rows = memory.statistics + chunk_index * 3 * out_pitch_ + first_channel + column;
        finish_statistics(statistics, call.rows, call.columns, tile.nr, rows, out_pitch_);
      }
    }
  }
}

}  // namespace cnncore
