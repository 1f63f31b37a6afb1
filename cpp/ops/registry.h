// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "program/step.h"

namespace cnncore {

/// Step factories by operation name. Each family of operations adds its own in register_<family>().
class StepRegistry {
 public:
  void add(const std::string& op, StepFactory factory);
  std::unique_ptr<Step> make(const StepSpec& spec) const;
  const std::map<std::string, StepFactory>& all() const { return factories_; }

 private:
  std::map<std::string, StepFactory> factories_;
};

const StepRegistry& step_registry();

}  // namespace cnncore
