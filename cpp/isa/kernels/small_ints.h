// SPDX-License-Identifier: Apache-2.0
// Vectors of small integers kept in memory as bytes or 32-bit numbers.
#pragma once

#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {

using std::int32_t;
using std::uint8_t;

#if defined(__AVX512F__)

CNNCORE_INLINE IVec load_ints(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
CNNCORE_INLINE IVec load_ints_partial(const uint8_t* p, int64_t n) {
  return _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(tail_mask(n), seen(p, n)));
}
CNNCORE_INLINE IVec load_ints(const int32_t* p) { return _mm512_loadu_si512(p); }
CNNCORE_INLINE IVec load_ints_partial(const int32_t* p, int64_t n) {
  return _mm512_maskz_loadu_epi32(tail_mask(n), seen(p, n));
}
CNNCORE_INLINE void store_ints(uint8_t* p, IVec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v));
}
CNNCORE_INLINE void store_ints_partial(uint8_t* p, IVec v, int64_t n) {
  _mm_mask_storeu_epi8(seen(p, n), tail_mask(n), _mm512_cvtepi32_epi8(v));
}
CNNCORE_INLINE void store_ints(int32_t* p, IVec v) { _mm512_storeu_si512(p, v); }
CNNCORE_INLINE void store_ints_partial(int32_t* p, IVec v, int64_t n) {
  _mm512_mask_storeu_epi32(seen(p, n), tail_mask(n), v);
}
CNNCORE_INLINE Mask equal_ints(IVec a, IVec b) { return _mm512_cmpeq_epi32_mask(a, b); }

#else

#if defined(__AVX2__)
CNNCORE_INLINE IVec load_ints(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
CNNCORE_INLINE IVec load_ints(const int32_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
CNNCORE_INLINE void store_ints(uint8_t* p, IVec v) {
  const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
}
CNNCORE_INLINE void store_ints(int32_t* p, IVec v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
CNNCORE_INLINE Mask equal_ints(IVec a, IVec b) { return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b)); }
#else
CNNCORE_INLINE IVec load_ints(const uint8_t* p) { return IVec{p[0], p[1], p[2], p[3]}; }
CNNCORE_INLINE IVec load_ints(const int32_t* p) {
  IVec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
CNNCORE_INLINE void store_ints(uint8_t* p, IVec v) {
  typedef uint8_t Bytes __attribute__((vector_size(4)));
  const Bytes bytes = __builtin_convertvector(v, Bytes);
  __builtin_memcpy(p, &bytes, sizeof bytes);
}
CNNCORE_INLINE void store_ints(int32_t* p, IVec v) { __builtin_memcpy(p, &v, sizeof v); }
CNNCORE_INLINE Mask equal_ints(IVec a, IVec b) { return a == b; }
#endif

template <class T>
CNNCORE_INLINE IVec load_ints_partial(const T* p, int64_t n) {
  T lanes[kWidth] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load_ints(lanes);
}
template <class T>
CNNCORE_INLINE void store_ints_partial(T* p, IVec v, int64_t n) {
  T lanes[kWidth];
  store_ints(lanes, v);
  for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
}

#endif

template <class T>
CNNCORE_INLINE IVec load_ints_upto(const T* p, int64_t n) {
  return n >= kWidth ? load_ints(p) : load_ints_partial(p, n);
}
template <class T>
CNNCORE_INLINE void store_ints_upto(T* p, IVec v, int64_t n) {
  if (n >= kWidth) {
    store_ints(p, v);
  } else {
    store_ints_partial(p, v, n);
  }
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
