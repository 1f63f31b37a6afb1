// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_segments.h"

namespace cnncore {
namespace {

bool same(const OuterTileOffsets& a, const OuterTileOffsets& b) {
  return a.left == b.left && a.right == b.right && a.source[0] == b.source[0] && a.source[1] == b.source[1];
}

}  // namespace

OuterTileOffsets advance(const OuterTileOffsets& from, const OuterTileOffsets& step, std::int64_t count) {
  return {from.left + count * step.left,
          from.right + count * step.right,
          {from.source[0] + count * step.source[0], from.source[1] + count * step.source[1]}};
}

void find_segments(const std::array<PixelAxis, 4>& axes, const OuterTileOffsets& first, Segments& segments) {
  std::array<PixelAxis, 4> merged;  // fastest first
  std::size_t count = 0;
  segments.count = 0;
  for (std::size_t a = 4; a-- > 0;) {
    const PixelAxis& axis = axes[a];
    if (axis.count == 0) return;
    if (axis.count == 1) continue;
    if (count > 0 && same(axis.step, advance({}, merged[count - 1].step, merged[count - 1].count))) {
      merged[count - 1].count *= axis.count;
    } else {
      merged[count++] = axis;
    }
  }
  segments.count = 1;
  segments.start[0] = first;
  segments.length = count > 0 ? merged[0].count : 1;
  segments.step = count > 0 ? merged[0].step : OuterTileOffsets{};
  for (std::size_t a = 1; a < count; ++a) {
    for (std::int64_t i = 1; i < merged[a].count; ++i) {
      for (std::int64_t s = 0; s < segments.count; ++s)
        segments.start[i * segments.count + s] = advance(segments.start[s], merged[a].step, i);
    }
    segments.count *= merged[a].count;
  }
}

}  // namespace cnncore
