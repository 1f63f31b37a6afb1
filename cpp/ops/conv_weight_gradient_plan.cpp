// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_weight_gradient_plan.h"

#include <algorithm>

#include "isa/kernel_table.h"

namespace cnncore {
namespace {

constexpr std::int64_t kManyPixels = 512;
// Narrower tiles pass over a pixel so often that operands have to lie close together.
constexpr std::int64_t kWideTile = 32;
constexpr std::int64_t kFarPixels = 512;  // floats between pixels that share few sets of the first cache
// With a single tap a copy costs as much as several passes in place, unless pixels lie at multiples of so
// many floats: their lines push each other out of the first cache.
constexpr std::int64_t kCrowdedPixels = 256;
constexpr std::int64_t kFewRightPasses = 12;
constexpr std::int64_t kFewCrowdedPasses = 4;
constexpr std::int64_t kFewLeftPasses = 4;
constexpr std::int64_t kLeastColumns = 256;  // for which rows are copied once more
constexpr std::int64_t kLeftPanel = 60;      // channels of the left operand that are copied together, at most
constexpr std::int64_t kPointwiseLeftPanel = 100;

/// The loop whose "input" is grad_output itself: one tap, pixel to pixel.
ConvLoop grad_output_loop(const ConvProblem& p) {
  ConvLoop loop{p.batch, p.groups, p.group_out(), p.group_out(), {}};
  for (std::size_t a = 0; a < 3; ++a)
    loop.axis[a].count = loop.axis[a].in_size = loop.axis[a].out_size = p.output[a];
  return loop;
}

/// Where the pixels of the tensor lie, from the first tap's, that a step along each axis passes.
std::vector<std::int64_t> passed_pixels(const ConvLoop& loop, const InputView& source) {
  std::vector<std::int64_t> offsets = {0};
  for (int a = 0; a < 3; ++a) {
    const ConvAxis& axis = loop.axis[static_cast<std::size_t>(a)];
    const std::int64_t centre = axis.taps / 2 * source.tap_step(a);
    const std::int64_t passed = axis.taps > 1 ? axis.in_step : 1;
    std::vector<std::int64_t> next;
    for (const auto offset : offsets) {
      for (std::int64_t i = 0; i < passed; ++i)
        next.push_back(offset + centre + i * source.pixel_step(a) / axis.in_step);
    }
    offsets = std::move(next);
  }
  return offsets;
}

/// Output pixels of an axis whose input under a tap lies inside.
PixelRange inside(const ConvAxis& axis, std::int64_t tap) {
  const std::int64_t first = axis.in_start + tap * axis.tap_step;
  const std::int64_t last = axis.in_size - 1 - first;
  const std::int64_t begin = first < 0 ? ceil_div(-first, axis.in_step) : 0;
  return {begin, last < 0 ? 0 : std::min(axis.count, last / axis.in_step + 1)};
}

bool is_wide() { return kernels().outer_tile.nr >= kWideTile; }

/// Whether narrow tiles go from pixel to pixel of both operands.
bool is_narrow_pointwise(const ConvProblem& p) {
  return !is_wide() && p.taps() == 1 && p.groups == 1 && p.stride[0] * p.stride[1] * p.stride[2] == 1;
}

/// Whether few enough tiles of rows pass over columns that lie in place, if pointwise.
bool columns_stay(std::int64_t rows, std::int64_t columns) {
  const std::int64_t most = columns % kCrowdedPixels == 0 ? kFewCrowdedPasses : kFewRightPasses;
  return ceil_div(rows, kernels().outer_tile.mr) <= most;
}

}  // namespace

WeightGradientPlan::WeightGradientPlan(const ConvProblem& p) : groups(p.groups) {
  ConvLoop input = forward_loop(p);
  ConvLoop output = grad_output_loop(p);
  if (input.axis[0].is_identity() && input.axis[1].is_identity() && input.axis[2].is_identity()) {
    input = flatten_pointwise(input);
    output = flatten_pointwise(output);
  }
  const bool wide = is_wide();
  // Few input channels would leave vectors mostly empty: then a kernel row of them becomes the rows. Narrow
  // tiles copy each panel of the right operand for many rows: for a single tap the smaller side goes there,
  // except over few pixels, where it pays more to get sums in the weight's own order, and where nothing is
  // copied.
  input_right = p.group_in() >= kernels().width || p.group_in() >= p.group_out();
  if (!wide && p.taps() == 1 && p.group_out() < p.group_in() && p.output_pixels() >= kManyPixels &&
      !(is_narrow_pointwise(p) && columns_stay(p.group_out(), p.group_in())))
    input_right = false;
  rows = input_right ? p.group_out() : p.group_in();
  columns = input_right ? p.group_in() : p.group_out();

  in_place = wide && input_right && columns >= kernels().width;
  fetches = wide && columns > kernels().width / 2;
  const Machine::WeightGradient& tuning = machine().weight_gradient;
  grid = ChunkGrid(output, in_place ? tuning.in_place.pixels : tuning.copied.pixels);
  plan_operands(p, input, output);
  plan_blocks(p.taps());
  plan_targets(p);
}

/// Decides which operands are copied, and finds the taps.
void WeightGradientPlan::plan_operands(const ConvProblem& p, const ConvLoop& input, const ConvLoop& output) {
  const auto& tile = kernels().outer_tile;
  bool padded = false;
  for (const auto& axis : input.axis) padded |= axis.needs_padding();
  GradientOperand& in = input_right ? right : left;
  GradientOperand& out = input_right ? left : right;
  in.loop = input;
  out.loop = output;
  in.channels = p.group_in();
  out.channels = p.group_out();
  // A single panel of ungrouped channels is as good as packed.
  const bool pointwise = is_narrow_pointwise(p);
  const std::int64_t visits = p.taps() * ceil_div(rows, tile.mr);  // of a right panel
  const bool pack_right = !in_place && visits > 2 && (p.groups > 1 || columns > tile.nr) &&
                          !(pointwise && columns_stay(rows, columns));
  right.panel = std::min<std::int64_t>(tile.nr, columns);
  const std::int64_t left_pitch = left.channels * p.groups;
  const bool far = pointwise ? left_pitch % kCrowdedPixels == 0 && columns > kFewLeftPasses * tile.nr
                             : left_pitch >= kFarPixels;
  packs_left = !is_wide() && (input_right || p.taps() == 1) && far;
  const std::int64_t most = p.taps() == 1 ? kPointwiseLeftPanel : kLeftPanel;
  left.panel = packs_left ? even_part(rows, most) : left.channels;

  const bool copy_input = !in_place && (padded || (input_right ? pack_right : packs_left || p.groups > 1));
  const bool copy_output = input_right ? packs_left : pack_right;
  const auto pitch = [&](const GradientOperand& operand) {
    return &operand == &left && packs_left ? round_up(operand.panel, 16) : operand.panel;
  };
  in.view = InputView(input, grid, p.in_channels, copy_input, pitch(in));
  out.view = InputView(output, grid, p.out_channels, copy_output, pitch(out));
  in.source = InputView(input, grid, p.in_channels, false, 0);
  out.source = InputView(output, grid, p.out_channels, false, 0);
  for (GradientOperand* operand : {&left, &right})
    operand->passed = passed_pixels(operand->loop, operand->source);
  plan_taps(input);
  if (!packs_left) left.panel = rows;
  const auto step = [&](const auto& of) {
    return OuterTileOffsets{of(left.view), of(right.view), {of(left.source), of(right.source)}};
  };
  image_step = step([](const InputView& view) { return view.image_stride(); });
  for (int a = 0; a < 3; ++a)
    pixel_step[static_cast<std::size_t>(a)] = step([a](const InputView& view) { return view.pixel_step(a); });
}

void WeightGradientPlan::plan_taps(const ConvLoop& input) {
  const auto& [depth, height, width] = input.axis;
  if (!input_right) {
    std::int64_t run = rows;
    for (const auto offset : merge_taps(input, left.view, run))
      taps.push_back({offset, 0, {PixelRange{0, depth.count}, {0, height.count}, {0, width.count}}});
    for (std::size_t t = 0; t < taps.size(); ++t)
      taps[t].target = static_cast<std::int64_t>(t) * (run / rows);
    rows = run;
    return;
  }
  for (std::int64_t d = 0; d < depth.taps; ++d) {
    for (std::int64_t h = 0; h < height.taps; ++h) {
      for (std::int64_t w = 0; w < width.taps; ++w) {
        const std::int64_t offset =
            d * right.view.tap_step(0) + h * right.view.tap_step(1) + w * right.view.tap_step(2);
        taps.push_back({offset,
                        static_cast<std::int64_t>(taps.size()),
                        {inside(depth, d), inside(height, h), inside(width, w)}});
      }
    }
  }
}

void WeightGradientPlan::plan_blocks(std::int64_t kernel_taps) {
  const auto& tile = kernels().outer_tile;
  const Machine::WeightGradient& tuning = machine().weight_gradient;
  const Machine::Blocks& most = in_place           ? tuning.in_place
                                : kernel_taps == 1 ? tuning.copied_pointwise
                                                   : tuning.copied;
  column_blocks = ceil_div(columns, most.columns);
  column_block = round_up(ceil_div(columns, column_blocks), tile.nr);
  column_blocks = ceil_div(columns, column_block);
  row_blocks = ceil_div(rows, most.rows);
  row_block = ceil_div(rows, row_blocks);
  row_blocks = ceil_div(rows, row_block);
  left.panel = std::min(left.panel, row_block);
  splits = std::clamp<std::int64_t>(machine().tasks / blocks(), 1, grid.chunks());
  if (!is_wide() && kernel_taps == 1) cut_columns();
  sums_in_weight = !is_wide() && input_right && kernel_taps == 1 && splits == 1;
  sum_stride = sums_in_weight ? columns : column_block;
  if (!sums_in_weight)
    sum_floats = round_up(static_cast<std::int64_t>(taps.size()) * row_block * column_block, 16);
}

/// Makes splits of the pixels, whose sums have to be added up, blocks of the columns as long as these are
/// wide.
void WeightGradientPlan::cut_columns() {
  const std::int64_t tasks = blocks() * splits;
  const std::int64_t most = std::min(column_blocks * splits, columns / kLeastColumns);
  if (most <= column_blocks) return;
  column_block = round_up(ceil_div(columns, most), kernels().outer_tile.nr);
  column_blocks = ceil_div(columns, column_block);
  splits = std::max<std::int64_t>(1, tasks / blocks());
}

/// Finds where each row and column of the sums belongs in the weight.
void WeightGradientPlan::plan_targets(const ConvProblem& p) {
  const std::int64_t filter = p.group_in() * p.taps();
  group_target = p.group_out() * filter;
  column_target = input_right ? p.taps() : filter;
  for (std::int64_t r = 0; r < rows; ++r)
    row_target.push_back(input_right ? r * filter : r % p.group_in() * p.taps() + r / p.group_in());
}

WeightBlock WeightGradientPlan::block(std::int64_t index) const {
  const std::int64_t column = index % column_blocks * column_block;
  const std::int64_t row = index / column_blocks % row_blocks * row_block;
  return {index / column_blocks / row_blocks, row, std::min(row + row_block, rows), column,
          std::min(column + column_block, columns)};
}

std::int64_t WeightGradientPlan::max_segments() const {
  const ConvChunk chunk = grid.largest();
  return chunk.count[0] * chunk.count[1] * chunk.count[2];
}

void WeightGradientPlan::find_pixels(const ConvChunk& chunk, const WeightTap& tap, Segments& segments) const {
  std::array<PixelAxis, 4> axes;
  axes[0] = {chunk.count[0], image_step};
  OuterTileOffsets first = {};
  for (std::size_t a = 0; a < 3; ++a) {
    const std::int64_t start = chunk.start[a + 1];
    const std::int64_t end = start + chunk.count[a + 1];
    const std::int64_t begin = std::max(start, tap.pixels[a].begin);
    axes[a + 1] = {std::max<std::int64_t>(0, std::min(end, tap.pixels[a].end) - begin), pixel_step[a]};
    first = advance(first, pixel_step[a], begin - start);
  }
  find_segments(axes, first, segments);
}

std::int64_t WeightGradientPlan::list_lines(const WeightBlock& block, const ConvChunk& chunk,
                                            const float* left_tensor, const float* right_tensor,
                                            OuterTileFetch* list) const {
  std::int64_t lines = 0;
  const auto add = [&](const GradientOperand& operand, int source, const float* tensor, std::int64_t begin,
                       std::int64_t end) {
    begin = std::min(begin, operand.channels);
    end = std::min(end, operand.channels);  // rows may be several taps' channels
    const float* first = operand.source.prepare(operand.loop, chunk, tensor,
                                                block.group * operand.channels + begin, end - begin, nullptr);
    for (const auto offset : operand.passed) {
      for (std::int64_t channel = 0; channel < end - begin && lines < kMaxLines; channel += kLineFloats)
        list[lines++] = {first + offset + channel, source};
    }
  };
  add(right, 1, right_tensor, block.column_begin, block.column_end);
  add(left, 0, left_tensor, block.row_begin, block.row_end);
  return lines;
}

}  // namespace cnncore
