// SPDX-License-Identifier: Apache-2.0
// Activations that a normalisation applies, and what they let through backwards.
#pragma once

#include "isa/kernels/channel_runs.h"
#include "isa/norm.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {

/// max/min hand on their second operand when an operand is NaN, so NaN passes.
template <Activation kActivation>
CNNCORE_INLINE Vec activate(Vec v, Vec alpha) {
  switch (kActivation) {
    case Activation::relu:
      return max(zero(), v);
    case Activation::leaky_relu:
      return select(greater(v, zero()), v, v * alpha);
    case Activation::relu6:
      return min(set1(6.0f), max(zero(), v));
    default:
      return v;
  }
}

/// As torch: NaN counts as passed by relu and relu6, as negative by leaky_relu.
template <Activation kActivation>
CNNCORE_INLINE Vec gated(Vec grad, Vec output, Vec alpha) {
  switch (kActivation) {
    case Activation::relu:
      return select(greater_equal(zero(), output), zero(), grad);
    case Activation::leaky_relu:
      return select(greater(output, zero()), grad, grad * alpha);
    case Activation::relu6:
      return select(either(greater_equal(zero(), output), greater_equal(output, set1(6.0f))), zero(), grad);
    default:
      return grad;
  }
}

/// The gradient before the activation, from its output or from the input of the normalisation.
template <Activation kActivation, bool kFromInput>
struct Gate {
  const ActivationGate& gate;
  Vec alpha;

  explicit CNNCORE_MEMBER Gate(const ActivationGate& g) : gate(g), alpha(set1(g.alpha)) {}

  template <bool kFull>
  CNNCORE_MEMBER Vec pass(Vec grad, Vec x, int64_t at, int64_t c, int64_t lanes) const {
    if (kActivation == Activation::none) return grad;
    const Vec output = kFromInput ? fmadd(x, load_some<kFull>(gate.scale + c, lanes),
                                          load_some<kFull>(gate.shift + c, lanes))
                                  : load_some<kFull>(gate.output + at, lanes);
    return gated<kActivation>(grad, output, alpha);
  }
};

/// Calls body(gate) with the gate's type fixed at compile time.
template <class Body>
CNNCORE_INLINE void with_gate(const ActivationGate& gate, const Body& body) {
  const bool from_input = gate.output == nullptr;
  switch (gate.activation) {
    case Activation::none:
      return body(Gate<Activation::none, false>(gate));
    case Activation::relu:
      return from_input ? body(Gate<Activation::relu, true>(gate))
                        : body(Gate<Activation::relu, false>(gate));
    case Activation::leaky_relu:
      return from_input ? body(Gate<Activation::leaky_relu, true>(gate))
                        : body(Gate<Activation::leaky_relu, false>(gate));
    case Activation::relu6:
      return from_input ? body(Gate<Activation::relu6, true>(gate))
                        : body(Gate<Activation::relu6, false>(gate));
  }
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
