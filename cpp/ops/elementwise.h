// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "isa/elementwise.h"
#include "ops/loop_nest.h"
#include "program/step.h"

namespace cnncore {

/// A function of the table by its name.
const ElementwiseFunction& elementwise_function(const std::string& name);

/// A step of one function that writes its result past the caches, block by block.
std::unique_ptr<Step> make_large_elementwise(const ElementwiseFunction& function, const LoopNest& nest,
                                             float alpha, float beta);

}  // namespace cnncore
