// SPDX-License-Identifier: Apache-2.0
// Every activation: a struct and a line of the list. NaN goes through; where a derivative is undefined it is
// PyTorch's; an infinity gives what the definition gives in IEEE arithmetic, and its derivative the limit.
#pragma once

#include "isa/activation.h"
#include "isa/kernels/lanes.h"
#include "isa/kernels/vec_math.h"

namespace cnncore {
namespace CNNCORE_ISA {

/// What a gate tells the gradient from.
enum class Reads { result, argument, either };

/// x, but at most `bound` from 0, so that a vanishing factor is not met by an infinity.
CNNCORE_INLINE Vec within(Vec x, float bound) { return max(set1(-bound), min(set1(bound), x)); }

/// max and min hand on their second operand when an operand is NaN, so constants come first.
struct NoActivation {
  static constexpr Reads kReads = Reads::either;
  static constexpr double kCost = 0, kGateCost = 0;  // vector operations, to judge whether threads pay
  static CNNCORE_MEMBER Vec apply(Vec x, Vec) { return x; }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec, Vec) { return grad; }
};

struct Relu {
  static constexpr Reads kReads = Reads::either;
  static constexpr double kCost = 1, kGateCost = 1;
  static CNNCORE_MEMBER Vec apply(Vec x, Vec) { return max(zero(), x); }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec y, Vec) {
    return select(greater_equal(zero(), y), zero(), grad);
  }
};

struct LeakyRelu {  // alpha >= 0
  static constexpr Reads kReads = Reads::either;
  static constexpr double kCost = 1, kGateCost = 1;
  static CNNCORE_MEMBER Vec apply(Vec x, Vec alpha) { return select(greater(x, zero()), x, x * alpha); }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec y, Vec alpha) {
    return select(greater(y, zero()), grad, grad * alpha);
  }
};

struct Relu6 {
  static constexpr Reads kReads = Reads::either;
  static constexpr double kCost = 1, kGateCost = 1;
  static CNNCORE_MEMBER Vec apply(Vec x, Vec) { return min(set1(6.0f), max(zero(), x)); }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec y, Vec) {
    return select(either(greater_equal(zero(), y), greater_equal(y, set1(6.0f))), zero(), grad);
  }
};

struct Sigmoid {
  static constexpr Reads kReads = Reads::result;
  static constexpr double kCost = 18, kGateCost = 1;
  static CNNCORE_MEMBER Vec apply(Vec x, Vec) { return sigmoid(x); }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec y, Vec) { return grad * y * (set1(1.0f) - y); }
};

struct Tanh {
  static constexpr Reads kReads = Reads::result;
  static constexpr double kCost = 25, kGateCost = 1;
  static CNNCORE_MEMBER Vec apply(Vec x, Vec) { return tanh(x); }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec y, Vec) { return grad * fnmadd(y, y, set1(1.0f)); }
};

/// x above 0, alpha (e^x - 1) below; 2 ulp, its derivative too.
struct Elu {
  static constexpr Reads kReads = Reads::argument;
  static constexpr double kCost = 16, kGateCost = 14;
  static CNNCORE_MEMBER Vec apply(Vec x, Vec alpha) {
    return select(greater(zero(), x), alpha * bounded_expm1(min(zero(), x)), x);
  }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec x, Vec alpha) {
    return select(greater(x, zero()), grad, grad * (alpha * bounded_exp(min(zero(), x))));
  }
};

struct Softplus {
  static constexpr Reads kReads = Reads::argument;
  static constexpr double kCost = 40, kGateCost = 18;
  static CNNCORE_MEMBER Vec apply(Vec x, Vec) { return softplus(x); }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec x, Vec) { return grad * sigmoid(x); }
};

/// The derivative of x sigmoid(u(x)): s (1 + x u' (1 - s)), where 1 - s is s of -u, without cancellation.
CNNCORE_INLINE Vec swish_slope(Vec u, Vec slope) {
  const Vec e = bounded_exp(negative(u));
  const Vec larger = set1(1.0f) / (set1(1.0f) + e);
  const Vec smaller = e * larger;
  const Mask below = has_sign(u);
  return select(below, smaller, larger) * fmadd(slope, select(below, larger, smaller), set1(1.0f));
}

/// x sigmoid(x); 3 ulp. The derivative is within 3e-7.
struct Silu {
  static constexpr Reads kReads = Reads::argument;
  static constexpr double kCost = 18, kGateCost = 20;
  static CNNCORE_MEMBER Vec apply(Vec x, Vec) { return times_sigmoid(x, x); }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec x, Vec) { return grad * swish_slope(x, within(x, 100.0f)); }
};

/// x times the standard normal distribution up to x; 8 ulp. The derivative is within 3e-7.
struct Gelu {
  static constexpr Reads kReads = Reads::argument;
  static constexpr double kCost = 45, kGateCost = 48;
  static CNNCORE_MEMBER Vec apply(Vec x, Vec) {
    const Vec tail = upper_tail(abs(x), min(set1(15.0f), x) * bell(x));  // no product that underflows early
    return select(greater(zero(), x), tail, x - tail);
  }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec x, Vec) {
    const Vec density = bell(x);
    return grad * fmadd(within(x, 15.0f) * set1(0.398942280f), density, normal(x, density));
  }
};

/// x / (1 + e^(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3), which is 0.5 x (1 + tanh u) without its
/// cancellation; 4 ulp of the argument's share: within 5e-7 |y| + 1e-7. The derivative is within 5e-7.
struct GeluTanh {
  static constexpr Reads kReads = Reads::argument;
  static constexpr double kCost = 22, kGateCost = 30;
  static CNNCORE_MEMBER Vec twice_u(Vec x) {
    return x * fmadd(x * x, set1(0.0713548163f), set1(1.59576912f));
  }
  static CNNCORE_MEMBER Vec apply(Vec x, Vec) { return times_sigmoid(x, twice_u(x)); }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec x, Vec) {
    const Vec near = within(x, 15.0f);  // beyond, the derivative is 0 or 1
    const Vec slope = near * fmadd(near * near, set1(0.214064449f), set1(1.59576912f));
    return grad * swish_slope(twice_u(near), slope);
  }
};

struct Hardsigmoid {  // clip(x / 6 + 1 / 2, 0, 1)
  static constexpr Reads kReads = Reads::argument;
  static constexpr double kCost = 3, kGateCost = 3;
  static CNNCORE_MEMBER Vec apply(Vec x, Vec) {
    return min(set1(1.0f), max(zero(), fmadd(x, set1(1.0f / 6.0f), set1(0.5f))));
  }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec x, Vec) {
    return select(greater(set1(3.0f), abs(x)), grad * set1(1.0f / 6.0f), zero());
  }
};

struct Hardswish {  // x hardsigmoid(x)
  static constexpr Reads kReads = Reads::argument;
  static constexpr double kCost = 4, kGateCost = 4;
  static CNNCORE_MEMBER Vec apply(Vec x, Vec alpha) { return x * Hardsigmoid::apply(x, alpha); }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec x, Vec) {
    return select(greater_equal(set1(-3.0f), x), zero(),
                  select(greater_equal(x, set1(3.0f)), grad, grad * fmadd(x, set1(1.0f / 3.0f), set1(0.5f))));
  }
};

/// x tanh(softplus(x)) = x n / (n + 2), n = e (e + 2), e = e^x; 6 ulp where |y| > 1e-36, the derivative
/// within 5e-7. Above 20 the fraction is 1.
struct Mish {
  static constexpr Reads kReads = Reads::argument;
  static constexpr double kCost = 22, kGateCost = 32;
  static CNNCORE_MEMBER Vec apply(Vec x, Vec) {
    const Vec near = min(set1(20.0f), x);
    const Vec e = bounded_exp(near);
    const Vec n = e * (e + set1(2.0f));
    return select(greater(x, set1(20.0f)), x, near * n / (n + set1(2.0f)));
  }
  static CNNCORE_MEMBER Vec gate(Vec grad, Vec x, Vec) {
    const Vec near = min(set1(20.0f), within(x, 100.0f));
    const Vec e = bounded_exp(near);
    const Vec n = e * (e + set1(2.0f));
    const Vec inverse = set1(1.0f) / (n + set1(2.0f));
    const Vec steep = set1(4.0f) * e * (e + set1(1.0f)) * inverse * inverse;
    return grad * fmadd(near, steep, n * inverse);
  }
};

/// The one list: a name, and how its struct is called. The first four stand in `enum class Activation`.
#define CNNCORE_ACTIVATIONS(X) \
  X(none, NoActivation)        \
  X(relu, Relu)                \
  X(leaky_relu, LeakyRelu)     \
  X(relu6, Relu6)              \
  X(sigmoid, Sigmoid)          \
  X(tanh, Tanh)                \
  X(elu, Elu)                  \
  X(softplus, Softplus)        \
  X(silu, Silu)                \
  X(gelu, Gelu)                \
  X(gelu_tanh, GeluTanh)       \
  X(hardsigmoid, Hardsigmoid)  \
  X(hardswish, Hardswish)      \
  X(mish, Mish)

/// One activation for vectors; alpha in every lane.
struct VectorActivation {
  Vec (*apply)(Vec x, Vec alpha);
  Vec (*gate)(Vec grad, Vec saved, Vec alpha);          // saved: what it reads
  Vec (*gate_by_argument)(Vec grad, Vec x, Vec alpha);  // also where the gate reads the result
  /// Of `count` rows of n floats at the same offsets in x and y; y may be x. A call for each row of a tile
  /// would cost as much as a simple activation.
  void (*rows)(const float* x, const int64_t* offset, int64_t count, int64_t n, float alpha, float* y);
};

const VectorActivation& vector_activation(Activation activation);

/// y = activation(x) of n floats, for kernels whose rows are still in the first cache.
CNNCORE_INLINE void activate_row(const float* x, int64_t n, Activation activation, float alpha, float* y) {
  const int64_t here = 0;
  vector_activation(activation).rows(x, &here, 1, n, alpha, y);
}

/// Of those in registers.
CNNCORE_INLINE Vec activate(Vec x, Activation activation, Vec alpha) {
  switch (activation) {
    case Activation::relu:
      return Relu::apply(x, alpha);
    case Activation::relu6:
      return Relu6::apply(x, alpha);
    case Activation::leaky_relu:
      return LeakyRelu::apply(x, alpha);
    default:
      return x;
  }
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
