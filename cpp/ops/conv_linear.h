// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "ops/conv.h"

namespace cnncore {

/// Weights from here on are read as they lie: 4 MiB do not stay in a second cache between steps.
inline constexpr std::int64_t kLinearWeightFloats = 1024 * 1024;
/// With more rows the products outweigh the packing of the weight.
inline constexpr std::int64_t kLinearRows = 256;

/// ConvAlgorithm::refuse of the algorithms for large linear layers.
std::string refuse_linear(const ConvProblem& problem, const std::string& accuracy);

}  // namespace cnncore
