// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "ops/conv.h"

namespace cnncore {

/// ConvAlgorithm::cannot of linear layers and their gradients.
std::string linear_cannot(const ConvProblem& problem);
/// ConvAlgorithm::declines of the gradients.
std::string linear_gradient_declines(const ConvProblem& problem);

}  // namespace cnncore
