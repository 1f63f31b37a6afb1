// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

struct PoolKernels {};

}  // namespace cnncore
