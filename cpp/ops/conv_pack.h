// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "ops/conv_geometry.h"

namespace cnncore {

/// Where the weight of a loop lies in its tensor, in elements.
struct WeightLayout {
  std::int64_t group = 0;
  std::int64_t column = 0;     // from output channel to output channel of the loop
  std::int64_t reduction = 0;  // from input channel to input channel of the loop
  Spatial kernel{1, 1, 1};     // extents; taps are contiguous, width fastest
};

/// Floats of the packed weight of one group.
std::int64_t packed_group_floats(const ConvLoop& loop);

/// Writes [group][panel][tap][input channel][column of the panel]; columns past the last are zero.
void pack_weight(const ConvLoop& loop, const WeightLayout& layout, const float* weight, float* packed);

}  // namespace cnncore
