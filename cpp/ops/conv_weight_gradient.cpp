// SPDX-License-Identifier: Apache-2.0
// Gradient of the weight: a sum of outer products over pixels, on the outer-product tile.
#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"
#include "ops/conv_segments.h"
#include "ops/transpose.h"

namespace cnncore {
namespace {

// A task's rows and columns: each operand is read from far away once for every block of the other.
constexpr std::int64_t kColumnBlock = 128;
constexpr std::int64_t kRowBlock = 128;
constexpr std::int64_t kPointwiseRowBlock = 512;
constexpr std::int64_t kNarrowTileRowBlock = 256;
constexpr std::int64_t kChunkPixels = 384;  // 128 + 128 channels of these are 384 KiB
constexpr std::int64_t kManyPixels = 512;
// Tiles at least this wide take long enough for a pixel to fetch the next one from the second cache.
constexpr std::int64_t kWideTile = 32;
constexpr std::int64_t kFarPixels = 512;  // floats between pixels that share few sets of the first cache
constexpr std::int64_t kLeftPanel = 60;   // channels of the left operand that are copied together, at most
constexpr std::int64_t kLeftPanels = ceil_div(kNarrowTileRowBlock, kLeftPanel / 2) + 1;
constexpr std::int64_t kReduceRows = 16;  // rows of a task that adds up the splits
constexpr std::int64_t kTasks = 16;

/// One operand of the outer product: the input under the taps, or grad_output. It is used in place or, panel
/// by panel, as a copy.
struct Operand {
  ConvLoop loop;  // taps and steps of the input; for grad_output a pointwise loop over its pixels
  InputView view;
  std::int64_t channels = 0;  // of a group
  std::int64_t panel = 0;     // channels of a copy

  std::int64_t scratch_floats() const { return round_up(view.scratch_floats(), 16); }
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
    return sizeof(float) * static_cast<std::size_t>(sums_offset() + sum_floats_);
  }
  double flops() const override { return problem_.flops(); }

 private:
  void plan();
  void plan_blocks();
  void plan_operands(const ConvLoop& input, const ConvLoop& output);
  void plan_segments(const ConvLoop& output);
  void plan_targets();
  std::int64_t left_panels() const { return ceil_div(row_block_, left_.panel); }
  /// Where a thread's sums lie in its scratch, after the copies of the operands.
  std::int64_t sums_offset() const {
    return left_panels() * left_.scratch_floats() + right_.scratch_floats();
  }
  std::int64_t blocks_total() const { return problem_.groups * row_blocks_ * column_blocks_; }
  void run_block(std::int64_t split, std::int64_t block, const float* input, const float* grad_output,
                 float* sums, float* scratch) const;
  void prepare_left(const ConvChunk& chunk, const float* tensor, std::int64_t group, std::int64_t row_begin,
                    std::int64_t row_end, float* scratch, const float** panels) const;
  void scatter(std::int64_t block, std::int64_t begin, std::int64_t end, const float* sums,
               float* grad_weight) const;
  void add_splits(std::int64_t begin, std::int64_t end, float* sums) const;

  ConvProblem problem_;
  bool has_bias_;
  bool packs_left_ = false;
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

  const std::int64_t row_width = std::max<std::int64_t>(1, input.axis[2].count);
  grid_ = ChunkGrid(output, std::max(kChunkPixels, row_width));
  plan_operands(input, output);
  plan_blocks();
  plan_segments(output);
  plan_targets();
}

/// Decides which operands are copied, and finds the taps.
void DirectWeightGradient::plan_operands(const ConvLoop& input, const ConvLoop& output) {
  const ConvProblem& p = problem_;
  const auto& tile = kernels().outer_tile;
  bool padded = false;
  for (const auto& axis : input.axis) padded |= axis.needs_padding();
  Operand& in = input_right_ ? right_ : left_;
  Operand& out = input_right_ ? left_ : right_;
  in.loop = input;
  out.loop = output;
  in.channels = p.group_in();
  out.channels = p.group_out();
  // A single panel of ungrouped channels is as good as packed.
  const std::int64_t visits = p.taps() * ceil_div(rows_, tile.mr);  // of a right panel
  const bool pack_right = visits > 2 && (p.groups > 1 || columns_ > tile.nr);
  right_.panel = std::min<std::int64_t>(tile.nr, columns_);
  // Narrow tiles pass over the left operand so often that its pixels have to lie close together.
  const std::int64_t left_pitch = left_.channels * p.groups;
  packs_left_ = (input_right_ || p.taps() == 1) && tile.nr < kWideTile && left_pitch >= kFarPixels;
  left_.panel = packs_left_ ? ceil_div(rows_, ceil_div(rows_, kLeftPanel)) : left_.channels;

  const bool copy_input = padded || (input_right_ ? pack_right : packs_left_ || p.groups > 1);
  const bool copy_output = input_right_ ? packs_left_ : pack_right;
  const auto pitch = [&](const Operand& operand) {
    return &operand == &left_ && packs_left_ ? round_up(operand.panel, 16) : operand.panel;
  };
  in.view = InputView(input, grid_, p.in_channels, copy_input, pitch(in));
  out.view = InputView(output, grid_, p.out_channels, copy_output, pitch(out));
  std::int64_t run = input_right_ ? 0 : p.group_in();  // columns stay channels: nothing continues a run of 0
  tap_offset_ = merge_taps(input, in.view, run);
  if (!input_right_) rows_ = run;
  if (!packs_left_) left_.panel = rows_;
}

void DirectWeightGradient::plan_blocks() {
  const auto& tile = kernels().outer_tile;
  column_blocks_ = ceil_div(columns_, kColumnBlock);
  column_block_ = round_up(ceil_div(columns_, column_blocks_), tile.nr);
  column_blocks_ = ceil_div(columns_, column_block_);
  const std::int64_t pointwise = tile.nr < kWideTile ? kNarrowTileRowBlock : kPointwiseRowBlock;
  row_blocks_ = ceil_div(rows_, problem_.taps() == 1 ? pointwise : kRowBlock);
  row_block_ = ceil_div(rows_, row_blocks_);
  row_blocks_ = ceil_div(rows_, row_block_);
  left_.panel = std::min(left_.panel, row_block_);
  sum_floats_ = round_up(static_cast<std::int64_t>(tap_offset_.size()) * row_block_ * column_block_, 16);
  splits_ = std::clamp<std::int64_t>(kTasks / blocks_total(), 1, grid_.chunks());
}

void DirectWeightGradient::plan_segments(const ConvLoop& output) {
  const auto segments_of = [&](const ConvChunk& chunk) {
    const auto axis = [&](int a, std::int64_t count) {
      return PixelAxis{count, left_.view.pixel_step(a), right_.view.pixel_step(a)};
    };
    const PixelAxis images = {chunk.count[0], left_.view.image_stride(), right_.view.image_stride()};
    return make_segments(
        {images, axis(0, chunk.count[1]), axis(1, chunk.count[2]), axis(2, output.axis[2].count)});
  };
  full_ = segments_of(grid_.largest());
  last_ = segments_of(grid_.at(grid_.chunks() - 1));
}

/// Finds where each row, tap and column of the sums belongs in the weight.
void DirectWeightGradient::plan_targets() {
  const ConvProblem& p = problem_;
  const std::int64_t filter = p.group_in() * p.taps();
  group_target_ = p.group_out() * filter;
  column_target_ = input_right_ ? p.taps() : filter;
  const std::int64_t merged = rows_ / p.group_in();  // kernel elements inside a row run
  for (std::int64_t r = 0; r < rows_; ++r) {
    row_target_.push_back(input_right_ ? r * filter : r % p.group_in() * p.taps() + r / p.group_in());
  }
  for (std::int64_t t = 0; t < static_cast<std::int64_t>(tap_offset_.size()); ++t)
    tap_target_.push_back(input_right_ ? t : t * merged);
}

/// Makes rows [row_begin, row_end) of the left operand readable, panel by panel.
void DirectWeightGradient::prepare_left(const ConvChunk& chunk, const float* tensor, std::int64_t group,
                                        std::int64_t row_begin, std::int64_t row_end, float* scratch,
                                        const float** panels) const {
  const std::int64_t first = group * left_.channels;
  if (!packs_left_) {
    panels[0] = left_.view.prepare(left_.loop, chunk, tensor, first, left_.channels, scratch) + row_begin;
    return;
  }
  for (std::int64_t row = row_begin; row < row_end; row += left_.panel) {
    *panels++ = left_.view.prepare(left_.loop, chunk, tensor, first + row,
                                   std::min(left_.panel, row_end - row), scratch);
    scratch += left_.scratch_floats();
  }
}

void DirectWeightGradient::run_block(std::int64_t split, std::int64_t block, const float* input,
                                     const float* grad_output, float* sums, float* scratch) const {
  const auto& tile = kernels().outer_tile;
  const std::int64_t column_begin = block % column_blocks_ * column_block_;
  const std::int64_t column_end = std::min(column_begin + column_block_, columns_);
  const std::int64_t row_begin = block / column_blocks_ % row_blocks_ * row_block_;
  const std::int64_t row_end = std::min(row_begin + row_block_, rows_);
  const std::int64_t group = block / column_blocks_ / row_blocks_;
  float* right_scratch = scratch + left_panels() * left_.scratch_floats();
  const float* left_tensor = input_right_ ? grad_output : input;
  const float* right_tensor = input_right_ ? input : grad_output;

  const std::int64_t chunks = grid_.chunks();
  const std::int64_t chunk_begin = chunks * split / splits_;
  const std::int64_t chunk_end = chunks * (split + 1) / splits_;
  for (std::int64_t index = chunk_begin; index < chunk_end; ++index) {
    const ConvChunk chunk = grid_.at(index);
    const Segments& segments = chunk.count == grid_.largest().count ? full_ : last_;
    OuterTileArgs call;
    call.left_offset = segments.left.data();
    call.right_offset = segments.right.data();
    call.segments = static_cast<std::int64_t>(segments.left.size());
    call.length = segments.length;
    call.left_step = segments.left_step;
    call.right_step = segments.right_step;
    call.sum_stride = column_block_;
    call.accumulate = index != chunk_begin;
    const float* left[kLeftPanels];
    prepare_left(chunk, left_tensor, group, row_begin, row_end, scratch, left);
    for (std::int64_t column = column_begin; column < column_end; column += tile.nr) {
      call.columns = std::min<std::int64_t>(tile.nr, columns_ - column);
      const float* right = right_.view.prepare(right_.loop, chunk, right_tensor,
                                               group * right_.channels + column, call.columns, right_scratch);
      for (std::int64_t row = row_begin; row < row_end; row += left_.panel) {
        call.rows = std::min(left_.panel, row_end - row);
        for (std::size_t tap = 0; tap < tap_offset_.size(); ++tap) {
          call.left = left[(row - row_begin) / left_.panel] + (input_right_ ? 0 : tap_offset_[tap]);
          call.right = right + (input_right_ ? tap_offset_[tap] : 0);
          const std::int64_t sum_row = static_cast<std::int64_t>(tap) * row_block_ + row - row_begin;
          call.sum = sums + sum_row * column_block_ + (column - column_begin);
          tile.run(call);
        }
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
  const std::int64_t blocks = blocks_total();
  const double work = problem_.flops() / 2.0 / kernels().width;
  parallel_for(blocks * splits_, work, [&](std::int64_t task, int thread) {
    float* scratch = args.scratch_of(thread);
    const std::int64_t block = task % blocks;
    if (splits_ > 1) {
      run_block(task / blocks, block, input, grad_output, workspace + task * sum_floats_, scratch);
    } else {
      run_block(0, block, input, grad_output, scratch + sums_offset(), scratch);
      scatter(block, 0, row_block_, scratch + sums_offset(), grad_weight);
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
