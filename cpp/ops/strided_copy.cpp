// SPDX-License-Identifier: Apache-2.0
#include "ops/strided_copy.h"

#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

// A block of a transposition: with 4 bytes an element, source and target take 64 KB each.
constexpr std::int64_t kBlockRows = 64;
constexpr std::int64_t kBlockColumns = 256;
// Elements converted at a time into local memory.
constexpr std::int64_t kLocalElements = 2048;

std::int64_t at_least_one(std::int64_t n) { return std::max<std::int64_t>(1, n); }

}  // namespace

std::size_t item_size(SourceType type) {
  constexpr std::array<std::size_t, CopyKernels::kSources> sizes = {2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1, 2};
  return sizes[static_cast<std::size_t>(type)];
}

SourceType source_of(DType dtype) {
  constexpr std::array<SourceType, kDTypes.size()> sources = {
      SourceType::f32, SourceType::i32,     SourceType::i64,  SourceType::u8, SourceType::f64,
      SourceType::i8,  SourceType::boolean, SourceType::bf16, SourceType::f16};
  return sources[static_cast<std::size_t>(dtype)];
}

StridedCopy::StridedCopy(const std::int64_t* shape, int rank, SourceType from,
                         const ByteStrides& from_strides, DType to, const ByteStrides& to_strides)
    : nest_(loop_nest(shape, rank, {to_strides.data(), from_strides.data()})),
      from_size_(static_cast<std::int64_t>(item_size(from))),
      to_size_(static_cast<std::int64_t>(item_size(to))),
      tasks_(nest_),
      dense_(nest_.inner_stride(0) == to_size_ && nest_.inner_stride(1) == from_size_) {
  if (from != source_of(to)) {
    convert_ = conversion(from, to);
    require(convert_ != nullptr, "copy: there is no conversion to ", name_of(to), " from this type");
  }
  if (dense_ || nest_.numel() == 0) return;
  if (convert_ == nullptr && to_size_ == sizeof(float)) tuples_ = TupleCopy(nest_);
  if (!tuples_.used()) choose_transposition();
}

void StridedCopy::run(const std::byte* src, std::byte* dst) const {
  const double vectors = static_cast<double>(nest_.numel()) / kernels().width;
  if (tuples_.used()) {
    tuples_.run(src, dst);
  } else if (transposes_) {
    parallel_for(transposition_tasks_, 4.0 * vectors,
                 [&](std::int64_t task, int) { transpose_task(task, src, dst); });
  } else {
    parallel_for(tasks_.count, (dense_ ? 1.0 : 16.0) * vectors,
                 [&](std::int64_t task, int) { rows_task(task, src, dst); });
  }
}

/// Finds the axis along which the source is consecutive; the inner axis of the nest is the target's.
void StridedCopy::choose_transposition() {
  if (nest_.inner_stride(0) != to_size_) return;
  for (int i = 0; i < nest_.rank - 1; ++i) {
    const auto axis = static_cast<std::size_t>(i);
    if (nest_.stride[axis][1] != from_size_) continue;
    transposes_ = true;
    rows_ = nest_.extent[axis];
    row_stride_ = nest_.stride[axis][0];
    columns_ = nest_.inner_extent();
    column_stride_ = nest_.inner_stride(1);
    outer_ = nest_.without(nest_.rank - 1).without(i);
    plan_blocks();
    return;
  }
}

/// Blocks of kBlockRows x kBlockColumns or, when one side is short, of as many elements.
void StridedCopy::plan_blocks() {
  constexpr std::int64_t elements = kBlockRows * kBlockColumns;
  block_columns_ = std::min(columns_, std::max(kBlockColumns, elements / rows_));
  block_rows_ = std::min(rows_, std::max(kBlockRows, elements / block_columns_));
  column_blocks_ = ceil_div(columns_, block_columns_);
  blocks_ = ceil_div(rows_, block_rows_) * column_blocks_;
  outer_count_ = outer_.numel();
  outer_in_task_ = blocks_ > 1 ? 1 : at_least_one(elements / (rows_ * columns_));
  transposition_tasks_ = ceil_div(outer_count_, outer_in_task_) * blocks_;
}

void StridedCopy::transpose_task(std::int64_t task, const std::byte* src, std::byte* dst) const {
  const std::int64_t block = task % blocks_;
  const std::int64_t row = block / column_blocks_ * block_rows_;
  const std::int64_t column = block % column_blocks_ * block_columns_;
  const std::int64_t first = task / blocks_ * outer_in_task_;
  const std::int64_t last = std::min(first + outer_in_task_, outer_count_);
  for (std::int64_t i = first; i < last; ++i) {
    const LoopNest::Offsets offsets = outer_.offsets_of(i, outer_.rank);
    Transposition part{};
    part.rows = std::min(block_rows_, rows_ - row);
    part.columns = std::min(block_columns_, columns_ - column);
    part.src = src + offsets[1] + row * from_size_ + column * column_stride_;
    part.src_row = column_stride_;
    part.dst = dst + offsets[0] + row * row_stride_ + column * to_size_;
    part.dst_row = row_stride_;
    if (convert_ == nullptr) {
      kernels().copy.transpose(part, static_cast<std::size_t>(to_size_));
    } else {
      transpose_converted(part);
    }
  }
}

/// Converts the source part by part into local memory and transposes from there.
void StridedCopy::transpose_converted(const Transposition& whole) const {
  alignas(64) std::byte local[kLocalElements * sizeof(std::int64_t)];
  const std::int64_t local_columns = std::min<std::int64_t>(whole.columns, 16);
  const std::int64_t local_rows = kLocalElements / local_columns;
  for (std::int64_t i = 0; i < whole.rows; i += local_rows) {
    for (std::int64_t j = 0; j < whole.columns; j += local_columns) {
      Transposition part = whole;
      part.rows = std::min(local_rows, whole.rows - i);
      part.columns = std::min(local_columns, whole.columns - j);
      part.src = local;
      part.src_row = part.rows * to_size_;
      part.dst = whole.dst + i * whole.dst_row + j * to_size_;
      const std::byte* src = whole.src + j * whole.src_row + i * from_size_;
      convert_({part.columns, part.rows, src, whole.src_row, from_size_, local, part.src_row, to_size_});
      kernels().copy.transpose(part, static_cast<std::size_t>(to_size_));
    }
  }
}

void StridedCopy::rows_task(std::int64_t task, const std::byte* src, std::byte* dst) const {
  tasks_.visit(nest_, task,
               [&](std::int64_t rows, std::int64_t n, const LoopNest::Offsets& row_step,
                   const LoopNest::Offsets& offsets) {
                 StridedRows run{};
                 run.rows = rows;
                 run.n = n;
                 run.src = src + offsets[1];
                 run.src_row = row_step[1];
                 run.src_step = nest_.inner_stride(1);
                 run.dst = dst + offsets[0];
                 run.dst_row = row_step[0];
                 run.dst_step = nest_.inner_stride(0);
                 if (convert_ == nullptr) {
                   kernels().copy.rows(run, static_cast<std::size_t>(to_size_));
                 } else {
                   convert_(run);
                 }
               });
}

}  // namespace cnncore
