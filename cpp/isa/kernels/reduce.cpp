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

struct Product {
  static constexpr double kIdentity = 1.0;
  CNNCORE_INLINE Vec add(Vec total, Vec x) { return total * x; }
  CNNCORE_INLINE Vec join(Vec a, Vec b) { return a * b; }
  static double combine(double a, double b) { return a * b; }
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

/// 0, 1, 2, ... in the lanes.
CNNCORE_INLINE Vec lane_numbers() {
  static constexpr float numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return load(numbers);
}

/// Reads n < kWidth floats; the other lanes hold `rest`.
CNNCORE_INLINE Vec load_padded(const float* p, int64_t n, float rest) {
  return select(greater(set1(static_cast<float>(n)), lane_numbers()), load_partial(p, n), set1(rest));
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
__attribute__((noinline)) void combine_lanes(double* total, Vec v, int64_t n = kWidth) {
  float lanes[kWidth];
  store(lanes, v);
  for (int64_t i = 0; i < n; ++i) total[i] = Op::combine(total[i], static_cast<double>(lanes[i]));
}

/// All lanes joined: halves are folded onto each other until one lane is left.
template <class Op>
CNNCORE_INLINE float fold(Vec v) {
#if defined(__AVX512F__)
  v = Op::join(v, _mm512_shuffle_f32x4(v, v, 0x4e));
  v = Op::join(v, _mm512_shuffle_f32x4(v, v, 0xb1));
  v = Op::join(v, _mm512_permute_ps(v, 0x4e));
  v = Op::join(v, _mm512_permute_ps(v, 0xb1));
  return _mm512_cvtss_f32(v);
#elif defined(__AVX2__)
  v = Op::join(v, _mm256_permute2f128_ps(v, v, 0x01));
  v = Op::join(v, _mm256_permute_ps(v, 0x4e));
  v = Op::join(v, _mm256_permute_ps(v, 0xb1));
  return _mm256_cvtss_f32(v);
#else
  v = Op::join(v, Vec{v[2], v[3], v[0], v[1]});
  v = Op::join(v, Vec{v[1], v[0], v[3], v[2]});
  return v[0];
#endif
}

/// At most one vector of consecutive floats, which is all of a short row.
template <class Op>
CNNCORE_INLINE double reduce_short_row(const float* src, int64_t n) {
  constexpr float identity = static_cast<float>(Op::kIdentity);
  const Vec x = n == kWidth ? load(src) : load_padded(src, n, identity);
  return static_cast<double>(fold<Op>(Op::add(set1(identity), x)));
}

template <class Op>
double reduce_row(const float* src, int64_t n) {
  double total = Op::kIdentity;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const Vec block = reduce_block<Op>(src + begin, min_of(kBlock, n - begin));
    total = Op::combine(total, static_cast<double>(fold<Op>(block)));
  }
  return total;
}

template <class Op>
double reduce_strided_row(const float* src, int64_t n, int64_t step) {
  double total = Op::kIdentity;
  float gathered[kBlock];
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t count = min_of(kBlock, n - begin);
    for (int64_t i = 0; i < count; ++i) gathered[i] = src[(begin + i) * step];
    total = Op::combine(total, static_cast<double>(fold<Op>(reduce_block<Op>(gathered, count))));
  }
  return total;
}

template <class Op>
void across_rows(const ReduceRun& run, double* result) {
  for (int64_t row = 0; row < run.rows; ++row) {
    const float* src = run.src + row * run.row_step;
    if (run.step != 1) {
      result[row] = reduce_strided_row<Op>(src, run.n, run.step);
    } else if (run.n <= kWidth) {
      result[row] = reduce_short_row<Op>(src, run.n);
    } else {
      result[row] = reduce_row<Op>(src, run.n);
    }
  }
}

/// kVectors vectors of neighbouring columns at once, at most kStretch rows in one float. Every kRows-th row
/// has its own accumulators: narrow tiles need them to hide the latency of additions.
template <class Op, int kVectors, int kRows>
CNNCORE_INLINE void reduce_columns(const float* src, int64_t rows, int64_t row_step, double* result) {
  for (int64_t begin = 0; begin < rows; begin += kRows * kStretch) {
    const int64_t end = min_of(begin + kRows * kStretch, rows);
    Vec total[kRows][kVectors];
#pragma GCC unroll 8
    for (int i = 0; i < kRows * kVectors; ++i)
      total[i / kVectors][i % kVectors] = set1(static_cast<float>(Op::kIdentity));
    int64_t row = begin;
    for (; row + kRows <= end; row += kRows) {
#pragma GCC unroll 8
      for (int i = 0; i < kRows * kVectors; ++i) {
        const float* p = src + (row + i / kVectors) * row_step + i % kVectors * kWidth;
        total[i / kVectors][i % kVectors] = Op::add(total[i / kVectors][i % kVectors], load(p));
      }
    }
    for (; row < end; ++row) {
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j)
        total[0][j] = Op::add(total[0][j], load(src + row * row_step + j * kWidth));
    }
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j) {
#pragma GCC unroll 8
      for (int i = 1; i < kRows; ++i) total[0][j] = Op::join(total[0][j], total[i][j]);
      combine_lanes<Op>(result + j * kWidth, total[0][j]);
    }
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
void reduce_unit_columns(const ReduceRun& run, double* result) {
  int64_t i = 0;
  for (; i + 4 * kWidth <= run.n; i += 4 * kWidth) {
    reduce_columns<Op, 4, 2>(run.src + i, run.rows, run.row_step, result + i);
  }
  for (; i + 2 * kWidth <= run.n; i += 2 * kWidth) {
    reduce_columns<Op, 2, 4>(run.src + i, run.rows, run.row_step, result + i);
  }
  for (; i + kWidth <= run.n; i += kWidth) {
    reduce_columns<Op, 1, 8>(run.src + i, run.rows, run.row_step, result + i);
  }
  if (i < run.n) reduce_last_columns<Op>(run.src + i, run.rows, run.row_step, run.n - i, result + i);
}

// Floats of the long row that short rows are joined to.
constexpr int64_t kJoined = 8 * kWidth;

/// Short rows without gaps: several of them count as one long row, whose columns meet at the end.
template <class Op>
void reduce_short_rows(const ReduceRun& run, double* result) {
  const int64_t together = kJoined / run.n;
  ReduceRun wide = run;
  wide.n = together * run.n;
  wide.rows = run.rows / together;
  wide.row_step = wide.n;
  double total[kJoined];
  for (int64_t i = 0; i < wide.n; ++i) total[i] = Op::kIdentity;
  reduce_unit_columns<Op>(wide, total);
  for (int64_t i = 0; i < wide.n; i += run.n) {
    for (int64_t j = 0; j < run.n; ++j) result[j] = Op::combine(result[j], total[i + j]);
  }
  const int64_t done = wide.rows * together;
  reduce_last_columns<Op>(run.src + done * run.n, run.rows - done, run.n, run.n, result);
}

template <class Op>
void across_columns(const ReduceRun& run, double* result) {
  if (run.step != 1) {
    for (int64_t i = 0; i < run.n; ++i) {
      result[i] =
          Op::combine(result[i], reduce_strided_row<Op>(run.src + i * run.step, run.rows, run.row_step));
    }
  } else if (run.n < kWidth && run.row_step == run.n && run.rows * run.n >= 16 * kJoined) {
    reduce_short_rows<Op>(run, result);
  } else {
    reduce_unit_columns<Op>(run, result);
  }
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
  return {reduction<Sum>(), reduction<Product>(), reduction<SumSquares>(),
          reduction<Max>(), reduction<Min>(),     argmax};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
