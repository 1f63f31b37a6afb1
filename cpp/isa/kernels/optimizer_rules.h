// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "isa/optimizer.h"

namespace cnncore {
namespace CNNCORE_ISA {

struct RuleTable {
  const OptimizerRule* rules;
  int count;
};

RuleTable optimizer_rules();

}  // namespace CNNCORE_ISA
}  // namespace cnncore
