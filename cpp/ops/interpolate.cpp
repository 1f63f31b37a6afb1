// SPDX-License-Identifier: Apache-2.0
// Interpolation axis by axis: each output coordinate is a weighted sum of neighbouring input coordinates, by
// a table for each axis. The gradient is the same with the tables transposed.
#include "ops/interpolate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/sizes.h"
#include "isa/kernel_table.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

/// Of each output coordinate: the first input coordinate, how many, and their weights in `most` places.
struct AxisTable {
  std::int64_t input = 1;
  std::int64_t output = 1;
  std::int64_t most = 1;
  std::vector<std::int32_t> first{0};
  std::vector<std::int32_t> taps{1};
  std::vector<float> weights{1.0f};

  std::int64_t end(std::int64_t o) const { return first[at(o)] + taps[at(o)]; }
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
  std::size_t bytes() const {
    return (first.capacity() + taps.capacity()) * sizeof(std::int32_t) + weights.capacity() * sizeof(float);
  }
};

using Window = std::vector<double>;  // weights of neighbouring coordinates

/// Puts windows into a table, without the zeros at their ends. first[o] may be any coordinate: what is
/// outside counts for the nearest one inside.
AxisTable table_of(std::int64_t input, std::vector<std::int64_t> first, std::vector<Window> windows) {
  AxisTable table;
  table.input = input;
  table.output = static_cast<std::int64_t>(windows.size());
  table.first.resize(windows.size());
  table.taps.resize(windows.size());
  std::size_t most = 1;
  for (std::size_t o = 0; o < windows.size(); ++o) {
    Window inside;
    std::int64_t begin = std::clamp<std::int64_t>(first[o], 0, input - 1);
    for (std::size_t t = 0; t < windows[o].size(); ++t) {
      const std::int64_t i = std::clamp<std::int64_t>(first[o] + static_cast<std::int64_t>(t), 0, input - 1);
      inside.resize(static_cast<std::size_t>(i - begin) + 1, 0.0);
      inside.back() += windows[o][t];
    }
    while (inside.size() > 1 && inside.back() == 0.0) inside.pop_back();
    while (inside.size() > 1 && inside.front() == 0.0) {
      inside.erase(inside.begin());
      ++begin;
    }
    table.first[o] = static_cast<std::int32_t>(begin);
    table.taps[o] = static_cast<std::int32_t>(inside.size());
    windows[o] = std::move(inside);
    most = std::max(most, windows[o].size());
  }
  table.most = static_cast<std::int64_t>(most);
  table.weights.assign(windows.size() * most, 0.0f);
  for (std::size_t o = 0; o < windows.size(); ++o) {
    std::transform(windows[o].begin(), windows[o].end(), table.weights.begin() + AxisTable::at(o * most),
                   [](double weight) { return static_cast<float>(weight); });
  }
  return table;
}

/// The table that takes gradients back: first and end of its windows grow, as those of `table` do.
AxisTable transposed(const AxisTable& table) {
  AxisTable back;
  back.input = table.output;
  back.output = table.input;
  back.first.assign(AxisTable::at(back.output), 0);
  back.taps.assign(AxisTable::at(back.output), 0);
  for (std::int64_t o = 0; o < table.output; ++o) {
    for (std::int64_t i = table.first[AxisTable::at(o)]; i < table.end(o); ++i) {
      std::int32_t& taps = back.taps[AxisTable::at(i)];
      if (taps == 0) back.first[AxisTable::at(i)] = static_cast<std::int32_t>(o);
      taps = static_cast<std::int32_t>(o) + 1 - back.first[AxisTable::at(i)];
    }
  }
  for (std::int64_t i = 1; i < back.output; ++i) {
    // Where nothing comes from, first stays in line with the neighbours'.
    if (back.taps[AxisTable::at(i)] == 0) {
      back.first[AxisTable::at(i)] = static_cast<std::int32_t>(back.end(i - 1));
    }
  }
  back.most = std::max<std::int64_t>(1, *std::max_element(back.taps.begin(), back.taps.end()));
  back.weights.assign(AxisTable::at(back.output * back.most), 0.0f);
  for (std::int64_t o = 0; o < table.output; ++o) {
    for (std::int64_t i = table.first[AxisTable::at(o)]; i < table.end(o); ++i) {
      back.weights[AxisTable::at(i * back.most + o - back.first[AxisTable::at(i)])] =
          table.weights[AxisTable::at(o * table.most + i - table.first[AxisTable::at(o)])];
    }
  }
  return back;
}

/// How one axis is interpolated, as PyTorch does it.
struct AxisRule {
  std::string mode;
  bool align_corners;
  bool antialias;
  double scale;  // output extents for one of the input, 0: the quotient of the two

  double ratio(std::int64_t input, std::int64_t output) const {
    if (align_corners) {
      return output > 1 ? static_cast<double>(input - 1) / static_cast<double>(output - 1) : 0.0;
    }
    return scale > 0.0 ? 1.0 / scale : static_cast<double>(input) / static_cast<double>(output);
  }
  AxisTable table(std::int64_t input, std::int64_t output) const {
    if (mode == "mean") return means(input, output);
    if (mode == "nearest" || mode == "nearest-exact") return nearest(input, output);
    return antialias ? smooth(input, output) : between(input, output);
  }

 private:
  /// The windows of adaptive pooling.
  static AxisTable means(std::int64_t input, std::int64_t output) {
    std::vector<std::int64_t> first;
    std::vector<Window> windows;
    for (std::int64_t o = 0; o < output; ++o) {
      first.push_back(o * input / output);
      const auto taps = static_cast<std::size_t>(ceil_div((o + 1) * input, output) - first.back());
      windows.emplace_back(taps, 1.0 / static_cast<double>(taps));
    }
    return table_of(input, std::move(first), std::move(windows));
  }

  /// Rounded to float32 where PyTorch rounds, which decides at ties.
  AxisTable nearest(std::int64_t input, std::int64_t output) const {
    const auto step = static_cast<double>(static_cast<float>(ratio(input, output)));
    std::vector<std::int64_t> first;
    for (std::int64_t o = 0; o < output; ++o) {
      const auto place = static_cast<double>(o);
      double source = step * place;
      if (mode == "nearest-exact") {
        source = static_cast<double>(static_cast<float>(step * (place + 0.5) - 0.5)) + 0.5;
      }
      first.push_back(static_cast<std::int64_t>(std::floor(static_cast<float>(source))));
    }
    return table_of(input, std::move(first), std::vector<Window>(AxisTable::at(output), Window{1.0}));
  }

  /// Two or four neighbours of a place.
  AxisTable between(std::int64_t input, std::int64_t output) const {
    const double step = ratio(input, output);
    std::vector<std::int64_t> first;
    std::vector<Window> windows;
    for (std::int64_t o = 0; o < output; ++o) {
      const auto place = static_cast<double>(o);
      double source = align_corners ? step * place : step * (place + 0.5) - 0.5;
      if (mode == "linear") source = std::clamp(source, 0.0, static_cast<double>(input - 1));
      const double below = std::floor(source), t = source - below;
      if (mode == "linear") {
        first.push_back(static_cast<std::int64_t>(below));
        windows.push_back({1.0 - t, t});
      } else {
        first.push_back(static_cast<std::int64_t>(below) - 1);
        windows.push_back(
            {cubic(t + 1.0, -0.75), cubic(t, -0.75), cubic(1.0 - t, -0.75), cubic(2.0 - t, -0.75)});
      }
    }
    return table_of(input, std::move(first), std::move(windows));
  }

  /// All that lies under the filter, which widens as the image shrinks.
  AxisTable smooth(std::int64_t input, std::int64_t output) const {
    const double step = ratio(input, output), width = std::max(step, 1.0);
    const double support = (mode == "linear" ? 1.0 : 2.0) * width;
    std::vector<std::int64_t> first;
    std::vector<Window> windows;
    for (std::int64_t o = 0; o < output; ++o) {
      const double center = step * (static_cast<double>(o) + 0.5);
      const auto begin = std::max<std::int64_t>(0, static_cast<std::int64_t>(center - support + 0.5));
      const auto end = std::min<std::int64_t>(input, static_cast<std::int64_t>(center + support + 0.5));
      Window window;
      double total = 0.0;
      for (std::int64_t i = begin; i < end; ++i) {
        const double x = std::abs((static_cast<double>(i) - center + 0.5) / width);
        window.push_back(mode == "linear" ? std::max(0.0, 1.0 - x) : cubic(x, -0.5));
        total += window.back();
      }
      for (double& weight : window) weight = total == 0.0 ? weight : weight / total;
      if (window.empty()) window.push_back(0.0);
      first.push_back(begin);
      windows.push_back(std::move(window));
    }
    return table_of(input, std::move(first), std::move(windows));
  }

  /// Keys' kernel (1981) with slope a at distance 1.
  static double cubic(double x, double a) {
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
  }
};

class Interpolate final : public Step {
 public:
  /// `scales` of the spatial axes, or none.
  Interpolate(const StepSpec& spec, bool backward, AxisRule rule, const std::vector<double>& scales) {
    const TensorDesc& from = spec.input(0);
    const TensorDesc& to = spec.output(0);
    require(from.dtype == DType::f32 && to.dtype == DType::f32 && from.rank >= 3 && from.rank <= 5 &&
                to.rank == from.rank && from.dim(0) == to.dim(0) && from.dim(1) == to.dim(1) &&
                from.is_channels_last() && to.is_channels_last(),
            spec.op, ": expected two channels-last float32 tensors (N, C, spatial...) of one batch and one ",
            "number of channels, got ", from.shape_text(), " and ", to.shape_text());
    images_ = from.dim(0);
    channels_ = from.dim(1);
    require(scales.empty() || scales.size() == static_cast<std::size_t>(from.rank - 2), spec.op,
            ": expected a scale for each of ", from.rank - 2, " axes, got ", scales.size());
    for (int axis = 2; axis < from.rank; ++axis) {
      const std::int64_t input = (backward ? to : from).dim(axis), output = (backward ? from : to).dim(axis);
      require(std::min(input, output) >= 1 && std::max(input, output) <= kLargestSetting, spec.op,
              ": expected spatial extents from 1 to ", kLargestSetting);
      rule.scale = scales.empty() ? 0.0 : scales[AxisTable::at(axis - 2)];
      AxisTable table = rule.table(input, output);
      axes_[AxisTable::at(axis + 3 - from.rank)] = backward ? transposed(table) : std::move(table);
    }
    cut();
    if (channels_ != 1) return;
    order_by_tap();
    vectors_.assign(AxisTable::at(axes_[2].output), 0);
    place_.assign(AxisTable::at(axes_[2].output), 0);
    for (const Block& block : blocks_) find_vectors(block);
  }

  std::size_t scratch_bytes() const override {
    const std::int64_t rows = axes_[0].most * axes_[1].most;
    return AxisTable::at(rows) * (sizeof(const float*) + sizeof(float)) +
           AxisTable::at(span_ * channels_) * sizeof(float);
  }
  std::size_t table_bytes() const override {
    return axes_[0].bytes() + axes_[1].bytes() + axes_[2].bytes() + blocks_.capacity() * sizeof(Block) +
           (by_tap_.capacity() + place_.capacity()) * sizeof(float) + vectors_.capacity();
  }

  void run(const StepArgs& args) const override {
    const std::int64_t rows = images_ * axes_[0].output * axes_[1].output;
    const std::int64_t tasks = (rows + rows_per_task_ - 1) / rows_per_task_;
    parallel_for(tasks, work(), [&](std::int64_t task, int thread) {
      const std::int64_t end = std::min(rows, (task + 1) * rows_per_task_);
      for (std::int64_t row = task * rows_per_task_; row < end; ++row) run_row(args, row, thread);
    });
  }
  double flops() const override { return 2.0 * work() * kernels().width; }

 private:
  struct Block {
    std::int64_t begin, end;  // columns of the output
    std::int64_t low, high;   // columns of the input
  };

  /// Rows are cut into blocks of columns whose input, mixed over depth and height, stays in the first cache;
  /// tasks are rows enough.
  void cut() {
    constexpr std::int64_t kBlockFloats = 8192, kTaskFloats = 32768;
    const AxisTable& width = axes_[2];
    const std::int64_t fit = std::max<std::int64_t>(1, kBlockFloats / std::max<std::int64_t>(1, channels_));
    std::int64_t begin = 0, low = 0, high = 0;
    for (std::int64_t o = 0; o < width.output; ++o) {
      const std::int64_t first = width.first[AxisTable::at(o)], end = width.end(o);
      const std::int64_t joined_low = o == begin ? first : std::min(low, first);
      const std::int64_t joined_high = o == begin ? end : std::max(high, end);
      if (o > begin && joined_high - joined_low > fit) {
        blocks_.push_back({begin, o, low, high});
        begin = o;
        low = first;
        high = end;
      } else {
        low = joined_low;
        high = joined_high;
      }
    }
    blocks_.push_back({begin, width.output, low, high});
    for (const Block& block : blocks_) span_ = std::max(span_, block.high - block.low);
    const std::int64_t floats = std::max(width.output, width.input) * channels_;
    rows_per_task_ = std::max<std::int64_t>(1, kTaskFloats / std::max<std::int64_t>(1, floats));
  }

  void order_by_tap() {
    const AxisTable& width = axes_[2];
    by_tap_.resize(AxisTable::at(width.most * width.output));
    for (std::int64_t o = 0; o < width.output; ++o) {
      for (std::int64_t t = 0; t < width.most; ++t) {
        by_tap_[AxisTable::at(t * width.output + o)] = width.weights[AxisTable::at(o * width.most + t)];
      }
    }
  }

  void find_vectors(const Block& block) {
    const AxisTable& width = axes_[2];
    const std::int64_t lanes = kernels().width;
    for (std::int64_t begin = block.begin; begin + lanes <= block.end; begin += lanes) {
      const std::int32_t first = width.first[AxisTable::at(begin)], taps = width.taps[AxisTable::at(begin)];
      std::int64_t most = 0;
      bool same = taps > 0;
      for (std::int64_t o = begin; o < begin + lanes; ++o) {
        const std::int32_t place = width.first[AxisTable::at(o)] - first;
        same = same && width.taps[AxisTable::at(o)] == taps && place >= 0;
        most = std::max<std::int64_t>(most, place);
        place_[AxisTable::at(o)] = place;
      }
      if (same && most < 2 * lanes) vectors_[AxisTable::at(begin)] = most < lanes ? 1 : 2;
    }
  }

  double work() const {
    const double rows = static_cast<double>(images_ * axes_[0].output * axes_[1].output * channels_);
    const double taps = static_cast<double>(axes_[0].most * axes_[1].most);
    return rows / kernels().width *
           (taps * static_cast<double>(axes_[2].input) +
            static_cast<double>(axes_[2].most * axes_[2].output));
  }

  void run_row(const StepArgs& args, std::int64_t row, int thread) const {
    const auto& [depth, height, width] = axes_;
    auto* lines = args.scratch_of<const float*>(thread);
    auto* weights = reinterpret_cast<float*>(lines + depth.most * height.most);
    float* mixed = weights + depth.most * height.most;
    const std::size_t y = AxisTable::at(row % height.output);
    const std::size_t z = AxisTable::at(row / height.output % depth.output);
    const std::int64_t line = width.input * channels_;
    const float* image =
        args.input(0) + row / (height.output * depth.output) * depth.input * height.input * line;
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < depth.taps[z]; ++i) {
      for (std::int64_t j = 0; j < height.taps[y]; ++j) {
        lines[count] = image + ((depth.first[z] + i) * height.input + height.first[y] + j) * line;
        weights[count++] = depth.weights[z * AxisTable::at(depth.most) + AxisTable::at(i)] *
                           height.weights[y * AxisTable::at(height.most) + AxisTable::at(j)];
      }
    }
    float* output = args.output(0) + row * width.output * channels_;
    if (count == 0) {
      std::fill_n(output, width.output * channels_, 0.0f);
      return;
    }
    for (const Block& block : blocks_) {
      run_block(block, lines, weights, count, mixed, output);
      for (std::int64_t k = 0; k < count; ++k) lines[k] -= block.low * channels_;
    }
  }

  /// Leaves `lines` at the block's first column.
  void run_block(const Block& block, const float** lines, const float* weights, std::int64_t count,
                 float* mixed, float* output) const {
    const AxisTable& width = axes_[2];
    const std::int64_t floats = (block.high - block.low) * channels_;
    for (std::int64_t k = 0; k < count; ++k) lines[k] += block.low * channels_;
    const float* row = lines[0];
    if (count > 1 || weights[0] != 1.0f) {
      kernels().copy.mix_rows(lines, weights, count, floats, mixed);
      row = mixed;
    }
    PixelMix mix{};
    mix.first = width.first.data() + block.begin;
    mix.taps = width.taps.data() + block.begin;
    mix.weights = width.weights.data() + block.begin * width.most;
    mix.most_taps = width.most;
    mix.pixels = block.end - block.begin;
    mix.channels = channels_;
    if (channels_ == 1) {
      mix.by_tap = by_tap_.data() + block.begin;
      mix.tap_step = width.output;
      mix.vectors = vectors_.data() + block.begin;
      mix.place = place_.data() + block.begin;
    }
    mix.origin = block.low;
    mix.readable = floats;
    kernels().copy.mix_pixels(mix, row, output + block.begin * channels_);
  }

  std::array<AxisTable, 3> axes_;  // depth, height, width; absent ones have extent 1
  std::vector<Block> blocks_;
  std::vector<float> by_tap_;  // these three as PixelMix has them, for images of one channel
  std::vector<std::uint8_t> vectors_;
  std::vector<std::int32_t> place_;
  std::int64_t images_ = 0;
  std::int64_t channels_ = 0;
  std::int64_t span_ = 0;
  std::int64_t rows_per_task_ = 1;
};

template <bool kBackward>
std::unique_ptr<Step> make(const StepSpec& spec) {
  const std::string mode = spec.attrs.text("mode");
  require(mode == "nearest" || mode == "nearest-exact" || mode == "linear" || mode == "cubic", spec.op,
          ": unknown mode '", mode, "'");
  const AxisRule rule{mode, spec.attrs.integer("align_corners") != 0, spec.attrs.integer("antialias") != 0,
                      0.0};
  return std::make_unique<Interpolate>(spec, kBackward, rule, spec.attrs.reals("scales"));
}

}  // namespace

std::unique_ptr<Step> make_means(const StepSpec& spec, bool backward) {
  return std::make_unique<Interpolate>(spec, backward, AxisRule{"mean", false, false, 0.0},
                                       std::vector<double>{});
}

void register_interpolate(StepRegistry& registry) {
  registry.add("interpolate", make<false>);
  registry.add("interpolate_backward", make<true>);
}

}  // namespace cnncore
