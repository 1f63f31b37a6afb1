// SPDX-License-Identifier: Apache-2.0
// Functions of vectors of floats that are computed in double, half a vector at a time: the error vanishes in
// the rounding to float, 0.51 ulp unless stated. Infinities and NaN follow IEEE.
#pragma once

#include "isa/kernels/by_lane.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {

inline constexpr int kDoubles = kWidth / 2;
typedef double Doubles __attribute__((vector_size(kDoubles * 8)));
typedef int64_t Longs __attribute__((vector_size(kDoubles * 8)));
typedef float Halves __attribute__((vector_size(kDoubles * 4)));

CNNCORE_INLINE Doubles dset(double x) { return Doubles{} + x; }
CNNCORE_INLINE Longs bits_of(Doubles x) { return reinterpret_cast<Longs>(x); }
CNNCORE_INLINE Doubles from_bits(Longs x) { return reinterpret_cast<Doubles>(x); }
CNNCORE_INLINE Doubles choose(Longs mask, Doubles a, Doubles b) {
  return from_bits((mask & bits_of(a)) | (~mask & bits_of(b)));
}
CNNCORE_INLINE Doubles dabs(Doubles x) { return from_bits(bits_of(x) & INT64_MAX); }
/// |magnitude| with x's sign.
CNNCORE_INLINE Doubles signed_as(Doubles magnitude, Doubles x) {
  return from_bits((bits_of(magnitude) & INT64_MAX) | (bits_of(x) & INT64_MIN));
}

template <Doubles (*F)(Doubles)>
CNNCORE_INLINE Vec by_halves(Vec a) {
  alignas(64) float x[kWidth];
  store(x, a);
  for (int i = 0; i < kWidth; i += kDoubles) {
    Halves half;
    __builtin_memcpy(&half, x + i, sizeof half);
    half = __builtin_convertvector(F(__builtin_convertvector(half, Doubles)), Halves);
    __builtin_memcpy(x + i, &half, sizeof half);
  }
  return load(x);
}

/// Adding it to a double of less than 2^51 leaves the nearest whole number in the low bits.
inline constexpr double kRounder = 0x1.8p52;

template <int n>
CNNCORE_INLINE Doubles polynomial(const double (&coefficients)[n], Doubles x) {
  Doubles y = dset(coefficients[n - 1]);
#pragma GCC unroll 16
  for (int i = n - 2; i >= 0; --i) y = y * x + coefficients[i];
  return y;
}

/// e^x for |x| < 700, to 1e-11 of it.
CNNCORE_INLINE Doubles exp_of(Doubles x) {
  const Doubles rounded = x * 1.4426950408889634 + kRounder;
  const Doubles n = rounded - kRounder;
  const Doubles r = (x - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
  constexpr double kTerms[] = {1.0,       1.0,       1.0 / 2,    1.0 / 6,     1.0 / 24,
                               1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880};
  return from_bits(bits_of(polynomial(kTerms, r)) + (bits_of(rounded) << 52));
}

/// Within [-bound, bound]; NaN stays.
CNNCORE_INLINE Doubles bounded(Doubles x, double bound) {
  const Doubles most = dset(bound);
  x = choose(x > most, most, x);
  return choose(x < -most, -most, x);
}

/// Sine and cosine of what an angle of less than 2^20 leaves over pi / 2, and how often that was taken off.
struct Turned {
  Doubles sine, cosine;
  Longs quarter;
};
CNNCORE_INLINE Turned turned(Doubles x) {
  const Doubles rounded = x * 0.63661977236758134 + kRounder;
  const Doubles n = rounded - kRounder;
  // pi / 2 in two parts; n times the first, of 33 bits, is exact.
  const Doubles r = (x - n * 0x1.921fb54400000p0) - n * 0x1.0b4611a626331p-34;
  const Doubles z = r * r;
  constexpr double kSine[] = {1.0, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800};
  constexpr double kCosine[] = {1.0,         -1.0 / 2,       1.0 / 24,       -1.0 / 720,
                                1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600};
  return {r * polynomial(kSine, z), polynomial(kCosine, z), bits_of(rounded)};
}
/// The sine of an angle turned by so many quarters.
CNNCORE_INLINE Doubles sine_of(const Turned& t, Longs quarter) {
  const Doubles y = choose(-(quarter & 1), t.cosine, t.sine);
  return from_bits(bits_of(y) ^ ((quarter & 2) << 62));
}
CNNCORE_INLINE Doubles near_sin(Doubles x) {
  const Turned t = turned(x);
  return choose(x == 0.0, x, sine_of(t, t.quarter));
}
CNNCORE_INLINE Doubles near_cos(Doubles x) {
  const Turned t = turned(x);
  return sine_of(t, t.quarter + 1);
}
CNNCORE_INLINE Doubles near_tan(Doubles x) {
  const Turned t = turned(x);
  const Longs odd = -(t.quarter & 1);
  return choose(x == 0.0, x, choose(odd, -t.cosine, t.sine) / choose(odd, t.sine, t.cosine));
}

/// Angles beyond 2^20 go through the C library.
template <Doubles (*near)(Doubles), float (*far)(float)>
CNNCORE_INLINE Vec of_angle(Vec a) {
  const Vec distant = select(greater(abs(a), set1(0x1p20f)), set1(1.0f), zero());
  float x[kWidth];
  store(x, distant);
  float any = 0;
  for (int i = 0; i < kWidth; ++i) any += x[i];
  return any > 0 ? by_lane<far>(a) : by_halves<near>(a);
}
CNNCORE_INLINE Vec sin(Vec a) { return of_angle<near_sin, scalar_sin>(a); }
CNNCORE_INLINE Vec cos(Vec a) { return of_angle<near_cos, scalar_cos>(a); }
CNNCORE_INLINE Vec tan(Vec a) { return of_angle<near_tan, in_double<scalar_tan>>(a); }

CNNCORE_INLINE Doubles double_sinh(Doubles x) {
  const Doubles grown = exp_of(bounded(x, 100.0));  // floats overflow from 90 on
  const Doubles z = x * x;
  // On |x| < 1, where the difference would lose digits.
  constexpr double kTerms[] = {1.0, 1.0 / 6, 1.0 / 120, 1.0 / 5040, 1.0 / 362880, 1.0 / 39916800};
  return choose(dabs(x) < 1.0, x * polynomial(kTerms, z), 0.5 * (grown - 1.0 / grown));
}
CNNCORE_INLINE Vec sinh(Vec a) { return by_halves<double_sinh>(a); }

CNNCORE_INLINE Doubles double_cosh(Doubles x) {
  const Doubles grown = exp_of(bounded(x, 100.0));
  return 0.5 * (grown + 1.0 / grown);
}
CNNCORE_INLINE Vec cosh(Vec a) { return by_halves<double_cosh>(a); }

CNNCORE_INLINE Doubles double_erfc(Doubles x) {
  Doubles a = dabs(x);
  a = choose(a > 12.0, dset(12.0), a);  // floats underflow from 10.1 on
  const Doubles inverse = 1.0 / (a + 2.0);
  // (a + 2) e^(a^2) erfc(a) by (a - 2) / (a + 2), on [0, 12]; 4e-10
  constexpr double kTerms[] = {1.0215827054615918,    -0.6871606867026517,    0.2794720657616563,
                               -0.03644215084454713,  -0.021510111036651392,  0.006478477645874854,
                               0.003086323987285898,  -0.0008354978587568044, -0.0006475470213453244,
                               3.630662257168796e-05, 0.00011796700194711335, 2.0361156750873942e-05,
                               -4.594324527744022e-06};
  const Doubles tail = exp_of(-a * a) * polynomial(kTerms, (a - 2.0) * inverse) * inverse;
  return choose(x < 0.0, 2.0 - tail, tail);
}
CNNCORE_INLINE Vec erfc(Vec a) { return by_halves<double_erfc>(a); }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
