// SPDX-License-Identifier: Apache-2.0
// One-dimensional Winograd transforms of vectors, as groups of results that share terms: points come in pairs
// of both signs, whose even and odd parts are computed once. A group reads its operands through a function of
// the index.
#pragma once

#include "isa/kernels/lanes.h"

/// Of a lambda: inlined wherever it is called.
#define CNNCORE_FLATTEN __attribute__((always_inline))

namespace cnncore {
namespace CNNCORE_ISA {

/// Half a vector's floats, and as doubles.
constexpr int kHalf = kWidth / 2;
typedef float HalfVec __attribute__((vector_size(kHalf * sizeof(float))));
typedef double DoubleVec __attribute__((vector_size(kHalf * sizeof(double))));

CNNCORE_INLINE Vec scale(double factor, Vec x) { return set1(static_cast<float>(factor)) * x; }
CNNCORE_INLINE Vec scale_add(double factor, Vec x, Vec y) {
  return fmadd(set1(static_cast<float>(factor)), x, y);
}
CNNCORE_INLINE DoubleVec scale(double factor, DoubleVec x) { return factor * x; }
CNNCORE_INLINE DoubleVec scale_add(double factor, DoubleVec x, DoubleVec y) { return factor * x + y; }

template <bool kDouble>
struct Choice {
  using Type = Vec;
};
template <>
struct Choice<true> {
  using Type = DoubleVec;
};

/// F(kOutputs, 7 - kOutputs) at the points 0, +-5/8, +-3/2 and infinity. The textbook's 0, +-1, +-2 have
/// twice the error.
template <int kOutputs>
struct SixPoints {
  static constexpr int kTile = kOutputs;
  static constexpr int kTaps = 7 - kOutputs;
  static constexpr int kPoints = 6;
  static_assert(kTile == 4 || kTile == 2, "results come in even and odd ones");
  static constexpr float kA = 0.625f, kA2 = kA * kA, kA3 = kA2 * kA;
  static constexpr float kB = 1.5f, kB2 = kB * kB, kB3 = kB2 * kB;
  // Reciprocals of the product of a point's distances to the other finite points.
  static constexpr double kScale0 = 1.0 / (0.390625 * 2.25);
  static constexpr double kScaleA = 1.0 / (2.0 * 0.390625 * (0.390625 - 2.25));
  static constexpr double kScaleB = 1.0 / (2.0 * 2.25 * (2.25 - 0.390625));

  static constexpr int kGroups = 4;
  static constexpr int kFirst[kGroups + 1] = {0, 1, 3, 5, 6};  // first result of a group

  /// Values at a point and its negative.
  static CNNCORE_MEMBER void both_signs(float point, Vec even, Vec odd, Vec* o) {
    o[0] = fmadd(set1(point), odd, even);
    o[1] = fnmadd(set1(point), odd, even);
  }

  struct Input {
    static constexpr int kRead = 6;
    template <int G, class Load>
    static CNNCORE_MEMBER void group(const Load& d, Vec* o) {
      if constexpr (G == 0) o[0] = fmadd(set1(kA2 * kB2), d(0), fnmadd(set1(kA2 + kB2), d(2), d(4)));
      if constexpr (G == 1) pair(kA, kB2, d, o);
      if constexpr (G == 2) pair(kB, kA2, d, o);
      if constexpr (G == 3) o[0] = fmadd(set1(kA2 * kB2), d(1), fnmadd(set1(kA2 + kB2), d(3), d(5)));
    }
    template <class Load>
    static CNNCORE_MEMBER void pair(float point, float other, const Load& d, Vec* o) {
      both_signs(point, fnmadd(set1(other), d(2), d(4)), fnmadd(set1(other), d(1), d(3)), o);
    }
  };

  struct Gradient {  // of the output: the transposed output transform
    static constexpr int kRead = kTile;
    template <int G, class Load>
    static CNNCORE_MEMBER void group(const Load& y, Vec* o) {
      if constexpr (G == 0) o[0] = y(0);
      if constexpr (G == 1) pair(kA, y, o);
      if constexpr (G == 2) pair(kB, y, o);
      if constexpr (G == 3) o[0] = y(kTile - 1);
    }
    template <class Load>
    static CNNCORE_MEMBER void pair(float point, const Load& y, Vec* o) {
      if constexpr (kTile == 2) return both_signs(point, y(0), y(1), o);
      const Vec square = set1(point * point);
      both_signs(point, fmadd(square, y(kTile - 2), y(0)), fmadd(square, y(kTile - 1), y(1)), o);
    }
  };

  /// Group G makes the results G, G + 2 ...
  template <int G, class Load>
  static CNNCORE_MEMBER void output(const Load& m, Vec* o) {
    if constexpr (G == 0) {
      const Vec a = m(1) + m(2);
      const Vec b = m(3) + m(4);
      o[0] = (m(0) + a) + b;
      if constexpr (kTile == 4) o[1] = fmadd(set1(kA2), a, set1(kB2) * b);
    } else {
      const Vec a = m(1) - m(2);
      const Vec b = m(3) - m(4);
      if constexpr (kTile == 4) o[0] = fmadd(set1(kA), a, set1(kB) * b);
      constexpr float kLastA = kTile == 4 ? kA3 : kA;
      constexpr float kLastB = kTile == 4 ? kB3 : kB;
      o[kTile / 2 - 1] = fmadd(set1(kLastA), a, fmadd(set1(kLastB), b, m(5)));
    }
  }

  /// In double, so that transformed weights are rounded once.
  template <class V, class Load>
  static CNNCORE_MEMBER void weight(const Load& g, V* o) {
    o[0] = kScale0 * g(0);
    weight_pair(kScaleA, kA, g, o + 1);
    weight_pair(kScaleB, kB, g, o + 3);
    o[5] = g(kTaps - 1);
  }
  template <class V, class Load>
  static CNNCORE_MEMBER void weight_pair(double scale, double point, const Load& g, V* o) {
    const double square = point * point;
    V even = g(0) + square * g(2);
    V odd = g(1);
    if constexpr (kTaps == 5) {
      even = even + (square * square) * g(kTaps - 1);
      odd = odd + square * g(kTaps - 2);
    }
    o[0] = scale * even + (scale * point) * odd;
    o[1] = scale * even - (scale * point) * odd;
  }

  /// Five taps of few tiles are mostly the rounding of this sum, in which much cancels.
  using GradientVec = typename Choice<kTaps == 5>::Type;

  template <class V, class Load>
  static CNNCORE_MEMBER void grad_weight(const Load& u, V* o) {
    constexpr double kSquareA = kA * kA, kSquareB = kB * kB;
    constexpr double kOddA = kScaleA * kA, kOddB = kScaleB * kB;
    const V a = u(1) + u(2);
    const V b = u(3) + u(4);
    const V odd_a = u(1) - u(2);
    const V odd_b = u(3) - u(4);
    o[0] = scale_add(kScaleA, a, scale_add(kScaleB, b, scale(kScale0, u(0))));
    o[1] = scale_add(kOddA, odd_a, scale(kOddB, odd_b));
    if constexpr (kTaps == 3) {
      o[2] = scale_add(kScaleA * kSquareA, a, scale_add(kScaleB * kSquareB, b, u(5)));
    } else {
      o[2] = scale_add(kScaleA * kSquareA, a, scale(kScaleB * kSquareB, b));
      o[3] = scale_add(kOddA * kSquareA, odd_a, scale(kOddB * kSquareB, odd_b));
      o[4] = scale_add(kScaleA * kSquareA * kSquareA, a, scale_add(kScaleB * kSquareB * kSquareB, b, u(5)));
    }
  }
};

using F4 = SixPoints<4>;
using F2x5 = SixPoints<2>;

/// F(2,3) at the points 0, +-1 and infinity: exact on integers.
struct F2 {
  static constexpr int kTile = 2;
  static constexpr int kTaps = 3;
  static constexpr int kPoints = 4;
  static constexpr int kGroups = 3;
  static constexpr int kFirst[kGroups + 1] = {0, 1, 3, 4};

  struct Input {
    static constexpr int kRead = 4;
    template <int G, class Load>
    static CNNCORE_MEMBER void group(const Load& d, Vec* o) {
      if constexpr (G == 0) o[0] = d(0) - d(2);
      if constexpr (G == 1) {
        const Vec a = d(1), b = d(2);
        o[0] = b + a;
        o[1] = b - a;
      }
      if constexpr (G == 2) o[0] = d(3) - d(1);
    }
  };

  struct Gradient {
    static constexpr int kRead = 2;
    template <int G, class Load>
    static CNNCORE_MEMBER void group(const Load& y, Vec* o) {
      if constexpr (G == 0) o[0] = y(0);
      if constexpr (G == 1) {
        const Vec a = y(0), b = y(1);
        o[0] = a + b;
        o[1] = a - b;
      }
      if constexpr (G == 2) o[0] = y(1);
    }
  };

  template <int G, class Load>
  static CNNCORE_MEMBER void output(const Load& m, Vec* o) {
    if constexpr (G == 0) o[0] = m(0) + (m(1) + m(2));
    if constexpr (G == 1) o[0] = (m(1) - m(2)) + m(3);
  }

  template <class V, class Load>
  static CNNCORE_MEMBER void weight(const Load& g, V* o) {
    o[0] = g(0);
    o[1] = 0.5 * (g(0) + g(2)) + 0.5 * g(1);
    o[2] = 0.5 * (g(0) + g(2)) - 0.5 * g(1);
    o[3] = g(2);
  }

  using GradientVec = Vec;

  template <class V, class Load>
  static CNNCORE_MEMBER void grad_weight(const Load& u, V* o) {
    const V even = scale(0.5, u(1) + u(2));
    o[0] = u(0) + even;
    o[1] = scale(0.5, u(1) - u(2));
    o[2] = even + u(3);
  }
};

}  // namespace CNNCORE_ISA
}  // namespace cnncore
