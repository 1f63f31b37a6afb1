// SPDX-License-Identifier: Apache-2.0
// Activations that steps apply to their own results. One is a struct and a line of the list in
// isa/kernels/activations.h.
#pragma once

#include <cstdint>

namespace cnncore {

/// An index into ActivationKernels::functions. Those named here act on values in registers; the others, of
/// which only the table knows, on rows that lie in the first cache.
enum class Activation : int { none, relu, leaky_relu, relu6 };

/// True for growing, piecewise linear functions: max pooling may come before them.
constexpr bool in_registers(Activation activation) { return activation <= Activation::relu6; }
/// True where storing needs no more than bounds.
constexpr bool is_clamp(Activation activation) {
  return in_registers(activation) && activation != Activation::leaky_relu;
}

/// The gradient before an activation is told from a tensor, its result or its argument, or, when that is
/// null, from the argument x * scale + shift.
struct ActivationGate {
  Activation activation = Activation::none;
  float alpha = 0.0f;
  const float* saved = nullptr;
  const float* scale = nullptr;  // of channels
  const float* shift = nullptr;  // of channels
};

struct ActivationFunction {
  const char* name;
  bool reads_argument;  // by the gradient, from which the result alone would not tell
  /// y = activation(x) of n floats; y may be x.
  void (*apply)(const float* x, std::int64_t n, float alpha, float* y);
};

struct ActivationKernels {
  const ActivationFunction* functions;
  int count;
};

}  // namespace cnncore
