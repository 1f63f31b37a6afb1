// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/parallel.h"
#include "ops/channel_blocks.h"
#include "ops/checks.h"
#include "ops/tasks.h"
#include "program/step.h"

namespace cnncore {

/// Rows that `batch_norm_statistics` writes for an input of this shape (N, C, spatial...).
std::int64_t statistics_rows(const std::vector<std::int64_t>& shape);

std::unique_ptr<Step> make_batch_norm_backward(const StepSpec& spec);
std::unique_ptr<Step> make_activation_backward(const StepSpec& spec);

/// Which tensors a step was given; the optional ones that are absent read as null.
class Given {
 public:
  explicit Given(const StepSpec& spec) {
    for (std::size_t i = 0; i < inputs_.size(); ++i) inputs_[i] = spec.has_input(i);
    for (std::size_t i = 0; i < outputs_.size(); ++i) outputs_[i] = spec.has_output(i);
  }
  bool output(std::size_t i) const { return outputs_[i]; }
  const float* input(const StepArgs& args, std::size_t i) const {
    return inputs_[i] ? args.input(i) : nullptr;
  }
  float* output(const StepArgs& args, std::size_t i) const { return outputs_[i] ? args.output(i) : nullptr; }

 private:
  std::array<bool, 8> inputs_{};
  std::array<bool, 4> outputs_{};
};

/// What batch_norm_apply multiplies and adds; batch_norm_backward repeats it to see which activations
/// passed. Weight and bias may be null.
void fill_scale_and_shift(const ChannelBlocks& blocks, const float* mean, const float* invstd,
                          const float* weight, const float* bias, float* scale, float* shift);

/// Calls body(begin, end) for blocks of channels; `rows` is how many values each channel costs.
template <class Body>
void for_channel_blocks(std::int64_t channels, std::int64_t rows, const Body& body) {
  constexpr std::int64_t kChannelsPerTask = 128;
  const std::int64_t tasks = ceil_div(channels, kChannelsPerTask);
  const double work = static_cast<double>(channels * rows) / 4.0;
  parallel_for(tasks, work, [&](std::int64_t task, int) {
    body(task * kChannelsPerTask, std::min(channels, (task + 1) * kChannelsPerTask));
  });
}

}  // namespace cnncore
