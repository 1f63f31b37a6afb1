// SPDX-License-Identifier: Apache-2.0
#include "ops/registry.h"

#include "core/error.h"

namespace cnncore {

__attribute__((weak)) void register_conv(StepRegistry& registry);
__attribute__((weak)) void register_matmul(StepRegistry& registry);
__attribute__((weak)) void register_pool(StepRegistry& registry);
__attribute__((weak)) void register_norm(StepRegistry& registry);
__attribute__((weak)) void register_elementwise(StepRegistry& registry);
__attribute__((weak)) void register_reduce(StepRegistry& registry);
__attribute__((weak)) void register_softmax(StepRegistry& registry);
__attribute__((weak)) void register_loss(StepRegistry& registry);
__attribute__((weak)) void register_dropout(StepRegistry& registry);
__attribute__((weak)) void register_copy(StepRegistry& registry);
__attribute__((weak)) void register_optimizer(StepRegistry& registry);

void StepRegistry::add(const std::string& op, StepFactory factory) {
  require(factories_.emplace(op, factory).second, "step '", op, "' is registered twice");
}

std::unique_ptr<Step> StepRegistry::make(const StepSpec& spec) const {
  const auto found = factories_.find(spec.op);
  require(found != factories_.end(), "unknown step '", spec.op, "'");
  return found->second(spec);
}

const StepRegistry& step_registry() {
  static const StepRegistry registry = [] {
    StepRegistry all;
    if (register_conv) register_conv(all);
    if (register_matmul) register_matmul(all);
    if (register_pool) register_pool(all);
    if (register_norm) register_norm(all);
    if (register_elementwise) register_elementwise(all);
    if (register_reduce) register_reduce(all);
    if (register_softmax) register_softmax(all);
    if (register_loss) register_loss(all);
    if (register_dropout) register_dropout(all);
    if (register_copy) register_copy(all);
    if (register_optimizer) register_optimizer(all);
    return all;
  }();
  return registry;
}

}  // namespace cnncore
