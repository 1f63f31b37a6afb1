// SPDX-License-Identifier: Apache-2.0
// Winograd gradient of the weight: at each point an outer product of transformed input and grad_output over
// all tiles, then one transform back to taps. The tiles are cut into splits by shape alone, whose
// gradients are added in order.
#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"
#include "ops/conv_winograd.h"

namespace cnncore {
namespace {

// Channels of either side that a task keeps sums of: fewer where that makes too few tasks.
constexpr std::int64_t kBlock = 128;
constexpr std::int64_t kLeastBlock = 32;
constexpr std::int64_t kLeastTasks = 8;
constexpr std::int64_t kBlockTiles = 56;  // the sums of all points pass once for each block of tiles
constexpr std::int64_t kTasks = 8;
constexpr std::int64_t kLeastSplitTiles = 64;  // the transform back is a small part of a split of these
constexpr std::int64_t kShortSumTiles = 128;
constexpr std::int64_t kMostSplits = 64;
constexpr std::int64_t kPartialFloats = 512 * 1024;
constexpr std::int64_t kGroup = 8;  // splits that are added before the groups are
constexpr std::int64_t kAddFloats = 4096;

class WinogradWeightGradientStep : public Step {
 public:
  WinogradWeightGradientStep(const ConvProblem& p, const ConvEpilogue& epilogue, WinogradForm form)
      : problem_(p),
        has_bias_(epilogue.bias),
        form_(form),
        geometry_(p, ConvDirection::forward, form),
        transforms_(winograd_transforms(form)) {
    const auto& g = geometry_;
    const std::int64_t most = std::max<std::int64_t>(1, g.tiles / kLeastSplitTiles);
    std::int64_t block = kBlock;
    do {
      cut(g.in_channels, block, row_blocks_, rows_);
      cut(g.out_channels, block, column_blocks_, columns_);
      splits_ = std::clamp<std::int64_t>(ceil_div(kTasks, blocks()), 1, most);
      splits_ = std::max(splits_, accurate_splits());
      block /= 2;
    } while (blocks() * splits_ < kLeastTasks && block >= kLeastBlock);
    const std::int64_t split_tiles = ceil_div(g.tiles, splits_);
    block_tiles_ = ceil_div(split_tiles, ceil_div(split_tiles, kBlockTiles));
    left_step_ = winograd_point_step(rows_ / kWinogradBlock, block_tiles_);
    right_step_ = winograd_point_step(columns_ / kWinogradBlock, block_tiles_);
  }

  void run(const StepArgs& args) const override {
    auto* partial = reinterpret_cast<float*>(args.workspace);
    float* grad_weight = args.output(0);
    const std::int64_t floats = weight_floats();
    const double work = static_cast<double>(geometry_.tiles * geometry_.groups * transforms_.points) *
                        static_cast<double>(geometry_.in_channels * geometry_.out_channels) / kernels().width;
    parallel_for(blocks() * splits_, work, [&](std::int64_t task, int thread) {
      const std::int64_t split = task / blocks();
      float* target = split == 0 ? grad_weight : partial + (split - 1) * floats;
      run_task(task % blocks(), split, args, args.scratch_of(thread), target);
    });
    if (splits_ > 1) {
      const double additions = static_cast<double>(splits_ * floats) / kernels().width;
      parallel_for(ceil_div(floats, kAddFloats), additions, [&](std::int64_t task, int) {
        const std::int64_t begin = task * kAddFloats;
        add_splits(partial + begin, std::min(kAddFloats, floats - begin), grad_weight + begin);
      });
    }
    if (has_bias_) conv_bias_gradient(problem_, args.input(1), partial, args.output(1));
  }

  std::size_t workspace_bytes() const override {
    const std::int64_t bias = has_bias_ ? conv_bias_gradient_floats(problem_) : 0;
    return static_cast<std::size_t>(std::max((splits_ - 1) * weight_floats(), bias)) * sizeof(float);
  }
  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(zero_floats() + transforms_.points * (left_step_ + right_step_) +
                                    sum_floats()) *
           sizeof(float);
  }
  std::string algorithm() const override { return winograd_name(form_); }
  double flops() const override { return problem_.flops(); }

 private:
  /// Cuts `channels` into equal blocks of at most `size`, in whole blocks of 16.
  static void cut(std::int64_t channels, std::int64_t size, std::int64_t& blocks, std::int64_t& block) {
    block = round_up(ceil_div(channels, ceil_div(channels, size)), kWinogradBlock);
    blocks = ceil_div(channels, block);
  }
  std::int64_t blocks() const { return row_blocks_ * column_blocks_ * geometry_.groups; }
  std::int64_t weight_floats() const {
    return geometry_.groups * geometry_.in_channels * geometry_.out_channels * problem_.taps();
  }
  std::int64_t zero_floats() const {
    return round_up(6 * std::max(geometry_.input.pitch, geometry_.output.pitch), kWinogradBlock);
  }
  /// Splits that shorten the sums where their gradients are small.
  std::int64_t accurate_splits() const {
    return std::min({kMostSplits, kPartialFloats / weight_floats(), geometry_.tiles / kShortSumTiles});
  }
  /// Adds columns of all splits but the first, which is in `sum`, in groups.
  void add_splits(float* partial, std::int64_t columns, float* sum) const {
    const auto add = kernels().outer_tile.column_sums;
    const std::int64_t floats = weight_floats();
    add(partial, std::min(kGroup, splits_) - 1, columns, floats, sum);
    for (std::int64_t first = kGroup; first < splits_; first += kGroup) {
      float* head = partial + (first - 1) * floats;
      add(head + floats, std::min(kGroup, splits_ - first) - 1, columns, floats, head);
      add(head, 1, columns, floats, sum);
    }
  }
  std::int64_t sum_floats() const { return transforms_.points * winograd_matrix_step(rows_ * columns_); }

  void run_task(std::int64_t block, std::int64_t split, const StepArgs& args, float* scratch,
                float* target) const {
    const auto& g = geometry_;
    const std::int64_t column = block % column_blocks_ * columns_;
    const std::int64_t row = block / column_blocks_ % row_blocks_ * rows_;
    const std::int64_t group = block / column_blocks_ / row_blocks_;
    std::memset(scratch, 0, static_cast<std::size_t>(zero_floats()) * sizeof(float));

    WinogradGather input;
    input.images = g.input;
    input.pixels = args.input(0) + group * g.in_channels + row;
    input.zeros = scratch;
    input.channels = std::min(rows_, g.in_channels - row);
    input.values = scratch + zero_floats();
    input.point_step = left_step_;
    input.block_step = winograd_block_step(block_tiles_);
    WinogradGather grad = input;
    grad.images = g.output;
    grad.pixels = args.input(1) + group * g.out_channels + column;
    grad.channels = std::min(columns_, g.out_channels - column);
    grad.values = input.values + transforms_.points * left_step_;
    grad.point_step = right_step_;

    WinogradOuter outer;
    outer.points = transforms_.points;
    outer.rows = input.channels;
    outer.columns = grad.channels;
    outer.left = input.values;
    outer.left_point_step = left_step_;
    outer.left_block_step = input.block_step;
    outer.right = grad.values;
    outer.right_point_step = right_step_;
    outer.right_block_step = grad.block_step;
    outer.sum = grad.values + transforms_.points * right_step_;
    outer.sum_point_step = winograd_matrix_step(rows_ * columns_);
    outer.sum_row_step = columns_;
    const std::int64_t end = g.tiles * (split + 1) / splits_;
    for (std::int64_t tile = g.tiles * split / splits_; tile < end; tile += block_tiles_) {
      input.first_tile = grad.first_tile = tile;
      outer.tiles = input.tiles = grad.tiles = std::min(block_tiles_, end - tile);
      transforms_.input(input);
      transforms_.grad_output(grad);
      kernels().winograd.outer(outer);
      outer.accumulate = true;
    }

    WinogradWeightGradient taps;
    taps.values = outer.sum;
    taps.point_step = outer.sum_point_step;
    taps.width = columns_;
    taps.rows = input.channels;
    taps.columns = grad.channels;
    taps.column_step = g.in_channels * problem_.taps();
    taps.grad = target + (group * g.out_channels + column) * taps.column_step + row * problem_.taps();
    transforms_.grad_weight(taps);
  }

  ConvProblem problem_;
  bool has_bias_;
  WinogradForm form_;
  WinogradGeometry geometry_;
  const WinogradTransforms& transforms_;
  std::int64_t rows_, columns_;              // of a task's sums, in whole blocks of 16
  std::int64_t row_blocks_, column_blocks_;  // of a group
  std::int64_t block_tiles_, splits_;
  std::int64_t left_step_, right_step_;  // floats from point to point
};

template <WinogradForm kForm>
ConvAlgorithm algorithm() {
  ConvAlgorithm a{};
  a.name = winograd_name(kForm);
  a.exact = false;
  a.direction = ConvDirection::backward_weight;
  a.refuse = [](const ConvProblem& p, const std::string& accuracy) {
    return winograd_refuse(p, ConvDirection::backward_weight, kForm, accuracy);
  };
  a.packed_floats = a.statistics_rows = [](const ConvProblem&) { return std::int64_t{0}; };
  a.make = [](const ConvProblem& p, const ConvEpilogue& epilogue) -> std::unique_ptr<Step> {
    return std::make_unique<WinogradWeightGradientStep>(p, epilogue, kForm);
  };
  return a;
}

}  // namespace

ConvAlgorithm winograd_f4_backward_weight() { return algorithm<WinogradForm::f4>(); }
ConvAlgorithm winograd_f2_backward_weight() { return algorithm<WinogradForm::f2>(); }
ConvAlgorithm winograd_f2x5_backward_weight() { return algorithm<WinogradForm::f2x5>(); }

}  // namespace cnncore
