// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// The state of the random generator: a seed and the number of runs that drew from it.
struct RandomState {
  std::int64_t seed = 0;
  std::int64_t step = 0;
};

RandomState random_state();
void set_random_state(RandomState state);

/// The state for one run, which is counted.
RandomState next_random_state();
/// The state with another seed for each stream, the same one for stream 0: each of the processes that share
/// a training draws numbers of its own.
RandomState stream_of(RandomState state, std::int64_t stream);
/// Takes the last count back, unless somebody has counted or seeded since: the run was refused.
void return_random_state(RandomState taken);

}  // namespace cnncore
