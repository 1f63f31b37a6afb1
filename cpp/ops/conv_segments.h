// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "isa/outer_tile.h"

namespace cnncore {

/// One axis of a block of pixels that several readers step through together.
struct PixelAxis {
  std::int64_t count;
  OuterTileOffsets step;
};

/// A block of pixels as segments of equal length with a constant step for each reader.
struct Segments {
  OuterTileOffsets* start = nullptr;  // room for the product of all counts but the last
  std::int64_t count = 0;
  std::int64_t length = 0;
  OuterTileOffsets step = {};
};

/// from + count * step
OuterTileOffsets advance(const OuterTileOffsets& from, const OuterTileOffsets& step, std::int64_t count);

/// Fills the segments of a block that begins at `first`. Axes come slowest first; those that continue each
/// other for all readers become one.
void find_segments(const std::array<PixelAxis, 4>& axes, const OuterTileOffsets& first, Segments& segments);

}  // namespace cnncore
