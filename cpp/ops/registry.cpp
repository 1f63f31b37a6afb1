// SPDX-License-Identifier: Apache-2.0
#include "ops/registry.h"

#include "core/error.h"

namespace cnncore {

void register_conv(StepRegistry& registry);
void register_inverted_residual(StepRegistry& registry);
void register_matmul(StepRegistry& registry);
void register_pool(StepRegistry& registry);
void register_norm(StepRegistry& registry);
void register_group_norm(StepRegistry& registry);
void register_row_norm(StepRegistry& registry);
void register_recurrent(StepRegistry& registry);
void register_elementwise(StepRegistry& registry);
void register_elementwise_chain(StepRegistry& registry);
void register_reduce(StepRegistry& registry);
void register_softmax(StepRegistry& registry);
void register_sort(StepRegistry& registry);
void register_gather(StepRegistry& registry);
void register_indices(StepRegistry& registry);
void register_glu(StepRegistry& registry);
void register_scan(StepRegistry& registry);
void register_loss(StepRegistry& registry);
void register_nll(StepRegistry& registry);
void register_dropout(StepRegistry& registry);
void register_copy(StepRegistry& registry);
void register_interpolate(StepRegistry& registry);
void register_sample(StepRegistry& registry);
void register_deform(StepRegistry& registry);
void register_embedding_bag(StepRegistry& registry);
void register_nms(StepRegistry& registry);
void register_roi_align(StepRegistry& registry);
void register_roi_pool(StepRegistry& registry);
void register_ctc(StepRegistry& registry);
void register_lovasz(StepRegistry& registry);
void register_optimizer(StepRegistry& registry);
void register_exchange(StepRegistry& registry);

void StepRegistry::add(const std::string& op, StepFactory factory) {
  require(factories_.emplace(op, factory).second, "step '", op, "' is registered twice");
}

std::unique_ptr<Step> StepRegistry::make(const StepSpec& spec) const {
  const auto found = factories_.find(spec.op);
  require(found != factories_.end(), "unknown step '", spec.op, "'");
  std::unique_ptr<Step> step = found->second(spec);
  spec.attrs.finish(spec.op);
  return step;
}

const StepRegistry& step_registry() {
  static const StepRegistry registry = [] {
    StepRegistry all;
    register_conv(all);
    register_inverted_residual(all);
    register_matmul(all);
    register_pool(all);
    register_norm(all);
    register_group_norm(all);
    register_row_norm(all);
    register_recurrent(all);
    register_elementwise(all);
    register_elementwise_chain(all);
    register_reduce(all);
    register_softmax(all);
    register_sort(all);
    register_gather(all);
    register_indices(all);
    register_glu(all);
    register_scan(all);
    register_loss(all);
    register_nll(all);
    register_dropout(all);
    register_copy(all);
    register_interpolate(all);
    register_sample(all);
    register_deform(all);
    register_embedding_bag(all);
    register_nms(all);
    register_roi_align(all);
    register_roi_pool(all);
    register_ctc(all);
    register_lovasz(all);
    register_optimizer(all);
    register_exchange(all);
    return all;
  }();
  return registry;
}

}  // namespace cnncore
