// SPDX-License-Identifier: Apache-2.0
// Vectors run along channels, several groups in each. Of an input vector, four channels of each group at a
// time are brought to the first lanes of every four: a channel then reaches its group's lanes in one in-lane
// permutation, which all pixels and taps share.
#include "isa/grouped.h"

#include "isa/kernels/channel_output.h"
#include "isa/kernels/tiles.h"
#include "isa/kernels/transpose.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

#if defined(__AVX2__)

constexpr int kTaps = 3;
constexpr int kPart = 4;  // channels of a group that are permuted together

#if defined(__AVX512F__)

constexpr int kSummed = 4;  // channels of a part whose gradients are summed together

/// The lanes of channels 4 * part ... 4 * part + 3 of each lane's group, in every four lanes.
CNNCORE_INLINE IVec lanes_of_part(int64_t depth, int64_t part) {
  const IVec lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const IVec group = iand(lane, iset1(-static_cast<int>(depth)));
  return iadd(iadd(group, iand(lane, iset1(kPart - 1))), iset1(kPart * static_cast<int>(part)));
}
/// Lane kLane of every four lanes in all of them.
template <int kLane>
CNNCORE_INLINE Vec spread(Vec v) {
  return _mm512_permute_ps(v, kLane * 0x55);
}
/// v's lanes as lanes_of_part() numbers them.
CNNCORE_INLINE Vec part_of(Vec v, IVec lanes) { return permute(v, lanes); }

#else

constexpr int kSummed = 2;  // sums of more, and what is added to them, find no registers

CNNCORE_INLINE IVec lanes_of_part(int64_t, int64_t) { return iset1(0); }
template <int kLane>
CNNCORE_INLINE Vec spread(Vec v) {
  return _mm256_permute_ps(v, kLane * 0x55);
}
CNNCORE_INLINE Vec part_of(Vec v, IVec) { return v; }  // of groups of four channels

#endif

/// One channel of each group in all of its lanes. Whole vectors are loaded without a mask: where they are not
/// in the cache, loads with a mask took four times as long (Zen 5).
struct Channels {
  static CNNCORE_MEMBER Channels of(const float* pixel, int64_t left, IVec lanes) {
    const Vec part = part_of(load_upto(pixel, left), lanes);
    return {{spread<0>(part), spread<1>(part), spread<2>(part), spread<3>(part)}};
  }
  Vec channel[kPart];
};

/// Calls body(tap, k, pixel, channel k) for the input columns under N pixels, each tap that reads them, and
/// kCount channels of a part from kFirst on.
template <int N, int kStep, int kFirst, int kCount, class Body>
CNNCORE_INLINE void for_columns(const DepthwiseRow& row, const float* input, int64_t x, int64_t left,
                                IVec lanes, const Body& body) {
#pragma GCC unroll 16
  for (int column = 0; column < (N - 1) * kStep + kTaps; ++column) {
    if (x + column < 0 || x + column >= row.in_size) continue;
    const Channels value = Channels::of(input + column * row.pitch, left, lanes);
#pragma GCC unroll 4
    for (int k = kFirst; k < kFirst + kCount; ++k) {
#pragma GCC unroll 3
      for (int t = 0; t < kTaps; ++t) {
        const int distance = column - t;
        if (distance < 0 || distance % kStep != 0 || distance / kStep >= N) continue;
        body(t, k, distance / kStep, value.channel[k]);
      }
    }
  }
}

/// kDepthwisePixels pixels from `pixel` on, of which `count` are stored.
template <int kStep>
CNNCORE_INLINE void forward_pixels(const DepthwiseRow& row, const DepthwiseOutput& out, const Epilogue& last,
                                   int64_t pixel, int64_t count, int64_t channel, int64_t left, int64_t depth,
                                   int64_t block) {
  Vec sum[kDepthwisePixels];
#pragma GCC unroll 8
  for (int i = 0; i < kDepthwisePixels; ++i) sum[i] = last.bias;
  const int64_t x = row.in_start + pixel * kStep;
  for (int64_t r = 0; r < row.rows; ++r) {
    const float* weight = row.weight[r] + channel / kWidth * block;
    for (int64_t part = 0; part < depth / kPart; ++part, weight += kPart * kWidth) {
      Vec w[kTaps][kPart];
#pragma GCC unroll 3
      for (int t = 0; t < kTaps; ++t) {
#pragma GCC unroll 4
        for (int k = 0; k < kPart; ++k) w[t][k] = load(weight + t * row.weight_step + k * kWidth);
      }
      for_columns<kDepthwisePixels, kStep, 0, kPart>(
          row, row.row[r] + x * row.pitch + channel, x, left, lanes_of_part(depth, part),
          [&](int t, int k, int i, Vec value) { sum[i] = fmadd(value, w[t][k], sum[i]); });
    }
  }
  finish(out, last, pixel, channel, left, sum, 0, count);
}

template <int kStep>
void forward_row(const DepthwiseRow& row, const DepthwiseOutput& out, int64_t depth, int64_t block) {
  for (int64_t channel = 0; channel < row.channels; channel += kWidth) {
    const int64_t left = min_of(row.channels - channel, kWidth);
    const Epilogue last = epilogue(out, channel, left);
    for (int64_t i = 0; i < row.count; i += kDepthwisePixels) {
      // The last pixels are computed with those before them once more.
      const int64_t pixel = max_of(0, min_of(i, row.count - kDepthwisePixels));
      forward_pixels<kStep>(row, out, last, pixel, row.count - pixel, channel, left, depth, block);
    }
  }
}

void forward(const DepthwiseRow& row, const DepthwiseOutput& out, int64_t depth, int64_t block) {
  if (row.in_step == 1) {
    forward_row<1>(row, out, depth, block);
  } else {
    forward_row<2>(row, out, depth, block);
  }
  if (!in_registers(out.activation)) activate_pixels(row, out, 0);
}

template <int N, int kStep, int kFirst>
CNNCORE_INLINE void add_products(const DepthwiseRow& row, const float* input, const float* grad,
                                 int64_t pixel, int64_t left, IVec lanes, Vec (&total)[kTaps][kSummed]) {
  Vec g[N];
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) g[n] = load_upto(grad + (pixel + n) * row.pitch, left);
  const int64_t x = row.in_start + pixel * kStep;
  for_columns<N, kStep, kFirst, kSummed>(row, input + x * row.pitch, x, left, lanes,
                                         [&](int t, int k, int i, Vec value) {
                                           Vec& sum = total[t][k - kFirst];
                                           sum = fmadd(value, g[i], sum);
                                         });
}

/// Of channels kFirst ... kFirst + kSummed - 1 of a part, whose sums begin at `sum`.
template <int kStep, int kFirst>
CNNCORE_INLINE void add_row(const DepthwiseRow& row, const float* input, const float* grad, int64_t left,
                            IVec lanes, float* sum) {
  constexpr int kGradients = 4;
  Vec total[kTaps][kSummed];
#pragma GCC unroll 3
  for (int t = 0; t < kTaps; ++t) {
#pragma GCC unroll 4
    for (int k = 0; k < kSummed; ++k) total[t][k] = load(sum + t * row.weight_step + k * kWidth);
  }
  int64_t i = 0;
  for (; i + kGradients <= row.count; i += kGradients)
    add_products<kGradients, kStep, kFirst>(row, input, grad, i, left, lanes, total);
  for (; i < row.count; ++i) add_products<1, kStep, kFirst>(row, input, grad, i, left, lanes, total);
#pragma GCC unroll 3
  for (int t = 0; t < kTaps; ++t) {
#pragma GCC unroll 4
    for (int k = 0; k < kSummed; ++k) store(sum + t * row.weight_step + k * kWidth, total[t][k]);
  }
}

template <int kStep>
void backward_row(const DepthwiseRow& row, const float* grad_output, float* const* sum, int64_t depth,
                  int64_t block) {
  for (int64_t channel = 0; channel < row.channels; channel += kWidth) {
    const int64_t left = min_of(row.channels - channel, kWidth);
    const float* grad = grad_output + channel;
    for (int64_t r = 0; r < row.rows; ++r) {
      const float* input = row.row[r] + channel;
      for (int64_t part = 0; part < depth / kPart; ++part) {
        const IVec lanes = lanes_of_part(depth, part);
        float* sums = sum[r] + channel / kWidth * block + part * kPart * kWidth;
        add_row<kStep, 0>(row, input, grad, left, lanes, sums);
        if constexpr (kSummed < kPart)
          add_row<kStep, kSummed>(row, input, grad, left, lanes, sums + kSummed * kWidth);
      }
    }
  }
}

void backward_weight(const DepthwiseRow& row, const float* grad_output, float* const* sum, int64_t depth,
                     int64_t block) {
  if (row.in_step == 1) {
    backward_row<1>(row, grad_output, sum, depth, block);
  } else {
    backward_row<2>(row, grad_output, sum, depth, block);
  }
}

#else

constexpr void (*forward)(const DepthwiseRow&, const DepthwiseOutput&, int64_t, int64_t) = nullptr;
constexpr void (*backward_weight)(const DepthwiseRow&, const float*, float* const*, int64_t,
                                  int64_t) = nullptr;

#endif

}  // namespace

GroupedKernels grouped_kernels() { return {forward, backward_weight}; }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
