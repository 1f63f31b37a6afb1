// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "ops/conv.h"

namespace cnncore {

/// Weights from here on do not stay in cache from step to step: they are read as they lie and written past
/// the cache.
inline constexpr std::int64_t kLinearWeightFloats = 1024 * 1024;

/// ConvAlgorithm::refuse of the gradients of linear layers.
std::string refuse_linear_gradient(const ConvProblem& problem, const std::string& accuracy);

}  // namespace cnncore
