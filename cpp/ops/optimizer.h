// SPDX-License-Identifier: Apache-2.0
// Steps `sgd_update`, `adam_update` and `rule_update`: one parallel pass over all tensors of a parameter
// group.
//
// Input 0, `hyper`, is an int64 value whose elements are the bit patterns of float64 numbers
// (`np.array([...]).view(np.int64)`), read at every run, so that they may change from step to step.
// Input 1, optional, is a float32 scalar that multiplies every gradient (clipping).
//
// sgd_update [hyper, gradient_scale?, (parameter, gradient, buffer?)...] -> [(parameter', buffer'?)...]
//   hyper: lr, momentum, dampening, weight_decay, steps taken before this one (0: the buffer starts as the
//   gradient) attribute nesterov (0/1); a tensor without a buffer ignores momentum.
// adam_update [hyper, gradient_scale?, (parameter, gradient, mean, square)...] -> [(parameter', mean',
// square')...]
//   hyper: lr, beta1, beta2, eps, weight_decay, number of this step (1 for the first)
//   attribute decoupled (0/1): AdamW's weight decay instead of an L2 term in the gradient.
//
// rule_update [hyper, gradient_scale?, (parameter, gradient, state...)...] -> [(parameter', state'...)...]
//   attributes rule, one of those in isa/kernels/optimizer_rules.cpp, whose numbers hyper holds; state,
//   arrays for each tensor.
// rule_update takes `first`, too: where its numbers begin in hyper. All take the attribute maximize (0/1).
//
// Absent optional tensors keep their places. Outputs may be the memory of the inputs of the same name.
#pragma once

#include "isa/optimizer.h"
#include "program/step.h"

namespace cnncore {

enum SgdHyper { kSgdLr, kSgdMomentum, kSgdDampening, kSgdWeightDecay, kSgdStepsTaken, kSgdHyperCount };
enum AdamHyper { kAdamLr, kAdamBeta1, kAdamBeta2, kAdamEps, kAdamWeightDecay, kAdamStep, kAdamHyperCount };

/// What the kernels need, computed in double from the hyperparameters.
SgdSettings sgd_settings(const double* hyper, float gradient_scale, bool nesterov);
AdamSettings adam_settings(const double* hyper, float gradient_scale, bool decoupled);

std::unique_ptr<Step> make_rule_update(const StepSpec& spec);
std::unique_ptr<Step> make_adafactor_update(const StepSpec& spec);

}  // namespace cnncore
