// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// Corners and areas of boxes, one array each; they may be read up to 16 floats beyond the last box.
struct BoxColumns {
  float* left;
  float* top;
  float* right;
  float* bottom;
  float* area;
};

/// Rows and columns of a channels-last image, the last ones not included.
struct BinRange {
  std::int64_t top, bottom, left, right;
};

struct BoxKernels {
  /// Sets gone[i] to 1 for the boxes from `begin` to `end` - 1 whose intersection with box `by` is more than
  /// `threshold` of their union; may write up to 16 floats beyond.
  void (*suppress)(const BoxColumns& boxes, std::int64_t by, std::int64_t begin, std::int64_t end,
                   float threshold, float* gone);
  /// The largest value of each channel in a bin, and at which pixel (row * width + column) it is first met;
  /// 0 and -1 of an empty bin or where nothing is larger than the least float.
  void (*largest)(const float* image, std::int64_t width, std::int64_t pitch, const BinRange& bin,
                  std::int64_t channels, float* out, std::int32_t* index);
};

}  // namespace cnncore
