// SPDX-License-Identifier: Apache-2.0
// Channels of a pixel in runs of whole vectors and one partial vector, each kind compiled by itself.
#pragma once

#include "isa/kernels/lanes.h"
#include "isa/machine.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {

template <bool kFull>
CNNCORE_INLINE Vec load_some(const float* p, int64_t lanes) {
  return kFull ? load(p) : load_partial(p, lanes);
}
template <bool kFull>
CNNCORE_INLINE void store_some(float* p, Vec v, int64_t lanes) {
  if (kFull) {
    store(p, v);
  } else {
    store_partial(p, v, lanes);
  }
}

/// Fetches lines that will be written soon: where several rows are read and written in turn, the hardware
/// does not foresee it.
template <class T>
CNNCORE_INLINE void prefetch_write(const T* p, int64_t count) {
  constexpr int64_t kLine = kLineBytes / static_cast<int64_t>(sizeof(T));
  for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(p + i, 1);
}

/// Calls body.run<kVectors, kFull>(first channel, lanes, first pixel, last pixel + 1) until all channels of
/// all pixels are done. Few channels stay in registers along the whole row; many are taken pixel by pixel, so
/// that memory is read in order.
template <class Body>
CNNCORE_INLINE void for_channels(const Body& body, int64_t channels, int64_t begin, int64_t end) {
  int64_t c = 0;
  for (; c + 4 * kWidth <= channels; c += 4 * kWidth) body.template run<4, true>(c, kWidth, begin, end);
  if (c + 2 * kWidth <= channels) {
    body.template run<2, true>(c, kWidth, begin, end);
    c += 2 * kWidth;
  }
  if (c + kWidth <= channels) {
    body.template run<1, true>(c, kWidth, begin, end);
    c += kWidth;
  }
  if (c < channels) body.template run<1, false>(c, channels - c, begin, end);
}

template <class Body>
CNNCORE_INLINE void for_row(const Body& body, int64_t channels, int64_t width) {
#if defined(__OPTIMIZE_SIZE__)
  const int64_t pixels = channels <= 4 * kWidth ? width : 1;
  for (int64_t x = 0; x < width; x += pixels) for_channels(body, channels, x, x + pixels);
#else
  // Two copies of the loops: with one for both, wide pooling takes up to twice the time on AVX.
  if (channels <= 4 * kWidth) {
    for_channels(body, channels, 0, width);
  } else {
    for (int64_t x = 0; x < width; ++x) for_channels(body, channels, x, x + 1);
  }
#endif
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
