// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "isa/depthwise.h"

namespace cnncore {

/// One row of output pixels of a convolution in groups of `depth` input and as many output channels, of which
/// whole vectors are made: 4, 8 or 16, with vectors of eight floats 4. `row` is as for a depthwise
/// convolution, with three taps, tap_step 1 and in_step 1 or 2. Weights and their sums are [vector of
/// channels][tap][depth][width]: `block` floats for each vector, row.weight_step for each tap. Null where
/// vectors are too short.
struct GroupedKernels {
  void (*forward)(const DepthwiseRow& row, const DepthwiseOutput& output, std::int64_t depth,
                  std::int64_t block);
  void (*backward_weight)(const DepthwiseRow& row, const float* grad_output, float* const* sum,
                          std::int64_t depth, std::int64_t block);
};

}  // namespace cnncore
