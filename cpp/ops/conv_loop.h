// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"
#include "ops/conv_pack.h"
#include "ops/conv_pixels.h"

namespace cnncore {

/// Memory one run of a loop works on.
struct ConvLoopMemory {
  const float* input = nullptr;
  const float* packed = nullptr;
  const float* bias = nullptr;
  const float* residual = nullptr;
  float* output = nullptr;
  float* activated = nullptr;   // as in GemmTileArgs
  float* statistics = nullptr;  // (chunks, 3, channels)
};

/// Whether pixels of `pitch` floats from `first` on begin and end with cache lines, as results that are
/// written past the caches must.
bool whole_lines(const float* first, std::int64_t pitch);

/// A dense loop made ready to run on the GEMM tile: chunks, tables of offsets, reduction blocks and tasks.
/// The packed weight is [group][panel][tap][channel][column of the panel].
class ConvLoopPlan {
 public:
  /// The result has `out_pitch` floats from pixel to pixel; 0: as many as its channels. The loop is cut into
  /// about `most_tasks` tasks at most, and as the caches ask.
  explicit ConvLoopPlan(const ConvLoop& loop, std::int64_t out_pitch = 0,
                        std::int64_t most_tasks = machine().tasks);

  std::int64_t packed_floats() const { return loop_.groups * group_floats_; }
  /// Chunks of a loop, which are the rows of its statistics.
  static std::int64_t chunk_count(const ConvLoop& loop);
  static std::int64_t scratch_floats();  // of a thread, when statistics are taken
  std::int64_t tasks() const {
    return grid_.chunks() * loop_.groups * ceil_div(panels_.count(), panels_per_task_);
  }
  double work() const;  // vector operations of all tasks
  std::size_t table_bytes() const;
  /// `scratch` is used for statistics only.
  void run_task(std::int64_t task, const ConvLoopMemory& memory, const ConvEpilogue& epilogue,
                float* scratch) const;

 private:
  /// The part of the reduction of one class of pixels that falls into one block.
  struct Call {
    std::int64_t pixel, pixels;
    std::int64_t tap_begin, taps;
    std::int64_t channel, depth;
    bool accumulate;
  };
  struct Table {
    PixelTable pixels;
    std::vector<std::vector<Call>> calls;  // of each block
  };
  /// Part of the reduction: taps, or floats of the only tap.
  struct Block {
    std::int64_t tap, tap_end, channel, channel_end;
  };
  /// Pieces that chunks are made of along one axis, by what their tables depend on.
  struct Pieces {
    std::vector<std::int32_t> kind;   // of each piece
    std::vector<std::int64_t> first;  // piece of each kind
  };
  static ChunkGrid chunk_grid(const ConvLoop& loop, std::int64_t most_tasks = machine().tasks);
  void plan_blocks();
  void plan_tables();
  Pieces sort_pieces(std::size_t axis) const;
  const Table& table_at(const ChunkGrid::Place& place) const;
  void plan_calls(Table& table) const;
  bool streams(const ConvLoopMemory& memory, const ConvEpilogue& epilogue) const;

  ConvLoop loop_;
  std::int64_t in_pitch_;
  std::int64_t out_channels_;  // of all groups
  std::int64_t out_pitch_;
  TapGeometry geometry_;
  std::int64_t tap_floats_ = 0;  // contiguous floats of a whole tap
  std::int64_t group_floats_ = 0;
  PanelCut panels_;
  ChunkGrid grid_;
  std::int64_t panels_per_task_ = 0;
  bool large_ = false;  // the output, for the caches
  std::vector<Block> blocks_;
  std::vector<Table> tables_;
  std::array<Pieces, 4> pieces_;  // of images, planes, rows, columns
};

}  // namespace cnncore
