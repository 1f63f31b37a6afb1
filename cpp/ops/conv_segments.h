// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace cnncore {

/// One axis of a block of pixels that two operands step through together.
struct PixelAxis {
  std::int64_t count;
  std::int64_t left, right;  // floats from pixel to pixel in either operand
};

/// The block as runs of equal length with a constant step in either operand.
struct Segments {
  std::vector<std::int64_t> left, right;  // where each run starts
  std::int64_t length = 1, left_step = 0, right_step = 0;
};

/// Axes come slowest first. Those that continue each other in both operands become one.
Segments make_segments(const std::array<PixelAxis, 4>& axes);

}  // namespace cnncore
