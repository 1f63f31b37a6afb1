// SPDX-License-Identifier: Apache-2.0
// Rows that are added to the rows of a table at indices known only at run time: what each row of the table
// takes is listed first, in the order of the indices, and then summed in registers and written once.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/parallel.h"
#include "ops/tasks.h"

namespace cnncore {

class RowLists {
 public:
  RowLists() = default;
  RowLists(std::int64_t tables, std::int64_t entries, std::int64_t features, std::int64_t count)
      : tables_(tables), entries_(entries), features_(features), count_(count) {
    const std::int64_t tasks = machine().tasks;
    // Few rows are shared by their columns.
    columns_ =
        tables * entries >= 4 * tasks ? features : std::max<std::int64_t>(64, round_up(features / 4, 16));
    rows_ = std::max(ceil_div(entries, tasks), items_in_task(columns_));
  }

  /// Of the workspace that the members below point into.
  std::size_t bytes() const {
    return static_cast<std::size_t>(entries_ + 1 + count_) * sizeof(std::int64_t) +
           static_cast<std::size_t>(count_) * sizeof(float);
  }
  /// entries + 1 places in what follows, where the list of each entry begins.
  static std::int64_t* begins(std::byte* workspace) { return reinterpret_cast<std::int64_t*>(workspace); }
  std::int64_t* members(std::byte* workspace) const { return begins(workspace) + entries_ + 1; }
  /// A number of four bytes for each member.
  template <class T>
  T* marks(std::byte* workspace) const {
    return reinterpret_cast<T*>(members(workspace) + count_);
  }

  /// Calls put(place, k) for every k whose entry is one, the last k first.
  template <class Put>
  void fill(std::byte* workspace, const std::int64_t* entries, std::int64_t padding, const Put& put) const {
    std::int64_t* const ends = begins(workspace);
    const auto counts = [&](std::int64_t entry) {
      return entry >= 0 && entry < entries_ && entry != padding;
    };
    std::fill_n(ends, entries_ + 1, 0);
    for (std::int64_t k = 0; k < count_; ++k) {
      if (counts(entries[k])) ++ends[entries[k]];
    }
    for (std::int64_t i = 1; i <= entries_; ++i) ends[i] += ends[i - 1];
    for (std::int64_t k = count_ - 1; k >= 0; --k) {
      if (counts(entries[k])) put(--ends[entries[k]], k);
    }
  }

  /// Sums of the rows of sources that lie `source_rows` apart, by the lists in `workspace`; `run` says the
  /// rest.
  void sum(BagRun run, std::byte* workspace, std::int64_t source_rows, float* out) const {
    run.features = features_;
    run.indices = members(workspace);
    run.offsets = begins(workspace);
    run.bags = entries_;
    run.count = run.offsets[entries_];
    run.far = exceeds_caches(tables_ * entries_ * features_) && features_ % kLineFloats == 0;
    const std::int64_t blocks = ceil_div(features_, columns_), bands = ceil_div(entries_, rows_);
    const double vectors = static_cast<double>(features_) / kernels().width + 4.0;
    const double work = vectors * static_cast<double>(tables_) * static_cast<double>(entries_ + run.count);
    const float* const table = run.table;
    const std::int32_t* const places = run.places;
    parallel_for(tables_ * blocks * bands, work, [&](std::int64_t task, int) {
      BagRun part = run;
      const std::int64_t column = task / bands % blocks * columns_, number = task / bands / blocks;
      const std::int64_t first = task % bands * rows_;
      part.columns = std::min(columns_, features_ - column);
      const std::int64_t source = number * source_rows * features_ + column;
      part.table = table + source;
      if (places != nullptr) part.places = places + source;
      kernels().embedding_bag.sum(part, first, std::min(entries_, first + rows_),
                                  out + number * entries_ * features_ + column);
    });
  }

 private:
  std::int64_t tables_ = 0;
  std::int64_t entries_ = 0;
  std::int64_t features_ = 0;
  std::int64_t count_ = 0;
  std::int64_t columns_ = 1;  // of a task
  std::int64_t rows_ = 1;
};

}  // namespace cnncore
