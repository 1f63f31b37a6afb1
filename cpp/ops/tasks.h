// SPDX-License-Identifier: Apache-2.0
// Cutting of steps into tasks and blocks: by shapes alone, never by the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "isa/kernel_table.h"

namespace cnncore {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

/// The size of parts of `n` of nearly equal size, at most `most`.
constexpr std::int64_t even_part(std::int64_t n, std::int64_t most) { return ceil_div(n, ceil_div(n, most)); }

/// Whether hardly anything of a result is in cache when the next step reads it.
inline bool exceeds_caches(std::int64_t floats) { return floats > machine().last_cache; }

/// How many items of so many elements make a task, at least one.
inline std::int64_t items_in_task(std::int64_t elements,
                                  std::int64_t task_elements = machine().task_elements) {
  return std::max<std::int64_t>(1, task_elements / std::max<std::int64_t>(1, elements));
}

/// How many tasks that many vector operations are worth.
inline std::int64_t tasks_worth(double work, std::int64_t most = machine().tasks) {
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(work / machine().least_task), 1, most);
}

}  // namespace cnncore
