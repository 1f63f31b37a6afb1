// SPDX-License-Identifier: Apache-2.0
#include "isa/elementwise.h"

#include "isa/kernels/elementwise_loops.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

// From so many vector operations on, four vectors at a time pay.
constexpr double kLong = 12;

template <class A>
constexpr ElementwiseFunction apply_activation(const char* name) {
  if constexpr (A::kCost >= kLong) return {name, 1, A::kCost, apply_long<activation<A>>, true};
  return {name, 1, A::kCost, apply<activation<A>>, false};
}
template <class A>
constexpr ElementwiseFunction apply_gate(const char* name) {
  if constexpr (A::kGateCost >= kLong)
    return {name, 2, A::kGateCost, apply_long<activation_backward<A>>, true};
  return {name, 2, A::kGateCost, apply<activation_backward<A>>, false};
}

// Name, inputs, vector operations, how it runs, and whether four vectors at a time.
#define CNNCORE_ACTIVATION(name, A) apply_activation<A>(#name), apply_gate<A>(#name "_backward"),

constexpr ElementwiseFunction kFunctions[] = {
    CNNCORE_ACTIVATIONS(CNNCORE_ACTIVATION){"clamp", 1, 1, apply<clamp>, false},
    {"exp", 1, 12, apply_long<exp>, true},
    {"expm1", 1, 14, apply_long<expm1>, true},
    {"erf", 1, 40, apply_long<erf>, true},
    {"log", 1, 14, apply_long<log>, true},
    {"log1p", 1, 25, apply_long<log1p>, true},
    {"sqrt", 1, 8, apply<sqrt>, false},
    {"rsqrt", 1, 8, apply<rsqrt>, false},
    {"abs", 1, 1, apply<abs>, false},
    {"neg", 1, 1, apply<neg>, false},
    {"sign", 1, 1, apply<sign>, false},
    {"logical_not", 1, 1, apply<logical_not>, false},
    {"floor", 1, 1, apply<floor>, false},
    {"ceil", 1, 1, apply<ceil>, false},
    {"trunc", 1, 1, apply<trunc>, false},
    {"round", 1, 1, apply<round>, false},
    {"sin", 1, 200, apply<sin>, false},
    {"cos", 1, 200, apply<cos>, false},
    {"tan", 1, 200, apply<tan>, false},
    {"asin", 1, 200, apply<asin>, false},
    {"acos", 1, 200, apply<acos>, false},
    {"atan", 1, 200, apply<atan>, false},
    {"sinh", 1, 200, apply<sinh>, false},
    {"cosh", 1, 200, apply<cosh>, false},
    {"exp2", 1, 200, apply<exp2>, false},
    {"log2", 1, 200, apply<log2>, false},
    {"log10", 1, 200, apply<log10>, false},
    {"erfc", 1, 200, apply<erfc>, false},
    {"square", 1, 1, apply<square>, false},
    {"reciprocal", 1, 6, apply<reciprocal>, false},
    {"add_scalar", 1, 1, apply<add_scalar>, false},
    {"mul_scalar", 1, 1, apply<mul_scalar>, false},
    {"rsub_scalar", 1, 1, apply<rsub_scalar>, false},
    {"rdiv_scalar", 1, 6, apply<rdiv_scalar>, false},
    {"pow_scalar", 1, 60, apply_long<pow_scalar>, true},
    {"max_scalar", 1, 1, apply<max_scalar>, false},
    {"min_scalar", 1, 1, apply<min_scalar>, false},
    {"add", 2, 1, apply<add>, false},
    {"sub", 2, 1, apply<sub>, false},
    {"mul", 2, 1, apply<mul>, false},
    {"scaled_add", 2, 2, apply<scaled_add>, false},
    {"scaled_mul", 2, 2, apply<scaled_mul>, false},
    {"shifted_mul", 2, 2, apply<shifted_mul>, false},
    {"div", 2, 6, apply<div>, false},
    {"maximum", 2, 1, apply<maximum>, false},
    {"minimum", 2, 1, apply<minimum>, false},
    {"pow", 2, 60, apply_long<pow>, true},
    {"atan2", 2, 400, apply<atan2>, false},
    {"hypot", 2, 40, apply<hypot>, false},
    {"floor_divide", 2, 100, apply<floor_divide>, false},
    {"remainder", 2, 100, apply<remainder>, false},
    {"greater", 2, 1, apply<greater>, false},
    {"greater_equal", 2, 1, apply<greater_equal>, false},
    {"equal", 2, 1, apply<equal>, false},
    {"not_equal", 2, 1, apply<not_equal>, false},
    {"logical_and", 2, 1, apply<logical_and>, false},
    {"logical_or", 2, 1, apply<logical_or>, false},
    {"logical_xor", 2, 1, apply<logical_xor>, false},
    {"prelu", 2, 1, apply<prelu>, false},
    {"glu", 2, 20, apply_long<glu>, true},
    {"clamp_backward", 2, 1, apply<clamp_backward>, false},
    {"log_backward", 2, 6, apply<log_backward>, false},
    {"log1p_backward", 2, 6, apply<log1p_backward>, false},
    {"sqrt_backward", 2, 6, apply<sqrt_backward>, false},
    {"rsqrt_backward", 2, 1, apply<rsqrt_backward>, false},
    {"abs_backward", 2, 1, apply<abs_backward>, false},
    {"square_backward", 2, 1, apply<square_backward>, false},
    {"reciprocal_backward", 2, 1, apply<reciprocal_backward>, false},
    {"pow_scalar_backward", 2, 62, apply_long<pow_scalar_backward>, true},
    {"max_scalar_backward", 2, 1, apply<max_scalar_backward>, false},
    {"min_scalar_backward", 2, 1, apply<min_scalar_backward>, false},
    {"prelu_weight_backward", 2, 1, apply<prelu_weight_backward>, false},
    {"select", 3, 1, apply<select>, false},
    {"fma", 3, 1, apply<fma>, false},
    {"maximum_backward", 3, 1, apply<maximum_backward>, false},
    {"minimum_backward", 3, 1, apply<minimum_backward>, false},
    {"pow_base_backward", 3, 62, apply_long<pow_base_backward>, true},
    {"pow_exponent_backward", 3, 14, apply_long<pow_exponent_backward>, true},
    {"glu_gate_backward", 3, 22, apply_long<glu_gate_backward>, true},
    {"prelu_backward", 3, 1, apply<prelu_backward>, false},
};

}  // namespace

ElementwiseKernels elementwise_kernels() {
  return {kFunctions, static_cast<int>(sizeof kFunctions / sizeof kFunctions[0])};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
