// SPDX-License-Identifier: Apache-2.0
// A row of a depthwise convolution, as its kernels take it.
#pragma once

#include "isa/depthwise.h"
#include "isa/kernel_table.h"
#include "ops/conv_geometry.h"

namespace cnncore {

/// Of all columns of the `width` axis; rows, weights and channels are the caller's to set.
inline DepthwiseRow depthwise_row(const ConvAxis& width) {
  DepthwiseRow row;
  row.count = width.count;
  row.in_start = width.in_start;
  row.in_step = width.in_step;
  row.in_size = width.in_size;
  row.taps = width.taps;
  row.tap_step = width.tap_step;
  return row;
}

/// Whether the kernels do two output rows at once.
inline bool pairs_rows(const ConvAxis& height, const ConvAxis& width) {
  const bool dense = height.taps == 3 && width.taps == 3 && height.tap_step == 1 && width.tap_step == 1;
  const bool steps = height.in_step == width.in_step && (width.in_step == 1 || width.in_step == 2);
  return kernels().depthwise.forward_pair != nullptr && dense && steps;
}

}  // namespace cnncore
