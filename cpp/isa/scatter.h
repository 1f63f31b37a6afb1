// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "isa/activation.h"

namespace cnncore {

/// target[run] += the sum, in order, of the source runs that are its terms; the same at `positions` places, a
/// step apart in either. Whole vectors are stored: what follows a run in the target within one vector stays
/// as it is but has to be memory of the same thread.
struct AddRunsArgs {
  const float* source = nullptr;
  std::int64_t source_step = 0;
  float* target = nullptr;
  std::int64_t target_step = 0;
  std::int64_t positions = 0;
  std::int64_t length = 0;  // floats of a run
  std::int64_t runs = 0;
  const std::int64_t* target_offset = nullptr;  // [runs]
  const std::int64_t* first_term = nullptr;     // [runs + 1]
  const std::int64_t* term_offset = nullptr;    // of all terms, in the source
};

struct ScatterKernels {
  void (*add_runs)(const AddRunsArgs& args);
  /// target = act(source), `count` contiguous floats.
  void (*store_row)(const float* source, std::int64_t count, Activation activation, float alpha,
                    float* activated, float* target);
};

}  // namespace cnncore
