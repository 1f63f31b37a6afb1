// SPDX-License-Identifier: Apache-2.0
// Batched matrix product on the GEMM tile. `b` is packed into panels; rows of `a` are used in place when they
// are contiguous, else copied; results go to `c` directly when its rows are contiguous.
#include <algorithm>
#include <map>
#include <vector>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/registry.h"
#include "ops/tasks.h"
#include "ops/transpose.h"

namespace cnncore {
namespace {

constexpr std::int64_t kRowsOfTask = 112;

/// A matrix somewhere in memory: element (i, j) at i * row + j * column.
struct Matrix {
  std::int64_t rows = 0, columns = 0, row = 0, column = 0;
  void transpose() {
    std::swap(rows, columns);
    std::swap(row, column);
  }
};

Matrix last_axes(const TensorDesc& desc, bool transposed) {
  const int r = desc.rank;
  Matrix m{desc.dim(r - 2), desc.dim(r - 1), desc.step(r - 2), desc.step(r - 1)};
  if (transposed) m.transpose();
  return m;
}

/// Where the matrices of one batch entry start; `packed` numbers the distinct matrices b.
struct Entry {
  std::int64_t a, b, c, packed;
};

class Matmul : public Step {
 public:
  Matmul(const TensorDesc& a, const TensorDesc& b, const TensorDesc& c, bool transpose_a, bool transpose_b)
      : a_(last_axes(a, transpose_a)), b_(last_axes(b, transpose_b)), c_(last_axes(c, false)) {
    list_entries(a, b, c);
    // Computing the transposed product swaps the operands, which makes the rows of c contiguous.
    if (c_.column != 1 && c_.row == 1) {
      std::swap(a_, b_);
      a_.transpose();
      b_.transpose();
      c_.transpose();
      swapped_ = true;
      for (auto& entry : entries_) std::swap(entry.a, entry.b);
    }
    number_panels();
    const auto& tile = kernels().gemm_tile;
    panels_ = ceil_div(c_.columns, tile.nr);
    row_blocks_ = ceil_div(c_.rows, kRowsOfTask);
    const std::int64_t blocks = static_cast<std::int64_t>(entries_.size()) * row_blocks_;
    panels_per_task_ = ceil_div(panels_, std::clamp<std::int64_t>(machine().tasks / blocks, 1, panels_));
    copies_rows_ = a_.column != 1 && a_.columns > 1;
    const std::int64_t height = std::min(c_.rows, kRowsOfTask);
    for (std::int64_t i = 0; i < height; ++i) {
      row_offset_.push_back(i * (copies_rows_ ? std::min(machine().matmul.depth, a_.columns) : a_.row));
      output_offset_.push_back(i * (c_.column == 1 ? c_.row : tile.nr));
    }
  }

  void run(const StepArgs& args) const override;

  std::size_t workspace_bytes() const override {
    return sizeof(float) * static_cast<std::size_t>(distinct_ * matrix_floats());
  }
  std::size_t scratch_bytes() const override {
    const auto height = static_cast<std::int64_t>(row_offset_.size());
    const std::int64_t rows = copies_rows_ ? height * std::min(machine().matmul.depth, a_.columns) : 0;
    const std::int64_t results = c_.column == 1 ? 0 : height * kernels().gemm_tile.nr;
    return sizeof(float) * static_cast<std::size_t>(round_up(rows, kLineFloats) + results);
  }
  double flops() const override {
    return 2.0 * static_cast<double>(c_.rows * c_.columns * a_.columns) *
           static_cast<double>(entries_.size());
  }

 private:
  void list_entries(const TensorDesc& a, const TensorDesc& b, const TensorDesc& c);
  void number_panels();
  std::int64_t matrix_floats() const { return panels_ * kernels().gemm_tile.nr * b_.rows; }
  void pack(const float* b, float* packed) const;
  void run_task(std::int64_t task, const float* a, const float* packed, float* c, float* scratch) const;

  Matrix a_, b_, c_;
  bool swapped_ = false;
  bool copies_rows_ = false;
  std::int64_t panels_ = 0, panels_per_task_ = 0, row_blocks_ = 0, distinct_ = 0;
  std::vector<Entry> entries_;
  std::vector<std::int64_t> row_offset_, output_offset_;
};

void Matmul::list_entries(const TensorDesc& a, const TensorDesc& b, const TensorDesc& c) {
  entries_ = {{0, 0, 0, 0}};
  for (int axis = 0; axis < c.rank - 2; ++axis) {
    const auto step = [&](const TensorDesc& desc) {
      const int own = axis - (c.rank - desc.rank);
      return own >= 0 && desc.dim(own) > 1 ? desc.step(own) : 0;
    };
    std::vector<Entry> next;
    for (const auto& e : entries_) {
      for (std::int64_t i = 0; i < c.dim(axis); ++i)
        next.push_back({e.a + i * step(a), e.b + i * step(b), e.c + i * step(c), 0});
    }
    entries_ = std::move(next);
  }
}

void Matmul::number_panels() {
  std::map<std::int64_t, std::int64_t> number;
  for (auto& entry : entries_) {
    entry.packed = number.emplace(entry.b, static_cast<std::int64_t>(number.size())).first->second;
  }
  distinct_ = static_cast<std::int64_t>(number.size());
}

void Matmul::pack(const float* b, float* packed) const {
  const auto& tile = kernels().gemm_tile;
  std::int64_t done = 0;
  const double work = static_cast<double>(distinct_ * matrix_floats());
  for (const auto& entry : entries_) {
    if (entry.packed != done) continue;
    ++done;
    parallel_for(panels_, work / static_cast<double>(distinct_), [&](std::int64_t panel, int) {
      const std::int64_t column = panel * tile.nr;
      const std::int64_t columns = std::min<std::int64_t>(tile.nr, b_.columns - column);
      const std::int64_t width = tile.panel_width(columns);
      float* to = packed + entry.packed * matrix_floats() + column * b_.rows;
      const float* from = b + entry.b + column * b_.column;
      if (b_.row == 1) {
        transpose(from, b_.column, b_.rows, columns, to, width);
      } else {
        for (std::int64_t k = 0; k < b_.rows; ++k) {
          for (std::int64_t j = 0; j < columns; ++j) to[k * width + j] = from[k * b_.row + j * b_.column];
        }
      }
      for (std::int64_t k = 0; columns < width && k < b_.rows; ++k)
        std::fill(to + k * width + columns, to + (k + 1) * width, 0.0f);
    });
  }
}

void Matmul::run_task(std::int64_t task, const float* a, const float* packed, float* c,
                      float* scratch) const {
  const auto& tile = kernels().gemm_tile;
  const std::int64_t panel_groups = ceil_div(panels_, panels_per_task_);
  const std::int64_t first_panel = task % panel_groups * panels_per_task_;
  const std::int64_t end_panel = std::min(first_panel + panels_per_task_, panels_);
  const std::int64_t row = task / panel_groups % row_blocks_ * kRowsOfTask;
  const Entry& entry = entries_[static_cast<std::size_t>(task / panel_groups / row_blocks_)];
  const std::int64_t rows = std::min(kRowsOfTask, c_.rows - row);
  const std::int64_t depth_total = a_.columns;
  const std::int64_t zero = 0;
  const auto height = static_cast<std::int64_t>(row_offset_.size());
  float* results =
      scratch +
      (copies_rows_ ? round_up(height * std::min(machine().matmul.depth, depth_total), kLineFloats) : 0);

  GemmTileArgs call;
  call.row_offset = row_offset_.data();
  call.output_offset = output_offset_.data();
  call.rows = rows;
  call.tap_offset = &zero;
  call.tap_row = &zero;
  for (std::int64_t k = 0; k < depth_total; k += machine().matmul.depth) {
    call.depth = std::min(machine().matmul.depth, depth_total - k);
    call.accumulate = k != 0;
    const float* source = a + entry.a + row * a_.row + k * a_.column;
    call.input = source;
    if (copies_rows_) {
      for (std::int64_t i = 0; i < rows; ++i) {
        float* to = scratch + row_offset_[static_cast<std::size_t>(i)];
        for (std::int64_t j = 0; j < call.depth; ++j) to[j] = source[i * a_.row + j * a_.column];
      }
      call.input = scratch;
    }
    for (std::int64_t panel = first_panel; panel < end_panel; ++panel) {
      const std::int64_t column = panel * tile.nr;
      call.columns = std::min<std::int64_t>(tile.nr, c_.columns - column);
      call.panel =
          packed + entry.packed * matrix_floats() + column * depth_total + k * tile.panel_width(call.columns);
      float* target = c + entry.c + row * c_.row + column * c_.column;
      if (c_.column == 1) {
        call.output = target;
        tile.run(call);
        continue;
      }
      call.output = results;
      call.accumulate = false;
      tile.run(call);
      for (std::int64_t i = 0; i < rows; ++i) {
        const float* from = results + i * tile.nr;
        float* to = target + i * c_.row;
        for (std::int64_t j = 0; j < call.columns; ++j)
          to[j * c_.column] = k == 0 ? from[j] : to[j * c_.column] + from[j];
      }
    }
  }
}

void Matmul::run(const StepArgs& args) const {
  const float* a = args.input(swapped_ ? 1 : 0);
  const float* b = args.input(swapped_ ? 0 : 1);
  auto* packed = reinterpret_cast<float*>(args.workspace);
  pack(b, packed);
  const std::int64_t tasks =
      static_cast<std::int64_t>(entries_.size()) * row_blocks_ * ceil_div(panels_, panels_per_task_);
  parallel_for(tasks, flops() / 2.0 / kernels().width, [&](std::int64_t task, int thread) {
    run_task(task, a, packed, args.output(0), args.scratch_of(thread));
  });
}

std::unique_ptr<Step> make_matmul(const StepSpec& spec) {
  const TensorDesc& a = spec.input(0);
  const TensorDesc& b = spec.input(1);
  const TensorDesc& c = spec.output(0);
  for (const TensorDesc* desc : {&a, &b, &c}) {
    check_float(*desc, spec.op);
    require(desc->rank >= 2, "expected at least 2 axes, got shape ", desc->shape_text());
    require(desc->numel() > 0, "expected a non-empty array, got shape ", desc->shape_text());
  }
  const bool transpose_a = spec.attrs.integer("transpose_a", 0) != 0;
  const bool transpose_b = spec.attrs.integer("transpose_b", 0) != 0;
  const Matrix ma = last_axes(a, transpose_a);
  const Matrix mb = last_axes(b, transpose_b);
  const Matrix mc = last_axes(c, false);
  require(ma.columns == mb.rows, "expected the inner extents to agree, got ", a.shape_text(), " and ",
          b.shape_text(), " (transpose_a=", transpose_a, ", transpose_b=", transpose_b, ")");
  require(mc.rows == ma.rows && mc.columns == mb.columns, "expected output of ", ma.rows, " x ", mb.columns,
          ", got ", c.shape_text());
  require(c.rank == std::max(a.rank, b.rank), "expected output of ", std::max(a.rank, b.rank), " axes, got ",
          c.shape_text());
  for (const TensorDesc* desc : {&a, &b}) {
    for (int axis = 0; axis < desc->rank - 2; ++axis) {
      const std::int64_t extent = desc->dim(axis);
      require(extent == 1 || extent == c.dim(axis + c.rank - desc->rank), "shape ", desc->shape_text(),
              " does not broadcast to ", c.shape_text());
    }
  }
  return std::make_unique<Matmul>(a, b, c, transpose_a, transpose_b);
}

}  // namespace

void register_matmul(StepRegistry& registry) { registry.add("matmul", make_matmul); }

}  // namespace cnncore
