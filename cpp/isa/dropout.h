// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// What, besides an element's number, its random bits depend on.
struct DropoutKey {
  std::uint64_t seed;
  std::uint64_t step;
  std::uint32_t key;  // which dropout of the network
};

struct DropoutKernels {
  /// y = x * scale where the element's 24 random bits are at least `threshold`, 0 elsewhere. `first`, the
  /// number of element x[0], is a multiple of 64. The bits are the same on every instruction set.
  void (*apply)(const float* x, std::int64_t first, std::int64_t count, DropoutKey key,
                std::uint32_t threshold, float scale, float* y);
  /// y = (n + 0.5) / 2^23, n being the element's upper 23 random bits: all in (0, 1), and exact.
  void (*uniform)(std::int64_t first, std::int64_t count, DropoutKey key, float* y);
};

}  // namespace cnncore
