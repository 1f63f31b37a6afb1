// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// Rows of a table in bags: bag i goes from index `offsets[i]` to where bag i + 1 begins, the last one to the
/// end. Offsets below 0 or beyond the end count as those.
struct BagRun {
  const float* table = nullptr;
  std::int64_t features = 0;              // from row to row
  std::int64_t columns = 0;               // of them that are summed
  const std::int64_t* indices = nullptr;  // of rows
  std::int64_t count = 0;
  const std::int64_t* offsets = nullptr;
  std::int64_t bags = 0;
  std::int64_t padding = -1;  // an index that does not count
  bool mean = false;
  const float* factors = nullptr;  // of the rows, or none
  // Or numbers of the indices: an element counts where the same element of `places`, which lies as the table
  // does, is its row's number.
  const std::int32_t* numbers = nullptr;
  const std::int32_t* places = nullptr;
  bool far = false;  // sums are written past the caches; rows are whole lines

  /// Never a function of its own, of which the linker could keep one instruction set's copy for all.
  __attribute__((always_inline)) std::int64_t begin(std::int64_t bag) const {
    const std::int64_t at = bag < bags ? offsets[bag] : count;
    return at < 0 ? 0 : at > count ? count : at;
  }
};

/// The results of bags `first` to `last` - 1 are written to their rows of all bags' results.
struct EmbeddingBagKernels {
  /// The sum of the rows times their factors, in the order of the indices, or their mean.
  void (*sum)(const BagRun& run, std::int64_t first, std::int64_t last, float* out);
  /// The largest of each column and which of all indices it is from; 0 and -1 where no row counts. A NaN
  /// stays if it comes first and is passed over later.
  void (*largest)(const BagRun& run, std::int64_t first, std::int64_t last, float* out, std::int32_t* place);
  /// What each row of bag i counts for in a mean.
  float (*share)(const BagRun& run, std::int64_t bag);
};

}  // namespace cnncore
