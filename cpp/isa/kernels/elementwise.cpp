// SPDX-License-Identifier: Apache-2.0
#include "isa/elementwise.h"

#include "isa/kernels/elementwise_functions.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

// Floats of one operand gathered at a time when its inner step is neither 0 nor 1; four such blocks stay in
// L1.
constexpr int64_t kBlock = 512;

CNNCORE_INLINE Vec load_step(const float* p, int64_t step, int64_t i) {
  return step == 0 ? set1(*p) : load(p + i);
}
CNNCORE_INLINE Vec load_step_partial(const float* p, int64_t step, int64_t i, int64_t n) {
  return step == 0 ? set1(*p) : load_partial(p + i, n);
}

bool strided(int64_t step) { return step != 0 && step != 1; }

/// Runs `run`, whose rows are not all consecutive floats, in blocks gathered into (and scattered from) local
/// memory.
void run_gathered(const ElementwiseRun& run, int inputs, void (*plain)(const ElementwiseRun&)) {
  float block[ElementwiseRun::kMaxInputs + 1][kBlock];
  for (int64_t row = 0; row < run.rows; ++row) {
    for (int64_t begin = 0; begin < run.n; begin += kBlock) {
      ElementwiseRun part = run;
      part.rows = 1;
      part.n = min_of(kBlock, run.n - begin);
      for (int i = 0; i < inputs; ++i) {
        const float* source = run.in[i] + row * run.in_row[i] + begin * run.in_step[i];
        part.in[i] = source;
        if (!strided(run.in_step[i])) continue;
        for (int64_t j = 0; j < part.n; ++j) block[i][j] = source[j * run.in_step[i]];
        part.in[i] = block[i];
        part.in_step[i] = 1;
      }
      float* out = run.out + row * run.out_row + begin * run.out_step;
      const bool scatter = run.out_step != 1;
      part.out = scatter ? block[ElementwiseRun::kMaxInputs] : out;
      part.out_step = 1;
      plain(part);
      if (!scatter) continue;
      for (int64_t j = 0; j < part.n; ++j) out[j * run.out_step] = part.out[j];
    }
  }
}

bool needs_gathering(const ElementwiseRun& run, int inputs) {
  bool any = run.out_step != 1 && run.n > 1;
  for (int i = 0; i < inputs; ++i) any = any || strided(run.in_step[i]);
  return any;
}

/// True when the rows are short and follow each other without gaps, save for inputs that repeat in every row
/// (a value for each channel, in channels-last memory).
bool repeats_short_rows(const ElementwiseRun& run, int inputs) {
  // Below 8 vectors a row, its beginning and end cost; below 4 patterns, preparing them does.
  if (run.n >= 8 * kWidth || run.rows * run.n < 4 * kBlock || run.out_row != run.n) return false;
  for (int i = 0; i < inputs; ++i) {
    const bool goes_on = run.in_step[i] == 1 && run.in_row[i] == run.n;
    const bool repeats = run.in_row[i] == 0;
    if (!goes_on && !repeats) return false;
  }
  return true;
}

/// Runs several short rows as one long row, with the repeating inputs written out that many times.
void run_repeated(const ElementwiseRun& run, int inputs, void (*plain)(const ElementwiseRun&)) {
  float pattern[ElementwiseRun::kMaxInputs][kBlock];
  const int64_t together = min_of(kBlock / run.n, run.rows);
  ElementwiseRun part = run;
  part.n = run.n * together;
  part.rows = run.rows / together;
  part.out_row = part.n;
  for (int i = 0; i < inputs; ++i) {
    part.in_row[i] = part.n;
    if (run.in_row[i] != 0) continue;
    part.in_row[i] = 0;
    if (run.in_step[i] == 0) continue;
    for (int64_t j = 0; j < part.n; ++j) pattern[i][j] = j < run.n ? run.in[i][j] : pattern[i][j - run.n];
    part.in[i] = pattern[i];
  }
  plain(part);
  const int64_t done = part.rows * part.n;
  part.n = run.rows * run.n - done;
  part.rows = 1;
  part.out += done;
  for (int i = 0; i < inputs; ++i) part.in[i] += part.in_row[i] == 0 ? 0 : done;
  if (part.n > 0) plain(part);
}

/// Brings a run into the form the loops below want: steps of 0 or 1, rows that are worth a loop. True when
/// that has done the work. Not copied into each of a hundred functions.
__attribute__((noinline)) bool run_reshaped(const ElementwiseRun& run, int inputs,
                                            void (*plain)(const ElementwiseRun&)) {
  if (needs_gathering(run, inputs)) {
    run_gathered(run, inputs, plain);
  } else if (repeats_short_rows(run, inputs)) {
    run_repeated(run, inputs, plain);
  } else {
    return false;
  }
  return true;
}

template <Vec (*F)(Vec, Params)>
void apply(const ElementwiseRun& run) {
  if (run_reshaped(run, 1, apply<F>)) return;
  const Params params = {set1(run.alpha), set1(run.beta)};
  const int64_t n = run.n, sa = run.in_step[0];
  for (int64_t row = 0; row < run.rows; ++row) {
    const float* a = run.in[0] + row * run.in_row[0];
    float* out = run.out + row * run.out_row;
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) store(out + i, F(load_step(a, sa, i), params));
    if (i < n) store_partial(out + i, F(load_step_partial(a, sa, i, n - i), params), n - i);
  }
}

template <Vec (*F)(Vec, Vec, Params)>
void apply(const ElementwiseRun& run) {
  if (run_reshaped(run, 2, apply<F>)) return;
  const Params params = {set1(run.alpha), set1(run.beta)};
  const int64_t n = run.n, sa = run.in_step[0], sb = run.in_step[1];
  for (int64_t row = 0; row < run.rows; ++row) {
    const float* a = run.in[0] + row * run.in_row[0];
    const float* b = run.in[1] + row * run.in_row[1];
    float* out = run.out + row * run.out_row;
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      store(out + i, F(load_step(a, sa, i), load_step(b, sb, i), params));
    }
    if (i < n) {
      const int64_t left = n - i;
      store_partial(out + i, F(load_step_partial(a, sa, i, left), load_step_partial(b, sb, i, left), params),
                    left);
    }
  }
}

template <Vec (*F)(Vec, Vec, Vec, Params)>
void apply(const ElementwiseRun& run) {
  if (run_reshaped(run, 3, apply<F>)) return;
  const Params params = {set1(run.alpha), set1(run.beta)};
  const int64_t n = run.n, sa = run.in_step[0], sb = run.in_step[1], sc = run.in_step[2];
  for (int64_t row = 0; row < run.rows; ++row) {
    const float* a = run.in[0] + row * run.in_row[0];
    const float* b = run.in[1] + row * run.in_row[1];
    const float* c = run.in[2] + row * run.in_row[2];
    float* out = run.out + row * run.out_row;
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      store(out + i, F(load_step(a, sa, i), load_step(b, sb, i), load_step(c, sc, i), params));
    }
    if (i < n) {
      const int64_t left = n - i;
      const Vec result = F(load_step_partial(a, sa, i, left), load_step_partial(b, sb, i, left),
                           load_step_partial(c, sc, i, left), params);
      store_partial(out + i, result, left);
    }
  }
}

// Name, inputs, vector operations.
#define CNNCORE_ACTIVATION(name, A)           \
  {#name, 1, A::kCost, apply<activation<A>>}, \
      {#name "_backward", 2, A::kGateCost, apply<activation_backward<A>>},

constexpr ElementwiseFunction kFunctions[] = {
    CNNCORE_ACTIVATIONS(CNNCORE_ACTIVATION){"clamp", 1, 1, apply<clamp>},
    {"exp", 1, 12, apply<exp>},
    {"expm1", 1, 14, apply<expm1>},
    {"erf", 1, 40, apply<erf>},
    {"log", 1, 14, apply<log>},
    {"log1p", 1, 25, apply<log1p>},
    {"sqrt", 1, 8, apply<sqrt>},
    {"rsqrt", 1, 8, apply<rsqrt>},
    {"abs", 1, 1, apply<abs>},
    {"neg", 1, 1, apply<neg>},
    {"sign", 1, 1, apply<sign>},
    {"logical_not", 1, 1, apply<logical_not>},
    {"floor", 1, 1, apply<floor>},
    {"ceil", 1, 1, apply<ceil>},
    {"trunc", 1, 1, apply<trunc>},
    {"round", 1, 1, apply<round>},
    {"sin", 1, 200, apply<sin>},
    {"cos", 1, 200, apply<cos>},
    {"tan", 1, 200, apply<tan>},
    {"asin", 1, 200, apply<asin>},
    {"acos", 1, 200, apply<acos>},
    {"atan", 1, 200, apply<atan>},
    {"sinh", 1, 200, apply<sinh>},
    {"cosh", 1, 200, apply<cosh>},
    {"exp2", 1, 200, apply<exp2>},
    {"log2", 1, 200, apply<log2>},
    {"log10", 1, 200, apply<log10>},
    {"erfc", 1, 200, apply<erfc>},
    {"square", 1, 1, apply<square>},
    {"reciprocal", 1, 6, apply<reciprocal>},
    {"add_scalar", 1, 1, apply<add_scalar>},
    {"mul_scalar", 1, 1, apply<mul_scalar>},
    {"rsub_scalar", 1, 1, apply<rsub_scalar>},
    {"rdiv_scalar", 1, 6, apply<rdiv_scalar>},
    {"pow_scalar", 1, 60, apply<pow_scalar>},
    {"max_scalar", 1, 1, apply<max_scalar>},
    {"min_scalar", 1, 1, apply<min_scalar>},
    {"add", 2, 1, apply<add>},
    {"sub", 2, 1, apply<sub>},
    {"mul", 2, 1, apply<mul>},
    {"scaled_add", 2, 2, apply<scaled_add>},
    {"scaled_mul", 2, 2, apply<scaled_mul>},
    {"shifted_mul", 2, 2, apply<shifted_mul>},
    {"div", 2, 6, apply<div>},
    {"maximum", 2, 1, apply<maximum>},
    {"minimum", 2, 1, apply<minimum>},
    {"pow", 2, 60, apply<pow>},
    {"atan2", 2, 400, apply<atan2>},
    {"hypot", 2, 40, apply<hypot>},
    {"floor_divide", 2, 100, apply<floor_divide>},
    {"remainder", 2, 100, apply<remainder>},
    {"greater", 2, 1, apply<greater>},
    {"greater_equal", 2, 1, apply<greater_equal>},
    {"equal", 2, 1, apply<equal>},
    {"not_equal", 2, 1, apply<not_equal>},
    {"logical_and", 2, 1, apply<logical_and>},
    {"logical_or", 2, 1, apply<logical_or>},
    {"logical_xor", 2, 1, apply<logical_xor>},
    {"prelu", 2, 1, apply<prelu>},
    {"glu", 2, 20, apply<glu>},
    {"clamp_backward", 2, 1, apply<clamp_backward>},
    {"log_backward", 2, 6, apply<log_backward>},
    {"log1p_backward", 2, 6, apply<log1p_backward>},
    {"sqrt_backward", 2, 6, apply<sqrt_backward>},
    {"rsqrt_backward", 2, 1, apply<rsqrt_backward>},
    {"abs_backward", 2, 1, apply<abs_backward>},
    {"square_backward", 2, 1, apply<square_backward>},
    {"reciprocal_backward", 2, 1, apply<reciprocal_backward>},
    {"pow_scalar_backward", 2, 62, apply<pow_scalar_backward>},
    {"max_scalar_backward", 2, 1, apply<max_scalar_backward>},
    {"min_scalar_backward", 2, 1, apply<min_scalar_backward>},
    {"prelu_weight_backward", 2, 1, apply<prelu_weight_backward>},
    {"select", 3, 1, apply<select>},
    {"fma", 3, 1, apply<fma>},
    {"maximum_backward", 3, 1, apply<maximum_backward>},
    {"minimum_backward", 3, 1, apply<minimum_backward>},
    {"pow_base_backward", 3, 62, apply<pow_base_backward>},
    {"pow_exponent_backward", 3, 14, apply<pow_exponent_backward>},
    {"glu_gate_backward", 3, 22, apply<glu_gate_backward>},
    {"prelu_backward", 3, 1, apply<prelu_backward>},
};

}  // namespace

ElementwiseKernels elementwise_kernels() {
  return {kFunctions, static_cast<int>(sizeof kFunctions / sizeof kFunctions[0])};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
