// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "program/step.h"

namespace cnncore {

/// Adaptive average pooling, or its gradient, axis by axis: [x] -> [y], channels-last. Its tables are as
/// large as the images' axes.
std::unique_ptr<Step> make_means(const StepSpec& spec, bool backward);

}  // namespace cnncore
