// SPDX-License-Identifier: Apache-2.0
// Arithmetic on extents and settings that come from a caller: what exceeds 64 bits is an error, not another
// number.
#pragma once

#include <cstdint>
#include <limits>

#include "core/error.h"

namespace cnncore {

/// The largest stride, padding, dilation or kernel extent.
inline constexpr std::int64_t kLargestSetting = std::numeric_limits<std::int32_t>::max();

inline std::int64_t checked_sum(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  require(!__builtin_add_overflow(a, b, &sum), "sizes ", a, " and ", b, " add up to more than 64 bits hold");
  return sum;
}

inline std::int64_t checked_product(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  require(!__builtin_mul_overflow(a, b, &product), "sizes ", a, " and ", b,
          " multiply to more than 64 bits hold");
  return product;
}

/// Pixels from the first to the last tap of a kernel.
inline std::int64_t kernel_reach(std::int64_t kernel, std::int64_t dilation) {
  return checked_sum(checked_product(kernel - 1, dilation), 1);
}

}  // namespace cnncore
