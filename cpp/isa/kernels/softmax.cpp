// SPDX-License-Identifier: Apache-2.0
#include "isa/softmax.h"

#include "isa/kernels/lane_sums.h"
#include "isa/kernels/lanes.h"
#include "isa/kernels/vec_math.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

CNNCORE_INLINE Vec lowest() { return set1(-__builtin_inff()); }

/// Partial load whose missing lanes are -inf: exp() of them is 0.
CNNCORE_INLINE Vec load_logits(const float* p, int64_t n) {
  return n >= kWidth ? load(p) : select(first_lanes(n), load_partial(p, n), lowest());
}

CNNCORE_INLINE float largest_of(const float* x, int64_t classes) {
  Vec top = lowest();
  for (int64_t c = 0; c < classes; c += kWidth) top = max(top, load_logits(x + c, classes - c));
  return max_lane(top);
}

CNNCORE_INLINE float exp_sum(const float* x, int64_t classes, float largest) {
  const Vec top = set1(largest);
  Vec sum = zero();
  for (int64_t c = 0; c < classes; c += kWidth)
    sum = sum + bounded_exp(load_logits(x + c, classes - c) - top);
  return sum_lanes(sum);
}

void softmax_row(const float* x, int64_t classes, float* y) {
  const Vec top = set1(largest_of(x, classes));
  Vec sum = zero();
  for (int64_t c = 0; c < classes; c += kWidth) {
    const Vec e = bounded_exp(load_logits(x + c, classes - c) - top);
    sum = sum + e;
    store_upto(y + c, e, classes - c);
  }
  const Vec total = set1(sum_lanes(sum));
  for (int64_t c = 0; c < classes; c += kWidth) {
    store_upto(y + c, load_upto(y + c, classes - c) / total, classes - c);
  }
}

void log_softmax_row(const float* x, int64_t classes, float* y) {
  const float largest = largest_of(x, classes);
  const Vec top = set1(largest);
  const Vec log_sum = log(set1(exp_sum(x, classes, largest)));
  for (int64_t c = 0; c < classes; c += kWidth) {
    store_upto(y + c, load_upto(x + c, classes - c) - top - log_sum, classes - c);
  }
}

/// A row of few classes: V vectors in registers, of which the last holds `tail` classes, and their
/// exponentials.
template <int V>
struct ShortRow {
  Vec logit[V];
  Vec power[V];
  float largest;
  float sum;

  CNNCORE_MEMBER ShortRow(const float* x, int64_t tail, Mask inside) {
    for (int v = 0; v + 1 < V; ++v) logit[v] = load(x + v * kWidth);
    const float* last = x + (V - 1) * kWidth;
    logit[V - 1] = tail == kWidth ? load(last) : select(inside, load_partial(last, tail), lowest());
    Vec top = logit[0];
    for (int v = 1; v < V; ++v) top = max(top, logit[v]);
    largest = max_lane(top);
    top = set1(largest);
    for (int v = 0; v < V; ++v) power[v] = bounded_exp(logit[v] - top);
    Vec total = power[0];
    for (int v = 1; v < V; ++v) total = total + power[v];
    sum = sum_lanes(total);
  }
};

constexpr int64_t kShortRow = 4 * kWidth;

/// Calls body(row number, ShortRow, tail) for all rows, with the number of vectors fixed at compile time.
template <int V, class Body>
CNNCORE_INLINE void for_short_rows_of(const float* x, int64_t count, int64_t classes, const Body& body) {
  const int64_t tail = classes - (V - 1) * kWidth;
  const Mask inside = first_lanes(tail);
  for (int64_t r = 0; r < count; ++r) body(r, ShortRow<V>(x + r * classes, tail, inside), tail);
}

template <class Body>
CNNCORE_INLINE void for_short_rows(const float* x, int64_t count, int64_t classes, const Body& body) {
  switch ((classes + kWidth - 1) / kWidth) {
    case 1:
      return for_short_rows_of<1>(x, count, classes, body);
    case 2:
      return for_short_rows_of<2>(x, count, classes, body);
    case 3:
      return for_short_rows_of<3>(x, count, classes, body);
    default:
      return for_short_rows_of<4>(x, count, classes, body);
  }
}

template <int V>
CNNCORE_INLINE void store_row(float* y, const Vec (&value)[V], int64_t tail) {
  for (int v = 0; v + 1 < V; ++v) store(y + v * kWidth, value[v]);
  store_upto(y + (V - 1) * kWidth, value[V - 1], tail);
}

void rows(const float* x, int64_t count, int64_t classes, bool logarithm, float* y) {
  if (classes > kShortRow) {
    for (int64_t r = 0; r < count; ++r) {
      (logarithm ? log_softmax_row : softmax_row)(x + r * classes, classes, y + r * classes);
    }
  } else if (logarithm) {
    for_short_rows(x, count, classes, [&](int64_t r, auto row, int64_t tail) {
      const Vec top = set1(row.largest), log_sum = log(set1(row.sum));
      for (Vec& logit : row.logit) logit = logit - top - log_sum;
      store_row(y + r * classes, row.logit, tail);
    });
  } else {
    for_short_rows(x, count, classes, [&](int64_t r, auto row, int64_t tail) {
      const Vec sum = set1(row.sum);
      for (Vec& power : row.power) power = power / sum;
      store_row(y + r * classes, row.power, tail);
    });
  }
}

void columns(const float* x, int64_t classes, int64_t step, int64_t count, bool logarithm, float* y) {
  for (int64_t i = 0; i < count; i += kWidth) {
    const int64_t lanes = count - i;
    Vec top = lowest();
    for (int64_t c = 0; c < classes; ++c) top = max(top, load_upto(x + c * step + i, lanes));
    Vec sum = zero();
    for (int64_t c = 0; c < classes; ++c) {
      const Vec e = bounded_exp(load_upto(x + c * step + i, lanes) - top);
      sum = sum + e;
      if (!logarithm) store_upto(y + c * step + i, e, lanes);
    }
    const Vec offset = logarithm ? log(sum) : zero();
    for (int64_t c = 0; c < classes; ++c) {
      const int64_t at = c * step + i;
      const Vec value = logarithm ? load_upto(x + at, lanes) - top - offset : load_upto(y + at, lanes) / sum;
      store_upto(y + at, value, lanes);
    }
  }
}

/// softmax: y (g - sum of g y). log_softmax: g - e^y times the sum of g.
template <bool kLogarithm>
CNNCORE_INLINE Vec share(Vec grad, Vec y) {
  return kLogarithm ? grad : grad * y;
}
template <bool kLogarithm>
CNNCORE_INLINE Vec gradient(Vec grad, Vec y, Vec sum) {
  return kLogarithm ? fnmadd(bounded_exp(y), sum, grad) : y * (grad - sum);
}

template <bool kLogarithm>
void rows_backward_as(const float* grad_output, const float* y, int64_t count, int64_t classes,
                      float* grad_input) {
  for (int64_t r = 0; r < count; ++r, grad_output += classes, y += classes, grad_input += classes) {
    Vec sum = zero();
    for (int64_t c = 0; c < classes; c += kWidth) {
      const int64_t lanes = classes - c;
      sum = sum + share<kLogarithm>(load_upto(grad_output + c, lanes), load_upto(y + c, lanes));
    }
    const Vec total = set1(sum_lanes(sum));
    for (int64_t c = 0; c < classes; c += kWidth) {
      const int64_t lanes = classes - c;
      const Vec g = gradient<kLogarithm>(load_upto(grad_output + c, lanes), load_upto(y + c, lanes), total);
      store_upto(grad_input + c, g, lanes);
    }
  }
}

void rows_backward(const float* grad_output, const float* y, int64_t count, int64_t classes, bool logarithm,
                   float* grad_input) {
  (logarithm ? rows_backward_as<true> : rows_backward_as<false>)(grad_output, y, count, classes, grad_input);
}

template <bool kLogarithm>
void columns_backward_as(const float* grad_output, const float* y, int64_t classes, int64_t step,
                         int64_t count, float* grad_input) {
  for (int64_t i = 0; i < count; i += kWidth) {
    const int64_t lanes = count - i;
    Vec sum = zero();
    for (int64_t c = 0; c < classes; ++c) {
      const int64_t at = c * step + i;
      sum = sum + share<kLogarithm>(load_upto(grad_output + at, lanes), load_upto(y + at, lanes));
    }
    for (int64_t c = 0; c < classes; ++c) {
      const int64_t at = c * step + i;
      const Vec g = gradient<kLogarithm>(load_upto(grad_output + at, lanes), load_upto(y + at, lanes), sum);
      store_upto(grad_input + at, g, lanes);
    }
  }
}

void columns_backward(const float* grad_output, const float* y, int64_t classes, int64_t step, int64_t count,
                      bool logarithm, float* grad_input) {
  (logarithm ? columns_backward_as<true> : columns_backward_as<false>)(grad_output, y, classes, step, count,
                                                                       grad_input);
}

/// Where a row would fill at most half a vector, lanes are rows: kWidth rows, transposed.
constexpr int64_t kFewClasses = kWidth / 2;

struct RowsAcross {
  float classes_of[kFewClasses][kWidth];

  CNNCORE_MEMBER RowsAcross(const float* x, int64_t lanes, int64_t classes) {
    if (lanes < kWidth) {
      for (int64_t c = 0; c < classes; ++c) store(classes_of[c], zero());
    }
    for (int64_t r = 0; r < lanes; ++r) {
      for (int64_t c = 0; c < classes; ++c) classes_of[c][r] = x[r * classes + c];
    }
  }
  CNNCORE_MEMBER Vec at(int64_t c) const { return load(classes_of[c]); }
  CNNCORE_MEMBER void set(int64_t c, Vec value) { store(classes_of[c], value); }
  CNNCORE_MEMBER void write(float* y, int64_t lanes, int64_t classes) const {
    for (int64_t r = 0; r < lanes; ++r) {
      for (int64_t c = 0; c < classes; ++c) y[r * classes + c] = classes_of[c][r];
    }
  }
};

void few_class_normalisers(const float* x, int64_t count, int64_t classes, float* largest, float* sums) {
  for (int64_t r = 0; r < count; r += kWidth) {
    const int64_t lanes = min_of(kWidth, count - r);
    const RowsAcross rows(x + r * classes, lanes, classes);
    Vec top = rows.at(0);
    for (int64_t c = 1; c < classes; ++c) top = max(top, rows.at(c));
    Vec sum = bounded_exp(rows.at(0) - top);
    for (int64_t c = 1; c < classes; ++c) sum = sum + bounded_exp(rows.at(c) - top);
    store_upto(largest + r, top, lanes);
    store_upto(sums + r, sum, lanes);
  }
}

void normalisers(const float* x, int64_t count, int64_t classes, float* largest, float* log_sum) {
  if (classes <= kFewClasses) {
    few_class_normalisers(x, count, classes, largest, log_sum);
  } else if (classes <= kShortRow) {
    for_short_rows(x, count, classes, [&](int64_t r, const auto& row, int64_t) {
      largest[r] = row.largest;
      log_sum[r] = row.sum;
    });
  } else {
    for (int64_t r = 0; r < count; ++r) {
      largest[r] = largest_of(x + r * classes, classes);
      log_sum[r] = exp_sum(x + r * classes, classes, largest[r]);
    }
  }
  for (int64_t r = 0; r < count; r += kWidth) {
    store_upto(log_sum + r, log(load_upto(log_sum + r, count - r)), count - r);
  }
}

CNNCORE_INLINE Vec weights_at(const float* weight, int64_t c, int64_t lanes) {
  return weight == nullptr ? set1(1.0f) : load_upto(weight + c, lanes);
}

float gap(const float* x, float largest, const float* weight, int64_t classes) {
  const Vec top = set1(largest);
  Vec sum = zero();
  for (int64_t c = 0; c < classes; c += kWidth) {
    const int64_t lanes = classes - c;
    const Vec terms = weights_at(weight, c, lanes) * (top - load_upto(x + c, lanes));
    sum = sum + (lanes >= kWidth ? terms : select(first_lanes(lanes), terms, zero()));
  }
  return sum_lanes(sum);
}

void few_class_gradient(const float* x, const float* log_normaliser, const float* factor,
                        const float* smoothing, const float* weight, int64_t count, int64_t classes,
                        float* y) {
  for (int64_t r = 0; r < count; r += kWidth) {
    const int64_t lanes = min_of(kWidth, count - r);
    RowsAcross rows(x + r * classes, lanes, classes);
    const Vec normaliser = load_upto(log_normaliser + r, lanes), scale = load_upto(factor + r, lanes);
    for (int64_t c = 0; c < classes; ++c) {
      const Vec g = scale * bounded_exp(rows.at(c) - normaliser);
      const float share_of_all = weight == nullptr ? 1.0f : weight[c];
      rows.set(c, smoothing == nullptr ? g : fnmadd(load_upto(smoothing + r, lanes), set1(share_of_all), g));
    }
    rows.write(y + r * classes, lanes, classes);
  }
}

void cross_entropy_gradient(const float* x, const float* log_normaliser, const float* factor,
                            const float* smoothing, const float* weight, int64_t count, int64_t classes,
                            float* y) {
  if (classes <= kFewClasses) {
    return few_class_gradient(x, log_normaliser, factor, smoothing, weight, count, classes, y);
  }
  for (int64_t r = 0; r < count; ++r, x += classes, y += classes) {
    const Vec normaliser = set1(log_normaliser[r]), scale = set1(factor[r]);
    for (int64_t c = 0; c < classes; c += kWidth) {
      const int64_t lanes = classes - c;
      Vec g = scale * bounded_exp(load_upto(x + c, lanes) - normaliser);
      if (smoothing != nullptr) g = fnmadd(set1(smoothing[r]), weights_at(weight, c, lanes), g);
      store_upto(y + c, g, lanes);
    }
  }
}

}  // namespace

SoftmaxKernels softmax_kernels() {
  return {rows, columns, rows_backward, columns_backward, normalisers, gap, cross_entropy_gradient};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
