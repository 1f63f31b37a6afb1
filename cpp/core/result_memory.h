// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "core/buffer.h"

namespace cnncore {

/// Results from here on have memory of their own, which is kept for the next ones when Python lets go of
/// them: the system clears new pages, which takes longer than most operations that pass over memory once.
inline constexpr std::size_t kLargeResult = std::size_t{4} << 20;

/// Kept memory of about that size, or new memory. What was kept of other sizes is given up before new memory
/// is taken, so that results of changing sizes do not add up.
Buffer take_result_memory(std::size_t bytes);

/// Keeps it, up to a bound over all. The pages are not offered to the system meanwhile: where they are small,
/// that costs as much as new ones.
void keep_result_memory(Buffer memory) noexcept;

/// Gives back all that is kept; true if there was any.
bool drop_result_memory() noexcept;

}  // namespace cnncore
