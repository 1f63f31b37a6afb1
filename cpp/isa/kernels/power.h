// SPDX-License-Identifier: Apache-2.0
// Powers of floats. The logarithm is kept in two floats, or its rounding would count some 80 times.
#pragma once

#include "isa/kernels/vec_math.h"

namespace cnncore {
namespace CNNCORE_ISA {

#if defined(__AVX512F__) || defined(__AVX2__)

/// high + low, |low| at most half an ulp of high.
struct TwoFloats {
  Vec high, low;
};

/// a + b, |a| >= |b| or a = 0.
CNNCORE_INLINE TwoFloats ordered_sum(Vec a, Vec b) {
  const Vec sum = a + b;
  return {sum, (a - sum) + b};
}

CNNCORE_INLINE TwoFloats product(Vec a, Vec b) {
  const Vec high = a * b;
  return {high, fmadd(a, b, zero() - high)};
}

/// ln x of positive finite x to 2^-31 of itself: e ln 2 + 2 atanh(s), s = (m - 1) / (m + 1), x = m 2^e.
CNNCORE_INLINE TwoFloats precise_log(Vec x, Vec exponent_offset) {
  const IVec shifted = iadd(as_int(x), iset1(0x3f800000 - 0x3f3504f3));  // m in [sqrt(1/2), sqrt(2))
  const Vec e = to_float(isub(shift_right<23>(shifted), iset1(127))) - exponent_offset;
  const Vec f = as_float(iadd(iand(shifted, iset1(0x007fffff)), iset1(0x3f3504f3))) - set1(1.0f);
  const TwoFloats divisor = ordered_sum(set1(2.0f), f);
  const Vec inverse = set1(1.0f) / divisor.high;
  const Vec s = f * inverse;
  const Vec s_low = fnmadd(s, divisor.low, fnmadd(s, divisor.high, f)) * inverse;
  TwoFloats z = product(s, s);
  z.low = fmadd(s + s, s_low, z.low);
  Vec q = set1(1.912063658e-01f);  // (2 atanh(s) / s - 2 - 2 z / 3) / z^2, z = s^2 <= 0.0295, 3e-9
  q = fmadd(q, z.high, set1(2.220475376e-01f));
  q = fmadd(q, z.high, set1(2.857153118e-01f));
  q = fmadd(q, z.high, set1(4.000000060e-01f));
  const Vec third = set1(6.666666865e-01f);  // 2 / 3 less 2e-8
  const Vec factor = fmadd(z.high, q, third);
  const Vec factor_low = fmadd(z.high, q, third - factor) - set1(1.986821552e-08f);
  const TwoFloats cube = product(s, z.high);
  const TwoFloats rest = product(cube.high, factor);
  const Vec cube_low = fmadd(s, z.low, fmadd(s_low, z.high, cube.low));
  const Vec rest_low = fmadd(cube.high, factor_low, fmadd(cube_low, factor, rest.low));
  const TwoFloats mantissa = ordered_sum(s + s, rest.high);
  const TwoFloats sum = ordered_sum(e * set1(0.693359375f), mantissa.high);
  const Vec low = sum.low + (mantissa.low + (s_low + s_low) + rest_low);
  return ordered_sum(sum.high, fmadd(e, set1(-2.12194440e-4f), low));
}

/// |a|^b of finite a that is not 0 or 1 and finite b.
CNNCORE_INLINE Vec magnitude_power(Vec magnitude, Vec exponent_offset, Vec b) {
  const TwoFloats logarithm = precise_log(magnitude, exponent_offset);
  const TwoFloats x = product(b, logarithm.high);
  const Vec bounded = exponent_of(x.high);
  // Where x overflows, its low part is no number.
  const Vec low = select(equal(bounded, x.high), fmadd(b, logarithm.low, x.low), zero());
  const Halvings h = halvings(bounded);
  return scale_by_power(set1(1.0f) + short_expm1(h.r + low), h.n);
}

/// a^b with the special cases of C's pow, a denormal exponent counting as 0; 1.3 ulp.
CNNCORE_INLINE Vec power(Vec a, Vec b) {
  const Vec one = set1(1.0f), infinity = set1(__builtin_inff());
  // A denormal is its bits times 2^-149, also when the processor takes denormals for zero.
  const Mask tiny = greater(set1(1.17549435e-38f), abs(a));
  const Vec bits_as_number = to_float(iand(as_int(a), iset1(0x7fffffff)));
  const Vec magnitude = select(tiny, bits_as_number, abs(a));
  Vec result = magnitude_power(magnitude, select(tiny, set1(149.0f), zero()), b);
  const Mask endless = either(equal(magnitude, zero()), equal(magnitude, infinity));
  // As 0 * log(0) would be no number: 0 and infinity, and infinite exponents, give 0 or infinity.
  const Mask grows = greater(b, zero());
  const Vec of_infinity = select(grows, infinity, zero()), of_zero = select(grows, zero(), infinity);
  result = select(endless, select(equal(magnitude, zero()), of_zero, of_infinity), result);
  const Mask beyond = equal(abs(b), infinity);
  result = select(beyond, select(greater(abs(a), one), of_infinity, of_zero), result);
  // Floats from 2^24 on are even.
  const Mask large = greater_equal(abs(b), set1(16777216.0f));
  const Vec half = b * set1(0.5f);
  const Mask whole = either(equal(round(b), b), large), even = either(equal(round(half), half), large);
  const Vec of_negative = select(even, result, with_sign_of(result, a));
  const Vec nan_if_negative = select(greater(zero(), with_sign_of(one, a)), set1(__builtin_nanf("")), result);
  result = select(whole, of_negative, select(endless, result, nan_if_negative));
  result = select(either(is_nan(a), is_nan(b)), a + b, result);
  const Mask unit = either(equal(a, one), both(equal(magnitude, one), beyond));
  return select(either(unit, equal(b, zero())), one, result);
}

#else

CNNCORE_INLINE float scalar_pow(float a, float b) { return __builtin_powf(a, b); }

/// a^b. Two floats for the logarithm need a fused multiply and add.
CNNCORE_INLINE Vec power(Vec a, Vec b) { return by_lane<scalar_pow>(a, b); }

#endif

}  // namespace CNNCORE_ISA
}  // namespace cnncore
