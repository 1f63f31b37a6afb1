// SPDX-License-Identifier: Apache-2.0
// What the forward and the backward step of recurrent layers share: sizes, packed weights, products of a step
// in time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "isa/recurrent.h"
#include "program/step.h"

namespace cnncore {

/// A layer in one direction: projected inputs of all times in, outputs of all times out.
struct RecurrentProblem {
  /// From a step's attributes, its values (time, batch, gates * units), and lengths if it has that input.
  RecurrentProblem(const StepSpec& spec, const TensorDesc& gated, std::size_t lengths);

  /// From row to row, and from time to time, of values with so many features.
  std::int64_t row_stride(std::int64_t features) const { return batch_first ? time * features : features; }
  std::int64_t time_stride(std::int64_t features) const { return batch_first ? features : batch * features; }
  /// The time of a step: the last one first with `reverse`.
  std::int64_t time_of(std::int64_t step) const { return reverse ? time - 1 - step : step; }
  /// Values of a time, from an `offset` on; null ones stay null.
  RecurrentRows rows(const float* values, std::int64_t features, std::int64_t at, std::int64_t offset) const;
  RecurrentTarget target(float* values, std::int64_t features, std::int64_t at, std::int64_t offset) const;

  RecurrentCell cell = RecurrentCell::lstm;
  std::int64_t gates = 0;
  std::int64_t time = 0;
  std::int64_t batch = 0;
  std::int64_t units = 0;
  std::int64_t outputs = 0;  // of a step: `units`, or those of the projection
  bool projects = false;
  bool reverse = false;
  bool batch_first = false;
};

/// Blocks of units one after the other, the last one first when `backwards`.
struct UnitBlocks {
  std::int64_t first = 0, count = 0;
  bool backwards = false;
  std::int64_t operator[](std::int64_t i) const { return backwards ? first + count - 1 - i : first + i; }
};

/// How a weight is packed: by blocks of units, the gates of a block's units next to each other in panels of
/// the GEMM tile, so that who has a block's products can go on to its units' states.
class UnitPanels {
 public:
  UnitPanels() = default;
  UnitPanels(std::int64_t gates, std::int64_t units, std::int64_t depth);

  std::int64_t blocks() const { return blocks_; }
  std::int64_t begin(std::int64_t block) const { return block * block_; }
  std::int64_t size(std::int64_t block) const;
  std::int64_t block() const { return block_; }  // units of a full one
  std::int64_t columns() const { return gates_ * block_; }
  std::int64_t depth() const { return depth_; }
  std::int64_t floats() const { return blocks_ * columns() * depth_; }

  /// Packs (gates * units, depth) or, `transposed`, (depth, units).
  void pack(const float* weight, bool transposed, float* packed) const;

  /// sums[block][row] = the block's columns for input[row].
  void multiply(const UnitBlocks& blocks, const float* packed, const RecurrentRows& input, std::int64_t rows,
                float* sums) const;
  RecurrentRows sums_of(std::int64_t i, std::int64_t rows, const float* sums) const {
    return {sums + i * rows * columns(), columns()};
  }

 private:
  std::int64_t gates_ = 0, units_ = 0, depth_ = 0, block_ = 0, blocks_ = 0;
};

/// The two uses of a recurrent or projecting weight. "forward": products with rows of the weight, gate by
/// gate; "backward": with its columns.
struct RecurrentWeight {
  std::int64_t gates = 1;
  std::int64_t units = 0;  // rows of a gate
  std::int64_t depth = 0;  // columns

  UnitPanels forward() const { return {gates, units, depth}; }
  UnitPanels backward() const { return {1, depth, gates * units}; }
};
std::int64_t recurrent_packed_floats(std::int64_t gates, std::int64_t units, std::int64_t depth,
                                     const std::string& direction);

/// The tasks of a step in time: groups of rows by groups of blocks. By shapes alone.
class RecurrentTasks {
 public:
  static constexpr std::int64_t kRows = 64;  // of a product
  RecurrentTasks() = default;
  RecurrentTasks(const UnitPanels& panels, std::int64_t batch);
  std::int64_t count() const { return row_groups_ * unit_groups_; }
  /// Groups of rows, one's tasks after the other's; no group reads what another computes.
  std::int64_t row_groups() const { return row_groups_; }
  double work() const { return work_; }  // vector operations of all tasks
  /// Of the sums of all blocks and rows that are worked on together.
  std::int64_t sums_floats() const { return blocks_together_ * std::min(batch_, kRows) * columns_; }

  /// Calls body(blocks, first row, rows) for what a task consists of; from the end on when `backwards`.
  /// What is worked on together stays in the first cache; states of several blocks wait less for each other.
  template <class Body>
  void run(std::int64_t task, bool backwards, const Body& body) const {
    const std::int64_t group = task % unit_groups_, rows = task / unit_groups_;
    const std::int64_t first = blocks_ * group / unit_groups_, end = blocks_ * (group + 1) / unit_groups_;
    const std::int64_t row_end = batch_ * (rows + 1) / row_groups_;
    const UnitBlocks all = {first, end - first, backwards};
    for (std::int64_t i = 0; i < all.count; i += blocks_together_) {
      const std::int64_t count = std::min(blocks_together_, all.count - i);
      const UnitBlocks blocks = {backwards ? all[i + count - 1] : all[i], count, backwards};
      for (std::int64_t row = batch_ * rows / row_groups_; row < row_end; row += kRows)
        body(blocks, row, std::min(kRows, row_end - row));
    }
  }

 private:
  std::int64_t batch_ = 0, blocks_ = 0, columns_ = 0;
  std::int64_t unit_groups_ = 1, row_groups_ = 1, blocks_together_ = 1;
  double work_ = 0.0;
};

}  // namespace cnncore
