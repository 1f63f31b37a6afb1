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
__attribute__((noinline)) void rows(const float* x, const int64_t* offset, int64_t count, int64_t n,
                                    float alpha, float* y) {
  const Vec a = set1(alpha);
  const int64_t whole = n / kWidth, left = n % kWidth;
  // One loop over the vectors of all rows: in a loop for each row the constants would be loaded for each.
  for (int64_t v = 0, r = 0, i = 0; v < count * whole; ++v) {
    const int64_t at = offset[r] + i;
    store(y + at, A::apply(load(x + at), a));
    const bool last = i + 2 * kWidth > n;
    i = last ? 0 : i + kWidth;
    r += last ? 1 : 0;
  }
  for (int64_t r = 0; left > 0 && r < count; ++r) {
    const int64_t at = offset[r] + whole * kWidth;
    store_partial(y + at, A::apply(load_partial(x + at, left), a), left);
  }
}

template <class A>
void row(const float* x, int64_t n, float alpha, float* y) {
  const int64_t here = 0;
  rows<A>(x, &here, 1, n, alpha, y);
}

#define CNNCORE_FOR_VECTORS(name, A) {apply<A>, gate<A>, gate_by_argument<A>, rows<A>},
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
