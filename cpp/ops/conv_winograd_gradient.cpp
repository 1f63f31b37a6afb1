// SPDX-License-Identifier: Apache-2.0
// Winograd gradient of the weight: at each point an outer product of transformed input and grad_output over
// all tiles, then one transform back to taps. A task transforms its tiles of some channels into the third
// cache and sums them for a few channels of either side at a time, whose sums stay in the second. The tiles
// are cut into splits by shape alone, whose gradients are added in order.
#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"
#include "ops/conv_winograd.h"

namespace cnncore {
namespace {

constexpr std::int64_t kBlock = 128;  // channels of either side of a task: fewer where it makes too few tasks
constexpr std::int64_t kLeastBlock = 32;
constexpr std::int64_t kLeastTasks = 8;
constexpr std::int64_t kPart = 64;             // of them, whose sums are half of a second cache of 1 MiB
constexpr std::int64_t kSumTiles = 64;         // of a sum before it is added to that of the tiles before
constexpr std::int64_t kLeastSplitTiles = 64;  // the transform back is a small part of a split of these
constexpr std::int64_t kShortSumTiles = 128;
constexpr std::int64_t kMostSplits = 64;
constexpr std::int64_t kGroup = 8;  // splits that are added before the groups are
constexpr std::int64_t kAddFloats = 4096;

/// The input or grad_output, whose channels are rows or columns of the sums.
struct Side {
  void (*transform)(const WinogradGather&);
  WinogradImages images;
  std::int64_t channels;    // of a group
  std::int64_t block;       // channels of a task, in whole blocks of 16
  std::int64_t blocks;      // of a group
  std::int64_t part;        // channels that are summed at a time, in whole blocks of 16
  std::int64_t point_step;  // floats from point to point

  static std::int64_t cut(std::int64_t channels, std::int64_t most) {
    return round_up(even_part(channels, most), kWinogradBlock);
  }
  /// Cuts the channels into equal blocks of at most `size`, and these into parts.
  void cut(std::int64_t size) {
    block = cut(channels, size);
    blocks = ceil_div(channels, block);
    part = cut(block, kPart);
  }
};

class WinogradWeightGradientStep : public Step {
 public:
  WinogradWeightGradientStep(const ConvProblem& p, const ConvEpilogue& epilogue, WinogradForm form)
      : problem_(p),
        has_bias_(epilogue.bias),
        form_(form),
        geometry_(p, ConvDirection::forward, form),
        transforms_(winograd_transforms(form)) {
    const auto& g = geometry_;
    rows_ = {transforms_.input, g.input, g.in_channels, 0, 0, 0, 0};
    columns_ = {transforms_.grad_output, g.output, g.out_channels, 0, 0, 0, 0};
    const std::int64_t most = std::max<std::int64_t>(1, g.tiles / kLeastSplitTiles);
    std::int64_t block = kBlock;
    do {
      rows_.cut(block);
      columns_.cut(block);
      splits_ = std::clamp<std::int64_t>(ceil_div(machine().winograd.gradient_tasks, blocks()), 1, most);
      splits_ = std::max(splits_, accurate_splits());
      block /= 2;
    } while (blocks() * splits_ < kLeastTasks && block >= kLeastBlock);
    plan_tiles();
  }

  void run(const StepArgs& args) const override {
    auto* partial = reinterpret_cast<float*>(args.workspace);
    float* grad_weight = args.output(0);
    const std::int64_t floats = weight_floats();
    const double work = static_cast<double>(geometry_.tiles * geometry_.groups * transforms_.points) *
                        static_cast<double>(geometry_.depth() * geometry_.out_channels) / kernels().width;
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
    return static_cast<std::size_t>(zero_floats() + sum_floats() +
                                    transforms_.points * (rows_.point_step + columns_.point_step)) *
           sizeof(float);
  }
  std::string algorithm() const override { return winograd_name(form_); }
  double flops() const override { return problem_.flops(); }

 private:
  void plan_tiles() {
    const std::int64_t split_tiles = ceil_div(geometry_.tiles, splits_);
    const std::int64_t tile_floats = transforms_.points * (rows_.block + columns_.block);
    const std::int64_t most =
        has_parts() ? std::max(kSumTiles, machine().winograd.gradient_values / tile_floats) : kSumTiles;
    value_tiles_ = even_part(split_tiles, most);
    sum_tiles_ = even_part(value_tiles_, kSumTiles);
    rows_.point_step = winograd_point_step(rows_.block / kWinogradBlock, value_tiles_);
    columns_.point_step = winograd_point_step(columns_.block / kWinogradBlock, value_tiles_);
  }
  /// Of a task's channels, or its sums stay where they are while all its tiles pass.
  bool has_parts() const { return rows_.part < rows_.block || columns_.part < columns_.block; }
  std::int64_t blocks() const { return rows_.blocks * columns_.blocks * geometry_.groups * geometry_.slices; }
  std::int64_t weight_floats() const {
    return geometry_.groups * geometry_.in_channels * geometry_.out_channels * problem_.taps();
  }
  std::int64_t zero_floats() const {
    return round_up(6 * std::max(geometry_.input.pitch, geometry_.output.pitch), kWinogradBlock);
  }
  std::int64_t sum_floats() const {
    return transforms_.points * winograd_matrix_step(rows_.part * columns_.part);
  }
  /// Splits that shorten the sums where their gradients are small.
  std::int64_t accurate_splits() const {
    return std::min({kMostSplits, machine().winograd.gradient_partials / weight_floats(),
                     geometry_.tiles / kShortSumTiles});
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

  void run_task(std::int64_t block, std::int64_t split, const StepArgs& args, float* scratch,
                float* target) const {
    const auto& g = geometry_;
    const std::int64_t column = block % columns_.blocks * columns_.block;
    const std::int64_t row = block / columns_.blocks % rows_.blocks * rows_.block;
    const std::int64_t group = block / columns_.blocks / rows_.blocks % g.groups;
    const std::int64_t slice = block / columns_.blocks / rows_.blocks / g.groups;
    std::memset(scratch, 0, static_cast<std::size_t>(zero_floats()) * sizeof(float));

    float* sums = scratch + zero_floats();
    WinogradGather input = gather(rows_, args.input(0) + group * g.in_channels + row, row, scratch);
    input.images = g.slice_images(slice);
    input.values = sums + sum_floats();
    WinogradGather grad = gather(columns_, args.input(1) + group * g.out_channels + column, column, scratch);
    grad.values = input.values + transforms_.points * rows_.point_step;

    WinogradWeightGradient taps;
    taps.values = sums;
    taps.point_step = winograd_matrix_step(rows_.part * columns_.part);
    taps.width = columns_.part;
    taps.row_step = problem_.taps();
    taps.column_step = g.in_channels * taps.row_step;
    float* corner = target + (group * g.out_channels + column) * taps.column_step + row * taps.row_step +
                    slice * transforms_.filter;
    const std::int64_t begin = g.tiles * split / splits_;
    const std::int64_t end = g.tiles * (split + 1) / splits_;
    for (std::int64_t tile = begin; tile < end; tile += value_tiles_) {
      input.first_tile = grad.first_tile = tile;
      input.tiles = grad.tiles = std::min(value_tiles_, end - tile);
      rows_.transform(input);
      columns_.transform(grad);
      for (std::int64_t r = 0; r < input.channels; r += rows_.part) {
        for (std::int64_t c = 0; c < grad.channels; c += columns_.part) {
          taps.rows = std::min(rows_.part, input.channels - r);
          taps.columns = std::min(columns_.part, grad.channels - c);
          sum_part(input, r, grad, c, taps, sums, !has_parts() && tile > begin);
          if (!has_parts() && tile + value_tiles_ < end) continue;
          taps.grad = corner + c * taps.column_step + r * taps.row_step;
          transforms_.grad_weight(taps);
        }
      }
      taps.accumulate = has_parts();
    }
  }

  /// A task's channels of one side to the points, but for the tiles and where to.
  WinogradGather gather(const Side& side, const float* pixels, std::int64_t channel,
                        const float* zeros) const {
    WinogradGather call;
    call.images = side.images;
    call.pixels = pixels;
    call.zeros = zeros;
    call.channels = std::min(side.block, side.channels - channel);
    call.written = call.channels;
    call.point_step = side.point_step;
    call.block_step = winograd_block_step(value_tiles_);
    return call;
  }

  /// Sums rows from r on and columns from c on over transformed tiles, point by point.
  void sum_part(const WinogradGather& left, std::int64_t r, const WinogradGather& right, std::int64_t c,
                const WinogradWeightGradient& taps, float* sums, bool accumulate) const {
    const float* first_left = left.values + r / kWinogradBlock * left.block_step;
    const float* first_right = right.values + c / kWinogradBlock * right.block_step;
    WinogradOuter call;
    call.rows = taps.rows;
    call.columns = taps.columns;
    call.left_block_step = left.block_step;
    call.right_block_step = right.block_step;
    call.sum_row_step = taps.width;
    const std::int64_t parts = ceil_div(left.tiles, sum_tiles_);
    const std::int64_t calls = transforms_.points * parts;
    const auto find_next = [&](std::int64_t index) {
      const std::int64_t tile = index % parts * sum_tiles_ * kWinogradBlock;
      call.next_left = first_left + index / parts * left.point_step + tile;
      call.next_right = first_right + index / parts * right.point_step + tile;
    };
    find_next(0);
    for (std::int64_t index = 0; index < calls; ++index) {
      call.left = call.next_left;
      call.right = call.next_right;
      find_next(std::min(index + 1, calls - 1));
      call.tiles = std::min(sum_tiles_, left.tiles - index % parts * sum_tiles_);
      call.sum = sums + index / parts * taps.point_step;
      call.accumulate = accumulate || index % parts > 0;
      kernels().winograd.outer(call);
    }
  }

  ConvProblem problem_;
  bool has_bias_;
  WinogradForm form_;
  WinogradGeometry geometry_;
  const WinogradTransforms& transforms_;
  Side rows_, columns_;
  std::int64_t splits_;
  std::int64_t value_tiles_;  // that a task transforms at a time
  std::int64_t sum_tiles_;
};

template <WinogradForm kForm>
ConvAlgorithm algorithm() {
  ConvAlgorithm a{};
  a.name = winograd_name(kForm);
  a.exact = false;
  a.direction = ConvDirection::backward_weight;
  a.cannot = [](const ConvProblem& p) { return winograd_cannot(p, kForm); };
  a.declines = [](const ConvProblem& p) {
    return winograd_declines(p, ConvDirection::backward_weight, kForm);
  };
  a.statistics_rows = [](const ConvProblem&) { return std::int64_t{0}; };
  a.make = [](const ConvProblem& p, const ConvEpilogue& epilogue) -> std::unique_ptr<Step> {
    return std::make_unique<WinogradWeightGradientStep>(p, epilogue, kForm);
  };
  return a;
}

}  // namespace

ConvAlgorithm winograd_f4_backward_weight() { return algorithm<WinogradForm::f4>(); }
ConvAlgorithm winograd_f2_backward_weight() { return algorithm<WinogradForm::f2>(); }
ConvAlgorithm winograd_f2x5_backward_weight() { return algorithm<WinogradForm::f2x5>(); }
ConvAlgorithm winograd_f4x1_backward_weight() { return algorithm<WinogradForm::f4x1>(); }

}  // namespace cnncore
