// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"

namespace cnncore {

inline constexpr int kMaxPanelColumns = 64;

/// Memory one run of a loop works on.
struct ConvLoopMemory {
  const float* input = nullptr;
  const float* packed = nullptr;
  const float* bias = nullptr;
  const float* residual = nullptr;
  float* output = nullptr;
  float* statistics = nullptr;  // (chunks, 3, channels)
};

/// A dense loop made ready to run on the GEMM tile: chunks, tables of offsets, reduction blocks and tasks.
/// The packed weight is [group][panel][tap][channel][column of the panel].
class ConvLoopPlan {
 public:
  explicit ConvLoopPlan(const ConvLoop& loop);

  const ConvLoop& loop() const { return loop_; }
  std::int64_t packed_floats() const { return loop_.groups * group_floats_; }
  std::int64_t chunks() const { return grid_.chunks(); }
  std::int64_t scratch_floats() const { return view_.scratch_floats(); }
  void run(const ConvLoopMemory& memory, const ConvEpilogue& epilogue, const StepArgs& args) const;

 private:
  struct Block {  // part of the reduction: taps, or floats of the single tap
    std::int64_t tap, taps, channel, channels;
  };
  void plan_blocks();
  void plan_view();
  void plan_offsets();
  void plan_tasks();
  void run_task(std::int64_t task, const ConvLoopMemory& memory, const ConvEpilogue& epilogue,
                float* scratch) const;
  std::int64_t output_base(const ConvChunk& chunk) const;

  ConvLoop loop_;
  std::int64_t group_floats_ = 0;
  std::int64_t depth_ = 0;  // contiguous floats of a tap
  std::int64_t in_pitch_ = 0;
  std::int64_t out_pitch_ = 0;
  std::int64_t panels_ = 0;
  std::int64_t panels_per_task_ = 0;
  ChunkGrid grid_;
  InputView view_;
  std::vector<Block> blocks_;
  std::vector<std::int64_t> tap_offset_;
  std::vector<std::int64_t> row_offset_;     // of a chunk's pixels from its base
  std::vector<std::int64_t> output_offset_;  // likewise
};

}  // namespace cnncore
