// SPDX-License-Identifier: Apache-2.0
// Tensors that are some of the channels of a wider channels-last tensor.
#pragma once

#include "core/tensor.h"

namespace cnncore {

/// Floats from pixel to pixel: the channels of a dense channels-last tensor, more where it is part of a wider
/// one, 0 for any other layout.
inline std::int64_t pixel_pitch(const TensorDesc& desc) {
  if (desc.rank < 3 || (desc.dim(1) != 1 && desc.step(1) != 1)) return 0;
  const std::int64_t pitch = desc.step(desc.rank - 1);
  std::int64_t expected = pitch;
  for (int axis = desc.rank - 1; axis >= 0; --axis) {
    if (axis == 1) continue;
    if (desc.step(axis) != expected) return 0;
    expected *= desc.dim(axis);
  }
  return pitch >= desc.dim(1) ? pitch : 0;
}

/// A dense channels-last tensor spread to `pitch` floats from pixel to pixel.
inline TensorDesc with_pixel_pitch(TensorDesc desc, std::int64_t pitch) {
  for (int axis = 0; axis < desc.rank; ++axis) {
    auto& step = desc.stride[static_cast<std::size_t>(axis)];
    if (axis != 1) step = step / desc.dim(1) * pitch;
  }
  return desc;
}

}  // namespace cnncore
