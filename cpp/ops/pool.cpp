// SPDX-License-Identifier: Apache-2.0
// max_pool, avg_pool and their adaptive forms: rows of windows given by PoolGeometry.
#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/channel_blocks.h"
#include "ops/interpolate.h"
#include "ops/pool_geometry.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

class PoolForward final : public Step {
 public:
  enum class Kind { average, max, max_index_u8, max_index_i32 };

  PoolForward(PoolGeometry geometry, Kind kind, const ActivationGate& activation = {})
      : geometry_(std::move(geometry)), kind_(kind), activation_(activation) {
    const auto& [depth, height, width] = geometry_.axes;
    const double taps =
        static_cast<double>(depth.window(0).taps) * height.window(0).taps * width.window(0).taps;
    const double row_work =
        static_cast<double>(width.output) * pool_vectors(geometry_.channels) * (1.0 + taps);
    tasks_ = PoolTasks(geometry_.batch, depth.output, height.output, geometry_.channels, row_work);
    // In floats: fetching an input ahead that the last cache has cost a fifth at 1.6 MB, nothing from 4 MB
    // on.
    constexpr std::int64_t kPixelsAhead = 16, kFar = 1024 * 1024;
    const std::int64_t floats = geometry_.batch * depth.input * geometry_.plane_size();
    if (floats > kFar) ahead_ = std::max(kPixelsAhead * geometry_.input_pitch, machine().pool_ahead);
  }

  void run(const StepArgs& args) const override {
    tasks_.for_rows([&](const PoolTasks::Row& at, int) { run_row(args, at); });
  }

  std::string algorithm() const override { return "windows"; }
  std::size_t table_bytes() const override { return geometry_.table_bytes(); }
  double flops() const override { return tasks_.work() * kernels().width; }

 private:
  void run_row(const StepArgs& args, const PoolTasks::Row& at) const {
    const auto& [depth, height, width] = geometry_.axes;
    const PoolWindow plane = depth.window(at.plane);
    const PoolWindow line = height.window(at.line);
    PoolRow row = geometry_.row(at.plane, at.line);
    row.input = args.input(0) + (at.image * depth.input + plane.start) * geometry_.plane_size() +
                line.start * geometry_.line_size() + at.channel;
    row.channels = at.channels;
    row.ahead = ahead_;
    row.activation = activation_.activation;
    row.alpha = activation_.alpha;

    width.for_windows([&](std::int64_t first, std::int64_t count, const PoolWindow* columns) {
      row.columns = columns;
      row.width = count;
      run_columns(args, row, (at.index * width.output + first) * geometry_.channels + at.channel);
    });
  }

  void run_columns(const StepArgs& args, const PoolRow& row, std::int64_t offset) const {
    float* output = args.output(0) + offset;
    const PoolKernels& pool = kernels().pool;
    switch (kind_) {
      case Kind::average:
        pool.average(row, output);
        break;
      case Kind::max:
        pool.max(row, output);
        break;
      case Kind::max_index_u8:
        pool.max_index_u8(row, output, args.output<std::uint8_t>(1) + offset);
        break;
      case Kind::max_index_i32:
        pool.max_index_i32(row, output, args.output<std::int32_t>(1) + offset);
        break;
    }
  }

  PoolGeometry geometry_;
  Kind kind_;
  ActivationGate activation_;
  std::int64_t ahead_ = 0;
  PoolTasks tasks_;
};

std::unique_ptr<Step> make_max(const StepSpec& spec, PoolGeometry geometry) {
  check_float(spec.input(0), "input");
  check_float(spec.output(0), "output");
  auto kind = PoolForward::Kind::max;
  if (spec.has_output(1)) {
    require_pool_index(spec.output(1), spec.output(0), geometry.largest_number);
    kind = spec.output(1).dtype == DType::u8 ? PoolForward::Kind::max_index_u8
                                             : PoolForward::Kind::max_index_i32;
  }
  return std::make_unique<PoolForward>(std::move(geometry), kind, pooling_activation(spec.attrs));
}

std::unique_ptr<Step> make_average(const StepSpec& spec, PoolGeometry geometry) {
  check_float(spec.input(0), "input");
  check_float(spec.output(0), "output");
  return std::make_unique<PoolForward>(std::move(geometry), PoolForward::Kind::average);
}

template <std::unique_ptr<Step> (*make)(const StepSpec&, PoolGeometry)>
std::unique_ptr<Step> strided(const StepSpec& spec) {
  return make(spec, pool_geometry(spec.input(0), spec.output(0), spec.attrs));
}
template <std::unique_ptr<Step> (*make)(const StepSpec&, PoolGeometry)>
std::unique_ptr<Step> strided_backward(const StepSpec& spec) {
  return make(spec, pool_geometry(spec.output(0), spec.input(0), spec.attrs));
}
template <std::unique_ptr<Step> (*make)(const StepSpec&, PoolGeometry)>
std::unique_ptr<Step> adaptive(const StepSpec& spec) {
  return make(spec, adaptive_pool_geometry(spec.input(0), spec.output(0)));
}
template <std::unique_ptr<Step> (*make)(const StepSpec&, PoolGeometry)>
std::unique_ptr<Step> adaptive_backward(const StepSpec& spec) {
  return make(spec, adaptive_pool_geometry(spec.output(0), spec.input(0)));
}

/// Windows of few channels leave vectors mostly empty, where rows of a few pixels' windows fill them.
template <bool kBackward>
std::unique_ptr<Step> adaptive_means(const StepSpec& spec) {
  constexpr std::int64_t kChannels = 4, kTaps = 8;
  const TensorDesc &x = kBackward ? spec.output(0) : spec.input(0),
                   &y = kBackward ? spec.input(0) : spec.output(0);
  bool small = x.rank == y.rank && x.rank >= 3 && x.dim(1) <= kChannels && x.is_channels_last() &&
               y.is_channels_last();
  for (int axis = 2; axis < x.rank; ++axis) small = small && x.dim(axis) <= kTaps * y.dim(axis);
  if (small) return make_means(spec, kBackward);
  return kBackward ? adaptive_backward<make_average_pool_backward>(spec) : adaptive<make_average>(spec);
}

}  // namespace

void register_pool(StepRegistry& registry) {
  registry.add("max_pool", strided<make_max>);
  registry.add("max_pool_backward", strided_backward<make_max_pool_backward>);
  registry.add("avg_pool", strided<make_average>);
  registry.add("avg_pool_backward", strided_backward<make_average_pool_backward>);
  registry.add("adaptive_max_pool", adaptive<make_max>);
  registry.add("adaptive_max_pool_backward", adaptive_backward<make_max_pool_backward>);
  registry.add("adaptive_avg_pool", adaptive_means<false>);
  registry.add("adaptive_avg_pool_backward", adaptive_means<true>);
}

}  // namespace cnncore
