// SPDX-License-Identifier: Apache-2.0
#include "isa/depthwise.h"

#include "isa/kernels/channel_output.h"
#include "isa/kernels/tiles.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

struct Range {
  int64_t begin, end;
};

/// Channels of a vector, of which the compiler knows whether they are all: no branch then asks each load.
template <bool kFull>
CNNCORE_INLINE int64_t vector_part(int64_t left) {
  if (kFull) return kWidth;
  if (left >= kWidth) __builtin_unreachable();
  return left;
}

/// Where the vector that holds `channel` begins: the last one is whole, too, and computes some channels
/// again.
CNNCORE_INLINE int64_t whole_vector(const DepthwiseRow& row, int64_t channel) {
  return min_of(channel, row.channels - kWidth);
}

/// Channels that pass over a row of pixels together.
Range channel_block(const DepthwiseRow& row, int64_t begin) {
  const int64_t vectors = row.far ? kDepthwiseVectors : 1;
  return {begin, min_of(begin + vectors * kWidth, row.channels)};
}

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

/// From memory, the hardware does not see in time that a pixel is followed by the one below it.
__attribute__((noinline)) void fetch_pixels(const DepthwiseRow& row, int64_t x, int64_t channel,
                                            int64_t pixels) {
  const float* next = row.next + x * row.pitch + channel;
  for (int64_t r = 0; r < row.next_rows; ++r, next += row.in_size * row.pitch) {
    for (int64_t i = 0; i < pixels * row.in_step; ++i) __builtin_prefetch(next + i * row.pitch, 0, 2);
  }
  __asm__ volatile("");  // a function that only fetches is left out
}

/// The part of the next rows that lies under `pixels` pixels from the input's column x on.
CNNCORE_INLINE void fetch_next(const DepthwiseRow& row, int64_t x, int64_t channel, int64_t pixels) {
  if (row.next_rows > 0) fetch_pixels(row, x, channel, pixels);  // else there may be no row to point to
}

/// N pixels of the channels of a block.
template <int N, int kTaps, int kStep, bool kEdge, bool kFull>
CNNCORE_INLINE void forward_pixels(const DepthwiseRow& row, const DepthwiseOutput& out, int64_t pixel,
                                   const Range& channels) {
  const int64_t x = row.in_start + pixel * row.in_step;
  for (int64_t next = channels.begin; next < channels.end; next += kWidth) {
    const int64_t channel = kFull ? whole_vector(row, next) : next;
    const int64_t left = vector_part<kFull>(row.channels - next);
    fetch_next(row, x, channel, N);
    const Epilogue last = epilogue(out, channel, left);
    Vec sum[N];
#pragma GCC unroll 8
    for (int i = 0; i < N; ++i) sum[i] = last.bias;
    for (int64_t r = 0; r < row.rows; ++r) {
      add_row<N, kTaps, kStep, kEdge>(row, row.row[r] + x * row.pitch + channel, x, row.weight[r] + channel,
                                      left, sum);
    }
    finish(out, last, pixel, channel, left, sum);
  }
}

/// Pixels from `i` on, for a block of whole vectors of channels or for fewer channels than a vector has.
template <int kTaps, int kStep, bool kFull>
__attribute__((noinline)) void forward_block(const DepthwiseRow& row, const DepthwiseOutput& out,
                                             const Range& inside, const Range& channels, int64_t i = 0) {
  for (; kFull && i + kDepthwisePixels <= row.count; i += kDepthwisePixels) {
    if (i >= inside.begin && i + kDepthwisePixels <= inside.end) {
      forward_pixels<kDepthwisePixels, kTaps, kStep, false, kFull>(row, out, i, channels);
    } else {
      forward_pixels<kDepthwisePixels, kTaps, kStep, true, kFull>(row, out, i, channels);
    }
  }
  // The last pixels are computed with those before them once more.
  for (; i + 1 < row.count && row.count >= 3; i += 3)
    forward_pixels<3, kTaps, kStep, true, kFull>(row, out, min_of(i, row.count - 3), channels);
  for (; i < row.count; ++i) forward_pixels<1, kTaps, kStep, true, kFull>(row, out, i, channels);
}

template <int kTaps, int kStep>
void forward_row(const DepthwiseRow& row, const DepthwiseOutput& out) {
  const Range inside = interior(row);
  if (row.channels < kWidth) {  // with code of its own for the usual kernels only
    constexpr bool kUsual = kTaps == 3;
    return forward_block<kUsual ? kTaps : 0, kUsual ? kStep : 0, false>(row, out, inside, {0, row.channels});
  }
  for (Range block = channel_block(row, 0); block.begin < row.channels; block = channel_block(row, block.end))
    forward_block<kTaps, kStep, true>(row, out, inside, block);
}

void filter_row(const DepthwiseRow& row, const DepthwiseOutput& out) {
  if (row.tap_step == 1 || row.taps == 1) {
    if (row.in_step == 1) {
      if (row.taps == 1) return forward_row<1, 1>(row, out);
      if (row.taps == 2) return forward_row<2, 1>(row, out);
      if (row.taps == 3) return forward_row<3, 1>(row, out);
      if (row.taps == 4) return forward_row<4, 1>(row, out);
      if (row.taps == 5) return forward_row<5, 1>(row, out);
      if (row.taps == 7) return forward_row<7, 1>(row, out);
    }
    if (row.in_step == 2) {
      if (row.taps == 3) return forward_row<3, 2>(row, out);
      if (row.taps == 5) return forward_row<5, 2>(row, out);
    }
  }
  forward_row<0, 0>(row, out);
}

void forward(const DepthwiseRow& row, const DepthwiseOutput& out) {
  filter_row(row, out);
  if (!in_registers(out.activation)) activate_pixels(row, out, 0);
}

#if defined(__AVX512F__)
/// Adds the products of a plane's 3 + kStep input rows to kDepthwisePixels pixels of two output rows.
template <int kStep, int kLeft, int kRight>
CNNCORE_INLINE void add_plane(const DepthwiseRow& row, const float* const* rows, const float* const* taps,
                              int64_t x, int64_t channel, Vec (&sum)[2][kDepthwisePixels]) {
  Vec weight[3][3];
#pragma GCC unroll 3
  for (int r = 0; r < 3; ++r) {
#pragma GCC unroll 3
    for (int t = 0; t < 3; ++t) weight[r][t] = load(taps[r] + t * row.weight_step + channel);
  }
#pragma GCC unroll 5
  for (int r = 0; r < 3 + kStep; ++r) {
    if (rows[r] == nullptr) continue;
    const float* input = rows[r] + x * row.pitch + channel;
#pragma GCC unroll 16
    for (int column = kLeft; column < (kDepthwisePixels - 1) * kStep + 3 - kRight; ++column) {
      const Vec value = in_register(load(input + column * row.pitch));
#pragma GCC unroll 2
      for (int o = 0; o < 2; ++o) {
        const int tap_row = r - o * kStep;
        if (tap_row < 0 || tap_row >= 3) continue;
#pragma GCC unroll 3
        for (int t = 0; t < 3; ++t) {
          const int distance = column - t;
          if (distance < 0 || distance % kStep != 0 || distance / kStep >= kDepthwisePixels) continue;
          sum[o][distance / kStep] = fmadd(value, weight[tap_row][t], sum[o][distance / kStep]);
        }
      }
    }
  }
}

/// kDepthwisePixels pixels of both rows; the first kLeft columns of the input under them and the last kRight
/// are outside. The first `known` pixels are stored already.
template <int kStep, int kLeft, int kRight>
CNNCORE_INLINE void pair_pixels(const DepthwiseRow& row, const DepthwiseOutput& out, int64_t next_row,
                                int64_t pixel, int64_t known, const Range& channels) {
  const int64_t x = row.in_start + pixel * kStep;
  DepthwiseOutput second = out;
  second.output += next_row;
  if (second.residual != nullptr) second.residual += next_row;
  for (int64_t next = channels.begin; next < channels.end; next += kWidth) {
    const int64_t channel = whole_vector(row, next);
    fetch_next(row, x, channel, kDepthwisePixels);
    const Epilogue last = epilogue(out, channel, kWidth);
    Vec sum[2][kDepthwisePixels];
#pragma GCC unroll 8
    for (int i = 0; i < kDepthwisePixels; ++i) sum[0][i] = sum[1][i] = last.bias;
    const float* const* input = row.row;
    const float* const* taps = row.weight;
    for (int64_t plane = 0; plane < row.rows; ++plane, input += 3 + kStep, taps += 3)
      add_plane<kStep, kLeft, kRight>(row, input, taps, x, channel, sum);
    finish(out, last, pixel, channel, kWidth, sum[0], known);
    finish(second, last, pixel, channel, kWidth, sum[1], known);
  }
}

/// One of two rows alone, with the rows of the input that exist under it.
struct SingleRow {
  SingleRow(const DepthwiseRow& pair, int64_t first, int64_t step) : call(pair) {
    call.rows = 0;
    for (int64_t t = 0; t < 3 * pair.rows; ++t) {
      const float* input = pair.row[t / 3 * (3 + step) + first + t % 3];
      if (input == nullptr) continue;
      row[call.rows] = input;
      weight[call.rows++] = pair.weight[t];
    }
    call.row = row;
    call.weight = weight;
  }
  SingleRow(const SingleRow&) = delete;
  SingleRow& operator=(const SingleRow&) = delete;

  const float* row[3 * DepthwiseKernels::kMostPlanes];
  const float* weight[3 * DepthwiseKernels::kMostPlanes];
  DepthwiseRow call;
};

/// Tiles of a block of channels, the last of which may compute some pixels again; returns the first pixel
/// that is left, of few, or that has unusual padding.
template <int kStep>
CNNCORE_INLINE int64_t pair_tiles(const DepthwiseRow& row, const DepthwiseOutput& out, int64_t next_row,
                                  const Range& channels) {
  if (row.count < kDepthwisePixels) return 0;
  int64_t i = 0;
  for (; i + 4 <= row.count; i += kDepthwisePixels) {
    const int64_t pixel = min_of(i, row.count - kDepthwisePixels);
    const int64_t known = i - pixel;
    const int64_t before = -(row.in_start + pixel * kStep);
    const int64_t behind = (kDepthwisePixels - 1) * kStep + 3 - before - row.in_size;
    if (before > 1 || behind > 1) return i;
    if (before == 1 && behind == 1) {
      pair_pixels<kStep, 1, 1>(row, out, next_row, pixel, known, channels);
    } else if (before == 1) {
      pair_pixels<kStep, 1, 0>(row, out, next_row, pixel, known, channels);
    } else if (behind == 1) {
      pair_pixels<kStep, 0, 1>(row, out, next_row, pixel, known, channels);
    } else {
      pair_pixels<kStep, 0, 0>(row, out, next_row, pixel, known, channels);
    }
  }
  return min_of(i, row.count);
}

template <int kStep>
void forward_rows(const DepthwiseRow& row, const DepthwiseOutput& out, int64_t next_row) {
  const SingleRow first(row, 0, kStep);
  const SingleRow second(row, kStep, kStep);
  DepthwiseOutput below = out;
  below.output += next_row;
  if (below.residual != nullptr) below.residual += next_row;
  const Range inside = interior(row);
  if (row.channels < kWidth) {
    forward_block<3, kStep, false>(first.call, out, inside, {0, row.channels});
    forward_block<3, kStep, false>(second.call, below, inside, {0, row.channels});
    return;
  }
  for (Range block = channel_block(row, 0); block.begin < row.channels;
       block = channel_block(row, block.end)) {
    const int64_t rest = pair_tiles<kStep>(row, out, next_row, block);
    if (rest == row.count) continue;
    forward_block<3, kStep, true>(first.call, out, inside, block, rest);
    forward_block<3, kStep, true>(second.call, below, inside, block, rest);
  }
}

void forward_pair(const DepthwiseRow& row, const DepthwiseOutput& out, int64_t next_row) {
  if (row.in_step == 1) {
    forward_rows<1>(row, out, next_row);
  } else {
    forward_rows<2>(row, out, next_row);
  }
  if (in_registers(out.activation)) return;
  activate_pixels(row, out, 0);
  activate_pixels(row, out, next_row);
}
#else
constexpr void (*forward_pair)(const DepthwiseRow&, const DepthwiseOutput&, int64_t) = nullptr;
#endif

/// The sums of R rows by T adjacent taps over N pixels: an input vector meets every gradient that it belongs
/// to while it is in a register. With kEdge some taps may lie outside of the input.
template <int N, int R, int T, int kStep, bool kEdge>
CNNCORE_INLINE void add_products(const DepthwiseRow& row, const float* const (&input)[R], int64_t pixel,
                                 const float* grad, Vec (&total)[R][T]) {
  const int64_t x = row.in_start + pixel * kStep;
  Vec g[N];
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) g[n] = load(grad + (pixel + n) * row.pitch);
#pragma GCC unroll 16
  for (int column = 0; column < (N - 1) * kStep + T; ++column) {
    if (kEdge && (x + column < 0 || x + column >= row.in_size)) continue;
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Vec value = in_register(load(input[r] + (x + column) * row.pitch));
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const int distance = column - t;
        if (distance < 0 || distance % kStep != 0 || distance / kStep >= N) continue;
        total[r][t] = fmadd(value, g[distance / kStep], total[r][t]);
      }
    }
  }
}

/// Stores the lanes from `first` on.
CNNCORE_INLINE void store_from(float* p, Vec v, int64_t first) {
  if (first == 0) return store(p, v);
  float lanes[kWidth];
  store(lanes, v);
  for (int64_t i = first; i < kWidth; ++i) p[i] = lanes[i];
}

/// Adds a whole row of pixels to the sums of R rows of T adjacent taps, but for the first `known` channels.
template <int R, int T, int kStep>
CNNCORE_INLINE void add_rows(const DepthwiseRow& row, int64_t first, const float* grad, const Range& inside,
                             int64_t channel, int64_t known, float* const* sum) {
  constexpr int kGradients = 4;  // which fit the registers next to R x T sums
  const float* input[R];
  Vec total[R][T];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
    input[r] = row.row[first + r] + channel;
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) total[r][t] = load(sum[first + r] + t * row.weight_step + channel);
  }
  int64_t i = 0;
  for (; i + kGradients <= row.count; i += kGradients) {
    if (first == 0 && row.next_rows > 0) {
      fetch_pixels(row, row.in_start + i * kStep, channel, kGradients);
#pragma GCC unroll 4
      for (int n = 0; n < kGradients; ++n)
        __builtin_prefetch(grad + (row.count + i + n) * row.pitch + channel);
    }
    if (i >= inside.begin && i + kGradients <= inside.end) {
      add_products<kGradients, R, T, kStep, false>(row, input, i, grad + channel, total);
    } else {
      add_products<kGradients, R, T, kStep, true>(row, input, i, grad + channel, total);
    }
  }
  for (; i < row.count; ++i) add_products<1, R, T, kStep, true>(row, input, i, grad + channel, total);
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t)
      store_from(sum[first + r] + t * row.weight_step + channel, total[r][t], known);
  }
}

CNNCORE_INLINE void add_tap(const DepthwiseRow& row, int64_t r, int64_t t, const float* grad, int64_t channel,
                            int64_t left, float* const* sum) {
  const Range valid = valid_pixels(row, t * row.tap_step);
  float* at = sum[r] + t * row.weight_step + channel;
  Vec total = load_upto(at, left);
  for (int64_t i = valid.begin; i < valid.end; ++i) {
    const int64_t x = row.in_start + i * row.in_step + t * row.tap_step;
    const Vec g = load_upto(grad + i * row.pitch + channel, left);
    total = fmadd(load_upto(row.row[r] + x * row.pitch + channel, left), g, total);
  }
  store_upto(at, total, left);
}

/// Any kernel, step and number of channels: one tap at a time.
void add_taps(const DepthwiseRow& row, const float* grad, float* const* sum) {
  for (int64_t channel = 0; channel < row.channels; channel += kWidth) {
    for (int64_t r = 0; r < row.rows; ++r) {
      for (int64_t t = 0; t < row.taps; ++t) add_tap(row, r, t, grad, channel, row.channels - channel, sum);
    }
  }
}

template <int T, int kStep>
void backward_row(const DepthwiseRow& row, const float* grad, float* const* sum) {
  const Range inside = interior(row);
  for (int64_t next = 0; next < row.channels; next += kWidth) {
    const int64_t channel = whole_vector(row, next);
    const int64_t known = next - channel;
    int64_t r = 0;
    if (T < 5) {
      for (; r + 3 <= row.rows; r += 3) add_rows<3, T, kStep>(row, r, grad, inside, channel, known, sum);
    }
    for (; r + 2 <= row.rows; r += 2) add_rows<2, T, kStep>(row, r, grad, inside, channel, known, sum);
    for (; r < row.rows; ++r) add_rows<1, T, kStep>(row, r, grad, inside, channel, known, sum);
  }
}

void backward_weight(const DepthwiseRow& row, const float* grad_output, float* const* sum) {
  if (row.tap_step == 1 && row.channels >= kWidth) {
    if (row.taps == 3 && row.in_step == 1) return backward_row<3, 1>(row, grad_output, sum);
    if (row.taps == 3 && row.in_step == 2) return backward_row<3, 2>(row, grad_output, sum);
    if (row.taps == 4 && row.in_step == 1) return backward_row<4, 1>(row, grad_output, sum);
    if (row.taps == 5 && row.in_step == 1) return backward_row<5, 1>(row, grad_output, sum);
    if (row.taps == 7 && row.in_step == 1) return backward_row<7, 1>(row, grad_output, sum);
    if (row.taps == 5 && row.in_step == 2) return backward_row<5, 2>(row, grad_output, sum);
  }
  add_taps(row, grad_output, sum);
}

void add_statistics(const float* values, int64_t rows, int64_t columns, bool begin, float* sums) {
  for (int64_t column = 0; column < columns; column += kWidth) {
    const int64_t left = columns - column;
    const float* p = values + column;
    float* at = sums + column;
    if (begin) {
      // Deviations from a value of the same size as the mean do not cancel.
      const int64_t first = min_of(rows, 16);
      Vec mean = zero();
      for (int64_t i = 0; i < first; ++i) mean = mean + load_upto(p + i * columns, left);
      store_upto(at, mean * set1(1.0f / static_cast<float>(first)), left);
      store_upto(at + columns, zero(), left);
      store_upto(at + 2 * columns, zero(), left);
    }
    const Vec shift = load_upto(at, left);
    Vec sum = load_upto(at + columns, left);
    Vec squares = load_upto(at + 2 * columns, left);
    for (int64_t i = 0; i < rows; ++i) {
      const Vec value = load_upto(p + i * columns, left) - shift;
      sum = sum + value;
      squares = fmadd(value, value, squares);
    }
    store_upto(at + columns, sum, left);
    store_upto(at + 2 * columns, squares, left);
  }
}

void finish_statistics(int64_t rows, int64_t columns, float* sums) {
  const Vec count = set1(static_cast<float>(rows));
  const Vec inverse = set1(1.0f / static_cast<float>(rows));
  for (int64_t column = 0; column < columns; column += kWidth) {
    const int64_t left = columns - column;
    float* at = sums + column;
    const Vec sum = load_upto(at + columns, left);
    const Vec offset = sum * inverse;
    store_upto(at + columns, load_upto(at, left) + offset, left);
    store_upto(at + 2 * columns, max(zero(), load_upto(at + 2 * columns, left) - sum * offset), left);
    store_upto(at, count, left);
  }
}

}  // namespace

DepthwiseKernels depthwise_kernels() {
  return {forward, forward_pair, backward_weight, add_statistics, finish_statistics};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
