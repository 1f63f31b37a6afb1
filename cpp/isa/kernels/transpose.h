// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {

#if defined(__AVX512F__)

/// Turns 16 rows of registers into columns.
CNNCORE_INLINE void transpose_registers(__m512 (&r)[16]) {
  // Each stage doubles the size of the transposed blocks: pairs, fours, then whole 128-bit lanes twice.
  // Full masks cost nothing; GCC 12 warns of the undefined register that its forms without a mask start from.
  constexpr __mmask16 kAll = 0xffff;
  constexpr __mmask8 kAllPairs = 0xff;
  __m512 t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_maskz_unpacklo_ps(kAll, r[i], r[i + 1]);
    t[i + 1] = _mm512_maskz_unpackhi_ps(kAll, r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512d a = _mm512_castps_pd(t[i]), b = _mm512_castps_pd(t[i + 1]);
    const __m512d c = _mm512_castps_pd(t[i + 2]), d = _mm512_castps_pd(t[i + 3]);
    r[i] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(kAllPairs, a, c));
    r[i + 1] = _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(kAllPairs, a, c));
    r[i + 2] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(kAllPairs, b, d));
    r[i + 3] = _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(kAllPairs, b, d));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_maskz_shuffle_f32x4(kAll, r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_maskz_shuffle_f32x4(kAll, r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_maskz_shuffle_f32x4(kAll, r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_maskz_shuffle_f32x4(kAll, r[i + 8], r[i + 12], 0xdd);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm512_maskz_shuffle_f32x4(kAll, t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_maskz_shuffle_f32x4(kAll, t[i], t[i + 8], 0xdd);
  }
}

/// dst[i * dst_row + j] = src[j * src_row + i] for i < kWidth, j < columns <= kWidth.
CNNCORE_INLINE void transpose_columns(const float* src, int64_t src_row, float* dst, int64_t dst_row,
                                      int64_t columns) {
  __m512 r[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = i < columns ? load(src + i * src_row) : zero();
  transpose_registers(r);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) store_partial(dst + i * dst_row, r[i], columns);
}

#elif defined(__AVX2__)

/// Turns 8 rows of registers into columns.
CNNCORE_INLINE void transpose_registers(__m256 (&r)[8]) {
  __m256 t[8];
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
    const __m256 low = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    r[i] = low;
  }
}

#endif

/// dst[i * dst_row + j] = src[j * src_row + i] for i, j < kWidth, through registers.
CNNCORE_INLINE void transpose_square(const float* src, int64_t src_row, float* dst, int64_t dst_row) {
#if defined(__AVX512F__) || defined(__AVX2__)
  Vec r[kWidth];
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i) r[i] = load(src + i * src_row);
  transpose_registers(r);
#pragma GCC unroll 16
  for (int i = 0; i < kWidth; ++i) store(dst + i * dst_row, r[i]);
#else
  const Vec a = load(src), b = load(src + src_row);
  const Vec c = load(src + 2 * src_row), d = load(src + 3 * src_row);
  for (int i = 0; i < 4; ++i) store(dst + i * dst_row, Vec{a[i], b[i], c[i], d[i]});
#endif
}

/// result[lane] = v[index[lane]], 0 <= index < kWidth.
CNNCORE_INLINE Vec permute(Vec v, IVec index) {
#if defined(__AVX512F__)
  return _mm512_permutexvar_ps(index, v);
#elif defined(__AVX2__)
  return _mm256_permutevar8x32_ps(v, index);
#else
  return Vec{v[index[0]], v[index[1]], v[index[2]], v[index[3]]};
#endif
}

/// Turns kCount vectors into kCount others: lane l of result k is lane index[k][l] of the source that
/// chosen[k] names.
template <int kCount>
struct Rearrangement {
  IVec index[kCount];
  Mask chosen[kCount][kCount];

  /// place(k, l) numbers the kCount * kWidth source lanes.
  template <class Place>
  explicit Rearrangement(Place place) {
    for (int k = 0; k < kCount; ++k) {
      int lane[kWidth];
      float source[kWidth];
      for (int l = 0; l < kWidth; ++l) {
        lane[l] = place(k, l) % kWidth;
        source[l] = static_cast<float>(place(k, l) / kWidth);
      }
      __builtin_memcpy(&index[k], lane, sizeof lane);
      for (int v = 0; v < kCount; ++v) chosen[k][v] = equal(load(source), set1(static_cast<float>(v)));
    }
  }

  Vec result(const Vec* source, int k) const {
    Vec merged = permute(source[0], index[k]);
#pragma GCC unroll 4
    for (int v = 1; v < kCount; ++v) merged = select(chosen[k][v], permute(source[v], index[k]), merged);
    return merged;
  }
};

/// Arrays of callers may lie at odd addresses.
CNNCORE_INLINE void move_element(float* dst, const float* src) { __builtin_memcpy(dst, src, sizeof *dst); }

/// Planes become a run of short tuples: dst[i * kCount + c] = plane[c][i] for i < n.
template <int kCount>
struct Interleave {
  Rearrangement<kCount> order{
      [](int k, int l) { return (k * kWidth + l) % kCount * kWidth + (k * kWidth + l) / kCount; }};

  void run(int64_t n, const float* const* plane, float* dst) const {
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      Vec source[kCount];
#pragma GCC unroll 4
      for (int c = 0; c < kCount; ++c) source[c] = load(plane[c] + i);
#pragma GCC unroll 4
      for (int k = 0; k < kCount; ++k) store(dst + i * kCount + k * kWidth, order.result(source, k));
    }
    for (; i < n; ++i) {
      for (int c = 0; c < kCount; ++c) move_element(dst + i * kCount + c, plane[c] + i);
    }
  }
};

/// The way back: plane[c][i] = src[i * kCount + c] for i < n.
template <int kCount>
struct Deinterleave {
  Rearrangement<kCount> order{[](int k, int l) { return l * kCount + k; }};

  void run(int64_t n, const float* src, float* const* plane) const {
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      Vec source[kCount];
#pragma GCC unroll 4
      for (int c = 0; c < kCount; ++c) source[c] = load(src + i * kCount + c * kWidth);
#pragma GCC unroll 4
      for (int k = 0; k < kCount; ++k) store(plane[k] + i, order.result(source, k));
    }
    for (; i < n; ++i) {
      for (int c = 0; c < kCount; ++c) move_element(plane[c] + i, src + i * kCount + c);
    }
  }
};

}  // namespace CNNCORE_ISA
}  // namespace cnncore
