// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {

/// dst[i * dst_row + j] = src[j * src_row + i] for i, j < kWidth, through registers.
#if defined(__AVX512F__)

CNNCORE_INLINE void transpose_square(const float* src, int64_t src_row, float* dst, int64_t dst_row) {
  // Each stage doubles the size of the transposed blocks: pairs, fours, then whole 128-bit lanes twice.
  __m512 r[16], t[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = load(src + i * src_row);
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 1]);
    const __m512d c = _mm512_castps_pd(t[i + 2]), d = _mm512_castps_pd(t[i + 3]);
    r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    store(dst + i * dst_row, _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88));
    store(dst + (i + 8) * dst_row, _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd));
  }
}

#elif defined(__AVX2__)

CNNCORE_INLINE void transpose_square(const float* src, int64_t src_row, float* dst, int64_t dst_row) {
  __m256 r[8], t[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) r[i] = load(src + i * src_row);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    store(dst + i * dst_row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    store(dst + (i + 4) * dst_row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

#else

CNNCORE_INLINE void transpose_square(const float* src, int64_t src_row, float* dst, int64_t dst_row) {
  const Vec a = load(src), b = load(src + src_row);
  const Vec c = load(src + 2 * src_row), d = load(src + 3 * src_row);
  for (int i = 0; i < 4; ++i) store(dst + i * dst_row, Vec{a[i], b[i], c[i], d[i]});
}

#endif

}  // namespace CNNCORE_ISA
}  // namespace cnncore
