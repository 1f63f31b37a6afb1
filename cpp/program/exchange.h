// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// Floats that a step lends out.
struct Floats {
  float* data = nullptr;
  std::int64_t count = 0;
};

/// How a program's steps reach the other processes that run the same program.
class Exchange {
 public:
  enum class Call {
    share,   // fills two scalars: the factor of this process's loss, and 1 where it has rows, else 0
    begin,   // begins to sum `first` over all processes; `second` is as long and received in
    end,     // returns when `first` of call `begin` of the same number holds the sum
    gather,  // fills `second` with `first` of each process, in their order
  };

  virtual ~Exchange() = default;
  virtual void call(Call what, std::int64_t number, Floats first, Floats second) noexcept = 0;
  /// Whether a call has failed since the run began; the run ends there.
  virtual bool failed() const noexcept = 0;
};

}  // namespace cnncore
