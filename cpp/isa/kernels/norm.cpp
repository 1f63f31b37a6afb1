// SPDX-License-Identifier: Apache-2.0
#include "isa/norm.h"

#include "isa/kernels/activation_gate.h"
#include "isa/kernels/channel_runs.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

// Pixels added up in registers before the running sums in memory are touched; also the first level of
// the summation tree.
constexpr int kGroup = 8;

/// Calls body.run<kPixels, kFull>(first pixel, first channel, lanes) over the block, pixels in groups.
template <int kPixels, class Body>
CNNCORE_INLINE void for_group(const Body& body, int64_t pixel, int64_t channels) {
  int64_t c = 0;
  for (; c + kWidth <= channels; c += kWidth) body.template run<kPixels, true>(pixel, c, kWidth);
  if (c < channels) body.template run<kPixels, false>(pixel, c, channels - c);
}

template <int kPixels, class Body>
CNNCORE_INLINE void for_block(const Body& body, PixelBlock block) {
  int64_t pixel = 0;
  for (; pixel + kPixels <= block.pixels; pixel += kPixels) for_group<kPixels>(body, pixel, block.channels);
  if (kPixels > 1) {
    for (; pixel < block.pixels; ++pixel) for_group<1>(body, pixel, block.channels);
  }
}

CNNCORE_INLINE void clear(float* p, int64_t n) {
  for (int64_t i = 0; i < n; ++i) p[i] = 0.0f;
}

/// Welford's update by whole groups: a group's mean and squares come from registers and join the running
/// ones by Chan's formula.
struct Statistics {
  const float* x;
  int64_t channels;
  float* mean;
  float* squares;

  template <int kPixels, bool kFull>
  CNNCORE_MEMBER void run(int64_t pixel, int64_t c, int64_t lanes) const {
    const float* p = x + pixel * channels + c;
    Vec value[kPixels];
    Vec sum = zero();
    for (int i = 0; i < kPixels; ++i) {
      value[i] = load_some<kFull>(p + i * channels, lanes);
      sum = sum + value[i];
    }
    const Vec group_mean = sum * set1(1.0f / kPixels);
    Vec deviations = zero();
    for (int i = 0; i < kPixels; ++i) {
      const Vec d = value[i] - group_mean;
      deviations = fmadd(d, d, deviations);
    }
    const float share = static_cast<float>(kPixels) / static_cast<float>(pixel + kPixels);
    const Vec old_mean = load_some<kFull>(mean + c, lanes);
    const Vec delta = group_mean - old_mean;
    const Vec joined = fmadd(delta * delta, set1(share * static_cast<float>(pixel)), deviations);
    store_some<kFull>(mean + c, fmadd(delta, set1(share), old_mean), lanes);
    store_some<kFull>(squares + c, load_some<kFull>(squares + c, lanes) + joined, lanes);
  }
};

void statistics(const float* x, PixelBlock block, float* out) {
  const int64_t channels = block.channels;
  for (int64_t c = 0; c < channels; ++c) out[c] = static_cast<float>(block.pixels);
  clear(out + channels, 2 * channels);
  for_block<kGroup>(Statistics{x, channels, out + channels, out + 2 * channels}, block);
}

// One native vector of doubles; twice as many lanes would be kept in memory by GCC.
constexpr int kDoubles = kWidth / 2;
typedef double Doubles __attribute__((vector_size(kDoubles * 8)));

/// kDoubles floats, or `lanes` of them and zeros.
template <bool kFull>
CNNCORE_INLINE Doubles load_doubles(const float* p, int64_t lanes) {
  typedef float Floats __attribute__((vector_size(kDoubles * 4)));
  Floats v = {};
  if (kFull) {
    __builtin_memcpy(&v, p, sizeof v);
  } else {
    for (int64_t i = 0; i < lanes; ++i) v[i] = p[i];
  }
  return __builtin_convertvector(v, Doubles);
}

template <bool kFull>
CNNCORE_INLINE void store_doubles(double* p, Doubles v, int64_t lanes) {
  if (kFull) {
    __builtin_memcpy(p, &v, sizeof v);
  } else {
    for (int64_t i = 0; i < lanes; ++i) p[i] = v[i];
  }
}

/// Calls body.run<vectors, kFull>(first channel, lanes) for vectors of doubles, four at a time where
/// possible.
template <class Body>
CNNCORE_INLINE void for_doubles(const Body& body, int64_t begin, int64_t end) {
  int64_t c = begin;
  for (; c + 4 * kDoubles <= end; c += 4 * kDoubles) body.template run<4, true>(c, kDoubles);
  for (; c + kDoubles <= end; c += kDoubles) body.template run<1, true>(c, kDoubles);
  if (c < end) body.template run<1, false>(c, end - c);
}

struct MergeRows {
  const float* statistics;
  int64_t rows;
  int64_t channels;
  double* mean;
  double* squares;

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes) const {
    Doubles means[V], sums[V];
    for (int v = 0; v < V; ++v) means[v] = sums[v] = Doubles{};
    double seen = 0.0;
    const float* row = statistics + c;
    for (int64_t r = 0; r < rows; ++r, row += 3 * channels) {
      const double pixels = row[0];
      if (pixels == 0.0) continue;
      const double share = pixels / (seen + pixels);
      const double cross = share * seen;
      for (int v = 0; v < V; ++v) {
        const float* p = row + channels + v * kDoubles;
        const Doubles delta = load_doubles<kFull>(p, lanes) - means[v];
        means[v] += delta * share;
        sums[v] += load_doubles<kFull>(p + channels, lanes) + delta * delta * cross;
      }
      seen += pixels;
    }
    for (int v = 0; v < V; ++v) {
      store_doubles<kFull>(mean + c + v * kDoubles, means[v], lanes);
      store_doubles<kFull>(squares + c + v * kDoubles, sums[v], lanes);
    }
  }
};

void merge_statistics(const float* statistics_rows, int64_t rows, int64_t channels, int64_t begin,
                      int64_t end, double* mean, double* squares) {
  for_doubles(MergeRows{statistics_rows, rows, channels, mean, squares}, begin, end);
}

struct SumRows {
  const float* matrix;
  int64_t rows;
  int64_t row_step;
  double* sum;

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes) const {
    Doubles sums[V];
    for (int v = 0; v < V; ++v) sums[v] = Doubles{};
    const float* row = matrix + c;
    for (int64_t r = 0; r < rows; ++r, row += row_step) {
      for (int v = 0; v < V; ++v) sums[v] += load_doubles<kFull>(row + v * kDoubles, lanes);
    }
    for (int v = 0; v < V; ++v) store_doubles<kFull>(sum + c + v * kDoubles, sums[v], lanes);
  }
};

void sum_rows(const float* matrix, int64_t rows, int64_t row_step, int64_t begin, int64_t end, double* sum) {
  for_doubles(SumRows{matrix, rows, row_step, sum}, begin, end);
}

void inverse_deviation(const double* squares, double count, double eps, int64_t channels, float* invstd) {
  for (int64_t c = 0; c < channels; ++c) {
    invstd[c] = static_cast<float>(1.0 / __builtin_sqrt(squares[c] / count + eps));
  }
}

/// An activation that is looked up: a call for each vector, which the functions outweigh.
struct AnyForward {
  Vec (*apply)(Vec x, Vec alpha);
};

template <class A>
struct Apply {
  const float* x;
  int64_t x_pitch;
  const float* scale;
  const float* shift;
  const float* residual;
  int64_t channels;
  Vec alpha;
  float* output;
  int64_t pitch;  // of the output
  A activation;

  template <int kPixels, bool kFull>
  CNNCORE_MEMBER void run(int64_t pixel, int64_t c, int64_t lanes) const {
    Vec v = fmadd(load_some<kFull>(x + pixel * x_pitch + c, lanes), load_some<kFull>(scale + c, lanes),
                  load_some<kFull>(shift + c, lanes));
    if (residual != nullptr) v = v + load_some<kFull>(residual + pixel * channels + c, lanes);
    store_some<kFull>(output + pixel * pitch + c, activation.apply(v, alpha), lanes);
  }
};

template <class A>
void apply_as(const float* x, int64_t x_pitch, const float* scale, const float* shift, const float* residual,
              PixelBlock block, float alpha, float* output, int64_t pitch, A activation = {}) {
  for_block<1>(
      Apply<A>{x, x_pitch, scale, shift, residual, block.channels, set1(alpha), output, pitch, activation},
      block);
}

void apply(const float* x, int64_t x_pitch, const float* scale, const float* shift, const float* residual,
           PixelBlock block, Activation activation, float alpha, float* output, int64_t pitch) {
  switch (activation) {
    case Activation::none:
      return apply_as<NoActivation>(x, x_pitch, scale, shift, residual, block, alpha, output, pitch);
    case Activation::relu:
      return apply_as<Relu>(x, x_pitch, scale, shift, residual, block, alpha, output, pitch);
    case Activation::leaky_relu:
      return apply_as<LeakyRelu>(x, x_pitch, scale, shift, residual, block, alpha, output, pitch);
    case Activation::relu6:
      return apply_as<Relu6>(x, x_pitch, scale, shift, residual, block, alpha, output, pitch);
    default:
      return apply_as<AnyForward>(x, x_pitch, scale, shift, residual, block, alpha, output, pitch,
                                  {vector_activation(activation).apply});
  }
}

template <class GateType>
struct BackwardSums {
  const float* grad_output;
  const float* x;
  const float* mean;
  const GateType& gate;
  int64_t channels;
  float* sums;
  float* grad_residual;

  template <int kPixels, bool kFull>
  CNNCORE_MEMBER void run(int64_t pixel, int64_t c, int64_t lanes) const {
    const int64_t at = pixel * channels + c;
    float* products = sums + channels;
    const Vec input = load_some<kFull>(x + at, lanes);
    const Vec grad =
        gate.template pass<kFull>(load_some<kFull>(grad_output + at, lanes), input, at, c, lanes);
    if (grad_residual != nullptr) store_some<kFull>(grad_residual + at, grad, lanes);
    const Vec deviation = input - load_some<kFull>(mean + c, lanes);
    store_some<kFull>(sums + c, load_some<kFull>(sums + c, lanes) + grad, lanes);
    store_some<kFull>(products + c, fmadd(grad, deviation, load_some<kFull>(products + c, lanes)), lanes);
  }
};

// Pixel by pixel: several rows at a time would be as many streams, more than the prefetchers follow, and
// half as fast.
void backward_sums(const float* grad_output, const float* x, const float* mean, const ActivationGate& gate,
                   PixelBlock block, float* sums, float* grad_residual) {
  clear(sums, 2 * block.channels);
  with_gate(gate, [&](const auto fixed) {
    for_block<1>(
        BackwardSums<decltype(fixed)>{grad_output, x, mean, fixed, block.channels, sums, grad_residual},
        block);
  });
}

template <class GateType, bool kCentred>
struct BackwardApply {
  const float* grad_output;
  const float* x;
  const float* a;
  const float* b;
  const float* c;
  const GateType& gate;
  int64_t channels;
  float* grad_input;
  float* grad_residual;

  template <int kPixels, bool kFull>
  CNNCORE_MEMBER void run(int64_t pixel, int64_t channel, int64_t lanes) const {
    const int64_t at = pixel * channels + channel;
    const Vec input = load_some<kFull>(x + at, lanes);
    const Vec grad =
        gate.template pass<kFull>(load_some<kFull>(grad_output + at, lanes), input, at, channel, lanes);
    if (grad_residual != nullptr) store_some<kFull>(grad_residual + at, grad, lanes);
    const Vec factor = load_some<kFull>(a + channel, lanes);
    const Vec result =
        kCentred
            ? fmadd(grad, factor,
                    fmadd(input, load_some<kFull>(b + channel, lanes), load_some<kFull>(c + channel, lanes)))
            : grad * factor;
    store_some<kFull>(grad_input + at, result, lanes);
  }
};

void backward_apply(const float* grad_output, const float* x, const float* a, const float* b, const float* c,
                    const ActivationGate& gate, PixelBlock block, float* grad_input, float* grad_residual) {
  with_gate(gate, [&](const auto fixed) {
    using GateType = decltype(fixed);
    if (b != nullptr) {
      for_block<1>(BackwardApply<GateType, true>{grad_output, x, a, b, c, fixed, block.channels, grad_input,
                                                 grad_residual},
                   block);
    } else {
      for_block<1>(BackwardApply<GateType, false>{grad_output, x, a, b, c, fixed, block.channels, grad_input,
                                                  grad_residual},
                   block);
    }
  });
}

template <class GateType>
struct GateSum {
  const float* grad_output;
  const GateType& gate;
  int64_t channels;
  float* grad_input;
  float* sums;

  template <int kPixels, bool kFull>
  CNNCORE_MEMBER void run(int64_t pixel, int64_t c, int64_t lanes) const {
    const int64_t at = pixel * channels + c;
    const Vec grad =
        gate.template pass<kFull>(load_some<kFull>(grad_output + at, lanes), zero(), at, c, lanes);
    if (grad_input != nullptr) store_some<kFull>(grad_input + at, grad, lanes);
    if (sums != nullptr) store_some<kFull>(sums + c, load_some<kFull>(sums + c, lanes) + grad, lanes);
  }
};

void gate(const float* grad_output, const ActivationGate& gate, PixelBlock block, float* grad_input,
          float* sums) {
  if (sums != nullptr) clear(sums, block.channels);
  with_gate(gate, [&](const auto fixed) {
    for_block<1>(GateSum<decltype(fixed)>{grad_output, fixed, block.channels, grad_input, sums}, block);
  });
}

}  // namespace

NormKernels norm_kernels() {
  return {statistics, merge_statistics, inverse_deviation, sum_rows,
          apply,      backward_sums,    backward_apply,    gate};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
