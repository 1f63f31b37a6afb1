// SPDX-License-Identifier: Apache-2.0
// How a function of vectors is applied to rows of floats.
#pragma once

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

// Long functions wait for their own results with one vector at a time. With four, in the order that
// CMakeLists asks for, Zen 3 takes 0.7 to 0.9 of the time.
#if defined(__AVX2__) && !defined(__AVX512F__)
constexpr int kVectors = ElementwiseRun::kMostVectors;
#else
constexpr int kVectors = 1;
#endif
constexpr int64_t kTogether = kVectors * kWidth;

/// What the loops of long functions take: rows of a multiple of kTogether floats, whose inputs' steps are 1
/// or, to kTogether copies of a number, 0.
using Loop = void (*)(const ElementwiseRun& run);

/// n floats, and zeros up to the end of the last vector.
void copy_in(const float* source, int64_t step, int64_t n, float* block) {
  for (int64_t i = 0; i < n; i += kWidth) {
    store(block + i, step == 0 ? set1(*source) : load_upto(source + i, n - i));
  }
}

/// Runs `run` from column `first` on in copies: the ends of several rows, side by side.
void run_ends(const ElementwiseRun& run, int inputs, int64_t first, Loop loop) {
  float block[ElementwiseRun::kMaxInputs + 1][kBlock + kWidth];
  const int64_t n = run.n - first, together = kBlock / n;
  ElementwiseRun part = run;
  part.rows = 1;
  part.past_caches = false;
  part.out = block[ElementwiseRun::kMaxInputs];
  for (int64_t row = 0; row < run.rows; row += together) {
    const int64_t rows = min_of(together, run.rows - row);
    for (int i = 0; i < inputs; ++i) {
      const float* source = run.in[i] + row * run.in_row[i] + first * run.in_step[i];
      for (int64_t r = 0; r < rows; ++r, source += run.in_row[i]) {
        copy_in(source, run.in_step[i], n, block[i] + r * n);
      }
      part.in[i] = block[i];
      part.in_step[i] = 1;
      for (part.n = rows * n; part.n % kTogether != 0; ++part.n) block[i][part.n] = 0.0f;
    }
    loop(part);
    float* out = run.out + row * run.out_row + first;
    for (int64_t r = 0; r < rows; ++r, out += run.out_row) {
      for (int64_t i = 0; i < n; i += kWidth) store_upto(out + i, load(part.out + r * n + i), n - i);
    }
  }
}

__attribute__((noinline)) void run_long(const ElementwiseRun& run, int inputs, Loop loop) {
  float number[ElementwiseRun::kMaxInputs][kTogether];
  bool by_row = false;
  for (int i = 0; i < inputs; ++i) by_row = by_row || (run.in_step[i] == 0 && run.in_row[i] != 0);
  ElementwiseRun part = run;
  part.rows = by_row ? 1 : run.rows;
  part.n = run.n - run.n % kTogether;
  for (int64_t row = 0; row < run.rows && part.n > 0; row += part.rows) {
    for (int i = 0; i < inputs; ++i) {
      part.in[i] = run.in[i] + row * run.in_row[i];
      if (run.in_step[i] != 0) continue;
      for (int64_t j = 0; j < kTogether; ++j) number[i][j] = *part.in[i];
      part.in[i] = number[i];
    }
    part.out = run.out + row * run.out_row;
    loop(part);
  }
  if (part.n < run.n) run_ends(run, inputs, part.n, loop);
}

template <Vec (*F)(Vec, Params)>
CNNCORE_INLINE Vec call(const Vec (&x)[1][kVectors], int v, const Params& params) {
  return F(x[0][v], params);
}
template <Vec (*F)(Vec, Vec, Params)>
CNNCORE_INLINE Vec call(const Vec (&x)[2][kVectors], int v, const Params& params) {
  return F(x[0][v], x[1][v], params);
}
template <Vec (*F)(Vec, Vec, Vec, Params)>
CNNCORE_INLINE Vec call(const Vec (&x)[3][kVectors], int v, const Params& params) {
  return F(x[0][v], x[1][v], x[2][v], params);
}

#if defined(__AVX2__) && !defined(__AVX512F__)
/// Whether all lanes are positive normal numbers.
CNNCORE_INLINE bool all_normal(const Vec (&x)[kVectors]) {
  // Bits less those of the smallest are, of others, 0x7f000000 or more as unsigned numbers.
  __m256i most = _mm256_sub_epi32(as_int(x[0]), iset1(0x00800000));
  for (int v = 1; v < kVectors; ++v) {
    most = _mm256_max_epu32(most, _mm256_sub_epi32(as_int(x[v]), iset1(0x00800000)));
  }
  const __m256i bounded = _mm256_min_epu32(most, iset1(0x7effffff));
  return _mm256_movemask_epi8(_mm256_cmpeq_epi32(most, bounded)) == -1;
}

template <Vec (*F)(Vec, Params)>
__attribute__((noinline)) Vec rare(Vec x, const Params& params) {
  return F(x, params);
}

#endif

template <auto F>
inline constexpr bool kIsLog = false;
template <auto F>
inline constexpr bool kIsLog1p = false;
template <>
inline constexpr bool kIsLog<static_cast<Vec (*)(Vec, Params)>(log)> = true;
template <>
inline constexpr bool kIsLog1p<static_cast<Vec (*)(Vec, Params)>(log1p)> = true;

/// Logarithms take two thirds of their operations where all arguments are what they usually are.
template <int kInputs, auto F>
CNNCORE_INLINE void compute(const Vec (&x)[kInputs][kVectors], const Params& params, Vec (&y)[kVectors]) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  if constexpr (kIsLog<F> || kIsLog1p<F>) {
    Vec u[kVectors];
    for (int v = 0; v < kVectors; ++v) u[v] = kIsLog<F> ? x[0][v] : set1(1.0f) + x[0][v];
    if (__builtin_expect(all_normal(u), 1)) {
      for (int v = 0; v < kVectors; ++v) {
        y[v] = kIsLog<F> ? log_of_normal(u[v]) : log1p_to_normal(x[0][v], u[v]);
      }
    } else {
      for (int v = 0; v < kVectors; ++v) y[v] = rare<F>(x[0][v], params);
    }
    return;
  }
#endif
  for (int v = 0; v < kVectors; ++v) y[v] = call<F>(x, v, params);
}

template <int kInputs, auto F>
void loop(const ElementwiseRun& run) {
  const Params params = {set1(run.alpha), set1(run.beta)};
  const int64_t rows = run.rows, n = run.n;
  int64_t step[kInputs];
  for (int i = 0; i < kInputs; ++i) step[i] = run.in_step[i] == 0 ? 0 : kTogether;
  for (int64_t row = 0; row < rows; ++row) {
    const float* in[kInputs];
    for (int i = 0; i < kInputs; ++i) in[i] = run.in[i] + row * run.in_row[i];
    float* out = run.out + row * run.out_row;
    for (int64_t left = n; left > 0; left -= kTogether, out += kTogether) {
      Vec x[kInputs][kVectors], y[kVectors];
      for (int i = 0; i < kInputs; ++i) {
        for (int v = 0; v < kVectors; ++v) x[i][v] = load(in[i] + v * kWidth);
        in[i] += step[i];
      }
      compute<kInputs, F>(x, params, y);
      if (run.past_caches) {  // read anew each time: of a copy, the compiler makes two loops
        for (int v = 0; v < kVectors; ++v) store_past_cache(out + v * kWidth, y[v]);
      } else {
        for (int v = 0; v < kVectors; ++v) store(out + v * kWidth, y[v]);
      }
    }
  }
}

template <Vec (*F)(Vec, Params)>
void apply_long(const ElementwiseRun& run) {
  if (!run_reshaped(run, 1, apply_long<F>)) run_long(run, 1, loop<1, F>);
}
template <Vec (*F)(Vec, Vec, Params)>
void apply_long(const ElementwiseRun& run) {
  if (!run_reshaped(run, 2, apply_long<F>)) run_long(run, 2, loop<2, F>);
}
template <Vec (*F)(Vec, Vec, Vec, Params)>
void apply_long(const ElementwiseRun& run) {
  if (!run_reshaped(run, 3, apply_long<F>)) run_long(run, 3, loop<3, F>);
}

}  // namespace
}  // namespace CNNCORE_ISA
}  // namespace cnncore
