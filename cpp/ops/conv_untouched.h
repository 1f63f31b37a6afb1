// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ops/conv_loop.h"

namespace cnncore {

/// Pixels of grad_input that no tap reaches and backward_data_loops() leaves out: their results are bias and
/// residual under the activation.
class UntouchedPixels {
 public:
  /// The result has `out_pitch` floats from pixel to pixel; 0: as many as its channels.
  explicit UntouchedPixels(const ConvProblem& problem, std::int64_t out_pitch = 0);

  void run(const ConvLoopMemory& memory, const ConvEpilogue& epilogue) const;
  std::size_t table_bytes() const { return offset_.capacity() * sizeof(std::int64_t); }

 private:
  bool touches(std::size_t axis, std::int64_t coordinate) const;
  void finish_row(std::int64_t row, const ConvLoopMemory& memory, const ConvEpilogue& epilogue) const;
  void finish_run(std::int64_t pixel, std::int64_t count, const ConvLoopMemory& memory,
                  const ConvEpilogue& epilogue) const;

  std::int64_t batch_, channels_, pitch_;
  Spatial size_, stride_;
  std::array<std::vector<std::int64_t>, 3> touched_;  // phases of each axis
  bool none_;
  std::vector<std::int64_t> offset_;  // of neighbouring pixels
};

}  // namespace cnncore
