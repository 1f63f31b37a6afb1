// SPDX-License-Identifier: Apache-2.0
#include "isa/depthwise.h"

#include "isa/kernels/activate.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

constexpr int kPixels = 7;  // output pixels that share a load of the weight; image widths are often multiples

struct Range {
  int64_t begin, end;
};

int64_t ceil_div(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

/// Output pixels for which the input pixel in_start + i * in_step + offset exists.
Range valid_pixels(const DepthwiseRow& row, int64_t offset) {
  const int64_t first = row.in_start + offset;
  const int64_t begin = max_of(0, ceil_div(-first, row.in_step));
  const int64_t end = min_of(row.count, ceil_div(row.in_size - first, row.in_step));
  return {min_of(begin, row.count), max_of(end, min_of(begin, row.count))};
}

/// Output pixels whose taps all exist.
Range interior(const DepthwiseRow& row) {
  const Range first = valid_pixels(row, 0);
  const Range last = valid_pixels(row, (row.taps - 1) * row.tap_step);
  const int64_t begin = max_of(first.begin, last.begin);
  return {begin, max_of(begin, min_of(first.end, last.end))};
}

/// What happens to a vector of channels before it is stored. Every activation but leaky_relu is a clamp.
struct Epilogue {
  Vec bias, low, high;
};

CNNCORE_INLINE Epilogue epilogue(const DepthwiseOutput& out, int64_t channel, int64_t left) {
  const float infinity = __builtin_inff();
  const bool clamps = out.activation == Activation::relu || out.activation == Activation::relu6;
  return {out.bias != nullptr ? load_upto(out.bias + channel, left) : zero(), set1(clamps ? 0.0f : -infinity),
          set1(out.activation == Activation::relu6 ? 6.0f : infinity)};
}

/// Stores N pixels; a NaN stays NaN.
template <int N>
CNNCORE_INLINE void finish(const DepthwiseOutput& out, const Epilogue& last, int64_t pixel, int64_t channel,
                           int64_t left, Vec (&sum)[N]) {
  const int64_t at = pixel * out.step + channel;
  if (out.residual != nullptr) {
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) sum[i] = sum[i] + load_upto(out.residual + at + i * out.step, left);
  }
  if (out.activation == Activation::leaky_relu) {
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) sum[i] = activate(sum[i], Activation::leaky_relu, set1(out.alpha));
  }
  float* output = out.output + at;
#pragma GCC unroll 8
  for (int i = 0; i < N; ++i) store_upto(output + i * out.step, min(last.high, max(last.low, sum[i])), left);
}

/// Adds the products of one input row to N pixels; the first pixel's first tap is at `input`, coordinate `x`.
/// Adjacent taps (kTaps > 0) load each input vector once for all the pixels that use it: the multiplications
/// then set the pace, not the loads. With kEdge some taps may lie outside of the input.
template <int N, int kTaps, int kStep, bool kEdge>
CNNCORE_INLINE void add_row(const DepthwiseRow& row, const float* input, int64_t x, const float* weight,
                            int64_t left, Vec (&sum)[N]) {
  const auto outside = [&](int64_t at) { return kEdge && (at < 0 || at >= row.in_size); };
  if constexpr (kTaps > 0) {
    Vec w[kTaps];
#pragma GCC unroll 8
    for (int t = 0; t < kTaps; ++t) w[t] = load_upto(weight + t * row.weight_step, left);
#pragma GCC unroll 32
    for (int column = 0; column < (N - 1) * kStep + kTaps; ++column) {
      if (outside(x + column)) continue;
      const Vec value = in_register(load_upto(input + column * row.pitch, left));
#pragma GCC unroll 8
      for (int t = 0; t < kTaps; ++t) {
        const int distance = column - t;
        if (distance < 0 || distance % kStep != 0 || distance / kStep >= N) continue;
        sum[distance / kStep] = fmadd(value, w[t], sum[distance / kStep]);
      }
    }
  } else {
    for (int64_t t = 0; t < row.taps; ++t) {
      const Vec w = load_upto(weight + t * row.weight_step, left);
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) {
        const int64_t column = i * row.in_step + t * row.tap_step;
        if (outside(x + column)) continue;
        sum[i] = fmadd(load_upto(input + column * row.pitch, left), w, sum[i]);
      }
    }
  }
}

/// The hardware does not see in time that a pixel is followed by the one below it.
template <int N, int kStep>
CNNCORE_INLINE void fetch_next(const DepthwiseRow& row, int64_t x, int64_t channel) {
  const float* next = row.next + x * row.pitch + channel;
  for (int64_t r = 0; r < row.next_rows; ++r, next += row.in_size * row.pitch) {
#pragma GCC unroll 16
    for (int i = 0; i < N * kStep; ++i) __builtin_prefetch(next + i * row.pitch);
  }
}

template <int N, int kTaps, int kStep, bool kEdge>
CNNCORE_INLINE void forward_pixels(const DepthwiseRow& row, const DepthwiseOutput& out, const Epilogue& last,
                                   int64_t pixel, int64_t channel, int64_t left) {
  Vec sum[N];
#pragma GCC unroll 8
  for (int i = 0; i < N; ++i) sum[i] = last.bias;
  const int64_t x = row.in_start + pixel * row.in_step;
  fetch_next<N, kStep>(row, x, channel);
  for (int64_t r = 0; r < row.rows; ++r) {
    add_row<N, kTaps, kStep, kEdge>(row, row.row[r] + x * row.pitch + channel, x, row.weight[r] + channel,
                                    left, sum);
  }
  finish(out, last, pixel, channel, left, sum);
}

template <int kTaps, int kStep, bool kFull>
CNNCORE_INLINE void forward_channels(const DepthwiseRow& row, const DepthwiseOutput& out, const Range& inside,
                                     int64_t channel, int64_t left) {
  const Epilogue last = epilogue(out, channel, left);
  int64_t i = 0;
  for (; i + kPixels <= row.count; i += kPixels) {
    if (kFull && i >= inside.begin && i + kPixels <= inside.end) {
      forward_pixels<kPixels, kTaps, kStep, false>(row, out, last, i, channel, left);
    } else {
      forward_pixels<kPixels, kTaps, kStep, true>(row, out, last, i, channel, left);
    }
  }
  for (; i + 3 <= row.count; i += 3) forward_pixels<3, kTaps, kStep, true>(row, out, last, i, channel, left);
  for (; i < row.count; ++i) forward_pixels<1, kTaps, kStep, true>(row, out, last, i, channel, left);
}

template <int kTaps, int kStep>
void forward_row(const DepthwiseRow& row, const DepthwiseOutput& out) {
  const Range inside = interior(row);
  int64_t channel = 0;
  // The literal width lets the compiler drop the tail branches of full vectors.
  for (; channel + kWidth <= row.channels; channel += kWidth)
    forward_channels<kTaps, kStep, true>(row, out, inside, channel, kWidth);
  if (channel < row.channels)
    forward_channels<kTaps, kStep, false>(row, out, inside, channel, row.channels - channel);
}

void forward(const DepthwiseRow& row, const DepthwiseOutput& out) {
  if (row.tap_step == 1 || row.taps == 1) {
    if (row.in_step == 1) {
      if (row.taps == 1) return forward_row<1, 1>(row, out);
      if (row.taps == 2) return forward_row<2, 1>(row, out);
      if (row.taps == 3) return forward_row<3, 1>(row, out);
      if (row.taps == 5) return forward_row<5, 1>(row, out);
    }
    if (row.in_step == 2) {
      if (row.taps == 3) return forward_row<3, 2>(row, out);
      if (row.taps == 5) return forward_row<5, 2>(row, out);
    }
  }
  forward_row<0, 0>(row, out);
}

/// The sums of R rows by T taps, from `first_row` and `first_tap` on, over pixels where all of them exist.
/// With adjacent taps (kStep > 0) an input vector meets every gradient it belongs to while it is in a
/// register.
template <int R, int T, int kStep>
CNNCORE_INLINE void add_products(const DepthwiseRow& row, int64_t first_row, int64_t first_tap, Range pixels,
                                 const float* grad, int64_t channel, int64_t left, float* const* sum) {
  if (pixels.begin >= pixels.end) return;
  constexpr int kGradients = 4;  // and R x T sums fit the registers
  const int64_t pitch = row.pitch;
  const int64_t offset = first_tap * row.weight_step + channel;
  const int64_t start = row.in_start + pixels.begin * row.in_step + first_tap * row.tap_step;
  const float* input[R];
  Vec total[R][T];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    input[r] = row.row[first_row + r] + start * pitch + channel;
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
      total[r][t] = load_upto(sum[first_row + r] + offset + t * row.weight_step, left);
  }
  int64_t i = pixels.begin;
  grad += i * pitch + channel;
  if constexpr (kStep > 0) {
    for (; i + kGradients <= pixels.end; i += kGradients, grad += kGradients * pitch) {
      Vec g[kGradients];
#pragma GCC unroll 4
      for (int n = 0; n < kGradients; ++n) g[n] = load_upto(grad + n * pitch, left);
#pragma GCC unroll 16
      for (int column = 0; column < (kGradients - 1) * kStep + T; ++column) {
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) {
          const Vec value = in_register(load_upto(input[r] + column * pitch, left));
#pragma GCC unroll 8
          for (int t = 0; t < T; ++t) {
            const int distance = column - t;
            if (distance < 0 || distance % kStep != 0 || distance / kStep >= kGradients) continue;
            total[r][t] = fmadd(value, g[distance / kStep], total[r][t]);
          }
        }
      }
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) input[r] += kGradients * kStep * pitch;
    }
  }
  for (; i < pixels.end; ++i, grad += pitch) {
    const Vec g = load_upto(grad, left);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t)
        total[r][t] = fmadd(load_upto(input[r] + t * row.tap_step * pitch, left), g, total[r][t]);
      input[r] += row.in_step * pitch;
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
      store_upto(sum[first_row + r] + offset + t * row.weight_step, total[r][t], left);
  }
}

template <int T, int kStep>
CNNCORE_INLINE void backward_channels(const DepthwiseRow& row, const float* grad, float* const* sum,
                                      const Range& inside, int64_t channel, int64_t left) {
  constexpr int kRows = T == 5 ? 2 : 3;
  for (int64_t t = 0; t < row.taps; t += T) {
    int64_t r = 0;
    for (; r + kRows <= row.rows; r += kRows)
      add_products<kRows, T, kStep>(row, r, t, inside, grad, channel, left, sum);
    for (; r < row.rows; ++r) add_products<1, T, kStep>(row, r, t, inside, grad, channel, left, sum);
  }
  for (int64_t t = 0; t < row.taps; ++t) {
    const Range valid = valid_pixels(row, t * row.tap_step);
    const bool split = inside.begin < inside.end;
    const Range before = {valid.begin, split ? inside.begin : valid.end};
    const Range after = {split ? inside.end : valid.end, valid.end};
    for (int64_t r = 0; r < row.rows; ++r) {
      add_products<1, 1, 0>(row, r, t, before, grad, channel, left, sum);
      add_products<1, 1, 0>(row, r, t, after, grad, channel, left, sum);
    }
  }
}

template <int T, int kStep>
void backward_row(const DepthwiseRow& row, const float* grad_output, float* const* sum) {
  const Range inside = interior(row);
  int64_t channel = 0;
  for (; channel + kWidth <= row.channels; channel += kWidth)
    backward_channels<T, kStep>(row, grad_output, sum, inside, channel, kWidth);
  if (channel < row.channels)
    backward_channels<T, kStep>(row, grad_output, sum, inside, channel, row.channels - channel);
}

void backward_weight(const DepthwiseRow& row, const float* grad_output, float* const* sum) {
  if (row.tap_step == 1) {
    if (row.taps == 3 && row.in_step == 1) return backward_row<3, 1>(row, grad_output, sum);
    if (row.taps == 3 && row.in_step == 2) return backward_row<3, 2>(row, grad_output, sum);
    if (row.taps == 5 && row.in_step == 1) return backward_row<5, 1>(row, grad_output, sum);
    if (row.taps == 5 && row.in_step == 2) return backward_row<5, 2>(row, grad_output, sum);
  }
  backward_row<1, 0>(row, grad_output, sum);
}

void statistics(const float* values, int64_t rows, int64_t columns, float* result, int64_t stride) {
  const Vec count = set1(static_cast<float>(rows));
  const Vec inverse = set1(1.0f / static_cast<float>(rows));
  for (int64_t column = 0; column < columns; column += kWidth) {
    const int64_t left = columns - column;
    const float* p = values + column;
    // Deviations from a value of the same size as the mean do not cancel.
    Vec shift = zero();
    const int64_t first = min_of(rows, 16);
    for (int64_t i = 0; i < first; ++i) shift = shift + load_upto(p + i * columns, left);
    shift = shift * set1(1.0f / static_cast<float>(first));
    Vec sum = zero();
    Vec squares = zero();
    for (int64_t i = 0; i < rows; ++i) {
      const Vec value = load_upto(p + i * columns, left) - shift;
      sum = sum + value;
      squares = fmadd(value, value, squares);
    }
    const Vec offset = sum * inverse;
    store_upto(result + column, count, left);
    store_upto(result + stride + column, shift + offset, left);
    store_upto(result + 2 * stride + column, max(zero(), squares - sum * offset), left);
  }
}

}  // namespace

DepthwiseKernels depthwise_kernels() { return {forward, backward_weight, statistics}; }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
