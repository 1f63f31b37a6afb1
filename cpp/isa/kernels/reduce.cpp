// SPDX-License-Identifier: Apache-2.0
#include "isa/reduce.h"

#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

// Vectors added to one float accumulator before it goes to double: its error stays below 32 roundings.
constexpr int64_t kStretch = 32;
constexpr int kChains = 4;
constexpr int64_t kBlock = kChains * kStretch * kWidth;

struct Sum {
  static constexpr double kIdentity = 0.0;
  CNNCORE_INLINE Vec add(Vec total, Vec x) { return total + x; }
  CNNCORE_INLINE Vec join(Vec a, Vec b) { return a + b; }
  static double combine(double a, double b) { return a + b; }
};

struct SumSquares {
  static constexpr double kIdentity = 0.0;
  CNNCORE_INLINE Vec add(Vec total, Vec x) { return fmadd(x, x, total); }
  CNNCORE_INLINE Vec join(Vec a, Vec b) { return a + b; }
  static double combine(double a, double b) { return a + b; }
};

// max and min of vectors return their second operand when either is NaN: a NaN in `total` has to be kept by
// hand.
struct Max {
  static constexpr double kIdentity = -__builtin_inf();
  CNNCORE_INLINE Vec add(Vec total, Vec x) { return select(is_nan(total), total, max(total, x)); }
  CNNCORE_INLINE Vec join(Vec a, Vec b) { return add(a, b); }
  static double combine(double a, double b) { return a > b || a != a ? a : b; }
};

struct Min {
  static constexpr double kIdentity = __builtin_inf();
  CNNCORE_INLINE Vec add(Vec total, Vec x) { return select(is_nan(total), total, min(total, x)); }
  CNNCORE_INLINE Vec join(Vec a, Vec b) { return add(a, b); }
  static double combine(double a, double b) { return a < b || a != a ? a : b; }
};

/// Reads n <= kWidth floats; the other lanes hold `rest`.
CNNCORE_INLINE Vec load_padded(const float* p, int64_t n, float rest) {
  if (n >= kWidth) return load(p);
  float lanes[kWidth];
  for (int i = 0; i < kWidth; ++i) lanes[i] = rest;
  for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
}

/// Reduction of n <= kBlock consecutive floats into one vector.
template <class Op>
CNNCORE_INLINE Vec reduce_block(const float* p, int64_t n) {
  constexpr float identity = static_cast<float>(Op::kIdentity);
  Vec total[kChains];
#pragma GCC unroll 4
  for (int j = 0; j < kChains; ++j) total[j] = set1(identity);
  int64_t i = 0;
  for (; i + kChains * kWidth <= n; i += kChains * kWidth) {
#pragma GCC unroll 4
    for (int j = 0; j < kChains; ++j) total[j] = Op::add(total[j], load(p + i + j * kWidth));
  }
  for (; i + kWidth <= n; i += kWidth) total[0] = Op::add(total[0], load(p + i));
  if (i < n) total[1] = Op::add(total[1], load_padded(p + i, n - i, identity));
  return Op::join(Op::join(total[0], total[1]), Op::join(total[2], total[3]));
}

/// total[lane] = total[lane] combined with v[lane], for the first `n` lanes.
template <class Op>
CNNCORE_INLINE void combine_lanes(double* total, Vec v, int64_t n = kWidth) {
  float lanes[kWidth];
  store(lanes, v);
  for (int64_t i = 0; i < n; ++i) total[i] = Op::combine(total[i], static_cast<double>(lanes[i]));
}

/// Halves fold onto each other until one lane is left.
template <class Op>
CNNCORE_INLINE double fold(double* lanes) {
  for (int width = kWidth / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] = Op::combine(lanes[i], lanes[i + width]);
  }
  return lanes[0];
}

template <class Op>
double reduce_row(const float* src, int64_t n, int64_t step) {
  double total[kWidth];
  for (int i = 0; i < kWidth; ++i) total[i] = Op::kIdentity;
  float gathered[kBlock];
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t count = min_of(kBlock, n - begin);
    const float* block = src + begin * step;
    if (step != 1) {
      for (int64_t i = 0; i < count; ++i) gathered[i] = block[i * step];
      block = gathered;
    }
    combine_lanes<Op>(total, reduce_block<Op>(block, count));
  }
  return fold<Op>(total);
}

template <class Op>
void across_rows(const ReduceRun& run, double* result) {
  for (int64_t row = 0; row < run.rows; ++row) {
    result[row] = reduce_row<Op>(run.src + row * run.row_step, run.n, run.step);
  }
}

/// kVectors vectors of neighbouring columns at once, at most kStretch rows in float.
template <class Op, int kVectors>
CNNCORE_INLINE void reduce_columns(const float* src, int64_t rows, int64_t row_step, double* result) {
  for (int64_t begin = 0; begin < rows; begin += kStretch) {
    const int64_t end = min_of(begin + kStretch, rows);
    Vec total[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) total[j] = set1(static_cast<float>(Op::kIdentity));
    for (int64_t row = begin; row < end; ++row) {
      const float* p = src + row * row_step;
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j) total[j] = Op::add(total[j], load(p + j * kWidth));
    }
    for (int j = 0; j < kVectors; ++j) combine_lanes<Op>(result + j * kWidth, total[j]);
  }
}

/// The last n < kWidth columns.
template <class Op>
void reduce_last_columns(const float* src, int64_t rows, int64_t row_step, int64_t n, double* result) {
  for (int64_t begin = 0; begin < rows; begin += kStretch) {
    const int64_t end = min_of(begin + kStretch, rows);
    Vec total = set1(static_cast<float>(Op::kIdentity));
    for (int64_t row = begin; row < end; ++row) total = Op::add(total, load_partial(src + row * row_step, n));
    combine_lanes<Op>(result, total, n);
  }
}

template <class Op>
void reduce_strided_columns(const ReduceRun& run, double* result) {
  for (int64_t i = 0; i < run.n; ++i) {
    result[i] = Op::combine(result[i], reduce_row<Op>(run.src + i * run.step, run.rows, run.row_step));
  }
}

template <class Op>
void across_columns(const ReduceRun& run, double* result) {
  if (run.step != 1) return reduce_strided_columns<Op>(run, result);
  int64_t i = 0;
  for (; i + 8 * kWidth <= run.n; i += 8 * kWidth) {
    reduce_columns<Op, 8>(run.src + i, run.rows, run.row_step, result + i);
  }
  for (; i + 2 * kWidth <= run.n; i += 2 * kWidth) {
    reduce_columns<Op, 2>(run.src + i, run.rows, run.row_step, result + i);
  }
  for (; i + kWidth <= run.n; i += kWidth) {
    reduce_columns<Op, 1>(run.src + i, run.rows, run.row_step, result + i);
  }
  if (i < run.n) reduce_last_columns<Op>(run.src + i, run.rows, run.row_step, run.n - i, result + i);
}

int64_t argmax(int64_t n, const float* src, int64_t step, float* largest) {
  int64_t best = 0;
  float top = src[0];
  for (int64_t i = 1; i < n && top == top; ++i) {
    const float x = src[i * step];
    if (x > top || x != x) {
      top = x;
      best = i;
    }
  }
  *largest = top;
  return best;
}

template <class Op>
Reduction reduction() {
  return {Op::kIdentity, Op::combine, across_rows<Op>, across_columns<Op>};
}

}  // namespace

ReduceKernels reduce_kernels() {
  return {reduction<Sum>(), reduction<SumSquares>(), reduction<Max>(), reduction<Min>(), argmax};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
