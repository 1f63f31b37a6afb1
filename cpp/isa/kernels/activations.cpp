// SPDX-License-Identifier: Apache-2.0
#include "isa/kernels/activations.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

template <class A>
Vec apply(Vec x, Vec alpha) {
  return A::apply(x, alpha);
}

template <class A>
Vec gate(Vec grad, Vec saved, Vec alpha) {
  return A::gate(grad, saved, alpha);
}

template <class A>
Vec gate_by_argument(Vec grad, Vec x, Vec alpha) {
  return A::gate(grad, A::kReads == Reads::result ? A::apply(x, alpha) : x, alpha);
}

template <class A>
void row(const float* x, int64_t n, float alpha, float* y) {
  const Vec a = set1(alpha);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, A::apply(load(x + i), a));
  if (i < n) store_partial(y + i, A::apply(load_partial(x + i, n - i), a), n - i);
}

#define CNNCORE_FOR_VECTORS(name, A) {apply<A>, gate<A>, gate_by_argument<A>, row<A>},
constexpr VectorActivation kVectors[] = {CNNCORE_ACTIVATIONS(CNNCORE_FOR_VECTORS)};

#define CNNCORE_FUNCTION(name, A) {#name, A::kReads == Reads::argument, row<A>},
constexpr ActivationFunction kFunctions[] = {CNNCORE_ACTIVATIONS(CNNCORE_FUNCTION)};

}  // namespace

const VectorActivation& vector_activation(Activation activation) {
  return kVectors[static_cast<int>(activation)];
}

ActivationKernels activation_kernels() {
  return {kFunctions, static_cast<int>(sizeof kFunctions / sizeof kFunctions[0])};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
