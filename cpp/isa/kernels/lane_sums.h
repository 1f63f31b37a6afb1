// SPDX-License-Identifier: Apache-2.0
// A vector's lanes joined pair by pair, and masks of its first lanes, for rows that end inside a vector.
#pragma once

#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {

#if defined(__AVX512F__)
CNNCORE_INLINE float sum_lanes(Vec v) { return _mm512_reduce_add_ps(v); }
CNNCORE_INLINE float max_lane(Vec v) { return _mm512_reduce_max_ps(v); }
CNNCORE_INLINE Mask first_lanes(int64_t n) { return tail_mask(n); }
#elif defined(__AVX2__)
CNNCORE_INLINE float sum_lanes(Vec v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
CNNCORE_INLINE float max_lane(Vec v) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}
CNNCORE_INLINE Mask first_lanes(int64_t n) { return _mm256_castsi256_ps(tail_mask(n)); }
#else
CNNCORE_INLINE float sum_lanes(Vec v) { return reduce_add(v); }
CNNCORE_INLINE float max_lane(Vec v) { return reduce_max(v); }
CNNCORE_INLINE Mask first_lanes(int64_t n) { return IVec{0, 1, 2, 3} < iset1(static_cast<int>(n)); }
#endif

}  // namespace CNNCORE_ISA
}  // namespace cnncore
