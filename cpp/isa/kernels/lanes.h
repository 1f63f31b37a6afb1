// SPDX-License-Identifier: Apache-2.0
// Vectors a tile may be made of: the ISA's full width and, under AVX-512, half of it, which issues twice a
// cycle on Zen 4 and so doubles the speed of panels with at most 8 columns.
#pragma once

#include "isa/vec.h"

#define CNNCORE_MEMBER inline __attribute__((always_inline))

namespace cnncore {
namespace CNNCORE_ISA {

struct FullLanes {
  using V = Vec;
  static constexpr int kLanes = kWidth;
  static CNNCORE_MEMBER V load(const float* p) { return CNNCORE_ISA::load(p); }
  static CNNCORE_MEMBER V load_partial(const float* p, int64_t n) { return CNNCORE_ISA::load_partial(p, n); }
  static CNNCORE_MEMBER void store(float* p, V v) { CNNCORE_ISA::store(p, v); }
  static CNNCORE_MEMBER void store_partial(float* p, V v, int64_t n) { CNNCORE_ISA::store_partial(p, v, n); }
  static CNNCORE_MEMBER void store_past_cache(float* p, V v) { CNNCORE_ISA::store_past_cache(p, v); }
#if defined(__AVX512F__)
  // The lower half alone.
  static CNNCORE_MEMBER V load_half(const float* p) { return _mm512_zextps256_ps512(_mm256_loadu_ps(p)); }
  static CNNCORE_MEMBER void store_half(float* p, V v) { _mm256_storeu_ps(p, _mm512_castps512_ps256(v)); }
  static CNNCORE_MEMBER V fmadd_half(V a, V b, V c) {
    return _mm512_zextps256_ps512(
        _mm256_fmadd_ps(_mm512_castps512_ps256(a), _mm512_castps512_ps256(b), _mm512_castps512_ps256(c)));
  }
#endif
  static CNNCORE_MEMBER V set1(float x) { return CNNCORE_ISA::set1(x); }
  static CNNCORE_MEMBER V fmadd(V a, V b, V c) { return CNNCORE_ISA::fmadd(a, b, c); }
  static CNNCORE_MEMBER V max(V a, V b) { return CNNCORE_ISA::max(a, b); }
  static CNNCORE_MEMBER V min(V a, V b) { return CNNCORE_ISA::min(a, b); }
};

#if defined(__AVX512F__)
struct HalfLanes {
  using V = __m256;
  static constexpr int kLanes = 8;
  static CNNCORE_MEMBER __mmask8 mask(int64_t n) { return static_cast<__mmask8>((1u << n) - 1u); }
  static CNNCORE_MEMBER V load(const float* p) { return _mm256_loadu_ps(p); }
  static CNNCORE_MEMBER V load_partial(const float* p, int64_t n) {
    return _mm256_maskz_loadu_ps(mask(n), seen(p, n));
  }
  static CNNCORE_MEMBER void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  static CNNCORE_MEMBER void store_partial(float* p, V v, int64_t n) {
    _mm256_mask_storeu_ps(seen(p, n), mask(n), v);
  }
  static CNNCORE_MEMBER void store_past_cache(float* p, V v) { _mm256_stream_ps(seen(p, kLanes), v); }
  static CNNCORE_MEMBER V set1(float x) { return _mm256_set1_ps(x); }
  static CNNCORE_MEMBER V fmadd(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static CNNCORE_MEMBER V max(V a, V b) { return _mm256_max_ps(a, b); }
  static CNNCORE_MEMBER V min(V a, V b) { return _mm256_min_ps(a, b); }
};
#endif

}  // namespace CNNCORE_ISA
}  // namespace cnncore
