// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "isa/elementwise.h"

namespace cnncore {

/// A function of the table by its name.
const ElementwiseFunction& elementwise_function(const std::string& name);

}  // namespace cnncore
