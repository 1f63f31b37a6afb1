// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// out[i] = the sum over `parts` runs of `n` floats, which follow one another: in their order, so that the
/// bits do not depend on when they came.
void sum_parts(const float* runs, std::int64_t parts, std::int64_t n, float* out);

}  // namespace cnncore
