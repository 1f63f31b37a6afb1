// SPDX-License-Identifier: Apache-2.0
// Winograd's transforms of filters to the points, in double so that each is rounded once, and of gradients at
// the points back to filters.
#include "isa/kernels/winograd_weight.h"

#include "isa/kernels/transpose.h"
#include "isa/kernels/winograd_points.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

CNNCORE_INLINE void read(const float* from, Vec& value) { value = load(from); }
CNNCORE_INLINE void read(const float* from, DoubleVec& value) {
  HalfVec floats;
  __builtin_memcpy(&floats, from, sizeof floats);
  value = __builtin_convertvector(floats, DoubleVec);
}
CNNCORE_INLINE void write(float* to, Vec value) { store(to, value); }
CNNCORE_INLINE void write(float* to, DoubleVec value) {
  const HalfVec floats = __builtin_convertvector(value, HalfVec);
  __builtin_memcpy(to, &floats, sizeof floats);
}

/// taps[t][lane] = weight[lane * step + t] for `lanes` lanes, zero in the others.
template <int kTaps>
CNNCORE_INLINE void load_taps(const float* weight, int64_t step, int64_t lanes, float* taps) {
  constexpr int kRow = (kTaps + kWidth - 1) / kWidth * kWidth;
  float rows[kWidth][kRow];
  for (int64_t lane = 0; lane < kWidth; ++lane) {
    for (int t = 0; t < kRow; t += kWidth) {
      const bool inside = lane < lanes && t < kTaps;
      store(rows[lane] + t, inside ? load_upto(weight + lane * step + t, kTaps - t) : zero());
    }
  }
  for (int t = 0; t < kRow; t += kWidth) transpose_square(rows[0] + t, kRow, taps + t * kWidth, kWidth);
}

/// taps[t] of kWidth columns of one row.
template <class F>
CNNCORE_INLINE void gradient_taps(const float* values, int64_t point_step, float* taps) {
  using V = typename F::GradientVec;
  constexpr int kLanes = sizeof(V) / sizeof(V{}[0]);
  constexpr int kPoints = F::kPoints;
  constexpr int kSide = F::kTaps;
  for (int lane = 0; lane < kWidth; lane += kLanes) {
    V vertical[kPoints][kSide];
#pragma GCC unroll 6
    for (int c = 0; c < kPoints; ++c) {
      const auto point = [&](int r) CNNCORE_FLATTEN {
        V value;
        read(values + (r * kPoints + c) * point_step + lane, value);
        return value;
      };
      F::grad_weight(point, vertical[c]);
    }
#pragma GCC unroll 5
    for (int i = 0; i < kSide; ++i) {
      V o[kSide];
      F::grad_weight([&](int c) CNNCORE_FLATTEN { return vertical[c][i]; }, o);
#pragma GCC unroll 5
      for (int j = 0; j < kSide; ++j) write(taps + (kSide * i + j) * kWidth + lane, o[j]);
    }
  }
}

/// Adds kWidth columns of as many rows to their places.
template <int kTaps>
CNNCORE_INLINE void add_filters(const float* filters, int64_t column_step, float* grad) {
  for (int64_t column = 0; column < kWidth; ++column) {
    for (int64_t t = 0; t < kTaps * kWidth; t += kWidth) {
      float* to = grad + column * column_step + t;
      store(to, load(to) + load(filters + column * kTaps * kWidth + t));
    }
  }
}

}  // namespace

template <class F>
void transform_weight(const WinogradWeight& args) {
  constexpr int kPoints = F::kPoints;
  constexpr int kSide = F::kTaps;
  constexpr int kTaps = kSide * kSide;
  for (int64_t row = 0; row < args.rows; ++row) {
    for (int64_t column = 0; column < args.width; column += kWidth) {
      float taps[(kTaps + kWidth) * kWidth];
      load_taps<kTaps>(args.weight + row * args.row_step + column * args.column_step, args.column_step,
                       args.columns - column, taps);
      for (int half = 0; half < kWidth; half += kHalf) {
        const auto tap = [&](int t) CNNCORE_FLATTEN {
          DoubleVec value;
          read(taps + (args.rotate ? kTaps - 1 - t : t) * kWidth + half, value);
          return value;
        };
        DoubleVec vertical[kSide][kPoints];
#pragma GCC unroll 5
        for (int c = 0; c < kSide; ++c) {
          F::template weight<DoubleVec>([&](int r) CNNCORE_FLATTEN { return tap(kSide * r + c); },
                                        vertical[c]);
        }
        float* to = args.values + row * args.width + column + half;
#pragma GCC unroll 6
        for (int i = 0; i < kPoints; ++i) {
          DoubleVec o[kPoints];
          F::template weight<DoubleVec>([&](int c) CNNCORE_FLATTEN { return vertical[c][i]; }, o);
#pragma GCC unroll 6
          for (int j = 0; j < kPoints; ++j) write(to + (i * kPoints + j) * args.point_step, o[j]);
        }
      }
    }
  }
}

template <class F>
void transform_grad_weight(const WinogradWeightGradient& args) {
  constexpr int kTaps = F::kTaps * F::kTaps;
  for (int64_t column = 0; column < args.columns; column += kWidth) {
    const int64_t columns = min_of(kWidth, args.columns - column);
    for (int64_t row = 0; row < args.rows; row += kWidth) {
      const int64_t rows = min_of(kWidth, args.rows - row);
      float taps[kWidth * kTaps * kWidth];  // [row][tap][column]
      for (int64_t r = 0; r < rows; ++r) {
        gradient_taps<F>(args.values + (row + r) * args.width + column, args.point_step,
                         taps + r * kTaps * kWidth);
      }
      float* grad = args.grad + column * args.column_step + row * kTaps;
      if (rows == kWidth && columns == kWidth) {
        float filters[kWidth * kTaps * kWidth];  // [column][row][tap]
        float* to = args.accumulate ? filters : grad;
        const int64_t step = args.accumulate ? kTaps * kWidth : args.column_step;
        for (int64_t t = 0; t < kTaps; ++t) {
          transpose_square(taps + t * kWidth * kWidth, kWidth, to + t * kWidth, step);
        }
        if (args.accumulate) add_filters<kTaps>(filters, args.column_step, grad);
        continue;
      }
      for (int64_t c = 0; c < columns; ++c) {
        for (int64_t t = 0; t < rows * kTaps; ++t) {
          float* to = grad + c * args.column_step + t;
          *to = args.accumulate ? *to + taps[t * kWidth + c] : taps[t * kWidth + c];
        }
      }
    }
  }
}

template void transform_weight<F4>(const WinogradWeight&);
template void transform_weight<F2>(const WinogradWeight&);
template void transform_weight<F2x5>(const WinogradWeight&);
template void transform_grad_weight<F4>(const WinogradWeightGradient&);
template void transform_grad_weight<F2>(const WinogradWeightGradient&);
template void transform_grad_weight<F2x5>(const WinogradWeightGradient&);

}  // namespace CNNCORE_ISA
}  // namespace cnncore
