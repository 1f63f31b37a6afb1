// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "isa/kernel_table.h"

namespace cnncore {

/// target[i * target_row + j] = source[j * source_row + i] for i < rows, j < columns.
inline void transpose(const float* source, std::int64_t source_row, std::int64_t rows, std::int64_t columns,
                      float* target, std::int64_t target_row) {
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(float));
  Transposition run;
  run.rows = rows;
  run.columns = columns;
  run.src = reinterpret_cast<const std::byte*>(source);
  run.src_row = source_row * kBytes;
  run.dst = reinterpret_cast<std::byte*>(target);
  run.dst_row = target_row * kBytes;
  kernels().copy.transpose(run, sizeof(float));
}

}  // namespace cnncore
