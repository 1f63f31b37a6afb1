// SPDX-License-Identifier: Apache-2.0
// Loops over several strided operands at once: what elementwise, reduce and copy steps walk with.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

#include "core/tensor.h"
#include "isa/kernel_table.h"

namespace cnncore {

/// Axes of a loop nest, slowest first, and what one step along each adds to each operand's offset.
/// Strides count whatever the caller's strides count (elements or bytes).
struct LoopNest {
  static constexpr int kMaxOperands = 8;
  using Offsets = std::array<std::int64_t, kMaxOperands>;

  int rank = 0;
  int operands = 0;
  std::array<std::int64_t, kMaxRank> extent{};
  std::array<Offsets, kMaxRank> stride{};

  std::int64_t numel() const;
  /// Extent and strides of the innermost axis; a nest without axes is one element.
  std::int64_t inner_extent() const { return rank == 0 ? 1 : extent[last()]; }
  std::int64_t inner_stride(int operand) const {
    return rank == 0 ? 1 : stride[last()][static_cast<std::size_t>(operand)];
  }
  /// Offsets of element `index` of the outermost `axes` axes, counted in the order they are walked.
  Offsets offsets_of(std::int64_t index, int axes) const;
  /// The axis at `position` taken out of the nest.
  LoopNest without(int position) const;

 private:
  std::size_t last() const { return static_cast<std::size_t>(rank - 1); }
};

/// Nest over `shape` with one array of strides for each operand. Axes of extent 1 go, the others are sorted
/// by the size of the operands' strides (the first operand decides, the next ones break ties), and neighbours
/// that every operand walks in one stride become one axis, so that the inner axis is as long as it can be.
LoopNest loop_nest(const std::int64_t* shape, int rank, std::initializer_list<const std::int64_t*> strides);

/// Strides of `desc` for walking `shape` (numpy's broadcasting: trailing axes match, extent 1 repeats with
/// stride 0).
std::array<std::int64_t, kMaxRank> broadcast_strides(const TensorDesc& desc, const std::int64_t* shape,
                                                     int rank);

/// Visits elements [begin, end) of all axes of `nest` but the inner one: body(rows, step, offsets) for each
/// run of `rows` rows that lie `step` apart (an array with one stride for each operand), starting at
/// `offsets`.
template <class Body>
void for_each_run(const LoopNest& nest, std::int64_t begin, std::int64_t end, Body&& body) {
  const int outer = nest.rank - 1;
  if (outer <= 0) {
    if (begin < end) body(std::int64_t{1}, LoopNest::Offsets{}, LoopNest::Offsets{});
    return;
  }
  const auto row_axis = static_cast<std::size_t>(outer - 1);
  for (std::int64_t row = begin; row < end;) {
    const std::int64_t place = row % nest.extent[row_axis];
    const std::int64_t left = nest.extent[row_axis] - place;
    const std::int64_t count = left < end - row ? left : end - row;
    body(count, nest.stride[row_axis], nest.offsets_of(row, outer));
    row += count;
  }
}

/// A nest cut into tasks of about `task_elements` elements, by its extents only: either `rows` whole
/// inner rows, or `length` elements of one row.
struct RowTasks {
  RowTasks() = default;
  explicit RowTasks(const LoopNest& nest, std::int64_t task_elements = machine().task_elements);

  std::int64_t count = 0;
  std::int64_t total_rows = 0;
  std::int64_t rows = 0;
  std::int64_t inner = 0;
  std::int64_t parts = 1;
  std::int64_t length = 0;

  /// body(rows, n, row_step, offsets) for each run of one task: n elements in each of `rows` rows.
  template <class Body>
  void visit(const LoopNest& nest, std::int64_t task, Body&& body) const {
    const std::int64_t part = task % parts;
    const std::int64_t first_row = task / parts * rows;
    const std::int64_t last_row = first_row + rows < total_rows ? first_row + rows : total_rows;
    const std::int64_t begin = part * length;
    const std::int64_t n = begin + length < inner ? length : inner - begin;
    for_each_run(nest, first_row, last_row,
                 [&](std::int64_t count_rows, const LoopNest::Offsets& step, LoopNest::Offsets offsets) {
                   for (int operand = 0; operand < nest.operands; ++operand) {
                     offsets[static_cast<std::size_t>(operand)] += begin * nest.inner_stride(operand);
                   }
                   body(count_rows, n, step, offsets);
                 });
  }
};

}  // namespace cnncore
