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

template <class F, bool kLine>
constexpr int kFilterTaps = kLine ? F::kTaps : F::kTaps * F::kTaps;

/// taps[t] of kWidth columns of one row.
template <class F, bool kLine>
CNNCORE_INLINE void gradient_taps(const float* values, int64_t point_step, float* taps) {
  using V = typename F::GradientVec;
  constexpr int kLanes = sizeof(V) / sizeof(V{}[0]);
  constexpr int kPoints = F::kPoints;
  constexpr int kSide = F::kTaps;
  for (int lane = 0; lane < kWidth; lane += kLanes) {
    const auto point = [&](int p) CNNCORE_FLATTEN {
      V value;
      read(values + p * point_step + lane, value);
      return value;
    };
    if constexpr (kLine) {
      V o[kSide];
      F::grad_weight(point, o);
#pragma GCC unroll 5
      for (int j = 0; j < kSide; ++j) write(taps + j * kWidth + lane, o[j]);
      continue;
    }
    V vertical[kPoints][kSide];
#pragma GCC unroll 6
    for (int c = 0; c < kPoints; ++c) {
      F::grad_weight([&](int r) CNNCORE_FLATTEN { return point(r * kPoints + c); }, vertical[c]);
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

/// Puts the taps of kWidth columns, [column][row][tap], to their places or adds them.
template <int kTaps>
CNNCORE_INLINE void place_filters(const float* filters, const WinogradWeightGradient& args, float* grad) {
  for (int64_t column = 0; column < kWidth; ++column, filters += kTaps * kWidth) {
    float* to = grad + column * args.column_step;
    if (args.row_step == kTaps) {
      for (int64_t t = 0; t < kTaps * kWidth; t += kWidth) {
        store(to + t, load(to + t) + load(filters + t));
      }
      continue;
    }
    for (int64_t t = 0; t < kTaps * kWidth; ++t) {
      float& place = to[t / kTaps * args.row_step + t % kTaps];
      place = args.accumulate ? place + filters[t] : filters[t];
    }
  }
}

/// The values at the points of half a vector of filters.
template <class F, bool kLine, class Tap>
CNNCORE_INLINE void filter_points(const Tap& tap, int64_t point_step, float* to) {
  constexpr int kPoints = F::kPoints;
  constexpr int kSide = F::kTaps;
  DoubleVec o[kPoints];
  if constexpr (kLine) {
    F::template weight<DoubleVec>(tap, o);
#pragma GCC unroll 6
    for (int j = 0; j < kPoints; ++j) write(to + j * point_step, o[j]);
    return;
  }
  DoubleVec vertical[kSide][kPoints];
#pragma GCC unroll 5
  for (int c = 0; c < kSide; ++c) {
    F::template weight<DoubleVec>([&](int r) CNNCORE_FLATTEN { return tap(kSide * r + c); }, vertical[c]);
  }
#pragma GCC unroll 6
  for (int i = 0; i < kPoints; ++i) {
    F::template weight<DoubleVec>([&](int c) CNNCORE_FLATTEN { return vertical[c][i]; }, o);
#pragma GCC unroll 6
    for (int j = 0; j < kPoints; ++j) write(to + (i * kPoints + j) * point_step, o[j]);
  }
}

}  // namespace

template <class F, bool kLine>
void transform_weight(const WinogradWeight& args) {
  constexpr int kTaps = kFilterTaps<F, kLine>;
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
        filter_points<F, kLine>(tap, args.point_step, args.values + row * args.width + column + half);
      }
    }
  }
}

template <class F, bool kLine>
void transform_grad_weight(const WinogradWeightGradient& args) {
  constexpr int kTaps = kFilterTaps<F, kLine>;
  for (int64_t column = 0; column < args.columns; column += kWidth) {
    const int64_t columns = min_of(kWidth, args.columns - column);
    for (int64_t row = 0; row < args.rows; row += kWidth) {
      const int64_t rows = min_of(kWidth, args.rows - row);
      float taps[kWidth * kTaps * kWidth];  // [row][tap][column]
      for (int64_t r = 0; r < rows; ++r) {
        gradient_taps<F, kLine>(args.values + (row + r) * args.width + column, args.point_step,
                                taps + r * kTaps * kWidth);
      }
      float* grad = args.grad + column * args.column_step + row * args.row_step;
      if (rows == kWidth && columns == kWidth) {
        float filters[kWidth * kTaps * kWidth];
        const bool in_place = !args.accumulate && args.row_step == kTaps;
        float* to = in_place ? grad : filters;
        const int64_t step = in_place ? args.column_step : kTaps * kWidth;
        for (int64_t t = 0; t < kTaps; ++t) {
          transpose_square(taps + t * kWidth * kWidth, kWidth, to + t * kWidth, step);
        }
        if (!in_place) place_filters<kTaps>(filters, args, grad);
        continue;
      }
      for (int64_t c = 0; c < columns; ++c) {
        for (int64_t t = 0; t < rows * kTaps; ++t) {
          float* to = grad + c * args.column_step + t / kTaps * args.row_step + t % kTaps;
          *to = args.accumulate ? *to + taps[t * kWidth + c] : taps[t * kWidth + c];
        }
      }
    }
  }
}

template void transform_weight<F4, false>(const WinogradWeight&);
template void transform_weight<F2, false>(const WinogradWeight&);
template void transform_weight<F2x5, false>(const WinogradWeight&);
template void transform_weight<F4, true>(const WinogradWeight&);
template void transform_grad_weight<F4, false>(const WinogradWeightGradient&);
template void transform_grad_weight<F2, false>(const WinogradWeightGradient&);
template void transform_grad_weight<F2x5, false>(const WinogradWeightGradient&);
template void transform_grad_weight<F4, true>(const WinogradWeightGradient&);

}  // namespace CNNCORE_ISA
}  // namespace cnncore
