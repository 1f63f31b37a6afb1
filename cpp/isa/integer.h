// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// A function on int64, the type in which all integers and booleans are computed: what comes out, cut to the
/// bits of a shorter type, is what that type's own arithmetic gives.
struct IntegerFunction {
  static constexpr int kMaxInputs = 3;

  const char* name;
  int inputs;
  double cost;  // additions for a result, to judge whether threads pay
  /// out[i] = f(in[0][i], in[1][i], ...); out may be one of the inputs.
  void (*run)(std::int64_t n, const std::int64_t* const* in, std::int64_t* out);
};

struct IntegerReduction {
  const char* name;
  std::int64_t identity;
  std::int64_t (*combine)(std::int64_t a, std::int64_t b);
  /// n numbers combined.
  std::int64_t (*reduce)(std::int64_t n, const std::int64_t* src);
};

/// Which indices are valid, and what makes places of them.
struct IndexRange {
  std::int64_t least = 0;
  std::int64_t most = 0;
  std::int64_t extent = 0;  // of the axis; negative indices count from its end where `least` is negative
};

struct IntegerKernels {
  const IntegerFunction* functions;
  int function_count;
  const IntegerReduction* reductions;
  int reduction_count;
  /// How many of n indices are outside least .. most. `places`, if not null, gets the indices from 0 on,
  /// those outside as the nearest of 0 .. extent - 1.
  std::int64_t (*place)(std::int64_t n, const std::int64_t* indices, const IndexRange& range,
                        std::int64_t* places);
};

}  // namespace cnncore
