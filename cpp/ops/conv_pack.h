// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "ops/conv_geometry.h"
#include "program/step.h"

namespace cnncore {

/// Where the weight of a loop lies in its tensor, in elements.
struct WeightLayout {
  std::int64_t group = 0;
  std::int64_t column = 0;     // from output channel to output channel of the loop
  std::int64_t reduction = 0;  // from input channel to input channel of the loop
  Spatial kernel{1, 1, 1};     // extents; taps are contiguous, width fastest
};

/// Columns (output channels of a group) cut into panels of the tile: whole vectors but for the last panel, of
/// nearly equal width, and an even number where that leaves none too narrow, so that two threads can share
/// them.
class PanelCut {
 public:
  PanelCut() = default;
  explicit PanelCut(std::int64_t columns);
  std::int64_t count() const { return panels_; }
  std::int64_t begin(std::int64_t panel) const;
  std::int64_t columns(std::int64_t panel) const { return begin(panel + 1) - begin(panel); }
  /// Floats that a step of the reduction takes in all panels.
  std::int64_t width() const;

 private:
  std::int64_t columns_ = 0;
  std::int64_t panels_ = 0;
  std::int64_t even_vectors_ = 0;  // shared evenly among even_panels_
  std::int64_t even_panels_ = 0;
};

/// Floats of the packed weight of one group.
std::int64_t packed_group_floats(const ConvLoop& loop);

/// Packs the weight of a loop as [group][panel][tap][input channel][column of the panel]; columns past the
/// last are zero.
class WeightPack {
 public:
  WeightPack(const ConvLoop& loop, const WeightLayout& layout);
  void run(const float* weight, float* packed, const StepArgs& args) const;
  std::int64_t packed_floats() const { return loop_.groups * packed_group_floats(loop_); }
  std::int64_t scratch_floats() const;

 private:
  struct Panel;  // the part of a panel that a task writes
  void pack_rows(const Panel& panel, const float* source) const;
  void pack_columns(const Panel& panel, const float* source, float* scratch) const;
  void clear_padding(const Panel& panel) const;

  ConvLoop loop_;
  WeightLayout layout_;
  std::vector<std::int64_t> tap_source_;  // offset in the tensor of each tap
  bool turned_ = false;                   // the taps are those of the tensor, last first
};

}  // namespace cnncore
