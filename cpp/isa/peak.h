// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace cnncore {

struct PeakKernels {
  /// Runs `rounds` rounds of independent FMAs from registers; returns the operations done (2 per lane and
  /// FMA).
  double (*fma)(std::int64_t rounds, float* sink);
  /// Reads `floats` floats once; their sum goes to `sink` so that the reads cannot be dropped.
  void (*read)(const float* data, std::size_t floats, float* sink);
};

}  // namespace cnncore
