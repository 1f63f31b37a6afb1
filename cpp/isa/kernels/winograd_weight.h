// SPDX-License-Identifier: Apache-2.0
// Winograd's transforms of weights, for the forms of winograd_points.h.
#pragma once

#include "isa/vec.h"
#include "isa/winograd.h"

namespace cnncore {
namespace CNNCORE_ISA {

/// kLine: along one axis.
template <class F, bool kLine>
void transform_weight(const WinogradWeight& args);

template <class F, bool kLine>
void transform_grad_weight(const WinogradWeightGradient& args);

}  // namespace CNNCORE_ISA
}  // namespace cnncore
