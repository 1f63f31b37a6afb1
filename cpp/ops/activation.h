// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/attrs.h"
#include "isa/activation.h"

namespace cnncore {

/// The activation of a name; "none" is one.
Activation activation_named(const std::string& name);
const ActivationFunction& function_of(Activation activation);

/// Reads the attributes `activation` and `alpha`.
ActivationGate activation_from_attrs(const Attrs& attrs);
/// The same for max pooling, which comes before the activation that it applies: only growing functions may.
ActivationGate pooling_activation(const Attrs& attrs);

}  // namespace cnncore
