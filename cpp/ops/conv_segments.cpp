// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_segments.h"

#include <utility>

namespace cnncore {

Segments make_segments(const std::array<PixelAxis, 4>& axes) {
  std::vector<PixelAxis> merged;  // fastest first
  for (std::size_t a = 4; a-- > 0;) {
    const PixelAxis& axis = axes[a];
    if (axis.count == 1) continue;
    if (!merged.empty()) {
      PixelAxis& inner = merged.back();
      if (axis.left == inner.left * inner.count && axis.right == inner.right * inner.count) {
        inner.count *= axis.count;
        continue;
      }
    }
    merged.push_back(axis);
  }
  Segments s;
  s.left = s.right = {0};
  if (merged.empty()) return s;
  s.length = merged[0].count;
  s.left_step = merged[0].left;
  s.right_step = merged[0].right;
  for (std::size_t a = merged.size(); a-- > 1;) {
    Segments next = s;
    next.left.clear();
    next.right.clear();
    for (std::size_t i = 0; i < s.left.size(); ++i) {
      for (std::int64_t j = 0; j < merged[a].count; ++j) {
        next.left.push_back(s.left[i] + j * merged[a].left);
        next.right.push_back(s.right[i] + j * merged[a].right);
      }
    }
    s = std::move(next);
  }
  return s;
}

}  // namespace cnncore
