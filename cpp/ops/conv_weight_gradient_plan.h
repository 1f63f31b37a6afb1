// SPDX-License-Identifier: Apache-2.0
// What the direct gradient by the weight decides beforehand: which operand's channels are vectors, what is
// copied, how weight and pixels are parted, and where sums belong.
#pragma once

#include <vector>

#include "ops/conv_geometry.h"
#include "ops/conv_segments.h"

namespace cnncore {

/// One operand of the outer product: the input under the taps, or grad_output. It is read in place or, panel
/// by panel, from a copy.
struct GradientOperand {
  ConvLoop loop;  // taps and steps of the input; for grad_output a pointwise loop over its pixels
  InputView view;
  InputView source;                  // the tensor itself
  std::vector<std::int64_t> passed;  // where the pixels lie that one step of the loop passes
  std::int64_t channels = 0;         // of a group
  std::int64_t panel = 0;            // channels of a copy

  std::int64_t scratch_floats() const { return round_up(view.scratch_floats(), 16); }
};

/// The part of the weight that a task sums.
struct WeightBlock {
  std::int64_t group, row_begin, row_end, column_begin, column_end;
};

struct PixelRange {
  std::int64_t begin, end;
};

struct WeightTap {
  std::int64_t offset = 0;                // floats from the first tap in the input
  std::int64_t target = 0;                // in the weight
  std::array<PixelRange, 3> pixels = {};  // of each axis that have input under the tap, or zeros copied
};

struct WeightGradientPlan {
  explicit WeightGradientPlan(const ConvProblem& problem);

  std::int64_t left_panels() const { return ceil_div(row_block, left.panel); }
  std::int64_t blocks() const { return groups * row_blocks * column_blocks; }
  WeightBlock block(std::int64_t index) const;
  /// Where the sums of a block begin in the weight, if they lie there.
  std::int64_t weight_offset(const WeightBlock& block) const {
    return block.group * group_target + block.row_begin * sum_stride + block.column_begin;
  }
  /// First chunk of a split; that of the next split ends it.
  std::int64_t chunk_begin(std::int64_t split) const { return grid.chunks() * split / splits; }
  /// Those pixels of a chunk that a tap sums.
  void find_pixels(const ConvChunk& chunk, const WeightTap& tap, Segments& segments) const;
  std::int64_t max_segments() const;
  /// Lists the lines that a task reads of a chunk, and returns how many.
  std::int64_t list_lines(const WeightBlock& block, const ConvChunk& chunk, const float* left_tensor,
                          const float* right_tensor, OuterTileFetch* list) const;

  static constexpr std::int64_t kMaxLines = 160;
  static constexpr std::int64_t kMaxLeftPanels = 10;  // 256 rows in panels of more than 30

  bool input_right = true;  // vectors run along input channels, else along output channels
  bool in_place = false;    // nothing is copied: taps without input are left out of the sums instead
  bool packs_left = false;
  bool fetches = false;  // the tile brings the next chunk into the second cache
  GradientOperand left, right;
  ChunkGrid grid;
  std::int64_t groups = 1;
  std::int64_t splits = 1;                       // of the chunks
  std::int64_t rows = 0, columns = 0;            // of a group
  std::int64_t row_block = 0, column_block = 0;  // of a task
  std::int64_t row_blocks = 0, column_blocks = 0;
  bool sums_in_weight = false;  // a task's sums are its block of the weight
  std::int64_t sum_floats = 0;  // [tap][row][column] of a task, where they lie by themselves
  std::int64_t sum_stride = 0;  // from row to row
  std::vector<WeightTap> taps;
  OuterTileOffsets image_step = {};
  std::array<OuterTileOffsets, 3> pixel_step = {};
  std::vector<std::int64_t> row_target;  // where sums go in the weight
  std::int64_t column_target = 0;
  std::int64_t group_target = 0;

 private:
  void plan_operands(const ConvProblem& problem, const ConvLoop& input, const ConvLoop& output);
  void plan_taps(const ConvLoop& input);
  void plan_blocks(std::int64_t kernel_taps);
  void cut_columns();
  void plan_targets(const ConvProblem& problem);
};

}  // namespace cnncore
