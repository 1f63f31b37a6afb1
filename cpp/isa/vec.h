// SPDX-License-Identifier: Apache-2.0
// The float vector of the ISA a file is compiled for. Only files under isa/kernels/ include
// this header; everything here has internal linkage by living in the ISA's own namespace, so no
// AVX-512 copy of a function can reach baseline code through the linker.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#ifndef CNNCORE_ISA
#error "compile kernels with -DCNNCORE_ISA=<portable|avx2|avx512>"
#endif

#define CNNCORE_INLINE static inline __attribute__((always_inline, unused))

namespace cnncore {
namespace CNNCORE_ISA {

using std::int64_t;
using std::size_t;

CNNCORE_INLINE int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
CNNCORE_INLINE int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }

/// Returns p. AddressSanitizer does not look at what instructions with a mask, or past the caches, touch: it
/// sees n elements here.
template <class T>
CNNCORE_INLINE T* seen(T* p, [[maybe_unused]] int64_t n) {
#if defined(__SANITIZE_ADDRESS__)
  for (int64_t i = 0; i < n; ++i) static_cast<void>(*static_cast<const volatile T*>(p + i));
#endif
  return p;
}

#if defined(__AVX512F__)

inline constexpr int kWidth = 16;
using Vec = __m512;
using IVec = __m512i;
using Mask = __mmask16;

CNNCORE_INLINE Mask tail_mask(int64_t n) { return static_cast<Mask>((1u << n) - 1u); }
CNNCORE_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
CNNCORE_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
/// Reads n < kWidth floats; the other lanes are zero and their memory is not touched.
CNNCORE_INLINE Vec load_partial(const float* p, int64_t n) {
  return _mm512_maskz_loadu_ps(tail_mask(n), seen(p, n));
}
CNNCORE_INLINE void store_partial(float* p, Vec v, int64_t n) {
  _mm512_mask_storeu_ps(seen(p, n), tail_mask(n), v);
}
/// Writes to an aligned place without keeping it in cache; finish_streaming() before another thread reads it.
CNNCORE_INLINE void store_past_cache(float* p, Vec v) { _mm512_stream_ps(seen(p, kWidth), v); }
CNNCORE_INLINE Vec set1(float x) { return _mm512_set1_ps(x); }
CNNCORE_INLINE Vec fmadd(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
CNNCORE_INLINE Vec fnmadd(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a, b, c); }
/// max/min return b when a or b is NaN (the rule of vmaxps).
CNNCORE_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
CNNCORE_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
CNNCORE_INLINE Vec sqrt(Vec a) { return _mm512_sqrt_ps(a); }
CNNCORE_INLINE Vec abs(Vec a) { return _mm512_abs_ps(a); }
/// Rounds to the nearest integer, ties to even.
CNNCORE_INLINE Vec round(Vec a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
CNNCORE_INLINE Mask greater(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
CNNCORE_INLINE Mask greater_equal(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
CNNCORE_INLINE Mask equal(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
CNNCORE_INLINE Mask is_nan(Vec a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
/// Lanes with the sign bit, that of -0 too.
CNNCORE_INLINE Mask has_sign(Vec a) { return _mm512_movepi32_mask(_mm512_castps_si512(a)); }
CNNCORE_INLINE Mask both(Mask a, Mask b) { return static_cast<Mask>(a & b); }
CNNCORE_INLINE Mask either(Mask a, Mask b) { return static_cast<Mask>(a | b); }
/// mask ? a : b
CNNCORE_INLINE Vec select(Mask m, Vec a, Vec b) { return _mm512_mask_blend_ps(m, b, a); }
CNNCORE_INLINE IVec to_int(Vec a) { return _mm512_cvtps_epi32(a); }
CNNCORE_INLINE Vec to_float(IVec a) { return _mm512_cvtepi32_ps(a); }
CNNCORE_INLINE IVec as_int(Vec a) { return _mm512_castps_si512(a); }
CNNCORE_INLINE Vec as_float(IVec a) { return _mm512_castsi512_ps(a); }
CNNCORE_INLINE IVec iset1(int x) { return _mm512_set1_epi32(x); }
CNNCORE_INLINE IVec iadd(IVec a, IVec b) { return _mm512_add_epi32(a, b); }
CNNCORE_INLINE IVec isub(IVec a, IVec b) { return _mm512_sub_epi32(a, b); }
CNNCORE_INLINE IVec iand(IVec a, IVec b) { return _mm512_and_si512(a, b); }
CNNCORE_INLINE IVec ior(IVec a, IVec b) { return _mm512_or_si512(a, b); }
template <int N>
CNNCORE_INLINE IVec shift_left(IVec a) {
  return _mm512_slli_epi32(a, N);
}
template <int N>
CNNCORE_INLINE IVec shift_right(IVec a) {
  return _mm512_srli_epi32(a, N);
}

#elif defined(__AVX2__)

inline constexpr int kWidth = 8;
using Vec = __m256;
using IVec = __m256i;
using Mask = __m256;

CNNCORE_INLINE __m256i tail_mask(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
CNNCORE_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
CNNCORE_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
CNNCORE_INLINE Vec load_partial(const float* p, int64_t n) {
  return _mm256_maskload_ps(seen(p, n), tail_mask(n));
}
/// Two halves and single floats: vmaskmovps to memory takes some 20 cycles on AMD.
CNNCORE_INLINE void store_partial(float* p, Vec v, int64_t n) {
  p = seen(p, n);
  __m128 part = _mm256_castps256_ps128(v);
  if (n >= 4) {
    _mm_storeu_ps(p, part);
    part = _mm256_extractf128_ps(v, 1);
    p += 4;
    n -= 4;
  }
  if (n >= 2) {
    _mm_storel_pi(reinterpret_cast<__m64*>(p), part);
    part = _mm_movehl_ps(part, part);
    p += 2;
    n -= 2;
  }
  if (n == 1) _mm_store_ss(p, part);
}
CNNCORE_INLINE void store_past_cache(float* p, Vec v) { _mm256_stream_ps(seen(p, kWidth), v); }
CNNCORE_INLINE Vec set1(float x) { return _mm256_set1_ps(x); }
CNNCORE_INLINE Vec fmadd(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
CNNCORE_INLINE Vec fnmadd(Vec a, Vec b, Vec c) { return _mm256_fnmadd_ps(a, b, c); }
CNNCORE_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
CNNCORE_INLINE Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
CNNCORE_INLINE Vec sqrt(Vec a) { return _mm256_sqrt_ps(a); }
CNNCORE_INLINE Vec abs(Vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
CNNCORE_INLINE Vec round(Vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
CNNCORE_INLINE Mask greater(Vec a, Vec b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
CNNCORE_INLINE Mask greater_equal(Vec a, Vec b) { return _mm256_cmp_ps(a, b, _CMP_GE_OQ); }
CNNCORE_INLINE Mask equal(Vec a, Vec b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
CNNCORE_INLINE Mask is_nan(Vec a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
CNNCORE_INLINE Mask has_sign(Vec a) { return a; }  // select() looks at no other bit
CNNCORE_INLINE Mask both(Mask a, Mask b) { return _mm256_and_ps(a, b); }
CNNCORE_INLINE Mask either(Mask a, Mask b) { return _mm256_or_ps(a, b); }
CNNCORE_INLINE Vec select(Mask m, Vec a, Vec b) { return _mm256_blendv_ps(b, a, m); }
CNNCORE_INLINE IVec to_int(Vec a) { return _mm256_cvtps_epi32(a); }
CNNCORE_INLINE Vec to_float(IVec a) { return _mm256_cvtepi32_ps(a); }
CNNCORE_INLINE IVec as_int(Vec a) { return _mm256_castps_si256(a); }
CNNCORE_INLINE Vec as_float(IVec a) { return _mm256_castsi256_ps(a); }
CNNCORE_INLINE IVec iset1(int x) { return _mm256_set1_epi32(x); }
CNNCORE_INLINE IVec iadd(IVec a, IVec b) { return _mm256_add_epi32(a, b); }
CNNCORE_INLINE IVec isub(IVec a, IVec b) { return _mm256_sub_epi32(a, b); }
CNNCORE_INLINE IVec iand(IVec a, IVec b) { return _mm256_and_si256(a, b); }
CNNCORE_INLINE IVec ior(IVec a, IVec b) { return _mm256_or_si256(a, b); }
template <int N>
CNNCORE_INLINE IVec shift_left(IVec a) {
  return _mm256_slli_epi32(a, N);
}
template <int N>
CNNCORE_INLINE IVec shift_right(IVec a) {
  return _mm256_srli_epi32(a, N);
}

#else  // GNU vector extensions: SSE on x86-64, NEON on aarch64

inline constexpr int kWidth = 4;
typedef float Vec __attribute__((vector_size(16)));
typedef int IVec __attribute__((vector_size(16)));
using Mask = IVec;

CNNCORE_INLINE Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
CNNCORE_INLINE void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
CNNCORE_INLINE Vec load_partial(const float* p, int64_t n) {
  Vec v = {0.0f, 0.0f, 0.0f, 0.0f};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
CNNCORE_INLINE void store_partial(float* p, Vec v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
}
CNNCORE_INLINE void store_past_cache(float* p, Vec v) { store(p, v); }
CNNCORE_INLINE Vec set1(float x) { return Vec{x, x, x, x}; }
CNNCORE_INLINE Vec fmadd(Vec a, Vec b, Vec c) { return a * b + c; }
CNNCORE_INLINE Vec fnmadd(Vec a, Vec b, Vec c) { return c - a * b; }
CNNCORE_INLINE Mask greater(Vec a, Vec b) { return a > b; }
CNNCORE_INLINE Mask greater_equal(Vec a, Vec b) { return a >= b; }
CNNCORE_INLINE Mask equal(Vec a, Vec b) { return a == b; }
CNNCORE_INLINE Mask is_nan(Vec a) { return a != a; }
CNNCORE_INLINE Mask has_sign(Vec a) { return reinterpret_cast<IVec>(a) < 0; }
CNNCORE_INLINE Mask both(Mask a, Mask b) { return a & b; }
CNNCORE_INLINE Mask either(Mask a, Mask b) { return a | b; }
CNNCORE_INLINE IVec as_int(Vec a) { return reinterpret_cast<IVec>(a); }
CNNCORE_INLINE Vec as_float(IVec a) { return reinterpret_cast<Vec>(a); }
CNNCORE_INLINE Vec select(Mask m, Vec a, Vec b) { return as_float((m & as_int(a)) | (~m & as_int(b))); }
CNNCORE_INLINE Vec max(Vec a, Vec b) { return select(a > b, a, b); }
CNNCORE_INLINE Vec min(Vec a, Vec b) { return select(a < b, a, b); }
CNNCORE_INLINE Vec sqrt(Vec a) {
  return Vec{__builtin_sqrtf(a[0]), __builtin_sqrtf(a[1]), __builtin_sqrtf(a[2]), __builtin_sqrtf(a[3])};
}
CNNCORE_INLINE IVec iset1(int x) { return IVec{x, x, x, x}; }
CNNCORE_INLINE Vec abs(Vec a) { return as_float(as_int(a) & iset1(0x7fffffff)); }
/// Exact for |a| < 2^22: adding 1.5 * 2^23 leaves no fraction bits.
CNNCORE_INLINE Vec round(Vec a) { return (a + set1(12582912.0f)) - set1(12582912.0f); }
CNNCORE_INLINE IVec to_int(Vec a) { return __builtin_convertvector(round(a), IVec); }
CNNCORE_INLINE Vec to_float(IVec a) { return __builtin_convertvector(a, Vec); }
CNNCORE_INLINE IVec iadd(IVec a, IVec b) { return a + b; }
CNNCORE_INLINE IVec isub(IVec a, IVec b) { return a - b; }
CNNCORE_INLINE IVec iand(IVec a, IVec b) { return a & b; }
CNNCORE_INLINE IVec ior(IVec a, IVec b) { return a | b; }
template <int N>
CNNCORE_INLINE IVec shift_left(IVec a) {
  return a << N;
}
template <int N>
CNNCORE_INLINE IVec shift_right(IVec a) {
  typedef unsigned UVec __attribute__((vector_size(16)));
  return reinterpret_cast<IVec>(reinterpret_cast<UVec>(a) >> N);
}

#endif

CNNCORE_INLINE void finish_streaming() {
#if defined(__AVX512F__) || defined(__AVX2__)
  _mm_sfence();
#endif
}
CNNCORE_INLINE bool is_aligned(const float* p) {
  return reinterpret_cast<std::uintptr_t>(p) % (kWidth * sizeof(float)) == 0;
}

CNNCORE_INLINE Vec zero() { return set1(0.0f); }
/// Keeps the compiler from loading a value again for each of its uses.
CNNCORE_INLINE Vec in_register(Vec v) {
#if defined(__AVX512F__)
  __asm__("" : "+v"(v));
#elif defined(__x86_64__)
  __asm__("" : "+x"(v));
#elif defined(__aarch64__)
  __asm__("" : "+w"(v));
#endif
  return v;
}
/// Reads n floats, 0 < n; all kWidth of them when n is larger.
CNNCORE_INLINE Vec load_upto(const float* p, int64_t n) { return n >= kWidth ? load(p) : load_partial(p, n); }
CNNCORE_INLINE void store_upto(float* p, Vec v, int64_t n) {
  if (n >= kWidth) {
    store(p, v);
  } else {
    store_partial(p, v, n);
  }
}
/// Lanes added in lane order, which is the same for every caller.
CNNCORE_INLINE float reduce_add(Vec v) {
  float lanes[kWidth];
  store(lanes, v);
  float sum = lanes[0];
  for (int i = 1; i < kWidth; ++i) sum += lanes[i];
  return sum;
}
CNNCORE_INLINE float reduce_max(Vec v) {
  float lanes[kWidth];
  store(lanes, v);
  float top = lanes[0];
  for (int i = 1; i < kWidth; ++i) top = lanes[i] > top ? lanes[i] : top;
  return top;
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
