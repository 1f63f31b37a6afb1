// SPDX-License-Identifier: Apache-2.0
// Optimisers' rules in PyTorch's order of operations. `numbers` of each rule are listed above it.
#include "isa/kernels/optimizer_rules.h"

#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

/// The values of one vector of parameters, and how they are stored.
class Lanes {
 public:
  Lanes(const RuleRun& run, int64_t begin) : run_(run), begin_(begin), left_(run.n - begin) {}

  Vec parameter() const { return load_upto(run_.in[0] + begin_, left_); }
  Vec state(int i) const { return load_upto(run_.in[2 + i] + begin_, left_); }
  bool has_state(int i) const { return run_.out[1 + i] != nullptr; }
  /// The gradient with weight decay added to it.
  Vec gradient(float weight_decay) const {
    const Vec scaled = load_upto(run_.in[1] + begin_, left_) * set1(run_.gradient_scale);
    return fmadd(set1(weight_decay), parameter(), scaled);
  }
  void store_parameter(Vec v) const { store_upto(run_.out[0] + begin_, v, left_); }
  void store_state(int i, Vec v) const { store_upto(run_.out[1 + i] + begin_, v, left_); }

 private:
  const RuleRun& run_;
  int64_t begin_;
  int64_t left_;
};

template <void (*F)(const Lanes&, const float*)>
void apply(const RuleRun& run, const float* numbers) {
  for (int64_t i = 0; i < run.n; i += kWidth) F(Lanes(run, i), numbers);
}

CNNCORE_INLINE Vec mix(float kept, Vec old, float gain, Vec fresh) {
  return fmadd(set1(kept), old, set1(gain) * fresh);
}

CNNCORE_INLINE Vec sign_of(Vec v) {
  const Vec one = set1(1.0f);
  const Vec sign = select(greater(v, zero()), one, zero()) - select(greater(zero(), v), one, zero());
  return select(is_nan(v), v, sign);
}

// Adam with all its relatives. State: mean, square, largest square?. The step is
// (mean_rate mean + gradient_rate gradient) / (root_scale sqrt(square) + eps).
// shrink, weight_decay, beta1, 1 - beta1, beta2, 1 - beta2, root_scale, eps, mean_rate, gradient_rate
CNNCORE_INLINE void moments(const Lanes& v, const float* x) {
  const Vec gradient = v.gradient(x[1]);
  const Vec mean = mix(x[2], v.state(0), x[3], gradient);
  Vec square = mix(x[4], v.state(1), x[5], gradient * gradient);
  v.store_state(0, mean);
  v.store_state(1, square);
  if (v.has_state(2)) {
    square = max(v.state(2), square);
    v.store_state(2, square);
  }
  const Vec denominator = fmadd(sqrt(square), set1(x[6]), set1(x[7]));
  const Vec step = fmadd(set1(x[8]), mean, set1(x[9]) * gradient) / denominator;
  v.store_parameter(set1(x[0]) * v.parameter() - step);
}

// State: mean, largest. rate, weight_decay, beta1, 1 - beta1, beta2, eps
CNNCORE_INLINE void adamax(const Lanes& v, const float* x) {
  const Vec gradient = v.gradient(x[1]);
  const Vec mean = mix(x[2], v.state(0), x[3], gradient);
  const Vec largest = max(set1(x[4]) * v.state(1), abs(gradient) + set1(x[5]));
  v.store_state(0, mean);
  v.store_state(1, largest);
  v.store_parameter(fnmadd(set1(x[0]), mean / largest, v.parameter()));
}

// State: square, momentum buffer?, mean?. lr, weight_decay, alpha, 1 - alpha, eps, momentum
CNNCORE_INLINE void rmsprop(const Lanes& v, const float* x) {
  const Vec gradient = v.gradient(x[1]);
  const Vec square = mix(x[2], v.state(0), x[3], gradient * gradient);
  v.store_state(0, square);
  Vec spread = square;
  if (v.has_state(2)) {
    const Vec mean = mix(x[2], v.state(2), x[3], gradient);
    v.store_state(2, mean);
    spread = fnmadd(mean, mean, square);
  }
  Vec step = gradient / (sqrt(spread) + set1(x[4]));
  if (v.has_state(1)) {
    step = fmadd(set1(x[5]), v.state(1), step);
    v.store_state(1, step);
  }
  v.store_parameter(fnmadd(set1(x[0]), step, v.parameter()));
}

// State: sum of squares. rate, weight_decay, eps
CNNCORE_INLINE void adagrad(const Lanes& v, const float* x) {
  const Vec gradient = v.gradient(x[1]);
  const Vec sum = fmadd(gradient, gradient, v.state(0));
  v.store_state(0, sum);
  v.store_parameter(fnmadd(set1(x[0]), gradient / (sqrt(sum) + set1(x[2])), v.parameter()));
}

// State: square, square of the steps. lr, weight_decay, rho, 1 - rho, eps
CNNCORE_INLINE void adadelta(const Lanes& v, const float* x) {
  const Vec gradient = v.gradient(x[1]), eps = set1(x[4]);
  const Vec square = mix(x[2], v.state(0), x[3], gradient * gradient);
  const Vec step = sqrt(v.state(1) + eps) / sqrt(square + eps) * gradient;
  v.store_state(0, square);
  v.store_state(1, mix(x[2], v.state(1), x[3], step * step));
  v.store_parameter(fnmadd(set1(x[0]), step, v.parameter()));
}

// State: average of the parameter. rate, weight_decay, shrink, share of the new value in the average
CNNCORE_INLINE void asgd(const Lanes& v, const float* x) {
  const Vec gradient = v.gradient(x[1]);
  const Vec parameter = fnmadd(set1(x[0]), gradient, set1(x[2]) * v.parameter());
  const Vec average = v.state(0);
  v.store_state(0, x[3] == 1.0f ? parameter : fmadd(set1(x[3]), parameter - average, average));
  v.store_parameter(parameter);
}

// State: gradient before, step size. shrinking factor, growing factor, smallest and largest step
CNNCORE_INLINE void rprop(const Lanes& v, const float* x) {
  const Vec gradient = v.gradient(0.0f);
  const Vec agreement = gradient * v.state(0);
  const Mask turned = greater(zero(), agreement);
  const Vec factor = select(turned, set1(x[0]), select(greater(agreement, zero()), set1(x[1]), set1(1.0f)));
  const Vec size = min(set1(x[3]), max(set1(x[2]), v.state(1) * factor));
  const Vec used = select(turned, zero(), gradient);
  v.store_state(0, used);
  v.store_state(1, size);
  v.store_parameter(fnmadd(sign_of(used), size, v.parameter()));
}

// State: momentum. lr, shrink, beta1, 1 - beta1, beta2, 1 - beta2
CNNCORE_INLINE void lion(const Lanes& v, const float* x) {
  const Vec gradient = v.gradient(0.0f), momentum = v.state(0);
  const Vec direction = sign_of(mix(x[2], momentum, x[3], gradient));
  v.store_state(0, mix(x[4], momentum, x[5], gradient));
  v.store_parameter(fnmadd(set1(x[0]), direction, set1(x[1]) * v.parameter()));
}

// Muon before the orthogonalisation: the parameter's place gets the direction. State: momentum.
// momentum, 1 - momentum, share of the momentum in the direction, 1 - that share
CNNCORE_INLINE void muon_momentum(const Lanes& v, const float* x) {
  const Vec gradient = v.gradient(0.0f);
  const Vec momentum = mix(x[0], v.state(0), x[1], gradient);
  v.store_state(0, momentum);
  v.store_parameter(mix(x[2], momentum, x[3], gradient));
}

// A step of given direction. lr, shrink
CNNCORE_INLINE void descend(const Lanes& v, const float* x) {
  v.store_parameter(fnmadd(set1(x[0]), v.gradient(0.0f), set1(x[1]) * v.parameter()));
}

// State: mean, square.
// lr, weight_decay, beta1, 1 - beta1, beta2, 1 - beta2, 1 / bias of the mean, 1 / root of the square's, eps
void lamb_direction(const RuleRun& run, const float* x) {
  for (int64_t i = 0; i < run.n; i += kWidth) {
    const Lanes v(run, i);
    const Vec gradient = v.gradient(0.0f);
    const Vec mean = mix(x[2], v.state(0), x[3], gradient);
    const Vec square = mix(x[4], v.state(1), x[5], gradient * gradient);
    v.store_state(0, mean);
    v.store_state(1, square);
    const Vec step = set1(x[6]) * mean / fmadd(sqrt(square), set1(x[7]), set1(x[8]));
    v.store_parameter(fmadd(set1(x[1]), v.parameter(), step));
  }
}

void lamb(const RuleRun& run, const float* x) {
  const Vec rate = set1(x[0] * run.trust);
  for (int64_t i = 0; i < run.n; i += kWidth) {
    const Lanes v(run, i);
    const Vec step = set1(x[6]) * v.state(0) / fmadd(sqrt(v.state(1)), set1(x[7]), set1(x[8]));
    v.store_parameter(fnmadd(rate, fmadd(set1(x[1]), v.parameter(), step), v.parameter()));
  }
}

// State: momentum buffer?. lr, weight_decay, momentum, 1 - dampening, nesterov (0 or 1)
void lars_direction(const RuleRun& run, const float*) {
  for (int64_t i = 0; i < run.n; i += kWidth) {
    const Lanes v(run, i);
    v.store_parameter(v.gradient(0.0f));
  }
}

void lars(const RuleRun& run, const float* x) {
  for (int64_t i = 0; i < run.n; i += kWidth) {
    const Lanes v(run, i);
    Vec step = set1(run.trust) * v.gradient(x[1]);
    if (v.has_state(0)) {
      const Vec buffer = mix(x[2], v.state(0), x[3], step);
      v.store_state(0, buffer);
      step = x[4] != 0.0f ? fmadd(set1(x[2]), buffer, step) : buffer;
    }
    v.store_parameter(fnmadd(set1(x[0]), step, v.parameter()));
  }
}

constexpr OptimizerRule kRules[] = {
    {"moments", 3, 2, 10, 30, apply<moments>, nullptr, false},
    {"adamax", 2, 2, 6, 20, apply<adamax>, nullptr, false},
    {"rmsprop", 3, 1, 6, 24, apply<rmsprop>, nullptr, false},
    {"adagrad", 1, 1, 3, 20, apply<adagrad>, nullptr, false},
    {"adadelta", 2, 2, 5, 30, apply<adadelta>, nullptr, false},
    {"asgd", 1, 1, 4, 8, apply<asgd>, nullptr, false},
    {"rprop", 2, 2, 4, 14, apply<rprop>, nullptr, false},
    {"lion", 1, 1, 6, 12, apply<lion>, nullptr, false},
    {"muon_momentum", 1, 1, 4, 6, apply<muon_momentum>, nullptr, false},
    {"descend", 0, 0, 2, 4, apply<descend>, nullptr, false},
    {"lamb", 2, 2, 9, 40, lamb, lamb_direction, true},
    {"lars", 1, 0, 5, 12, lars, lars_direction, false},
};

}  // namespace

RuleTable optimizer_rules() { return {kRules, static_cast<int>(sizeof kRules / sizeof kRules[0])}; }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
