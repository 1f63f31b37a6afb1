// SPDX-License-Identifier: Apache-2.0
// Steps `copy` and `fill`.
//
// copy [x] -> [y]: without attributes, x and y have one shape and their own strides. With attributes
// `shape`, `input_strides`, `output_strides` (lists), `input_offset`, `output_offset` (all in elements, any
// sign) it copies that window and leaves the rest of y alone: slices, concatenation, padding, flips,
// permutations. The dtypes may differ. fill [] -> [y]: attribute `value`, into all of y, which has no gaps.
#include "ops/copy.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/loop_nest.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

using Strides = std::array<std::int64_t, kMaxRank>;

constexpr std::array<SourceType, 4> kSourceOf = {SourceType::f32, SourceType::i32, SourceType::i64,
                                                 SourceType::u8};

SourceType source_of(DType dtype) { return kSourceOf[static_cast<std::size_t>(dtype)]; }

/// What is converted or gathered at a time into local memory, in elements: with 8 bytes an element, 8 KB.
constexpr std::int64_t kBlock = 1024;

/// A copy of a strided box of elements, with its way chosen: whole rows, or transposition when source and
/// target are consecutive along different axes.
class StridedCopy {
 public:
  StridedCopy(const std::int64_t* shape, int rank, SourceType from, const Strides& from_bytes, DType to,
              const Strides& to_bytes)
      : nest_(loop_nest(shape, rank, {to_bytes.data(), from_bytes.data()})),
        from_size_(static_cast<std::int64_t>(item_size(from))),
        to_size_(static_cast<std::int64_t>(item_size(to))) {
    if (from != source_of(to)) {
      convert_ = kernels().copy.convert[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
    }
    choose_transposition();
    if (!transposes_) tasks_ = RowTasks(nest_);
  }

  const char* way() const { return transposes_ ? "transposition" : contiguous() ? "contiguous" : "strided"; }

  void run(const std::byte* src, std::byte* dst) const {
    const double vectors = static_cast<double>(nest_.numel()) / kernels().width;
    if (transposes_) {
      parallel_for(tasks_.count, 4.0 * vectors,
                   [&](std::int64_t task, int) { transpose_task(task, src, dst); });
    } else {
      parallel_for(tasks_.count, (contiguous() ? 1.0 : 16.0) * vectors,
                   [&](std::int64_t task, int) { rows_task(task, src, dst); });
    }
  }

 private:
  static constexpr std::int64_t kTransposedRows = 64;
  static constexpr std::int64_t kTransposedColumns = 256;
  static constexpr std::int64_t kPieceElements = 2048;

  bool contiguous() const { return nest_.inner_stride(0) == to_size_ && nest_.inner_stride(1) == from_size_; }

  /// Finds the axis along which the source is consecutive. The inner axis of the nest is the target's.
  void choose_transposition() {
    if (nest_.rank < 2 || nest_.inner_stride(0) != to_size_ || nest_.inner_stride(1) == from_size_) return;
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

  /// Blocks of at most kTransposedRows x kTransposedColumns or, when one side is short, as many elements.
  void plan_blocks() {
    constexpr std::int64_t elements = kTransposedRows * kTransposedColumns;
    block_columns_ =
        std::min(columns_, std::max(kTransposedColumns, elements / std::max<std::int64_t>(rows_, 1)));
    block_rows_ = std::min(
        rows_, std::max<std::int64_t>(kTransposedRows, elements / std::max<std::int64_t>(block_columns_, 1)));
    if (nest_.numel() == 0) return;
    column_blocks_ = (columns_ + block_columns_ - 1) / block_columns_;
    const std::int64_t row_blocks = (rows_ + block_rows_ - 1) / block_rows_;
    blocks_ = row_blocks * column_blocks_;
    outer_count_ = outer_.numel();
    outer_in_task_ = blocks_ > 1 ? 1 : std::max<std::int64_t>(1, elements / (rows_ * columns_));
    tasks_.count = (outer_count_ + outer_in_task_ - 1) / outer_in_task_ * blocks_;
  }

  void transpose_task(std::int64_t task, const std::byte* src, std::byte* dst) const {
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

  /// Converts pieces of source rows into local memory and transposes from there.
  void transpose_converted(const Transposition& whole) const {
    alignas(64) std::byte piece[kPieceElements * sizeof(std::int64_t)];
    const std::int64_t piece_columns = std::min<std::int64_t>(whole.columns, 16);
    const std::int64_t piece_rows = kPieceElements / piece_columns;
    for (std::int64_t i = 0; i < whole.rows; i += piece_rows) {
      for (std::int64_t j = 0; j < whole.columns; j += piece_columns) {
        Transposition part = whole;
        part.rows = std::min(piece_rows, whole.rows - i);
        part.columns = std::min(piece_columns, whole.columns - j);
        part.src_row = part.rows * to_size_;
        for (std::int64_t column = 0; column < part.columns; ++column) {
          convert_(part.rows, whole.src + (j + column) * whole.src_row + i * from_size_, from_size_,
                   piece + column * part.src_row);
        }
        part.src = piece;
        part.dst = whole.dst + i * whole.dst_row + j * to_size_;
        kernels().copy.transpose(part, static_cast<std::size_t>(to_size_));
      }
    }
  }

  void rows_task(std::int64_t task, const std::byte* src, std::byte* dst) const {
    tasks_.visit(nest_, task,
                 [&](std::int64_t rows, std::int64_t n, const LoopNest::Offsets& row_step,
                     const LoopNest::Offsets& offsets) {
                   const StridedRows run = {rows,
                                            n,
                                            src + offsets[1],
                                            row_step[1],
                                            nest_.inner_stride(1),
                                            dst + offsets[0],
                                            row_step[0],
                                            nest_.inner_stride(0)};
                   if (convert_ == nullptr) {
                     kernels().copy.rows(run, static_cast<std::size_t>(to_size_));
                   } else {
                     convert_rows(run);
                   }
                 });
  }

  void convert_rows(const StridedRows& run) const {
    for (std::int64_t row = 0; row < run.rows; ++row) {
      const std::byte* src = run.src + row * run.src_row;
      std::byte* dst = run.dst + row * run.dst_row;
      if (run.dst_step == to_size_) {
        convert_(run.n, src, run.src_step, dst);
      } else {
        convert_scattered(run.n, src, run.src_step, dst, run.dst_step);
      }
    }
  }

  void convert_scattered(std::int64_t n, const std::byte* src, std::int64_t src_step, std::byte* dst,
                         std::int64_t dst_step) const {
    alignas(64) std::byte block[kBlock * sizeof(std::int64_t)];
    for (std::int64_t i = 0; i < n; i += kBlock) {
      const std::int64_t count = std::min(kBlock, n - i);
      convert_(count, src + i * src_step, src_step, block);
      kernels().copy.rows({1, count, block, 0, to_size_, dst + i * dst_step, 0, dst_step},
                          static_cast<std::size_t>(to_size_));
    }
  }

  LoopNest nest_;  // operand 0: target, operand 1: source; in bytes
  std::int64_t from_size_;
  std::int64_t to_size_;
  CopyKernels::Convert convert_ = nullptr;
  RowTasks tasks_{LoopNest{}};

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
};

Strides in_bytes(const std::int64_t* strides, int rank, std::size_t size) {
  Strides bytes{};
  for (int i = 0; i < rank; ++i)
    bytes[static_cast<std::size_t>(i)] = strides[i] * static_cast<std::int64_t>(size);
  return bytes;
}

class Copy final : public Step {
 public:
  Copy(const StridedCopy& copy, std::int64_t input_offset, std::int64_t output_offset)
      : copy_(copy), input_offset_(input_offset), output_offset_(output_offset) {}

  void run(const StepArgs& args) const override {
    copy_.run(args.input<std::byte>(0) + input_offset_, args.output<std::byte>(0) + output_offset_);
  }
  std::string algorithm() const override { return copy_.way(); }

 private:
  StridedCopy copy_;
  std::int64_t input_offset_;  // bytes
  std::int64_t output_offset_;
};

/// Elements a dense value has room for.
void require_window_inside(const char* which, const TensorDesc& desc, const std::vector<std::int64_t>& shape,
                           const std::vector<std::int64_t>& strides, std::int64_t offset) {
  std::int64_t lowest = offset;
  std::int64_t highest = offset;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    require(shape[i] >= 0, "copy: expected extents of 0 or more, got ", shape[i]);
    if (shape[i] == 0) return;
    const std::int64_t reach = strides[i] * (shape[i] - 1);
    (reach < 0 ? lowest : highest) += reach;
  }
  require(lowest >= 0 && highest < desc.numel(), "copy: the window of the ", which, " reaches elements ",
          lowest, " to ", highest, " of ", desc.numel());
}

std::unique_ptr<Step> make_window_copy(const StepSpec& spec) {
  const TensorDesc& x = spec.input(0);
  const TensorDesc& y = spec.output(0);
  const auto& shape = spec.attrs.integers("shape");
  const auto& input_strides = spec.attrs.integers("input_strides");
  const auto& output_strides = spec.attrs.integers("output_strides");
  const std::int64_t input_offset = spec.attrs.integer("input_offset", 0);
  const std::int64_t output_offset = spec.attrs.integer("output_offset", 0);
  require(shape.size() <= kMaxRank && input_strides.size() == shape.size() &&
              output_strides.size() == shape.size(),
          "copy: expected shape, input_strides and output_strides of one length, at most ", kMaxRank);
  require_window_inside("input", x, shape, input_strides, input_offset);
  require_window_inside("output", y, shape, output_strides, output_offset);
  const int rank = static_cast<int>(shape.size());
  const StridedCopy copy(shape.data(), rank, source_of(x.dtype),
                         in_bytes(input_strides.data(), rank, item_size(x.dtype)), y.dtype,
                         in_bytes(output_strides.data(), rank, item_size(y.dtype)));
  return std::make_unique<Copy>(copy, input_offset * static_cast<std::int64_t>(item_size(x.dtype)),
                                output_offset * static_cast<std::int64_t>(item_size(y.dtype)));
}

class Fill final : public Step {
 public:
  Fill(const TensorDesc& y, double value) : numel_(y.numel()), size_(item_size(y.dtype)) {
    if (y.dtype == DType::f32) {
      keep(static_cast<float>(value));
    } else if (y.dtype == DType::i32) {
      keep(static_cast<std::int32_t>(value));
    } else if (y.dtype == DType::i64) {
      keep(static_cast<std::int64_t>(value));
    } else {
      keep(static_cast<std::uint8_t>(value));
    }
  }

  void run(const StepArgs& args) const override {
    constexpr std::int64_t chunk = RowTasks::kTaskElements;
    std::byte* y = args.output<std::byte>(0);
    parallel_for((numel_ + chunk - 1) / chunk, static_cast<double>(numel_) / kernels().width,
                 [&](std::int64_t task, int) {
                   const std::int64_t begin = task * chunk;
                   kernels().copy.fill(std::min(chunk, numel_ - begin), size_, value_.data(),
                                       y + begin * static_cast<std::int64_t>(size_));
                 });
  }

 private:
  template <class T>
  void keep(T value) {
    std::memcpy(value_.data(), &value, sizeof value);
  }

  std::int64_t numel_;
  std::size_t size_;
  std::array<std::byte, 8> value_{};
};

std::unique_ptr<Step> make_fill(const StepSpec& spec) {
  const TensorDesc& y = spec.output(0);
  require(y.is_contiguous() || y.is_channels_last(), "fill: expected a result without gaps");
  return std::make_unique<Fill>(y, spec.attrs.real("value"));
}

}  // namespace

std::size_t item_size(SourceType type) {
  constexpr std::array<std::size_t, 12> sizes = {2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1};
  return sizes[static_cast<std::size_t>(type)];
}

void convert_strided(const void* src, SourceType type, const std::int64_t* shape,
                     const std::int64_t* byte_strides, int rank, const TensorDesc& dst_desc, void* dst) {
  Strides from{};
  std::copy(byte_strides, byte_strides + rank, from.begin());
  const StridedCopy copy(shape, rank, type, from, dst_desc.dtype,
                         in_bytes(dst_desc.stride.data(), rank, item_size(dst_desc.dtype)));
  copy.run(static_cast<const std::byte*>(src), static_cast<std::byte*>(dst));
}

std::unique_ptr<Step> make_copy(const StepSpec& spec) {
  if (spec.attrs.has("shape")) return make_window_copy(spec);
  const TensorDesc& x = spec.input(0);
  const TensorDesc& y = spec.output(0);
  require(x.same_shape(y), "copy: expected equal shapes, got ", x.shape_text(), " and ", y.shape_text());
  const StridedCopy copy(y.shape.data(), y.rank, source_of(x.dtype),
                         in_bytes(x.stride.data(), x.rank, item_size(x.dtype)), y.dtype,
                         in_bytes(y.stride.data(), y.rank, item_size(y.dtype)));
  return std::make_unique<Copy>(copy, 0, 0);
}

void register_copy(StepRegistry& registry) {
  registry.add("copy", make_copy);
  registry.add("fill", make_fill);
}

}  // namespace cnncore
