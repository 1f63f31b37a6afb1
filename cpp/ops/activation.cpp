// SPDX-License-Identifier: Apache-2.0
#include "ops/activation.h"

#include "core/error.h"
#include "isa/kernel_table.h"

namespace cnncore {

Activation activation_named(const std::string& name) {
  const ActivationKernels& table = kernels().activation;
  std::string names;
  for (int i = 0; i < table.count; ++i) {
    if (name == table.functions[i].name) return static_cast<Activation>(i);
    names += (i == 0 ? "" : ", ") + std::string(table.functions[i].name);
  }
  fail("activation: expected one of ", names, ", got '", name, "'");
}

const ActivationFunction& function_of(Activation activation) {
  return kernels().activation.functions[static_cast<int>(activation)];
}

ActivationGate activation_from_attrs(const Attrs& attrs) {
  ActivationGate gate;
  gate.activation = activation_named(attrs.text("activation", "none"));
  gate.alpha = static_cast<float>(attrs.real("alpha", 0.0));
  return gate;
}

ActivationGate pooling_activation(const Attrs& attrs) {
  const ActivationGate gate = activation_from_attrs(attrs);
  require(in_registers(gate.activation), "max pooling cannot come before activation '",
          function_of(gate.activation).name, "'");
  return gate;
}

}  // namespace cnncore
