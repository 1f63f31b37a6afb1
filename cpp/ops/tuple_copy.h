// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa/copy.h"
#include "ops/loop_nest.h"

namespace cnncore {

/// A copy of words where one side has short tuples and the other one the planes of their first, second ...
/// words, in many small pieces: shuffled channels, pixels made of channels, channels made of pixels.
class TupleCopy {
 public:
  TupleCopy() = default;
  /// `nest` in bytes, operand 0 the target, operand 1 the source. Not `used` where it is something else.
  explicit TupleCopy(const LoopNest& nest);

  bool used() const { return planes_.count > 0; }
  void run(const std::byte* src, std::byte* dst) const;

 private:
  bool find(const LoopNest& nest, std::size_t tuples);
  void run_task(std::int64_t task, const std::byte* src, std::byte* dst) const;

  LoopNest outer_;  // the pieces
  TuplePlanes planes_{};
  bool splits_ = false;  // the source has the tuples
  std::int64_t pieces_in_task_ = 1;
};

}  // namespace cnncore
