// SPDX-License-Identifier: Apache-2.0
// Winograd convolution, forward and backward-data. A task takes a block of tiles through all three stages
// while it stays in the second cache: pixels to points, a product at each point, points to pixels. Where
// tasks share a block of tiles because its output channels are cut, the first stage is done before for all of
// them.
#include "ops/conv_winograd.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"

namespace cnncore {
namespace {

constexpr std::int64_t kMaxUnits = 4;
constexpr std::int64_t kEvenBlocks = 4;
// Tasks that would transform the same tiles; fewer gain more from values in their own second cache.
constexpr std::int64_t kSharedTasks = 4;
constexpr std::int64_t kPieceChannels = 32;  // of a task that only transforms the input
constexpr std::int64_t kPackRows = 16;

class WinogradPlan {
 public:
  WinogradPlan(const ConvProblem& p, ConvDirection direction, WinogradForm form)
      : geometry(p, direction, form), transforms(winograd_transforms(form)) {
    const auto& kernel = kernels().winograd;
    panels = ceil_div(geometry.out_channels, kernel.nr);
    in_blocks = ceil_div(geometry.depth(), kWinogradBlock);
    const std::int64_t panel_columns = std::min<std::int64_t>(geometry.out_channels, kernel.nr);
    out_blocks = ceil_div(panel_columns, kWinogradBlock);
    in_place = panels == 1 && out_blocks <= in_blocks;
    plan_tiles();
    point_step = winograd_point_step(in_blocks, block_tiles);
    product_step = in_place ? point_step : winograd_point_step(out_blocks, block_tiles);
    panel_groups = std::clamp<std::int64_t>(machine().tasks / (tile_blocks * geometry.groups), 1, panels);
    panels_per_task = ceil_div(panels, panel_groups);
    panel_groups = ceil_div(panels, panels_per_task);
    // Values of all tiles at once would push the weights out of the third cache.
    shared = panel_groups >= kSharedTasks && tile_blocks * value_floats() <= machine().winograd.far_weight;
  }

  std::int64_t width(std::int64_t panel) const {
    const auto& kernel = kernels().winograd;
    return round_up(std::min<std::int64_t>(kernel.nr, geometry.out_channels - panel * kernel.nr),
                    kernels().width);
  }
  std::int64_t panel_point_step(std::int64_t panel) const {
    return winograd_matrix_step(geometry.depth() * width(panel));
  }
  std::int64_t panel_offset(std::int64_t panel) const {
    return panel * transforms.points * panel_point_step(0);
  }
  std::int64_t group_floats() const {
    return panel_offset(panels - 1) + transforms.points * panel_point_step(panels - 1);
  }
  std::int64_t zero_floats() const { return round_up(6 * geometry.input.pitch, kWinogradBlock); }
  /// Of a block of tiles.
  std::int64_t value_floats() const { return transforms.points * point_step; }
  std::int64_t shared_floats() const { return shared ? tile_blocks * geometry.groups * value_floats() : 0; }
  std::int64_t scratch_floats() const {
    return zero_floats() + (shared ? 0 : value_floats()) + (in_place ? 0 : transforms.points * product_step);
  }

  WinogradGeometry geometry;
  const WinogradTransforms& transforms;
  std::int64_t panels, in_blocks, out_blocks;
  bool in_place;                          // products replace the transformed input
  std::int64_t block_tiles, tile_blocks;  // tiles of a task; tasks along the tiles
  std::int64_t point_step, product_step;  // floats from point to point
  std::int64_t panels_per_task, panel_groups;
  bool shared;  // several tasks multiply the same transformed input

 private:
  void plan_tiles() {
    const std::int64_t unit = kernels().winograd.mr;
    const std::int64_t blocks = in_blocks + (in_place ? 0 : out_blocks);
    const std::int64_t weight_floats = transforms.points * geometry.depth() * geometry.out_channels;
    std::int64_t units = machine().winograd.block / (transforms.points * blocks * kWinogradBlock * unit);
    if (weight_floats > machine().winograd.near_weight) units = std::max<std::int64_t>(units, 2);
    if (weight_floats > machine().winograd.far_weight) units = kMaxUnits;
    const std::int64_t share = ceil_div(geometry.tiles * geometry.groups * panels, machine().tasks * unit);
    units = std::clamp<std::int64_t>(std::min(units, share), 1, kMaxUnits);
    tile_blocks = ceil_div(geometry.tiles, units * unit);
    block_tiles = ceil_div(geometry.tiles, tile_blocks);
    // Whole register blocks, unless they would leave the tasks too unequal.
    if (tile_blocks >= kEvenBlocks) block_tiles = round_up(block_tiles, unit / 2);
    tile_blocks = ceil_div(geometry.tiles, block_tiles);
  }
};

class WinogradPack : public Step {
 public:
  WinogradPack(const ConvProblem& p, ConvDirection direction, WinogradForm form)
      : plan_(p, direction, form), direction_(direction), form_(form) {}

  void run(const StepArgs& args) const override {
    const auto& g = plan_.geometry;
    const std::int64_t pieces = g.slices * ceil_div(g.in_channels, kPackRows);
    const double work = static_cast<double>(g.groups * plan_.group_floats()) / 4.0;
    parallel_for(g.groups * plan_.panels * pieces, work, [&](std::int64_t task, int) {
      const std::int64_t panel = task / pieces % plan_.panels;
      const std::int64_t group = task / pieces / plan_.panels;
      pack_rows(group, panel, task % pieces % g.slices, task % pieces / g.slices * kPackRows, args);
    });
  }
  std::string algorithm() const override { return winograd_name(form_); }

 private:
  /// Input channels from first_row on of a slice, and zeros up to the next slice's.
  void pack_rows(std::int64_t group, std::int64_t panel, std::int64_t slice, std::int64_t first_row,
                 const StepArgs& args) const {
    const auto& g = plan_.geometry;
    const std::int64_t nr = kernels().winograd.nr;
    const std::int64_t taps = plan_.transforms.filter * g.slices;
    WinogradWeight call;
    if (direction_ == ConvDirection::backward_data) {
      call.row_step = taps * g.out_channels;
      call.column_step = taps;
      call.rotate = true;
    } else {
      call.row_step = taps;
      call.column_step = taps * g.in_channels;
    }
    call.weight = args.input(0) + group * g.in_channels * g.out_channels * taps + first_row * call.row_step +
                  panel * nr * call.column_step + slice * plan_.transforms.filter;
    call.rows = std::min(kPackRows, g.in_channels - first_row);
    call.columns = std::min<std::int64_t>(nr, g.out_channels - panel * nr);
    call.width = plan_.width(panel);
    const std::int64_t row = slice * g.slice_channels() + first_row;
    call.values =
        args.output(0) + group * plan_.group_floats() + plan_.panel_offset(panel) + row * call.width;
    call.point_step = plan_.panel_point_step(panel);
    plan_.transforms.weight(call);
    if (slice + 1 == g.slices) return;
    for (std::int64_t point = 0; point < plan_.transforms.points; ++point) {
      std::memset(call.values + point * call.point_step + call.rows * call.width, 0,
                  static_cast<std::size_t>((kPackRows - call.rows) * call.width) * sizeof(float));
    }
  }

  WinogradPlan plan_;
  ConvDirection direction_;
  WinogradForm form_;
};

class WinogradConv : public Step {
 public:
  WinogradConv(const ConvProblem& p, ConvDirection direction, const ConvEpilogue& epilogue, WinogradForm form)
      : plan_(p, direction, form),
        epilogue_(epilogue),
        flops_(p.flops()),
        form_(form),
        pools_(p.pool.has_value()) {
    if (pools_) pooled_ = p.pooled();
    if (epilogue.output_pitch > 0) plan_.geometry.output.pitch = epilogue.output_pitch;
  }

  void run(const StepArgs& args) const override {
    const auto& g = plan_.geometry;
    const std::int64_t blocks = plan_.tile_blocks * g.groups;
    const double values = static_cast<double>(g.tiles * g.groups * plan_.transforms.points);
    if (plan_.shared) {
      const std::int64_t pieces = g.slices * ceil_div(g.in_channels, kPieceChannels);
      const double vectors = values * static_cast<double>(g.depth()) / kernels().width;
      parallel_for(blocks * pieces, 4.0 * vectors, [&](std::int64_t task, int thread) {
        const std::int64_t channel = task % pieces / g.slices * kPieceChannels;
        gather(task / pieces, task % g.slices, channel, std::min(kPieceChannels, g.in_channels - channel),
               args, args.scratch_of(thread), shared_values(task / pieces, args));
      });
    }
    const double work = values * static_cast<double>(g.depth() * g.out_channels + 8) / kernels().width;
    parallel_for(blocks * plan_.panel_groups, work, [&](std::int64_t task, int thread) {
      // Blocks of tiles are the inner loop: one that takes weights from memory leaves them to the next.
      const std::int64_t block = task % plan_.tile_blocks;
      const std::int64_t panels = task / plan_.tile_blocks % plan_.panel_groups;
      const std::int64_t group = task / plan_.tile_blocks / plan_.panel_groups;
      run_task(block * g.groups + group, panels * plan_.panels_per_task, args, args.scratch_of(thread));
    });
  }

  std::size_t workspace_bytes() const override {
    return static_cast<std::size_t>(plan_.shared_floats()) * sizeof(float);
  }
  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(plan_.scratch_floats()) * sizeof(float);
  }
  std::string algorithm() const override { return winograd_name(form_); }
  double flops() const override { return flops_; }

 private:
  float* shared_values(std::int64_t block_and_group, const StepArgs& args) const {
    return reinterpret_cast<float*>(args.workspace) + block_and_group * plan_.value_floats();
  }

  /// Channels of a slice of a block of tiles to the points.
  void gather(std::int64_t block_and_group, std::int64_t slice, std::int64_t channel, std::int64_t channels,
              const StepArgs& args, float* zeros, float* values) const {
    const auto& g = plan_.geometry;
    const std::int64_t first = epilogue_.first_channels;
    if (channel < first && channel + channels > first) {
      gather(block_and_group, slice, channel, first - channel, args, zeros, values);
      gather(block_and_group, slice, first, channel + channels - first, args, zeros, values);
      return;
    }
    std::memset(zeros, 0, static_cast<std::size_t>(plan_.zero_floats()) * sizeof(float));
    WinogradGather call;
    call.images = g.slice_images(slice);
    if (first == 0) {
      call.pixels = args.input(0) + block_and_group % g.groups * g.in_channels + channel;
    } else {
      const bool other = channel >= first;
      call.images.pitch = other ? g.in_channels - first : first;
      call.pixels = other ? args.input(4) + channel - first : args.input(0) + channel;
    }
    call.zeros = zeros;
    call.channels = channels;
    call.written = g.slices == 1 ? channels : round_up(channels, kWinogradBlock);
    call.first_tile = block_and_group / g.groups * plan_.block_tiles;
    call.tiles = std::min(plan_.block_tiles, g.tiles - call.first_tile);
    call.point_step = plan_.point_step;
    call.block_step = winograd_block_step(plan_.block_tiles);
    call.values = values + (slice * g.slice_channels() + channel) / kWinogradBlock * call.block_step;
    plan_.transforms.input(call);
  }

  void run_task(std::int64_t block_and_group, std::int64_t first_panel, const StepArgs& args,
                float* scratch) const {
    const auto& g = plan_.geometry;
    const auto& kernel = kernels().winograd;
    const std::int64_t end_panel = std::min(first_panel + plan_.panels_per_task, plan_.panels);
    const std::int64_t group = block_and_group % g.groups;
    const std::int64_t block = block_and_group / g.groups;

    float* values = scratch + plan_.zero_floats();
    float* products = plan_.in_place ? values : values + (plan_.shared ? 0 : plan_.value_floats());
    if (plan_.shared) {
      values = shared_values(block_and_group, args);
    } else {
      for (std::int64_t slice = 0; slice < g.slices; ++slice) {
        gather(block_and_group, slice, 0, g.in_channels, args, scratch, values);
      }
    }

    WinogradProduct product;
    product.points = plan_.transforms.points;
    product.tiles = std::min(plan_.block_tiles, g.tiles - block * plan_.block_tiles);
    product.depth = g.depth();
    product.left = values;
    product.left_point_step = plan_.point_step;
    product.left_block_step = winograd_block_step(plan_.block_tiles);
    product.result = products;
    product.result_point_step = plan_.product_step;
    product.result_block_step = product.left_block_step;
    const float* packed = args.input(1) + group * plan_.group_floats();

    WinogradScatter scatter;
    scatter.images = g.output;
    scatter.values = products;
    scatter.point_step = plan_.product_step;
    scatter.block_step = product.left_block_step;
    scatter.first_tile = block * plan_.block_tiles;
    scatter.tiles = product.tiles;
    scatter.activation = epilogue_.activation;
    scatter.alpha = epilogue_.alpha;
    scatter.statistics_step = g.groups * g.out_channels;
    scatter.pooled_height = pooled_[1];
    scatter.pooled_width = pooled_[2];
    scatter.pooled_pitch = g.groups * g.out_channels;
    const auto finish = pools_ ? plan_.transforms.pool : plan_.transforms.output;
    for (std::int64_t panel = first_panel; panel < end_panel; ++panel) {
      product.columns = std::min<std::int64_t>(kernel.nr, g.out_channels - panel * kernel.nr);
      product.panel = packed + plan_.panel_offset(panel);
      product.panel_point_step = plan_.panel_point_step(panel);
      kernel.multiply(product);
      const std::int64_t channel = group * g.out_channels + panel * kernel.nr;
      scatter.channels = product.columns;
      (pools_ ? scatter.pooled : scatter.output) = epilogue_.sums(args) + channel;
      if (epilogue_.argument) scatter.activated = args.output(0) + channel;
      if (epilogue_.residual) scatter.residual = args.input(3) + channel;
      if (epilogue_.bias) scatter.bias = args.input(2) + channel;
      if (epilogue_.statistics) {
        scatter.statistics = args.output(1) + block * 3 * scatter.statistics_step + channel;
      }
      finish(scatter);
    }
  }

  WinogradPlan plan_;
  ConvEpilogue epilogue_;
  double flops_;
  WinogradForm form_;
  bool pools_;
  Spatial pooled_{};  // extents
};

template <ConvDirection kDirection, WinogradForm kForm>
ConvAlgorithm algorithm() {
  ConvAlgorithm a{};
  a.name = winograd_name(kForm);
  a.exact = false;
  a.residual_in_place = true;
  a.pitched_output = true;
  a.input_parts = kDirection == ConvDirection::forward ? kPieceChannels : 0;
  a.direction = kDirection;
  a.cannot = [](const ConvProblem& p) { return winograd_cannot(p, kForm); };
  a.declines = [](const ConvProblem& p) { return winograd_declines(p, kDirection, kForm); };
  if (kDirection == ConvDirection::forward) a.refuse_pool = [](const ConvProblem&) { return std::string(); };
  a.packed = [](const ConvProblem& p) {
    const WinogradPlan plan(p, kDirection, kForm);
    return Packed{p.groups * plan.group_floats()};
  };
  a.statistics_rows = [](const ConvProblem& p) {
    // Among the tiles of a dilated line may be empty ones, which have no mean.
    const bool has_statistics = kDirection == ConvDirection::forward &&
                                (kForm != WinogradForm::f4x1 || p.dilation == Spatial{1, 1, 1});
    return has_statistics ? WinogradPlan(p, kDirection, kForm).tile_blocks : 0;
  };
  a.make_pack = [](const ConvProblem& p) -> std::unique_ptr<Step> {
    return std::make_unique<WinogradPack>(p, kDirection, kForm);
  };
  a.make = [](const ConvProblem& p, const ConvEpilogue& epilogue) -> std::unique_ptr<Step> {
    return std::make_unique<WinogradConv>(p, kDirection, epilogue, kForm);
  };
  return a;
}

}  // namespace

ConvAlgorithm winograd_f4_forward() { return algorithm<ConvDirection::forward, WinogradForm::f4>(); }
ConvAlgorithm winograd_f2_forward() { return algorithm<ConvDirection::forward, WinogradForm::f2>(); }
ConvAlgorithm winograd_f2x5_forward() { return algorithm<ConvDirection::forward, WinogradForm::f2x5>(); }
ConvAlgorithm winograd_f4x1_forward() { return algorithm<ConvDirection::forward, WinogradForm::f4x1>(); }
ConvAlgorithm winograd_f4_backward_data() {
  return algorithm<ConvDirection::backward_data, WinogradForm::f4>();
}
ConvAlgorithm winograd_f2_backward_data() {
  return algorithm<ConvDirection::backward_data, WinogradForm::f2>();
}
ConvAlgorithm winograd_f2x5_backward_data() {
  return algorithm<ConvDirection::backward_data, WinogradForm::f2x5>();
}
ConvAlgorithm winograd_f4x1_backward_data() {
  return algorithm<ConvDirection::backward_data, WinogradForm::f4x1>();
}

}  // namespace cnncore
