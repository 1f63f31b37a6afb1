// SPDX-License-Identifier: Apache-2.0
// The functions of the `elementwise` step on one vector. NaN goes through as in numpy; where a derivative
// is undefined the value is PyTorch's.
#pragma once

#include "isa/kernels/activations.h"
#include "isa/kernels/by_lane.h"
#include "isa/kernels/double_math.h"
#include "isa/kernels/power.h"

namespace cnncore {
namespace CNNCORE_ISA {

/// The settings of one step, in every lane. Every function takes them last, which also tells it from
/// the plain function of the same name.
struct Params {
  Vec alpha;
  Vec beta;
};

/// A comparison's result as a number.
CNNCORE_INLINE Vec one_where(Mask m) { return select(m, set1(1.0f), zero()); }
CNNCORE_INLINE Vec zero_where(Mask m) { return select(m, zero(), set1(1.0f)); }

CNNCORE_INLINE Vec sign_of(Vec a) {
  const Vec sign = one_where(greater(a, zero())) - one_where(greater(zero(), a));
  return select(is_nan(a), a, sign);
}

/// The larger; NaN when either is NaN (vmaxps returns its second operand then, so only a's NaN is lost).
CNNCORE_INLINE Vec propagating_max(Vec a, Vec b) { return select(is_nan(a), a, max(a, b)); }
CNNCORE_INLINE Vec propagating_min(Vec a, Vec b) { return select(is_nan(a), a, min(a, b)); }

template <class A>
Vec activation(Vec a, Params p) {
  return A::apply(a, p.alpha);
}
/// a is the gradient of the result, b the result or the argument, as A::kReads says.
template <class A>
Vec activation_backward(Vec a, Vec b, Params p) {
  return A::gate(a, b, p.alpha);
}

/// `log` where every lane is a positive normal number: the same bits without the exceptions.
CNNCORE_INLINE Vec log_of_normal(Vec x) {
  const IVec shifted = iadd(as_int(x), iset1(0x3f800000 - 0x3f3504f3));
  const Vec exponent = to_float(isub(shift_right<23>(shifted), iset1(127)));
  return short_log(as_float(iadd(iand(shifted, iset1(0x007fffff)), iset1(0x3f3504f3))) - set1(1.0f),
                   exponent);
}

/// `log1p` where u = 1 + x is a positive normal number.
CNNCORE_INLINE Vec log1p_to_normal(Vec x, Vec u) { return log_of_normal(u) + (x - (u - set1(1.0f))) / u; }

// The constant comes first in max and min: they return their second operand when either is NaN.
CNNCORE_INLINE Vec clamp(Vec a, Params p) { return min(p.beta, max(p.alpha, a)); }
CNNCORE_INLINE Vec exp(Vec a, Params) { return exp(a); }
CNNCORE_INLINE Vec expm1(Vec a, Params) { return expm1(a); }
CNNCORE_INLINE Vec erf(Vec a, Params) { return erf(a); }
CNNCORE_INLINE Vec log(Vec a, Params) { return log(a); }
CNNCORE_INLINE Vec log1p(Vec a, Params) { return log1p(a); }
CNNCORE_INLINE Vec sqrt(Vec a, Params) { return sqrt(a); }
CNNCORE_INLINE Vec rsqrt(Vec a, Params) { return set1(1.0f) / sqrt(a); }
CNNCORE_INLINE Vec abs(Vec a, Params) { return abs(a); }
CNNCORE_INLINE Vec neg(Vec a, Params) { return set1(-1.0f) * a; }
CNNCORE_INLINE Vec sign(Vec a, Params) { return sign_of(a); }
CNNCORE_INLINE Vec logical_not(Vec a, Params) { return one_where(equal(a, zero())); }
CNNCORE_INLINE Vec square(Vec a, Params) { return a * a; }
CNNCORE_INLINE Vec reciprocal(Vec a, Params) { return set1(1.0f) / a; }
CNNCORE_INLINE Vec floor(Vec a, Params) { return by_lane<scalar_floor>(a); }
CNNCORE_INLINE Vec ceil(Vec a, Params) { return by_lane<scalar_ceil>(a); }
CNNCORE_INLINE Vec trunc(Vec a, Params) { return by_lane<scalar_trunc>(a); }
CNNCORE_INLINE Vec round(Vec a, Params) { return by_lane<scalar_round>(a); }
CNNCORE_INLINE Vec sin(Vec a, Params) { return sin(a); }
CNNCORE_INLINE Vec cos(Vec a, Params) { return cos(a); }
CNNCORE_INLINE Vec tan(Vec a, Params) { return tan(a); }
CNNCORE_INLINE Vec asin(Vec a, Params) { return by_lane<in_double<scalar_asin>>(a); }
CNNCORE_INLINE Vec acos(Vec a, Params) { return by_lane<in_double<scalar_acos>>(a); }
CNNCORE_INLINE Vec atan(Vec a, Params) { return by_lane<in_double<scalar_atan>>(a); }
CNNCORE_INLINE Vec sinh(Vec a, Params) { return sinh(a); }
CNNCORE_INLINE Vec cosh(Vec a, Params) { return cosh(a); }
CNNCORE_INLINE Vec exp2(Vec a, Params) { return exp2(a); }
CNNCORE_INLINE Vec log2(Vec a, Params) { return by_lane<in_double<scalar_log2>>(a); }
CNNCORE_INLINE Vec log10(Vec a, Params) { return by_lane<in_double<scalar_log10>>(a); }
CNNCORE_INLINE Vec erfc(Vec a, Params) { return erfc(a); }
CNNCORE_INLINE Vec add_scalar(Vec a, Params p) { return a + p.alpha; }
CNNCORE_INLINE Vec mul_scalar(Vec a, Params p) { return a * p.alpha; }
CNNCORE_INLINE Vec rsub_scalar(Vec a, Params p) { return p.alpha - a; }
CNNCORE_INLINE Vec rdiv_scalar(Vec a, Params p) { return p.alpha / a; }
CNNCORE_INLINE Vec pow_scalar(Vec a, Params p) { return power(a, p.alpha); }
CNNCORE_INLINE Vec max_scalar(Vec a, Params p) { return propagating_max(p.alpha, a); }
CNNCORE_INLINE Vec min_scalar(Vec a, Params p) { return propagating_min(p.alpha, a); }

CNNCORE_INLINE Vec add(Vec a, Vec b, Params) { return a + b; }
CNNCORE_INLINE Vec sub(Vec a, Vec b, Params) { return a - b; }
CNNCORE_INLINE Vec mul(Vec a, Vec b, Params) { return a * b; }
CNNCORE_INLINE Vec scaled_add(Vec a, Vec b, Params p) { return (a + b) * p.alpha; }
CNNCORE_INLINE Vec scaled_mul(Vec a, Vec b, Params p) { return (a * p.alpha) * b; }
CNNCORE_INLINE Vec shifted_mul(Vec a, Vec b, Params p) { return (a + p.alpha) * b; }
CNNCORE_INLINE Vec div(Vec a, Vec b, Params) { return a / b; }
CNNCORE_INLINE Vec maximum(Vec a, Vec b, Params) { return propagating_max(a, b); }
CNNCORE_INLINE Vec minimum(Vec a, Vec b, Params) { return propagating_min(a, b); }
CNNCORE_INLINE Vec pow(Vec a, Vec b, Params) { return power(a, b); }
CNNCORE_INLINE Vec atan2(Vec a, Vec b, Params) { return by_lane<in_double<scalar_atan2>>(a, b); }
CNNCORE_INLINE Vec hypot(Vec a, Vec b, Params) { return by_lane<in_double<scalar_hypot>>(a, b); }
CNNCORE_INLINE Vec floor_divide(Vec a, Vec b, Params) { return by_lane<scalar_floor_divide>(a, b); }
CNNCORE_INLINE Vec remainder(Vec a, Vec b, Params) { return by_lane<scalar_remainder>(a, b); }
CNNCORE_INLINE Vec greater(Vec a, Vec b, Params) { return one_where(greater(a, b)); }
CNNCORE_INLINE Vec greater_equal(Vec a, Vec b, Params) { return one_where(greater_equal(a, b)); }
CNNCORE_INLINE Vec equal(Vec a, Vec b, Params) { return one_where(equal(a, b)); }
CNNCORE_INLINE Vec not_equal(Vec a, Vec b, Params) { return zero_where(equal(a, b)); }
CNNCORE_INLINE Vec logical_and(Vec a, Vec b, Params) {
  return zero_where(either(equal(a, zero()), equal(b, zero())));
}
CNNCORE_INLINE Vec logical_or(Vec a, Vec b, Params) {
  return zero_where(both(equal(a, zero()), equal(b, zero())));
}
CNNCORE_INLINE Vec logical_xor(Vec a, Vec b, Params) {
  return zero_where(equal(one_where(equal(a, zero())), one_where(equal(b, zero()))));
}
CNNCORE_INLINE Vec prelu(Vec a, Vec b, Params) { return select(greater(a, zero()), a, a * b); }

CNNCORE_INLINE Vec glu(Vec a, Vec b, Params) { return a * sigmoid(b); }

// Gradients: a is the gradient of the result, b the result or the argument.
CNNCORE_INLINE Vec clamp_backward(Vec a, Vec b, Params p) {
  return select(both(greater_equal(b, p.alpha), greater_equal(p.beta, b)), a, zero());
}
CNNCORE_INLINE Vec log_backward(Vec a, Vec b, Params) { return a / b; }
CNNCORE_INLINE Vec log1p_backward(Vec a, Vec b, Params) { return a / (set1(1.0f) + b); }
CNNCORE_INLINE Vec sqrt_backward(Vec a, Vec b, Params) { return a * set1(0.5f) / b; }
CNNCORE_INLINE Vec rsqrt_backward(Vec a, Vec b, Params) { return a * set1(-0.5f) * b * (b * b); }
CNNCORE_INLINE Vec abs_backward(Vec a, Vec b, Params) { return a * sign_of(b); }
CNNCORE_INLINE Vec square_backward(Vec a, Vec b, Params) { return (a + a) * b; }
CNNCORE_INLINE Vec reciprocal_backward(Vec a, Vec b, Params) { return set1(-1.0f) * a * (b * b); }
CNNCORE_INLINE Vec pow_scalar_backward(Vec a, Vec b, Params p) {
  return select(equal(p.alpha, zero()), zero(), a * (p.alpha * power(b, p.alpha - set1(1.0f))));
}
CNNCORE_INLINE Vec max_scalar_backward(Vec a, Vec b, Params p) {
  return select(greater_equal(b, p.alpha), a, zero());
}
CNNCORE_INLINE Vec min_scalar_backward(Vec a, Vec b, Params p) {
  return select(greater_equal(p.alpha, b), a, zero());
}
CNNCORE_INLINE Vec prelu_weight_backward(Vec a, Vec b, Params) {
  return select(greater(b, zero()), zero(), a * b);
}

CNNCORE_INLINE Vec select(Vec a, Vec b, Vec c, Params) { return select(equal(a, zero()), c, b); }
CNNCORE_INLINE Vec fma(Vec a, Vec b, Vec c, Params) { return fmadd(a, b, c); }
// With respect to the first argument b; where both are equal they share the gradient.
CNNCORE_INLINE Vec maximum_backward(Vec a, Vec b, Vec c, Params) {
  return select(equal(b, c), a * set1(0.5f), select(greater(c, b), zero(), a));
}
CNNCORE_INLINE Vec minimum_backward(Vec a, Vec b, Vec c, Params) {
  return select(equal(b, c), a * set1(0.5f), select(greater(b, c), zero(), a));
}
// With respect to the base: g c b^(c - 1); with respect to the exponent: g y ln(b), c being y, and 0 where y
// is 0.
CNNCORE_INLINE Vec pow_base_backward(Vec a, Vec b, Vec c, Params) {
  return select(equal(c, zero()), zero(), a * (c * power(b, c - set1(1.0f))));
}
CNNCORE_INLINE Vec pow_exponent_backward(Vec a, Vec b, Vec c, Params) {
  return select(equal(c, zero()), zero(), a * (c * log(b)));
}
CNNCORE_INLINE Vec glu_gate_backward(Vec a, Vec b, Vec c, Params) {  // with respect to the gate c
  const Vec y = sigmoid(c);
  return a * b * y * (set1(1.0f) - y);
}
CNNCORE_INLINE Vec prelu_backward(Vec a, Vec b, Vec c, Params) {
  return select(greater(b, zero()), a, a * c);
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
