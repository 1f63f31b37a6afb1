// SPDX-License-Identifier: Apache-2.0
// Functions on single floats, for the rare ones that have no vector form.
#pragma once

#include "isa/kernels/remainder.h"
#include "isa/kernels/vec_math.h"

namespace cnncore {
namespace CNNCORE_ISA {

template <float (*F)(float)>
CNNCORE_INLINE Vec by_lane(Vec a) {
  float x[kWidth];
  store(x, a);
  for (int i = 0; i < kWidth; ++i) x[i] = F(x[i]);
  return load(x);
}

/// Functions of doubles, whose error vanishes in the rounding to float.
template <double (*F)(double)>
CNNCORE_INLINE float in_double(float a) {
  return static_cast<float>(F(widened(a)));
}
template <double (*F)(double, double)>
CNNCORE_INLINE float in_double(float a, float b) {
  return static_cast<float>(F(widened(a), widened(b)));
}

// Instructions, which the compiler applies to all lanes at once.
CNNCORE_INLINE float scalar_floor(float a) { return __builtin_floorf(a); }
CNNCORE_INLINE float scalar_ceil(float a) { return __builtin_ceilf(a); }
CNNCORE_INLINE float scalar_trunc(float a) { return __builtin_truncf(a); }
CNNCORE_INLINE float scalar_round(float a) { return __builtin_rintf(a); }

// The C library's, which work in double themselves; 0.6 ulp.
CNNCORE_INLINE float scalar_sin(float a) { return __builtin_sinf(a); }
CNNCORE_INLINE float scalar_cos(float a) { return __builtin_cosf(a); }

CNNCORE_INLINE double scalar_tan(double x) { return __builtin_tan(x); }
CNNCORE_INLINE double scalar_asin(double x) { return __builtin_asin(x); }
CNNCORE_INLINE double scalar_acos(double x) { return __builtin_acos(x); }
CNNCORE_INLINE double scalar_atan(double x) { return __builtin_atan(x); }
CNNCORE_INLINE double scalar_log2(double x) { return __builtin_log2(x); }
CNNCORE_INLINE double scalar_log10(double x) { return __builtin_log10(x); }
CNNCORE_INLINE double scalar_atan2(double a, double b) { return __builtin_atan2(a, b); }
/// Squares of floats have room in double; the infinite side wins over NaN.
CNNCORE_INLINE double scalar_hypot(double a, double b) {
  if (__builtin_isinf(a) || __builtin_isinf(b)) return __builtin_inf();
  return __builtin_sqrt(a * a + b * b);
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
