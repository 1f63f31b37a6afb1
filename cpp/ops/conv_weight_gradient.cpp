// SPDX-License-Identifier: Apache-2.0
// Gradient of the weight: a sum of outer products over pixels, on the outer-product tile.
#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"
#include "ops/transpose.h"

namespace cnncore {
namespace {

// A task's rows and columns: each operand is read from far away once for every block of the other.
constexpr std::int64_t kColumnBlock = 128;
constexpr std::int64_t kRowBlock = 128;
constexpr std::int64_t kPointwiseRowBlock = 256;
constexpr std::int64_t kChunkPixels = 256;  // 128 + 128 channels of these are 256 KiB
constexpr std::int64_t kManyPixels = 512;
constexpr std::int64_t kReduceRows = 16;  // rows of a task that adds up the splits
constexpr std::int64_t kTasks = 16;

/// Runs of pixels of a chunk: offsets in both operands, and the length and steps inside a run.
struct Segments {
  std::vector<std::int64_t> left, right;
  std::int64_t length = 0, left_step = 0, right_step = 0;
};

struct Axis {
  std::int64_t count, left, right;
};

Segments make_segments(const std::array<Axis, 4>& axes) {
  std::vector<Axis> merged;  // fastest first
  for (std::size_t a = 4; a-- > 0;) {
    const Axis& axis = axes[a];
    if (axis.count == 1) continue;
    if (!merged.empty()) {
      Axis& inner = merged.back();
      if (axis.left == inner.left * inner.count && axis.right == inner.right * inner.count) {
        inner.count *= axis.count;
        continue;
      }
    }
    merged.push_back(axis);
  }
  Segments s;
  s.length = 1;
  s.left = s.right = {0};
  if (merged.empty()) return s;
  s.length = merged[0].count;
  s.left_step = merged[0].left;
  s.right_step = merged[0].right;
  for (std::size_t a = merged.size(); a-- > 1;) {
    Segments next = s;
    next.left.clear();
    next.right.clear();
    for (std::size_t i = 0; i < s.left.size(); ++i) {
      for (std::int64_t j = 0; j < merged[a].count; ++j) {
        next.left.push_back(s.left[i] + j * merged[a].left);
        next.right.push_back(s.right[i] + j * merged[a].right);
      }
    }
    s = std::move(next);
  }
  return s;
}

/// One operand of the outer product: the input under the taps, or grad_output.
struct Operand {
  ConvLoop loop;  // taps and steps of the input; for grad_output a pointwise loop over its pixels
  InputView view;
  std::int64_t channels = 0;  // of a group
  std::int64_t run = 0;       // contiguous floats that count as rows or columns
};

class DirectWeightGradient : public Step {
 public:
  DirectWeightGradient(const ConvProblem& problem, const ConvEpilogue& epilogue)
      : problem_(problem), has_bias_(epilogue.bias) {
    plan();
  }

  void run(const StepArgs& args) const override;
  std::size_t workspace_bytes() const override {
    return sizeof(float) *
               static_cast<std::size_t>(splits_ > 1 ? blocks_total() * splits_ * sum_floats_ : 0) +
           sizeof(float) * static_cast<std::size_t>(has_bias_ ? conv_bias_gradient_floats(problem_) : 0);
  }
  std::size_t scratch_bytes() const override {
    return sizeof(float) * static_cast<std::size_t>(round_up(left_.view.scratch_floats(), 16) +
                                                    round_up(right_.view.scratch_floats(), 16) + sum_floats_);
  }
  double flops() const override { return problem_.flops(); }

 private:
  void plan();
  std::int64_t blocks_total() const { return problem_.groups * row_blocks_ * column_blocks_; }
  void run_block(std::int64_t split, std::int64_t block, const float* input, const float* grad_output,
                 float* sums, float* scratch) const;
  void scatter(std::int64_t block, std::int64_t begin, std::int64_t end, const float* sums,
               float* grad_weight) const;
  void add_splits(std::int64_t begin, std::int64_t end, float* sums) const;

  ConvProblem problem_;
  bool has_bias_;
  bool input_right_ = true;  // vectors run along input channels, else along output channels
  Operand left_, right_;
  ChunkGrid grid_;
  Segments full_, last_;
  std::int64_t splits_ = 1;
  std::int64_t rows_ = 0, columns_ = 0;            // of a group
  std::int64_t row_block_ = 0, column_block_ = 0;  // of a task
  std::int64_t row_blocks_ = 0, column_blocks_ = 0;
  std::int64_t sum_floats_ = 0;  // [tap][row][column] of a task
  std::vector<std::int64_t> tap_offset_;
  std::vector<std::int64_t> tap_target_, row_target_;  // where sums go in grad_weight
  std::int64_t column_target_ = 0;
  std::int64_t group_target_ = 0;
};

/// The loop whose "input" is grad_output itself: one tap, pixel to pixel.
ConvLoop grad_output_loop(const ConvProblem& p) {
  ConvLoop loop{p.batch, p.groups, p.group_out(), p.group_out(), {}};
  for (std::size_t a = 0; a < 3; ++a)
    loop.axis[a].count = loop.axis[a].in_size = loop.axis[a].out_size = p.output[a];
  return loop;
}

void DirectWeightGradient::plan() {
  const ConvProblem& p = problem_;
  const auto& tile = kernels().outer_tile;
  ConvLoop input = forward_loop(p);
  ConvLoop output = grad_output_loop(p);
  if (input.axis[0].is_identity() && input.axis[1].is_identity() && input.axis[2].is_identity()) {
    input = flatten_pointwise(input);
    output = flatten_pointwise(output);
  }
  // Few input channels would leave vectors mostly empty: then a kernel row of them becomes the rows.
  // For a single tap the smaller side goes right: each of its panels is packed for all rows. Only over few
  // pixels does it pay more to get sums in the weight's own order.
  input_right_ = p.group_in() >= kernels().width || p.group_in() >= p.group_out();
  if (p.taps() == 1 && p.group_out() < p.group_in() && p.output_pixels() >= kManyPixels) input_right_ = false;
  rows_ = input_right_ ? p.group_out() : p.group_in();
  columns_ = input_right_ ? p.group_in() : p.group_out();

  bool padded = false;
  for (const auto& axis : input.axis) padded |= axis.needs_padding();
  column_blocks_ = ceil_div(columns_, kColumnBlock);
  column_block_ = round_up(ceil_div(columns_, column_blocks_), tile.nr);
  column_blocks_ = ceil_div(columns_, column_block_);

  const std::int64_t row_width = std::max<std::int64_t>(1, input.axis[2].count);
  grid_ = ChunkGrid(output, std::max(kChunkPixels, row_width));
  Operand& in = input_right_ ? right_ : left_;
  Operand& out = input_right_ ? left_ : right_;
  in.loop = input;
  out.loop = output;
  in.channels = p.group_in();
  out.channels = p.group_out();
  const std::int64_t visits = p.taps() * ceil_div(rows_, tile.mr);  // of a right panel
  // A single panel of ungrouped channels is as good as packed.
  const bool pack_right = visits > 2 && (p.groups > 1 || columns_ > tile.nr);
  if (input_right_) {
    in.view = InputView(input, grid_, p.in_channels, padded || pack_right,
                        std::min<std::int64_t>(tile.nr, columns_));
    out.view = InputView(output, grid_, p.out_channels, false, 0);
  } else {
    in.view = InputView(input, grid_, p.in_channels, padded || p.groups > 1, p.group_in());
    out.view =
        InputView(output, grid_, p.out_channels, pack_right, std::min<std::int64_t>(tile.nr, columns_));
  }
  std::int64_t run = p.group_in();
  if (input_right_) {
    run = -1;  // columns stay channels: no merging
  }
  tap_offset_ = merge_taps(input, in.view, run);
  if (!input_right_) rows_ = run;
  row_blocks_ = ceil_div(rows_, p.taps() == 1 ? kPointwiseRowBlock : kRowBlock);
  row_block_ = ceil_div(rows_, row_blocks_);
  row_blocks_ = ceil_div(rows_, row_block_);

  const auto taps = static_cast<std::int64_t>(tap_offset_.size());
  sum_floats_ = round_up(taps * row_block_ * column_block_, 16);
  const std::int64_t tasks = blocks_total();
  splits_ = std::clamp<std::int64_t>(kTasks / tasks, 1, grid_.chunks());

  const auto segments_of = [&](const ConvChunk& chunk) {
    const auto axis = [&](std::size_t a, std::int64_t count) {
      const int i = static_cast<int>(a);
      return Axis{count, left_.view.pixel_step(i), right_.view.pixel_step(i)};
    };
    return make_segments({Axis{chunk.count[0], left_.view.image_stride(), right_.view.image_stride()},
                          axis(0, chunk.count[1]), axis(1, chunk.count[2]), axis(2, input.axis[2].count)});
  };
  full_ = segments_of(grid_.largest());
  last_ = segments_of(grid_.at(grid_.chunks() - 1));

  const std::int64_t filter = p.group_in() * p.taps();
  group_target_ = p.group_out() * filter;
  column_target_ = input_right_ ? p.taps() : filter;
  const std::int64_t merged = rows_ / p.group_in();  // kernel elements inside a row run
  for (std::int64_t r = 0; r < rows_; ++r) {
    row_target_.push_back(input_right_ ? r * filter : r % p.group_in() * p.taps() + r / p.group_in());
  }
  for (std::int64_t t = 0; t < taps; ++t) tap_target_.push_back(input_right_ ? t : t * merged);
}

void DirectWeightGradient::run_block(std::int64_t split, std::int64_t block, const float* input,
                                     const float* grad_output, float* sums, float* scratch) const {
  const auto& tile = kernels().outer_tile;
  const std::int64_t column_begin = block % column_blocks_ * column_block_;
  const std::int64_t column_end = std::min(column_begin + column_block_, columns_);
  const std::int64_t row_begin = block / column_blocks_ % row_blocks_ * row_block_;
  const std::int64_t row_end = std::min(row_begin + row_block_, rows_);
  const std::int64_t group = block / column_blocks_ / row_blocks_;
  float* left_scratch = scratch;
  float* right_scratch = scratch + round_up(left_.view.scratch_floats(), 16);
  const float* left_tensor = input_right_ ? grad_output : input;
  const float* right_tensor = input_right_ ? input : grad_output;

  OuterTileArgs call;
  call.rows = row_end - row_begin;
  call.sum_stride = column_block_;
  const std::int64_t chunks = grid_.chunks();
  const std::int64_t chunk_begin = chunks * split / splits_;
  const std::int64_t chunk_end = chunks * (split + 1) / splits_;
  for (std::int64_t index = chunk_begin; index < chunk_end; ++index) {
    const ConvChunk chunk = grid_.at(index);
    const bool is_full = chunk.count == grid_.largest().count;
    const Segments& segments = is_full ? full_ : last_;
    call.left_offset = segments.left.data();
    call.right_offset = segments.right.data();
    call.segments = static_cast<std::int64_t>(segments.left.size());
    call.length = segments.length;
    call.left_step = segments.left_step;
    call.right_step = segments.right_step;
    call.accumulate = index != chunk_begin;
    const float* left = left_.view.prepare(left_.loop, chunk, left_tensor, group * left_.channels,
                                           left_.channels, left_scratch) +
                        row_begin;
    for (std::int64_t column = column_begin; column < column_end; column += tile.nr) {
      call.columns = std::min<std::int64_t>(tile.nr, columns_ - column);
      const float* right = right_.view.prepare(right_.loop, chunk, right_tensor,
                                               group * right_.channels + column, call.columns, right_scratch);
      for (std::size_t tap = 0; tap < tap_offset_.size(); ++tap) {
        call.left = left + (input_right_ ? 0 : tap_offset_[tap]);
        call.right = right + (input_right_ ? tap_offset_[tap] : 0);
        call.sum =
            sums + static_cast<std::int64_t>(tap) * row_block_ * column_block_ + (column - column_begin);
        tile.run(call);
      }
    }
  }
}

/// Adds the sums of all splits for rows [begin, end) of a block, in order, to those of the first.
void DirectWeightGradient::add_splits(std::int64_t begin, std::int64_t end, float* sums) const {
  const std::int64_t stride = blocks_total() * sum_floats_;
  for (std::size_t tap = 0; tap < tap_target_.size(); ++tap) {
    float* first = sums + (static_cast<std::int64_t>(tap) * row_block_ + begin) * column_block_;
    kernels().outer_tile.column_sums(first + stride, splits_ - 1, (end - begin) * column_block_, stride,
                                     first);
  }
}

/// Writes rows [begin, end) of a block to their places in the weight.
void DirectWeightGradient::scatter(std::int64_t block, std::int64_t begin, std::int64_t end,
                                   const float* sums, float* grad_weight) const {
  const std::int64_t column_begin = block % column_blocks_ * column_block_;
  const std::int64_t columns = std::min(column_block_, columns_ - column_begin);
  const std::int64_t row_begin = block / column_blocks_ % row_blocks_ * row_block_;
  const std::int64_t group = block / column_blocks_ / row_blocks_;
  float* base = grad_weight + group * group_target_ + column_begin * column_target_;
  end = std::min(end, rows_ - row_begin);
  if (tap_target_.size() == 1 && problem_.taps() == 1 && !input_right_) {
    transpose(sums + begin * column_block_, column_block_, columns, end - begin, base + row_begin + begin,
              column_target_);
    return;
  }
  for (std::int64_t r = begin; r < end; ++r) {
    for (std::size_t tap = 0; tap < tap_target_.size(); ++tap) {
      const float* from = sums + (static_cast<std::int64_t>(tap) * row_block_ + r) * column_block_;
      float* to = base + row_target_[static_cast<std::size_t>(row_begin + r)] + tap_target_[tap];
      if (column_target_ == 1) {
        std::memcpy(to, from, static_cast<std::size_t>(columns) * sizeof(float));
      } else {
        for (std::int64_t c = 0; c < columns; ++c) to[c * column_target_] = from[c];
      }
    }
  }
}

void DirectWeightGradient::run(const StepArgs& args) const {
  const float* input = args.input(0);
  const float* grad_output = args.input(1);
  float* grad_weight = args.output(0);
  auto* workspace = reinterpret_cast<float*>(args.workspace);
  const std::int64_t sums_offset =
      round_up(left_.view.scratch_floats(), 16) + round_up(right_.view.scratch_floats(), 16);
  const std::int64_t blocks = blocks_total();
  const double work = problem_.flops() / 2.0 / kernels().width;
  parallel_for(blocks * splits_, work, [&](std::int64_t task, int thread) {
    float* scratch = args.scratch_of(thread);
    const std::int64_t block = task % blocks;
    if (splits_ > 1) {
      run_block(task / blocks, block, input, grad_output, workspace + task * sum_floats_, scratch);
    } else {
      run_block(0, block, input, grad_output, scratch + sums_offset, scratch);
      scatter(block, 0, row_block_, scratch + sums_offset, grad_weight);
    }
  });
  if (splits_ > 1) {
    const std::int64_t pieces = ceil_div(row_block_, kReduceRows);
    const double adds = static_cast<double>(blocks * splits_ * sum_floats_) / kernels().width;
    parallel_for(blocks * pieces, adds, [&](std::int64_t task, int) {
      const std::int64_t begin = task % pieces * kReduceRows;
      const std::int64_t end = std::min(begin + kReduceRows, row_block_);
      float* sums = workspace + task / pieces * sum_floats_;
      add_splits(begin, end, sums);
      scatter(task / pieces, begin, end, sums, grad_weight);
    });
    workspace += blocks * splits_ * sum_floats_;
  }
  if (has_bias_) conv_bias_gradient(problem_, grad_output, workspace, args.output(1));
}

std::string take_all(const ConvProblem&, const std::string&) { return {}; }
std::int64_t nothing(const ConvProblem&) { return 0; }
std::unique_ptr<Step> make(const ConvProblem& problem, const ConvEpilogue& epilogue) {
  return std::make_unique<DirectWeightGradient>(problem, epilogue);
}

}  // namespace

ConvAlgorithm direct_backward_weight() {
  return {"direct", ConvDirection::backward_weight, take_all, nothing, nothing, nullptr, make};
}

}  // namespace cnncore
