// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "ops/conv.h"

namespace cnncore {

/// Weights from here on do not stay in cache from step to step: they are read as they lie and written past
/// the cache.
inline constexpr std::int64_t kLinearWeightFloats = 1024 * 1024;

/// ConvAlgorithm::cannot of linear layers and their gradients.
std::string linear_cannot(const ConvProblem& problem);
/// ConvAlgorithm::declines of the gradients.
std::string linear_gradient_declines(const ConvProblem& problem);

}  // namespace cnncore
