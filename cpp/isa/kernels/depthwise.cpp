// SPDX-License-Identifier: Apache-2.0
#include "isa/depthwise.h"

#include "isa/kernels/activate.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

constexpr int kPixels = 6;  // output pixels that share a load of the weight

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

CNNCORE_INLINE void finish(const DepthwiseOutput& out, int64_t pixel, int64_t channel, int64_t left,
                           Vec value) {
  const int64_t at = pixel * out.step + channel;
  if (out.bias != nullptr) value = value + load_upto(out.bias + channel, left);
  if (out.residual != nullptr) value = value + load_upto(out.residual + at, left);
  store_upto(out.output + at, activate(value, out.activation, set1(out.alpha)), left);
}

template <int N>
CNNCORE_INLINE void interior_pixels(const DepthwiseRow& row, const DepthwiseOutput& out, int64_t pixel,
                                    int64_t channel, int64_t left) {
  Vec sum[N];
#pragma GCC unroll 8
  for (int i = 0; i < N; ++i) sum[i] = zero();
  const int64_t step = row.in_step * row.channels;
  const int64_t start = (row.in_start + pixel * row.in_step) * row.channels + channel;
  for (int64_t r = 0; r < row.rows; ++r) {
    const float* input = row.row[r] + start;
    const float* weight = row.weight[r] + channel;
    for (int64_t t = 0; t < row.taps; ++t) {
      const Vec w = load_upto(weight, left);
#pragma GCC unroll 8
      for (int i = 0; i < N; ++i) sum[i] = fmadd(load_upto(input + i * step, left), w, sum[i]);
      input += row.tap_step * row.channels;
      weight += row.channels;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < N; ++i) finish(out, pixel + i, channel, left, sum[i]);
}

CNNCORE_INLINE void edge_pixel(const DepthwiseRow& row, const DepthwiseOutput& out, int64_t pixel,
                               int64_t channel, int64_t left) {
  Vec sum = zero();
  for (int64_t t = 0; t < row.taps; ++t) {
    const int64_t x = row.in_start + pixel * row.in_step + t * row.tap_step;
    if (x < 0 || x >= row.in_size) continue;
    for (int64_t r = 0; r < row.rows; ++r) {
      const Vec w = load_upto(row.weight[r] + t * row.channels + channel, left);
      sum = fmadd(load_upto(row.row[r] + x * row.channels + channel, left), w, sum);
    }
  }
  finish(out, pixel, channel, left, sum);
}

CNNCORE_INLINE void forward_channels(const DepthwiseRow& row, const DepthwiseOutput& out, const Range& inside,
                                     int64_t channel, int64_t left) {
  for (int64_t i = 0; i < inside.begin; ++i) edge_pixel(row, out, i, channel, left);
  int64_t i = inside.begin;
  for (; i + kPixels <= inside.end; i += kPixels) interior_pixels<kPixels>(row, out, i, channel, left);
  for (; i < inside.end; ++i) interior_pixels<1>(row, out, i, channel, left);
  for (; i < row.count; ++i) edge_pixel(row, out, i, channel, left);
}

void forward(const DepthwiseRow& row, const DepthwiseOutput& out) {
  const Range inside = interior(row);
  int64_t channel = 0;
  // The literal width lets the compiler drop the tail branches of full vectors.
  for (; channel + kWidth <= row.channels; channel += kWidth)
    forward_channels(row, out, inside, channel, kWidth);
  if (channel < row.channels) forward_channels(row, out, inside, channel, row.channels - channel);
}

/// N horizontal taps at once over pixels where all of them exist: one load of grad_output serves N products.
template <int N>
CNNCORE_INLINE void add_products(const float* input, int64_t input_step, int64_t tap_step, const float* grad,
                                 int64_t pitch, int64_t pixels, int64_t left, float* sum) {
  Vec total[N];
#pragma GCC unroll 8
  for (int t = 0; t < N; ++t) total[t] = load_upto(sum + t * pitch, left);
  for (int64_t i = 0; i < pixels; ++i, input += input_step, grad += pitch) {
    const Vec g = load_upto(grad, left);
#pragma GCC unroll 8
    for (int t = 0; t < N; ++t) total[t] = fmadd(load_upto(input + t * tap_step, left), g, total[t]);
  }
#pragma GCC unroll 8
  for (int t = 0; t < N; ++t) store_upto(sum + t * pitch, total[t], left);
}

CNNCORE_INLINE void add_taps(int64_t taps, const float* input, int64_t input_step, int64_t tap_step,
                             const float* grad, int64_t pitch, int64_t pixels, int64_t left, float* sum) {
  while (taps > 0) {
    int64_t done = 1;
    if (taps >= 5) {
      done = 5;
      add_products<5>(input, input_step, tap_step, grad, pitch, pixels, left, sum);
    } else if (taps >= 3) {
      done = 3;
      add_products<3>(input, input_step, tap_step, grad, pitch, pixels, left, sum);
    } else {
      add_products<1>(input, input_step, tap_step, grad, pitch, pixels, left, sum);
    }
    taps -= done;
    input += done * tap_step;
    sum += done * pitch;
  }
}

CNNCORE_INLINE void backward_channels(const DepthwiseRow& row, const float* grad_output, float* const* sum,
                                      const Range& inside, int64_t channel, int64_t left) {
  const int64_t pitch = row.channels;
  const int64_t input_step = row.in_step * pitch;
  const int64_t tap_step = row.tap_step * pitch;
  const float* grad = grad_output + channel;
  for (int64_t r = 0; r < row.rows; ++r) {
    const float* input = row.row[r] + row.in_start * pitch + channel;
    float* total = sum[r] + channel;
    add_taps(row.taps, input + inside.begin * input_step, input_step, tap_step, grad + inside.begin * pitch,
             pitch, inside.end - inside.begin, left, total);
    for (int64_t t = 0; t < row.taps; ++t) {
      const Range valid = valid_pixels(row, t * row.tap_step);
      for (int64_t i = valid.begin; i < valid.end; ++i) {
        if (i == inside.begin && inside.end > inside.begin) i = inside.end;
        if (i >= valid.end) break;
        add_products<1>(input + i * input_step + t * tap_step, 0, 0, grad + i * pitch, pitch, 1, left,
                        total + t * pitch);
      }
    }
  }
}

void backward_weight(const DepthwiseRow& row, const float* grad_output, float* const* sum) {
  const Range inside = interior(row);
  int64_t channel = 0;
  for (; channel + kWidth <= row.channels; channel += kWidth) {
    backward_channels(row, grad_output, sum, inside, channel, kWidth);
  }
  if (channel < row.channels)
    backward_channels(row, grad_output, sum, inside, channel, row.channels - channel);
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
