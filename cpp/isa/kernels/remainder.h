// SPDX-License-Identifier: Apache-2.0
// Floor division and its remainder on single floats, bit for bit those of numpy and CPython. They work on
// doubles, into which floats come bit by bit: denormals count in full although the processor takes them for
// zero, and fmod is exact for quotients of any size.
#pragma once

#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {

inline constexpr double kLeastNormal = 0x1p-126;

CNNCORE_INLINE double widened(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7f800000u) != 0) return static_cast<double>(x);
  // A denormal or zero is its bits times 2^-149.
  const double magnitude = static_cast<double>(bits & 0x007fffffu) * 0x1p-149;
  return (bits & 0x80000000u) != 0 ? -magnitude : magnitude;
}

/// x rounded to float; x must be a multiple of 2^-149 where it is less than a normal float.
CNNCORE_INLINE float narrowed(double x) {
  const double magnitude = __builtin_fabs(x);
  if (!(magnitude < kLeastNormal)) return static_cast<float>(x);
  std::uint32_t bits = static_cast<std::uint32_t>(magnitude * 0x1p149);
  if (__builtin_signbit(x) != 0) bits |= 0x80000000u;
  float result;
  __builtin_memcpy(&result, &bits, sizeof result);
  return result;
}

/// a - b floor(a / b), with b's sign also where it is zero; NaN for b = 0 and for an infinite a. Sums of two
/// floats may be rounded to double first: it has more than twice a float's bits.
CNNCORE_INLINE float scalar_remainder(float dividend, float divisor) {
  const double a = widened(dividend), b = widened(divisor);
  const double rest = __builtin_fmod(a, b);
  if (rest == 0.0) return narrowed(__builtin_copysign(0.0, b));
  return narrowed((b < 0.0) != (rest < 0.0) ? rest + b : rest);
}

/// floor(a / b) from fmod, which no rounding of a / b up to a whole number can mislead; a / b for b = 0.
CNNCORE_INLINE float scalar_floor_divide(float dividend, float divisor) {
  const double a = widened(dividend), b = widened(divisor);
  if (b == 0.0) return static_cast<float>(a / b);
  const double rest = __builtin_fmod(a, b);
  const double even = a - rest;  // b times a whole number, before it is rounded as a float would be
  const double rounded =
      __builtin_fabs(even) < kLeastNormal ? even : static_cast<double>(static_cast<float>(even));
  float quotient = static_cast<float>(rounded / b);
  if (rest != 0.0 && (b < 0.0) != (rest < 0.0)) quotient -= 1.0f;
  if (quotient == 0.0f) return static_cast<float>(__builtin_copysign(0.0, a / b));
  const float floored = __builtin_floorf(quotient);
  return quotient - floored > 0.5f ? floored + 1.0f : floored;
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
