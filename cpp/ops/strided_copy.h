// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/tensor.h"
#include "isa/copy.h"
#include "ops/copy.h"
#include "ops/loop_nest.h"
#include "ops/tuple_copy.h"

namespace cnncore {

using ByteStrides = std::array<std::int64_t, kMaxRank>;

SourceType source_of(DType dtype);

/// A copy of a box of elements with any strides, with its way chosen: whole rows, short tuples, or
/// transposition when source and target are consecutive along different axes. Converts when the types differ.
class StridedCopy {
 public:
  StridedCopy(const std::int64_t* shape, int rank, SourceType from, const ByteStrides& from_strides, DType to,
              const ByteStrides& to_strides);

  const char* way() const {
    return tuples_.used() ? "tuples" : transposes_ ? "transposition" : dense_ ? "contiguous" : "strided";
  }
  void run(const std::byte* src, std::byte* dst) const;

 private:
  void choose_transposition();
  void plan_blocks();
  void transpose_task(std::int64_t task, const std::byte* src, std::byte* dst) const;
  void transpose_converted(const Transposition& whole) const;
  void rows_task(std::int64_t task, const std::byte* src, std::byte* dst) const;

  LoopNest nest_;  // operand 0: target, operand 1: source; in bytes
  std::int64_t from_size_;
  std::int64_t to_size_;
  Convert convert_ = nullptr;  // none when the types are equal
  RowTasks tasks_;
  bool dense_ = false;  // the inner axis is consecutive on both sides
  TupleCopy tuples_;

  // Transposition: row i and column j of the target are column j and row i of the source, for every element
  // of outer_.
  bool transposes_ = false;
  LoopNest outer_;
  std::int64_t rows_ = 0;
  std::int64_t row_stride_ = 0;  // between rows of the target
  std::int64_t columns_ = 0;
  std::int64_t column_stride_ = 0;  // between columns in the source
  std::int64_t block_rows_ = 0;
  std::int64_t block_columns_ = 0;
  std::int64_t column_blocks_ = 0;
  std::int64_t blocks_ = 0;
  std::int64_t outer_count_ = 0;
  std::int64_t outer_in_task_ = 0;
  std::int64_t transposition_tasks_ = 0;
};

}  // namespace cnncore
