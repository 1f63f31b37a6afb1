// SPDX-License-Identifier: Apache-2.0
// How rows of pixels whose vectors run along channels are finished and stored.
#pragma once

#include "isa/depthwise.h"
#include "isa/kernels/activations.h"

namespace cnncore {
namespace CNNCORE_ISA {

/// What happens to a vector of channels before it is stored. Of the activations in registers only leaky_relu
/// is no clamp; the others act on whole rows.
struct Epilogue {
  Vec bias, low, high;
};

CNNCORE_INLINE Epilogue epilogue(const DepthwiseOutput& out, int64_t channel, int64_t left) {
  const float infinity = __builtin_inff();
  const bool clamps = out.activation == Activation::relu || out.activation == Activation::relu6;
  return {out.bias != nullptr ? load_upto(out.bias + channel, left) : zero(), set1(clamps ? 0.0f : -infinity),
          set1(out.activation == Activation::relu6 ? 6.0f : infinity)};
}

/// Stores pixels `first` ... `count` - 1 of N; a NaN stays NaN.
template <int N>
CNNCORE_INLINE void finish(const DepthwiseOutput& out, const Epilogue& last, int64_t pixel, int64_t channel,
                           int64_t left, Vec (&sum)[N], int64_t first = 0, int64_t count = N) {
  const int64_t at = pixel * out.step + channel;
  if (out.residual != nullptr) {
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) {
      if (i >= first && i < count) sum[i] = sum[i] + load_upto(out.residual + at + i * out.step, left);
    }
  }
  if (out.activation == Activation::leaky_relu) {
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) sum[i] = activate(sum[i], Activation::leaky_relu, set1(out.alpha));
  }
  float* output = out.output + at;
#pragma GCC unroll 8
  for (int i = 0; i < N; ++i) {
    if (i < first || i >= count) continue;
    const Vec value = min(last.high, max(last.low, sum[i]));
    if (out.stream) {
      store_past_cache(output + i * out.step, value);
    } else {
      store_upto(output + i * out.step, value, left);
    }
  }
}

CNNCORE_INLINE void activate_pixels(const DepthwiseRow& row, const DepthwiseOutput& out, int64_t offset) {
  float* activated = (out.activated != nullptr ? out.activated : out.output) + offset;
  const float* values = out.output + offset;
  for (int64_t i = 0; i < row.count; ++i, values += out.step, activated += out.step)
    activate_row(values, row.channels, out.activation, out.alpha, activated);
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
