// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_loop.h"

#include <algorithm>
#include <map>

#include "isa/kernel_table.h"

namespace cnncore {
namespace {

constexpr std::int64_t kMaxPixels = 2048;
constexpr std::int64_t kMinPixels = 96;

/// Vector operations of a whole run.
double loop_work(const ConvLoop& loop) {
  return static_cast<double>(loop.pixels() * loop.groups * loop.out_channels) *
         static_cast<double>(loop.taps() * loop.in_channels + 4) / kernels().width;
}

bool output_exceeds_caches(const ConvLoop& loop) {
  std::int64_t floats = loop.batch * loop.groups * loop.out_channels;
  for (const auto& axis : loop.axis) floats *= axis.out_size;
  return exceeds_caches(floats);
}

std::int64_t input_floats(const ConvLoop& loop) {
  std::int64_t floats = loop.batch * loop.groups * loop.in_channels;
  for (const auto& axis : loop.axis) floats *= axis.in_size;
  return floats;
}

std::int64_t reduction_blocks(std::int64_t depth) {
  return std::max<std::int64_t>(1, ceil_div(depth * kernels().gemm_tile.nr, machine().direct.weight));
}

/// Turns the tile's shift, sum and sum of squares into count, mean and squared deviations from the mean.
void finish_statistics(const float* sums, std::int64_t rows, std::int64_t columns, std::int64_t nr,
                       float* count, std::int64_t channels) {
  const float inverse = 1.0f / static_cast<float>(rows);
  for (std::int64_t c = 0; c < columns; ++c) {
    const float sum = sums[nr + c];
    count[c] = static_cast<float>(rows);
    count[channels + c] = sums[c] + sum * inverse;
    const float deviations = sums[2 * nr + c] - sum * (sum * inverse);
    count[2 * channels + c] = deviations < 0.0f ? 0.0f : deviations;  // a NaN stays
  }
}

}  // namespace

ConvLoopPlan::ConvLoopPlan(const ConvLoop& loop, std::int64_t out_pitch, std::int64_t most_tasks)
    : loop_(flatten_pointwise(loop)),
      in_pitch_(loop_.in_channels * loop_.groups),
      out_channels_(loop_.out_channels * loop_.groups),
      out_pitch_(out_pitch > 0 ? out_pitch : out_channels_),
      geometry_(loop_, in_pitch_),
      group_floats_(packed_group_floats(loop_)),
      panels_(loop_.out_channels),
      grid_(chunk_grid(loop_, most_tasks)) {
  const std::int64_t chunks = grid_.chunks() * loop_.groups;
  const std::int64_t tasks = tasks_worth(loop_work(loop_), most_tasks);
  panels_per_task_ = ceil_div(panels_.count(), std::clamp<std::int64_t>(tasks / chunks, 1, panels_.count()));
  plan_blocks();
  plan_tables();
  large_ = output_exceeds_caches(loop_);
}

bool whole_lines(const float* first, std::int64_t pitch) {
  return pitch % kLineFloats == 0 &&
         reinterpret_cast<std::uintptr_t>(first) % std::uintptr_t{kLineBytes} == 0;
}

/// Results over a residual find their lines in cache.
bool ConvLoopPlan::streams(const ConvLoopMemory& memory, const ConvEpilogue& epilogue) const {
  const bool whole = loop_.out_channels % kLineFloats == 0 && whole_lines(memory.output, out_pitch_);
  return large_ && whole && blocks_.size() == 1 && memory.residual != memory.output &&
         is_clamp(epilogue.activation);
}

ChunkGrid ConvLoopPlan::chunk_grid(const ConvLoop& loop, std::int64_t most_tasks) {
  // A single tap reads the channels of a pixel block by block, so only one block has to stay in cache.
  std::int64_t pixel_floats = loop.in_channels;
  if (loop.taps() == 1) pixel_floats = ceil_div(pixel_floats, reduction_blocks(pixel_floats));
  for (const auto& axis : loop.axis) {
    if (axis.taps > 1)
      pixel_floats =
          std::min(machine().direct.input, pixel_floats) * std::min(axis.in_step, machine().direct.input);
  }
  // The groups of a chunk follow one another: where they share lines that taps read again from far away, the
  // lines of all groups are to stay in cache (Zen 3: groups of 8, stride 2, took 0.5 to 0.6 of the time).
  const bool shares_lines = loop.taps() > 1 && loop.in_channels < kLineFloats;
  if (shares_lines && input_floats(loop) > machine().resident) pixel_floats *= loop.groups;
  const std::int64_t fit =
      std::clamp<std::int64_t>(machine().direct.input / pixel_floats, kMinPixels, kMaxPixels);
  const std::int64_t tasks = tasks_worth(loop_work(loop), most_tasks);
  const std::int64_t share = std::max(kMinPixels, ceil_div(loop.pixels() * loop.groups, tasks));
  return ChunkGrid(loop, std::min(fit, share));
}

/// Cuts the reduction into blocks whose part of a panel stays in the second cache: taps, or, when there is
/// one only, its floats.
void ConvLoopPlan::plan_blocks() {
  const int merged = geometry_.merged;
  const std::int64_t merged_taps = merged < 0 ? 1 : loop_.axis[static_cast<std::size_t>(merged)].taps;
  tap_floats_ = loop_.in_channels * merged_taps;
  const std::int64_t taps = loop_.taps() / std::max<std::int64_t>(1, merged_taps);
  const std::int64_t blocks = reduction_blocks(taps * tap_floats_);
  if (taps == 1) {
    const std::int64_t step = ceil_div(tap_floats_, blocks);
    for (std::int64_t c = 0; c < tap_floats_; c += step)
      blocks_.push_back({0, 1, c, std::min(c + step, tap_floats_)});
  } else {
    const std::int64_t step = std::max<std::int64_t>(1, ceil_div(taps, blocks));
    for (std::int64_t t = 0; t < taps; t += step)
      blocks_.push_back({t, std::min(t + step, taps), 0, tap_floats_});
  }
  if (blocks_.empty()) blocks_.push_back({0, 0, 0, 0});  // no tap reaches these pixels: an empty sum
}

void ConvLoopPlan::plan_tables() {
  for (std::size_t a = 0; a < 4; ++a) pieces_[a] = sort_pieces(a);
  for (const auto image : pieces_[0].first) {
    for (const auto plane : pieces_[1].first) {
      for (const auto row : pieces_[2].first) {
        for (const auto column : pieces_[3].first) {
          const ConvChunk chunk = grid_.at({image, plane, row, column});
          tables_.push_back({make_pixel_table(loop_, geometry_, chunk, out_pitch_), {}});
          plan_calls(tables_.back());
        }
      }
    }
  }
}

/// Tells pieces apart by the taps that meet the input, those of images by their number.
ConvLoopPlan::Pieces ConvLoopPlan::sort_pieces(std::size_t axis) const {
  Pieces pieces;
  std::map<std::vector<std::int64_t>, std::int32_t> known;
  for (std::int64_t i = 0; i < grid_.counts()[axis]; ++i) {
    ChunkGrid::Place place{};
    place[axis] = i;
    const ConvChunk chunk = grid_.at(place);
    std::vector<std::int64_t> key = {chunk.count[axis]};
    if (axis > 0) key = axis_key(loop_.axis[axis - 1], chunk.start[axis], chunk.count[axis]);
    const auto [found, is_new] =
        known.emplace(std::move(key), static_cast<std::int32_t>(pieces.first.size()));
    if (is_new) pieces.first.push_back(i);
    pieces.kind.push_back(found->second);
  }
  return pieces;
}

const ConvLoopPlan::Table& ConvLoopPlan::table_at(const ChunkGrid::Place& place) const {
  std::size_t index = 0;
  for (std::size_t a = 0; a < 4; ++a) {
    const auto kind = static_cast<std::size_t>(pieces_[a].kind[static_cast<std::size_t>(place[a])]);
    index = index * pieces_[a].first.size() + kind;
  }
  return tables_[index];
}

std::size_t ConvLoopPlan::table_bytes() const {
  std::size_t bytes = 0;
  for (const Table& table : tables_) {
    bytes += table.pixels.bytes();
    for (const auto& calls : table.calls) bytes += calls.capacity() * sizeof(Call);
  }
  for (const Pieces& pieces : pieces_) bytes += pieces.kind.capacity() * sizeof(std::int32_t);
  return bytes;
}

/// Every class has a call in the last block, which finishes its results, even when none of its taps are left.
void ConvLoopPlan::plan_calls(Table& table) const {
  std::vector<char> started(table.pixels.classes.size(), 0);
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const Block& block = blocks_[b];
    std::vector<Call> calls;
    for (std::size_t c = 0; c < table.pixels.classes.size(); ++c) {
      const PixelClass& pixels = table.pixels.classes[c];
      const auto first = table.pixels.tap_number.begin() + pixels.tap_begin;
      const auto low = std::lower_bound(first, first + pixels.taps, block.tap);
      const auto high = std::lower_bound(first, first + pixels.taps, block.tap_end);
      Call call;
      call.pixel = pixels.begin;
      call.pixels = pixels.count;
      call.tap_begin = low - table.pixels.tap_number.begin();
      call.taps = high - low;
      call.channel = std::max(block.channel, pixels.channel);
      call.depth = std::min(block.channel_end, pixels.channel + pixels.depth) - call.channel;
      if (call.depth <= 0) call.taps = 0;
      call.accumulate = started[c] != 0;
      if (call.taps == 0 && b + 1 < blocks_.size()) continue;
      started[c] = 1;
      calls.push_back(call);
    }
    table.calls.push_back(std::move(calls));
  }
}

std::int64_t ConvLoopPlan::chunk_count(const ConvLoop& loop) {
  return chunk_grid(flatten_pointwise(loop)).chunks();
}

std::int64_t ConvLoopPlan::scratch_floats() { return 3 * kernels().gemm_tile.nr; }

double ConvLoopPlan::work() const { return loop_work(loop_); }

void ConvLoopPlan::run_task(std::int64_t task, const ConvLoopMemory& memory, const ConvEpilogue& epilogue,
                            float* scratch) const {
  const auto& tile = kernels().gemm_tile;
  const std::int64_t panel_groups = ceil_div(panels_.count(), panels_per_task_);
  const std::int64_t first_panel = task % panel_groups * panels_per_task_;
  const std::int64_t end_panel = std::min(first_panel + panels_per_task_, panels_.count());
  const std::int64_t group = task / panel_groups % loop_.groups;
  const std::int64_t chunk_index = task / panel_groups / loop_.groups;
  const ChunkGrid::Place place = grid_.place(chunk_index);
  const ConvChunk chunk = grid_.at(place);
  const Table& table = table_at(place);
  const PixelTable& pixels = table.pixels;
  const std::int64_t first_channel = group * loop_.out_channels;
  const std::int64_t out_base = chunk_output(loop_, chunk) * out_pitch_ + first_channel;
  const float* input = memory.input + chunk_input(loop_, chunk) * in_pitch_ + group * loop_.in_channels;

  // A residual in the output's place is what the sums begin with when they pass through memory.
  const bool begins = memory.residual == memory.output && blocks_.size() > 1;
  GemmTileArgs call;
  call.alpha = epilogue.alpha;
  call.one_order = epilogue.one_order;
  call.stream = streams(memory, epilogue);
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const bool finish = b + 1 == blocks_.size();
    if (finish) call.activation = epilogue.activation;
    if (finish && memory.statistics != nullptr) call.statistics = scratch;
    for (std::int64_t panel = first_panel; panel < end_panel; ++panel) {
      const std::int64_t column = panels_.begin(panel);
      call.columns = panels_.columns(panel);
      call.output = memory.output + out_base + column;
      if (memory.activated != nullptr) call.activated = memory.activated + out_base + column;
      call.bias = finish && memory.bias != nullptr ? memory.bias + first_channel + column : nullptr;
      const bool adds = finish && memory.residual != nullptr && !begins;
      call.residual = adds ? memory.residual + out_base + column : nullptr;
      const float* weight = memory.packed + group * group_floats_ + column * loop_.taps() * loop_.in_channels;
      const std::int64_t width = tile.panel_width(call.columns);
      call.prefetch = panel == first_panel;
      call.statistics_begin = true;
      for (const Call& part : table.calls[b]) {
        call.input = input + part.channel;
        call.panel = weight + part.channel * width;
        call.row_offset = pixels.input_offset.data() + part.pixel;
        call.output_offset = pixels.output_offset.data() + part.pixel;
        call.rows = part.pixels;
        call.tap_offset = pixels.tap_offset.data() + part.tap_begin;
        call.tap_row = pixels.tap_row.data() + part.tap_begin;
        call.taps = part.taps;
        call.depth = part.depth;
        call.accumulate = part.accumulate || begins;
        tile.run(call);
        call.statistics_begin = false;
      }
      if (call.statistics != nullptr) {
        float* rows = memory.statistics + chunk_index * 3 * out_channels_ + first_channel + column;
        finish_statistics(scratch, static_cast<std::int64_t>(pixels.input_offset.size()), call.columns,
                          tile.nr, rows, out_channels_);
      }
    }
  }
}

}  // namespace cnncore
