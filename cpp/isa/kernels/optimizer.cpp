// SPDX-License-Identifier: Apache-2.0
#include "isa/optimizer.h"

#include "isa/kernels/optimizer_rules.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

struct SgdVectors {
  Vec lr, weight_decay, gradient_scale, momentum, buffer_decay, gradient_gain;
};

/// PyTorch's order of operations: decay joins the gradient, then momentum, then the step.
template <bool kBuffer, bool kNesterov>
void sgd_with(const SgdRun& run, const SgdSettings& s) {
  const SgdVectors v = {set1(s.lr),       set1(s.weight_decay), set1(s.gradient_scale),
                        set1(s.momentum), set1(s.buffer_decay), set1(s.gradient_gain)};
  const bool fresh = s.buffer_decay == 0.0f;
  for (int64_t i = 0; i < run.n; i += kWidth) {
    const int64_t left = run.n - i;
    const Vec parameter = load_upto(run.parameter + i, left);
    Vec step = fmadd(v.weight_decay, parameter, load_upto(run.gradient + i, left) * v.gradient_scale);
    if (kBuffer) {
      // A fresh buffer is not read: what its memory holds may be anything.
      Vec buffer = step * v.gradient_gain;
      if (!fresh) buffer = fmadd(v.buffer_decay, load_upto(run.buffer + i, left), buffer);
      store_upto(run.new_buffer + i, buffer, left);
      step = kNesterov ? fmadd(v.momentum, buffer, step) : buffer;
    }
    store_upto(run.new_parameter + i, fnmadd(v.lr, step, parameter), left);
  }
}

void sgd(const SgdRun& run, const SgdSettings& settings) {
  if (run.new_buffer == nullptr) return sgd_with<false, false>(run, settings);
  if (settings.nesterov) return sgd_with<true, true>(run, settings);
  sgd_with<true, false>(run, settings);
}

void adam(const AdamRun& run, const AdamSettings& s) {
  const Vec shrink = set1(s.shrink), weight_decay = set1(s.weight_decay);
  const Vec gradient_scale = set1(s.gradient_scale), eps = set1(s.eps);
  const Vec beta1 = set1(s.beta1), one_minus_beta1 = set1(s.one_minus_beta1);
  const Vec beta2 = set1(s.beta2), one_minus_beta2 = set1(s.one_minus_beta2);
  const Vec step_size = set1(s.step_size), inverse_root_bias = set1(s.inverse_root_bias);
  for (int64_t i = 0; i < run.n; i += kWidth) {
    const int64_t left = run.n - i;
    const Vec parameter = load_upto(run.parameter + i, left);
    const Vec gradient = fmadd(weight_decay, parameter, load_upto(run.gradient + i, left) * gradient_scale);
    const Vec mean = fmadd(beta1, load_upto(run.mean + i, left), one_minus_beta1 * gradient);
    const Vec square = fmadd(beta2, load_upto(run.square + i, left), one_minus_beta2 * (gradient * gradient));
    const Vec denominator = fmadd(sqrt(square), inverse_root_bias, eps);
    store_upto(run.new_mean + i, mean, left);
    store_upto(run.new_square + i, square, left);
    store_upto(run.new_parameter + i, fnmadd(step_size, mean / denominator, shrink * parameter), left);
  }
}

}  // namespace

OptimizerKernels optimizer_kernels() {
  const RuleTable table = optimizer_rules();
  return {table.rules, table.count, sgd, adam};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
