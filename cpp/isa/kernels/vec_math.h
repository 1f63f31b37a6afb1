// SPDX-License-Identifier: Apache-2.0
// Exponential functions of vectors. Infinities, NaN and overflow follow IEEE; results too small for a
// normal float may flush to zero. The polynomials are minimax fits in relative error on the stated
// interval; the errors given, in units in the last place, bound those found over every third float.
#pragma once

#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {

/// a and b lane by lane through a scalar function, for the rare ones that have no vector form.
template <float (*F)(float, float)>
CNNCORE_INLINE Vec by_lane(Vec a, Vec b) {
  float x[kWidth], y[kWidth];
  store(x, a);
  store(y, b);
  for (int i = 0; i < kWidth; ++i) x[i] = F(x[i], y[i]);
  return load(x);
}

/// p * 2^n for p in [1/2, 2) and integral n in [-150, 128] (NaN allowed in both), overflowing to infinity.
CNNCORE_INLINE Vec scale_by_power(Vec p, Vec n) {
#if defined(__AVX512F__)
  return _mm512_scalef_ps(p, n);
#else
  // In two factors, because 2^128 and 2^-127 have no normal float. The first is floor(n / 2) added to p's
  // exponent; of NaN it is 0.
  const IVec whole = to_int(n);
  const IVec half = iand(shift_left<22>(whole), iset1(static_cast<int>(0xff800000u)));
  const IVec rest = isub(shift_left<23>(whole), half);
  return as_float(iadd(as_int(p), half)) * as_float(iadd(rest, iset1(0x3f800000)));
#endif
}

/// x = n ln 2 + r, n whole and |r| <= ln(2) / 2.
struct Halvings {
  Vec n, r;
};
CNNCORE_INLINE Halvings halvings(Vec x) {
  const Vec n = round(x * set1(1.44269504f));
  // ln 2 in two parts; n times the first is exact.
  return {n, fmadd(n, set1(2.12194440e-4f), fnmadd(n, set1(0.693359375f), x))};
}

/// e^r - 1 on |r| <= ln(2) / 2.
CNNCORE_INLINE Vec short_expm1(Vec r) {
  Vec q = set1(1.381431823e-03f);  // (e^r - 1 - r) / r^2, 3e-9
  q = fmadd(q, r, set1(8.368851617e-03f));
  q = fmadd(q, r, set1(4.166840017e-02f));
  q = fmadd(q, r, set1(1.666651964e-01f));
  q = fmadd(q, r, set1(4.999999404e-01f));
  return fmadd(r * r, q, r);
}

/// Beyond these bounds e^x is infinity or 0 anyway; this operand order lets NaN through.
CNNCORE_INLINE Vec exponent_of(Vec x) { return max(set1(-104.0f), min(set1(89.0f), x)); }

/// x = n ln 2 + r as in `halvings`, and 2^(n + kRaise), a number in [-126, 127]; for n + kRaise = -127 it is
/// 0.
struct ScaledRest {
  Vec scale, r;
};
template <int kRaise = 0>
CNNCORE_INLINE ScaledRest scaled_rest(Vec x) {
  // Beside 1.5 * 2^23 no fraction has room: the last bits of the sum are n.
  const Vec magic = set1(12582912.0f);
  const Vec sum = fmadd(x, set1(1.44269504f), magic);
  const Vec n = sum - magic;
  return {as_float(iadd(shift_left<23>(as_int(sum)), iset1((127 + kRaise) << 23))),
          fmadd(n, set1(2.12194440e-4f), fnmadd(n, set1(0.693359375f), x))};
}

/// x, or where n + kRaise is -127.
template <int kRaise = 0>
CNNCORE_INLINE Vec bounded_exponent(Vec x) {
  return max(set1(-0.69314718f * static_cast<float>(127 + kRaise)), x);
}

/// e^x 2^kRaise of x <= 88 - kRaise ln 2, in half of exp's operations; 1.1 ulp.
template <int kRaise = 0>
CNNCORE_INLINE Vec bounded_exp(Vec x) {
  const ScaledRest p = scaled_rest<kRaise>(bounded_exponent<kRaise>(x));
  return fmadd(p.scale, short_expm1(p.r), p.scale);
}

/// e^x - 1 of x <= 88; 2 ulp, also for small x.
CNNCORE_INLINE Vec bounded_expm1(Vec x) {
  const ScaledRest p = scaled_rest(bounded_exponent(x));
  return fmadd(p.scale, short_expm1(p.r), p.scale - set1(1.0f));
}

/// e^x; 1.1 ulp.
CNNCORE_INLINE Vec exp(Vec x) {
  const Halvings h = halvings(exponent_of(x));
  return scale_by_power(set1(1.0f) + short_expm1(h.r), h.n);
}

/// 2^x; 1 ulp.
CNNCORE_INLINE Vec exp2(Vec x) {
  x = max(set1(-150.0f), min(set1(128.0f), x));
  const Vec n = round(x);
  return scale_by_power(set1(1.0f) + short_expm1((x - n) * set1(0.693147182f)), n);
}

/// e^x - 1; 2 ulp, also for small x.
CNNCORE_INLINE Vec expm1(Vec x) {
  const Halvings h = halvings(exponent_of(x));
  const Vec p = short_expm1(h.r);
  const Vec scale = scale_by_power(set1(1.0f), h.n);
  // 2^128 overflows; the results near it do not need the last 1.
  const Vec sum = scale_by_power(set1(1.0f) + p, h.n);
  return select(greater(h.n, set1(30.0f)), sum, fmadd(scale, p, scale - set1(1.0f)));
}

/// ln((1 + f) 2^exponent) for 1 + f in [sqrt(1/2), sqrt(2)).
CNNCORE_INLINE Vec short_log(Vec f, Vec exponent) {
  const Vec square = f * f;
  Vec q = set1(-7.635588199e-02f);  // (ln(1 + f) - f + f^2 / 2) / f^3, 6e-9
  q = fmadd(q, f, set1(1.276330054e-01f));
  q = fmadd(q, f, set1(-1.316059530e-01f));
  q = fmadd(q, f, set1(1.420155764e-01f));
  q = fmadd(q, f, set1(-1.662329733e-01f));
  q = fmadd(q, f, set1(2.000123262e-01f));
  q = fmadd(q, f, set1(-2.500082254e-01f));
  q = fmadd(q, f, set1(3.333333135e-01f));
  const Vec low = fmadd(exponent, set1(-2.12194440e-4f), fnmadd(set1(0.5f), square, q * square * f));
  return fmadd(exponent, set1(0.693359375f), f + low);
}

/// ln x; 1 ulp. log(0) = -inf, log of a negative number is NaN; denormals count in full.
CNNCORE_INLINE Vec log(Vec x) {
  const Vec infinity = set1(__builtin_inff());
  const Vec smallest_normal = set1(1.17549435e-38f);
  // A denormal is its bits times 2^-149, also when the processor takes denormals for zero.
  const Mask tiny = greater(smallest_normal, abs(x));
  const Vec bits_as_number = to_float(iand(as_int(x), iset1(0x7fffffff)));
  const Vec positive = select(tiny, bits_as_number, x);
  // positive = m * 2^e with m in [sqrt(1/2), sqrt(2)): 0x3f3504f3 is sqrt(1/2).
  const IVec shifted = iadd(as_int(positive), iset1(0x3f800000 - 0x3f3504f3));
  const Vec exponent =
      to_float(isub(shift_right<23>(shifted), iset1(127))) - select(tiny, set1(149.0f), zero());
  const Vec f = as_float(iadd(iand(shifted, iset1(0x007fffff)), iset1(0x3f3504f3))) - set1(1.0f);
  Vec result = short_log(f, exponent);
  result = select(equal(x, infinity), infinity, result);
  result = select(equal(positive, zero()), zero() - infinity, result);
  return select(either(greater(zero(), x), is_nan(x)), set1(__builtin_nanf("")), result);
}

/// ln(1 + x); 2 ulp, also for small x.
CNNCORE_INLINE Vec log1p(Vec x) {
  const Vec u = set1(1.0f) + x;
  // 1 + x = u + (x - (u - 1)) exactly where the rounding of u matters.
  const Vec correction = (x - (u - set1(1.0f))) / u;
  const Mask plain = either(equal(u, zero()), equal(u, set1(__builtin_inff())));
  return log(u) + select(plain, zero(), correction);
}

/// |magnitude| with x's sign.
CNNCORE_INLINE Vec with_sign_of(Vec magnitude, Vec x) {
  return as_float(ior(as_int(magnitude), iand(as_int(x), iset1(static_cast<int>(0x80000000u)))));
}

/// Hyperbolic tangent, m / (m + 2) with m = e^2|x| - 1; 2.6 ulp.
CNNCORE_INLINE Vec tanh(Vec x) {
  const Vec magnitude = abs(x);
  const Vec m = bounded_expm1(min(set1(40.0f), magnitude + magnitude));  // from 19 on the result is 1
  return with_sign_of(m / (m + set1(2.0f)), x);
}

/// -|x|.
CNNCORE_INLINE Vec negative(Vec x) { return as_float(ior(as_int(x), iset1(static_cast<int>(0x80000000u)))); }

/// y / (1 + e^-x); 3 ulp. e^x 2^32 is a normal number wherever y e^x is one.
CNNCORE_INLINE Vec times_sigmoid(Vec y, Vec x) {
  const Vec lower = set1(0x1p-32f);
  const Vec e = bounded_exp<32>(negative(x));
  return select(has_sign(x), y * e * lower, y) / fmadd(e, lower, set1(1.0f));
}

/// 1 / (1 + e^-x); 3 ulp.
CNNCORE_INLINE Vec sigmoid(Vec x) {
  const Vec e = bounded_exp(negative(x));
  return select(has_sign(x), e, set1(1.0f)) / (set1(1.0f) + e);
}

/// ln(1 + e^x) without overflow; 3 ulp. NaN gives NaN.
CNNCORE_INLINE Vec softplus(Vec x) {
  const Vec e = bounded_exp(negative(x));  // at most 1: 1 + e or its half is near 1
  const Mask large = greater(e, set1(0.414213562f));
  const Vec f = select(large, set1(0.5f) * e - set1(0.5f), e);
  return max(zero(), x) + short_log(f, select(large, set1(1.0f), zero()));
}

/// head + rest = x^2, where the rounding of head alone would count.
struct Square {
  Vec head, rest;
};
CNNCORE_INLINE Square square_in_parts(Vec x) {
#if defined(__FMA__)
  const Vec head = x * x;
  return {head, fmadd(x, x, zero() - head)};
#else
  const Vec short_x = as_float(iand(as_int(x), iset1(static_cast<int>(0xfffff000u))));
  return {short_x * short_x, (x - short_x) * (x + short_x)};
#endif
}

/// e^(-x^2 / 2); 2 ulp. With a square in one part, its rounding would count some 80 times.
CNNCORE_INLINE Vec bell(Vec x) {
  const Square square = square_in_parts(min(set1(13.25f), abs(x)));  // beyond, the result is 0
  const Vec half = set1(-0.5f);
  const ScaledRest p = scaled_rest(half * square.head);
  return fmadd(p.scale, short_expm1(fmadd(half, square.rest, p.r)), p.scale);
}

/// The standard normal distribution above `a`, a >= 0, of which `density` is bell(a), or a multiple of both;
/// 6 ulp.
CNNCORE_INLINE Vec upper_tail(Vec a, Vec density) {
  a = min(set1(15.0f), a);
  const Vec inverse = set1(1.0f) / (a + set1(3.0f));
  const Vec t = (a - set1(3.0f)) * inverse;
  Vec q = set1(4.902148794e-05f);  // (a + 3) e^(a^2 / 2) tail(a) on [0, 14], 2e-8
  q = fmadd(q, t, set1(-2.088301844e-04f));
  q = fmadd(q, t, set1(-9.464784525e-04f));
  q = fmadd(q, t, set1(1.020940603e-03f));
  q = fmadd(q, t, set1(6.938233040e-03f));
  q = fmadd(q, t, set1(-1.046338491e-02f));
  q = fmadd(q, t, set1(-4.725839198e-02f));
  q = fmadd(q, t, set1(2.300177813e-01f));
  q = fmadd(q, t, set1(-5.093321800e-01f));
  q = fmadd(q, t, set1(7.290837169e-01f));
  return density * q * inverse;
}

/// The standard normal distribution up to x, of which `density` is bell(x); 6 ulp, also far below 0.
CNNCORE_INLINE Vec normal(Vec x, Vec density) {
  const Vec tail = upper_tail(abs(x), density);
  return select(greater(zero(), x), tail, set1(1.0f) - tail);
}

/// The error function; 3 ulp.
CNNCORE_INLINE Vec erf(Vec x) {
  const Vec z = x * x;
  Vec q = set1(-6.749513559e-04f);  // erf(x) / x on |x| <= 0.75, 2e-9
  q = fmadd(q, z, set1(5.114345811e-03f));
  q = fmadd(q, z, set1(-2.683462389e-02f));
  q = fmadd(q, z, set1(1.128337681e-01f));
  q = fmadd(q, z, set1(-3.761262000e-01f));
  q = fmadd(q, z, set1(1.128379107e+00f));
  const Vec a = abs(x) * set1(1.414213562f);
  const Vec far = set1(1.0f) - (set1(2.0f) * upper_tail(a, bounded_exp(set1(-0.5f) * a * a)));
  return select(greater(set1(0.75f), abs(x)), x * q, with_sign_of(far, x));
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
