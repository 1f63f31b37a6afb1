// SPDX-License-Identifier: Apache-2.0
#include "isa/row_norm.h"

#include "isa/kernels/lane_sums.h"
#include "isa/kernels/lanes.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

// Floats whose sums stay in float32 before they join a double.
constexpr int64_t kBlock = 4096;

/// Calls body.run<kVectors, kFull>(first float, lanes) over [begin, end), four vectors at a time.
template <class Body>
CNNCORE_INLINE void for_vectors(Body& body, int64_t begin, int64_t end) {
  int64_t i = begin;
  for (; i + 4 * kWidth <= end; i += 4 * kWidth) body.template run<4, true>(i, kWidth);
  for (; i + kWidth <= end; i += kWidth) body.template run<1, true>(i, kWidth);
  if (i < end) body.template run<1, false>(i, end - i);
}

template <bool kFull>
CNNCORE_INLINE Vec load_lanes(const float* p, int64_t lanes) {
  return kFull ? load(p) : load_partial(p, lanes);
}
template <bool kFull>
CNNCORE_INLINE Vec keep_lanes(Vec v, int64_t lanes) {
  return kFull ? v : select(first_lanes(lanes), v, zero());
}

CNNCORE_INLINE double total(const Vec (&sum)[4]) {
  return static_cast<double>(sum_lanes((sum[0] + sum[1]) + (sum[2] + sum[3])));
}

struct Sum {
  const float* x;
  Vec sum[4] = {zero(), zero(), zero(), zero()};

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t i, int64_t lanes) {
    for (int v = 0; v < V; ++v) sum[v] = sum[v] + load_lanes<kFull>(x + i + v * kWidth, lanes);
  }
};

/// Deviations from a center, and their squares.
struct Deviations {
  const float* x;
  Vec center;
  Vec sum[4] = {zero(), zero(), zero(), zero()};
  Vec squares[4] = {zero(), zero(), zero(), zero()};

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t i, int64_t lanes) {
    for (int v = 0; v < V; ++v) {
      const Vec d = keep_lanes<kFull>(load_lanes<kFull>(x + i + v * kWidth, lanes) - center, lanes);
      sum[v] = sum[v] + d;
      squares[v] = fmadd(d, d, squares[v]);
    }
  }
};

struct Apply {
  const float* x;
  const float* weight;
  const float* bias;
  Vec mean;
  Vec invstd;
  float* y;

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t i, int64_t lanes) {
    for (int v = 0; v < V; ++v) {
      const int64_t at = i + v * kWidth;
      Vec value = (load_lanes<kFull>(x + at, lanes) - mean) * invstd;
      if (weight != nullptr) value = value * load_lanes<kFull>(weight + at, lanes);
      if (bias != nullptr) value = value + load_lanes<kFull>(bias + at, lanes);
      if (kFull) {
        store(y + at, value);
      } else {
        store_partial(y + at, value, lanes);
      }
    }
  }
};

/// What a row's values deviate from: nearly the mean, so that little is lost in the deviations' squares.
float center_of(const float* x, int64_t features) {
  double all = 0.0;
  for (int64_t begin = 0; begin < features; begin += kBlock) {
    Sum sum{x};
    for_vectors(sum, begin, min_of(features, begin + kBlock));
    all += total(sum.sum);
  }
  return static_cast<float>(all / static_cast<double>(features));
}

void rows(const float* x, const float* weight, const float* bias, int64_t count, int64_t features, double eps,
          bool centred, float* y, float* mean, float* invstd) {
  const auto n = static_cast<double>(features);
  for (int64_t r = 0; r < count; ++r, x += features, y += features) {
    const float center = centred ? center_of(x, features) : 0.0f;
    double sum = 0.0, squares = 0.0;
    for (int64_t begin = 0; begin < features; begin += kBlock) {
      Deviations part{x, set1(center)};
      for_vectors(part, begin, min_of(features, begin + kBlock));
      sum += total(part.sum);
      squares += total(part.squares);
    }
    const double shift = centred ? sum / n : 0.0;
    const double variance = squares / n - shift * shift;
    mean[r] = static_cast<float>(static_cast<double>(center) + shift);
    // Rounding may leave less than nothing; NaN stays.
    invstd[r] = static_cast<float>(1.0 / __builtin_sqrt((variance < 0.0 ? 0.0 : variance) + eps));
    Apply apply{x, weight, bias, set1(mean[r]), set1(invstd[r]), y};
    for_vectors(apply, 0, features);
  }
}

/// Sums over a row of the gradient by the normalised x, and of it times the normalised x.
struct GradientSums {
  const float* grad_output;
  const float* x;
  const float* weight;
  Vec mean;
  Vec invstd;
  float* sums;
  int64_t features;
  Vec sum[4] = {zero(), zero(), zero(), zero()};
  Vec products[4] = {zero(), zero(), zero(), zero()};

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t i, int64_t lanes) {
    for (int v = 0; v < V; ++v) {
      const int64_t at = i + v * kWidth;
      Vec grad = load_lanes<kFull>(grad_output + at, lanes);
      const Vec value = keep_lanes<kFull>((load_lanes<kFull>(x + at, lanes) - mean) * invstd, lanes);
      if (sums != nullptr) add(at, grad * value, grad, kFull ? kWidth : lanes);
      if (weight != nullptr) grad = grad * load_lanes<kFull>(weight + at, lanes);
      sum[v] = sum[v] + grad;
      products[v] = fmadd(grad, value, products[v]);
    }
  }
  CNNCORE_MEMBER void add(int64_t at, Vec product, Vec grad, int64_t lanes) const {
    float* biases = sums + features;
    store_upto(sums + at, load_upto(sums + at, lanes) + product, lanes);
    store_upto(biases + at, load_upto(biases + at, lanes) + grad, lanes);
  }
};

struct GradientApply {
  const float* grad_output;
  const float* x;
  const float* weight;
  Vec invstd;
  Vec slope;  // of x
  Vec offset;
  float* grad_input;

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t i, int64_t lanes) {
    for (int v = 0; v < V; ++v) {
      const int64_t at = i + v * kWidth;
      Vec grad = load_lanes<kFull>(grad_output + at, lanes);
      if (weight != nullptr) grad = grad * load_lanes<kFull>(weight + at, lanes);
      const Vec value = fmadd(grad, invstd, fmadd(load_lanes<kFull>(x + at, lanes), slope, offset));
      store_upto(grad_input + at, value, kFull ? kWidth : lanes);
    }
  }
};

void rows_backward(const float* grad_output, const float* x, const float* weight, const float* mean,
                   const float* invstd, int64_t count, int64_t features, bool centred, float* grad_input,
                   float* sums) {
  if (sums != nullptr) {
    for (int64_t i = 0; i < 2 * features; ++i) sums[i] = 0.0f;
  }
  const auto n = static_cast<double>(features);
  for (int64_t r = 0; r < count; ++r) {
    double sum = 0.0, products = 0.0;
    for (int64_t begin = 0; begin < features; begin += kBlock) {
      GradientSums part{grad_output, x, weight, set1(mean[r]), set1(invstd[r]), sums, features};
      for_vectors(part, begin, min_of(features, begin + kBlock));
      sum += total(part.sum);
      products += total(part.products);
    }
    const auto scale = static_cast<double>(invstd[r]);
    const double slope = -scale * scale * products / n;
    const double offset = (centred ? -scale * sum / n : 0.0) - slope * static_cast<double>(mean[r]);
    GradientApply apply{grad_output,
                        x,
                        weight,
                        set1(invstd[r]),
                        set1(static_cast<float>(slope)),
                        set1(static_cast<float>(offset)),
                        grad_input};
    for_vectors(apply, 0, features);
    grad_output += features;
    x += features;
    grad_input += features;
  }
}

void window_sums(const float* x, int64_t count, int64_t features, int64_t before, int64_t after,
                 float* padded, float* y) {
  for (int64_t i = 0; i < before; ++i) padded[i] = 0.0f;
  for (int64_t i = 0; i < after + kWidth; ++i) padded[before + features + i] = 0.0f;
  for (int64_t r = 0; r < count; ++r, x += features, y += features) {
    for (int64_t i = 0; i < features; i += kWidth) {
      store_upto(padded + before + i, load_upto(x + i, features - i), features - i);
    }
    for (int64_t i = 0; i < features; i += kWidth) {
      Vec sum = load(padded + i);
      for (int64_t j = 1; j <= before + after; ++j) sum = sum + load(padded + i + j);
      store_upto(y + i, sum, features - i);
    }
  }
}

}  // namespace

RowNormKernels row_norm_kernels() { return {rows, rows_backward, window_sums}; }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
