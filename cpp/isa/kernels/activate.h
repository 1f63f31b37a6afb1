// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "isa/gemm_tile.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {

/// NaN stays NaN.
CNNCORE_INLINE Vec activate(Vec x, Activation activation, Vec alpha) {
  const Vec zeros = zero();
  switch (activation) {
    case Activation::relu:
      return max(zeros, x);
    case Activation::relu6:
      return min(set1(6.0f), max(zeros, x));
    case Activation::leaky_relu:
      return select(greater(zeros, x), x * alpha, x);
    default:
      return x;
  }
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
