// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "core/tensor.h"
#include "program/step.h"

namespace cnncore {

/// The axes of a `reduce` step, split into those that stay and those that go, each in logical order.
struct ReduceAxes {
  explicit ReduceAxes(const StepSpec& spec);
  /// Whether the outputs lie closer together in x than the elements of one output do.
  bool columns_are_nearer() const;

  int kept = 0;
  int reduced = 0;
  std::array<std::int64_t, kMaxRank> kept_shape{}, kept_x{}, kept_y{};
  std::array<std::int64_t, kMaxRank> reduced_shape{}, reduced_x{};
};

std::unique_ptr<Step> make_argmax(const ReduceAxes& axes);

}  // namespace cnncore
