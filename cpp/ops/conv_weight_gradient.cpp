// SPDX-License-Identifier: Apache-2.0
// Gradient of the weight: a sum of outer products over pixels, on the outer-product tile.
#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_weight_gradient_plan.h"
#include "ops/transpose.h"

namespace cnncore {
namespace {

constexpr std::int64_t kReduceRows = 16;  // rows of a task that adds up the splits

/// What a thread works with.
struct Scratch {
  float* left;
  float* right;
  float* sums;
  OuterTileOffsets* segments;
};

class DirectWeightGradient : public Step {
 public:
  DirectWeightGradient(const ConvProblem& problem, const ConvEpilogue& epilogue)
      : problem_(problem), has_bias_(epilogue.bias), plan_(problem) {}

  void run(const StepArgs& args) const override;
  std::size_t workspace_bytes() const override {
    const std::int64_t sums = plan_.splits > 1 ? plan_.blocks() * plan_.splits * plan_.sum_floats : 0;
    return sizeof(float) *
           static_cast<std::size_t>(sums + (has_bias_ ? conv_bias_gradient_floats(problem_) : 0));
  }
  std::size_t scratch_bytes() const override {
    const std::int64_t floats =
        plan_.left_panels() * plan_.left.scratch_floats() + plan_.right.scratch_floats() + plan_.sum_floats;
    return sizeof(float) * static_cast<std::size_t>(floats) +
           sizeof(OuterTileOffsets) * static_cast<std::size_t>(plan_.max_segments());
  }
  double flops() const override { return problem_.flops(); }

 private:
  Scratch part(float* scratch) const;
  void sum_task(std::int64_t task, const float* left_tensor, const float* right_tensor, float* sums,
                const Scratch& scratch) const;
  void sum_chunk(const WeightBlock& block, const ConvChunk& chunk, const float* left_tensor,
                 const float* right_tensor, OuterTileArgs call, float* sums, const Scratch& scratch) const;
  std::int64_t list_next(std::int64_t task, std::int64_t chunk, const float* left_tensor,
                         const float* right_tensor, OuterTileFetch* list) const;
  void prepare_left(const WeightBlock& block, const ConvChunk& chunk, const float* tensor, float* scratch,
                    const float** panels) const;
  void scatter(std::int64_t block, std::int64_t begin, std::int64_t end, const float* sums,
               float* grad_weight) const;
  void add_splits(std::int64_t begin, std::int64_t end, float* sums) const;

  ConvProblem problem_;
  bool has_bias_;
  WeightGradientPlan plan_;
};

Scratch DirectWeightGradient::part(float* scratch) const {
  Scratch s;
  s.left = scratch;
  s.right = s.left + plan_.left_panels() * plan_.left.scratch_floats();
  s.sums = s.right + plan_.right.scratch_floats();
  s.segments = reinterpret_cast<OuterTileOffsets*>(s.sums + plan_.sum_floats);
  return s;
}

/// Makes the block's rows of the left operand readable, panel by panel.
void DirectWeightGradient::prepare_left(const WeightBlock& block, const ConvChunk& chunk, const float* tensor,
                                        float* scratch, const float** panels) const {
  const GradientOperand& left = plan_.left;
  const std::int64_t first = block.group * left.channels;
  if (!plan_.packs_left) {
    panels[0] = left.view.prepare(left.loop, chunk, tensor, first, left.channels, scratch) + block.row_begin;
    return;
  }
  for (std::int64_t row = block.row_begin; row < block.row_end; row += left.panel) {
    *panels++ = left.view.prepare(left.loop, chunk, tensor, first + row,
                                  std::min(left.panel, block.row_end - row), scratch);
    scratch += left.scratch_floats();
  }
}

/// Lists what is read after a task's chunk: the next one, be it the next task's.
std::int64_t DirectWeightGradient::list_next(std::int64_t task, std::int64_t chunk, const float* left_tensor,
                                             const float* right_tensor, OuterTileFetch* list) const {
  if (!plan_.fetches) return 0;
  if (++chunk == plan_.chunk_begin(task / plan_.blocks() + 1)) {
    if (++task == plan_.blocks() * plan_.splits) return 0;
    chunk = plan_.chunk_begin(task / plan_.blocks());
  }
  return plan_.list_lines(plan_.block(task % plan_.blocks()), plan_.grid.at(chunk), left_tensor, right_tensor,
                          list);
}

void DirectWeightGradient::sum_chunk(const WeightBlock& block, const ConvChunk& chunk,
                                     const float* left_tensor, const float* right_tensor, OuterTileArgs call,
                                     float* sums, const Scratch& scratch) const {
  const auto& tile = kernels().outer_tile;
  const float* left[WeightGradientPlan::kMaxLeftPanels];
  prepare_left(block, chunk, left_tensor, scratch.left, left);
  for (std::int64_t column = block.column_begin; column < block.column_end; column += tile.nr) {
    call.columns = std::min<std::int64_t>(tile.nr, block.column_end - column);
    const float* right =
        plan_.right.view.prepare(plan_.right.loop, chunk, right_tensor,
                                 block.group * plan_.right.channels + column, call.columns, scratch.right);
    for (std::int64_t row = block.row_begin; row < block.row_end; row += plan_.left.panel) {
      const float* panel = left[(row - block.row_begin) / plan_.left.panel];
      call.rows = std::min(plan_.left.panel, block.row_end - row);
      Segments segments;
      segments.start = scratch.segments;
      for (std::size_t t = 0; t < plan_.taps.size(); ++t) {
        const WeightTap& tap = plan_.taps[t];
        if (t == 0 || plan_.input_right) plan_.find_pixels(chunk, tap, segments);
        call.segment = segments.start;
        call.segments = segments.count;
        call.length = segments.length;
        call.step = segments.step;
        call.left = panel + (plan_.input_right ? 0 : tap.offset);
        call.right = right + (plan_.input_right ? tap.offset : 0);
        const std::int64_t sum_row = static_cast<std::int64_t>(t) * plan_.row_block + row - block.row_begin;
        call.sum = sums + sum_row * plan_.sum_stride + (column - block.column_begin);
        tile.run(call);
        const std::int64_t taken = std::min(call.fetches, ceil_div(call.rows, tile.mr));
        call.fetch += taken;
        call.fetches -= taken;
      }
    }
  }
}

void DirectWeightGradient::sum_task(std::int64_t task, const float* left_tensor, const float* right_tensor,
                                    float* sums, const Scratch& scratch) const {
  const WeightBlock block = plan_.block(task % plan_.blocks());
  const std::int64_t split = task / plan_.blocks();
  const std::int64_t begin = plan_.chunk_begin(split);
  const std::int64_t end = plan_.chunk_begin(split + 1);
  for (std::int64_t chunk = begin; chunk < end; ++chunk) {
    OuterTileFetch lines[WeightGradientPlan::kMaxLines];
    OuterTileArgs call;
    call.sum_stride = plan_.sum_stride;
    call.accumulate = chunk != begin;
    call.fetch = lines;
    call.fetches = list_next(task, chunk, left_tensor, right_tensor, lines);
    sum_chunk(block, plan_.grid.at(chunk), left_tensor, right_tensor, call, sums, scratch);
  }
}

/// Adds the sums of all splits for rows [begin, end) of a block, in order, to those of the first.
void DirectWeightGradient::add_splits(std::int64_t begin, std::int64_t end, float* sums) const {
  const std::int64_t stride = plan_.blocks() * plan_.sum_floats;
  for (std::size_t tap = 0; tap < plan_.taps.size(); ++tap) {
    const std::int64_t row = static_cast<std::int64_t>(tap) * plan_.row_block + begin;
    float* first = sums + row * plan_.column_block;
    kernels().outer_tile.column_sums(first + stride, plan_.splits - 1, (end - begin) * plan_.column_block,
                                     stride, first);
  }
}

/// Writes rows [begin, end) of a block to their places in the weight.
void DirectWeightGradient::scatter(std::int64_t index, std::int64_t begin, std::int64_t end,
                                   const float* sums, float* grad_weight) const {
  const WeightBlock block = plan_.block(index);
  const std::int64_t columns = block.column_end - block.column_begin;
  const std::int64_t pitch = plan_.column_block;
  float* base = grad_weight + block.group * plan_.group_target + block.column_begin * plan_.column_target;
  end = std::min(end, block.row_end - block.row_begin);
  if (problem_.taps() == 1 && !plan_.input_right) {
    transpose(sums + begin * pitch, pitch, columns, end - begin, base + block.row_begin + begin,
              plan_.column_target);
    return;
  }
  for (std::int64_t r = begin; r < end; ++r) {
    const float* from = sums + r * pitch;
    float* row = base + plan_.row_target[static_cast<std::size_t>(block.row_begin + r)];
    if (plan_.column_target == 1) {
      std::memcpy(row, from, static_cast<std::size_t>(columns) * sizeof(float));
    } else if (plan_.input_right) {
      transpose(from, plan_.row_block * pitch, columns, plan_.column_target, row, plan_.column_target);
    } else {
      for (std::size_t tap = 0; tap < plan_.taps.size(); ++tap, from += plan_.row_block * pitch) {
        float* to = row + plan_.taps[tap].target;
        for (std::int64_t c = 0; c < columns; ++c) to[c * plan_.column_target] = from[c];
      }
    }
  }
}

void DirectWeightGradient::run(const StepArgs& args) const {
  const float* left = args.input(plan_.input_right ? 1 : 0);
  const float* right = args.input(plan_.input_right ? 0 : 1);
  float* grad_weight = args.output(0);
  auto* workspace = reinterpret_cast<float*>(args.workspace);
  const std::int64_t blocks = plan_.blocks();
  const std::int64_t splits = plan_.splits;
  const double work = problem_.flops() / 2.0 / kernels().width;
  parallel_for(blocks * splits, work, [&](std::int64_t task, int thread) {
    const Scratch scratch = part(args.scratch_of(thread));
    if (splits > 1) {
      sum_task(task, left, right, workspace + task * plan_.sum_floats, scratch);
    } else if (plan_.sums_in_weight) {
      sum_task(task, left, right, grad_weight + plan_.weight_offset(plan_.block(task)), scratch);
    } else {
      sum_task(task, left, right, scratch.sums, scratch);
      scatter(task, 0, plan_.row_block, scratch.sums, grad_weight);
    }
  });
  if (splits > 1) {
    const std::int64_t pieces = ceil_div(plan_.row_block, kReduceRows);
    const double adds = static_cast<double>(blocks * splits * plan_.sum_floats) / kernels().width;
    parallel_for(blocks * pieces, adds, [&](std::int64_t task, int) {
      const std::int64_t begin = task % pieces * kReduceRows;
      const std::int64_t end = std::min(begin + kReduceRows, plan_.row_block);
      float* sums = workspace + task / pieces * plan_.sum_floats;
      add_splits(begin, end, sums);
      scatter(task / pieces, begin, end, sums, grad_weight);
    });
    workspace += blocks * splits * plan_.sum_floats;
  }
  if (has_bias_) conv_bias_gradient(problem_, args.input(1), workspace, args.output(1));
}

std::string can_all(const ConvProblem&) { return {}; }
std::int64_t nothing(const ConvProblem&) { return 0; }
std::unique_ptr<Step> make(const ConvProblem& problem, const ConvEpilogue& epilogue) {
  return std::make_unique<DirectWeightGradient>(problem, epilogue);
}

}  // namespace

ConvAlgorithm direct_backward_weight() {
  return {"direct", ConvDirection::backward_weight, can_all, nullptr, nullptr, nothing, nullptr, make};
}

}  // namespace cnncore
