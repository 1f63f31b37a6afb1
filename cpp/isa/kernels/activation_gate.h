// SPDX-License-Identifier: Apache-2.0
// Gates of activations with their kind fixed at compile time.
#pragma once

#include "isa/kernels/activations.h"
#include "isa/kernels/channel_runs.h"

namespace cnncore {
namespace CNNCORE_ISA {

/// An activation that is looked up: a call for each vector, which the functions outweigh.
struct AnyActivation {
  Vec (*gate)(Vec grad, Vec saved, Vec alpha);
};

/// The gradient before the activation, from what was saved or from the input of the normalisation.
template <class A, bool kFromInput>
struct Gate {
  const ActivationGate& gate;
  Vec alpha;
  A activation;

  explicit CNNCORE_MEMBER Gate(const ActivationGate& g, A a = {})
      : gate(g), alpha(set1(g.alpha)), activation(a) {}

  template <bool kFull>
  CNNCORE_MEMBER Vec pass(Vec grad, Vec x, int64_t at, int64_t c, int64_t lanes) const {
    const Vec saved = kFromInput ? fmadd(x, load_some<kFull>(gate.scale + c, lanes),
                                         load_some<kFull>(gate.shift + c, lanes))
                                 : load_some<kFull>(gate.saved + at, lanes);
    return activation.gate(grad, saved, alpha);
  }
};

struct NoGate {
  template <bool kFull>
  CNNCORE_MEMBER Vec pass(Vec grad, Vec, int64_t, int64_t, int64_t) const {
    return grad;
  }
};

template <class A, class Body>
CNNCORE_INLINE void with_gate_of(const ActivationGate& gate, const Body& body) {
  if (gate.saved == nullptr) return body(Gate<A, true>(gate));
  body(Gate<A, false>(gate));
}

/// Calls body(gate) with the gate's type fixed at compile time.
template <class Body>
CNNCORE_INLINE void with_gate(const ActivationGate& gate, const Body& body) {
  switch (gate.activation) {
    case Activation::none:
      return body(NoGate());
    case Activation::relu:
      return with_gate_of<Relu>(gate, body);
    case Activation::leaky_relu:
      return with_gate_of<LeakyRelu>(gate, body);
    case Activation::relu6:
      return with_gate_of<Relu6>(gate, body);
    default:
      break;
  }
  const VectorActivation& any = vector_activation(gate.activation);
  if (gate.saved == nullptr) return body(Gate<AnyActivation, true>(gate, {any.gate_by_argument}));
  body(Gate<AnyActivation, false>(gate, {any.gate}));
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
