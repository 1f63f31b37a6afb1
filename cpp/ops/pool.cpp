// SPDX-License-Identifier: Apache-2.0
// Pooling: max_pool, avg_pool and their adaptive forms. All are rows of windows given by PoolGeometry; the
// backward steps gather, so every input pixel is written once, by one task.
#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/pool_geometry.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

void require_float(const TensorDesc& desc, const char* what) {
  require(desc.dtype == DType::f32, what, ": expected float32, got ", name_of(desc.dtype));
}

void require_index(const TensorDesc& index, const TensorDesc& output, std::int64_t largest) {
  require(index.same_layout(output), "index: expected the shape and layout of the pooled tensor ",
          output.shape_text(), ", got ", index.shape_text());
  require(index.dtype == DType::u8 || index.dtype == DType::i32, "index: expected uint8 or int32, got ",
          name_of(index.dtype));
  require(index.dtype == DType::i32 || largest <= 255, "index: numbers up to ", largest, " need int32");
}

double vectors_of(std::int64_t floats) {
  return static_cast<double>(floats) / static_cast<double>(kernels().width) + 1.0;
}

/// Coordinates of a row: image, plane, row of the plane.
struct RowAt {
  std::int64_t image, plane, row;
  RowAt(std::int64_t index, std::int64_t planes, std::int64_t rows)
      : image(index / (planes * rows)), plane(index / rows % planes), row(index % rows) {}
};

class PoolForward final : public Step {
 public:
  enum class Kind { average, max, max_index_u8, max_index_i32 };

  PoolForward(PoolGeometry geometry, Kind kind) : geometry_(std::move(geometry)), kind_(kind) {
    const auto& [depth, height, width] = geometry_.axes;
    const auto taps = static_cast<double>(geometry_.axes[0].windows[0].taps * height.windows[0].taps *
                                          width.windows[0].taps);
    const double row_work = static_cast<double>(width.output) * vectors_of(geometry_.channels) * (1.0 + taps);
    tasks_ = PoolTasks(geometry_.batch * depth.output * height.output, geometry_.channels, row_work);
  }

  void run(const StepArgs& args) const override {
    parallel_for(tasks_.count(), tasks_.work, [&](std::int64_t task, int) {
      const std::int64_t begin = task / tasks_.channel_blocks * tasks_.rows_per_task;
      const std::int64_t end = std::min(tasks_.rows, begin + tasks_.rows_per_task);
      const std::int64_t channel = task % tasks_.channel_blocks * tasks_.channels_per_block;
      for (std::int64_t row = begin; row < end; ++row) run_row(args, row, channel);
    });
  }

  std::string algorithm() const override { return "windows"; }
  double flops() const override { return tasks_.work * kernels().width; }

 private:
  void run_row(const StepArgs& args, std::int64_t index, std::int64_t channel) const {
    const auto& [depth, height, width] = geometry_.axes;
    const RowAt at(index, depth.output, height.output);
    const PoolWindow& plane = depth.windows[static_cast<std::size_t>(at.plane)];
    const PoolWindow& line = height.windows[static_cast<std::size_t>(at.row)];
    const std::int64_t pixel = geometry_.channels;
    const std::int64_t line_size = width.input * pixel;
    const std::int64_t plane_size = height.input * line_size;
    PoolRow row{};
    row.input = args.input(0) + (at.image * depth.input + plane.start) * plane_size + line.start * line_size +
                channel;
    row.planes = plane.taps;
    row.rows = line.taps;
    row.plane_step = depth.dilation * plane_size;
    row.row_step = height.dilation * line_size;
    row.column_step = width.dilation * pixel;
    row.plane_number = static_cast<std::int32_t>(geometry_.number_step[0]);
    row.row_number = static_cast<std::int32_t>(geometry_.number_step[1]);
    row.first_number = plane.number * row.plane_number + line.number * row.row_number;
    row.divisor = static_cast<float>(plane.divisor) * static_cast<float>(line.divisor);
    row.columns = width.windows.data();
    row.width = width.output;
    row.channels = std::min(tasks_.channels_per_block, pixel - channel);
    row.pixel = pixel;

    const std::int64_t offset = index * width.output * pixel + channel;
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
  PoolTasks tasks_;
};

class PoolBackward final : public Step {
 public:
  enum class Kind { average, max_u8, max_i32 };

  PoolBackward(PoolGeometry geometry, Kind kind) : geometry_(std::move(geometry)), kind_(kind) {
    for (std::size_t i = 0; i < 3; ++i) geometry_.axes[i].invert(begin_[i], sources_[i]);
    const auto& [depth, height, width] = geometry_.axes;
    const auto covers = static_cast<double>(sources_[0].size() * sources_[1].size()) /
                        static_cast<double>(depth.input * height.input);
    const double row_work =
        vectors_of(geometry_.channels) *
        (static_cast<double>(width.input) + covers * static_cast<double>(sources_[2].size()));
    tasks_ = PoolTasks(geometry_.batch * depth.input * height.input, geometry_.channels, row_work);
  }

  void run(const StepArgs& args) const override {
    parallel_for(tasks_.count(), tasks_.work, [&](std::int64_t task, int) {
      const std::int64_t begin = task / tasks_.channel_blocks * tasks_.rows_per_task;
      const std::int64_t end = std::min(tasks_.rows, begin + tasks_.rows_per_task);
      const std::int64_t channel = task % tasks_.channel_blocks * tasks_.channels_per_block;
      for (std::int64_t row = begin; row < end; ++row) run_row(args, row, channel);
    });
  }

  std::string algorithm() const override { return "gather"; }
  double flops() const override { return tasks_.work * kernels().width; }

 private:
  void run_row(const StepArgs& args, std::int64_t index, std::int64_t channel) const {
    const auto& [depth, height, width] = geometry_.axes;
    const RowAt at(index, depth.input, height.input);
    const std::int32_t* planes = begin_[0].data() + at.plane;
    const std::int32_t* lines = begin_[1].data() + at.row;
    const std::int64_t pixel = geometry_.channels;
    PoolGather row{};
    row.plane_step = height.output * width.output * pixel;
    row.row_step = width.output * pixel;
    row.pixel = pixel;
    row.grad_output = at.image * depth.output * row.plane_step + channel;
    row.planes = sources_[0].data() + planes[0];
    row.plane_count = planes[1] - planes[0];
    row.rows = sources_[1].data() + lines[0];
    row.row_count = lines[1] - lines[0];
    row.column_begin = begin_[2].data();
    row.columns = sources_[2].data();
    row.width = width.input;
    row.plane_number = static_cast<std::int32_t>(geometry_.number_step[0]);
    row.row_number = static_cast<std::int32_t>(geometry_.number_step[1]);
    row.channels = std::min(tasks_.channels_per_block, pixel - channel);

    float* grad_input = args.output(0) + index * width.input * pixel + channel;
    const PoolKernels& pool = kernels().pool;
    switch (kind_) {
      case Kind::average:
        pool.average_gather(row, args.input(0), grad_input);
        break;
      case Kind::max_u8:
        pool.max_gather_u8(row, args.input(0), args.input<std::uint8_t>(1), grad_input);
        break;
      case Kind::max_i32:
        pool.max_gather_i32(row, args.input(0), args.input<std::int32_t>(1), grad_input);
        break;
    }
  }

  PoolGeometry geometry_;
  Kind kind_;
  std::array<std::vector<std::int32_t>, 3> begin_;
  std::array<std::vector<PoolSource>, 3> sources_;
  PoolTasks tasks_;
};

std::unique_ptr<Step> make_max(const StepSpec& spec, PoolGeometry geometry) {
  require_float(spec.input(0), "input");
  require_float(spec.output(0), "output");
  auto kind = PoolForward::Kind::max;
  if (spec.has_output(1)) {
    require_index(spec.output(1), spec.output(0), geometry.largest_number);
    kind = spec.output(1).dtype == DType::u8 ? PoolForward::Kind::max_index_u8
                                             : PoolForward::Kind::max_index_i32;
  }
  return std::make_unique<PoolForward>(std::move(geometry), kind);
}

std::unique_ptr<Step> make_max_backward(const StepSpec& spec, PoolGeometry geometry) {
  require_float(spec.input(0), "grad_output");
  require_float(spec.output(0), "grad_input");
  require_index(spec.input(1), spec.input(0), geometry.largest_number);
  const auto kind =
      spec.input(1).dtype == DType::u8 ? PoolBackward::Kind::max_u8 : PoolBackward::Kind::max_i32;
  return std::make_unique<PoolBackward>(std::move(geometry), kind);
}

std::unique_ptr<Step> make_average(const StepSpec& spec, PoolGeometry geometry) {
  require_float(spec.input(0), "input");
  require_float(spec.output(0), "output");
  return std::make_unique<PoolForward>(std::move(geometry), PoolForward::Kind::average);
}

std::unique_ptr<Step> make_average_backward(const StepSpec& spec, PoolGeometry geometry) {
  require_float(spec.input(0), "grad_output");
  require_float(spec.output(0), "grad_input");
  return std::make_unique<PoolBackward>(std::move(geometry), PoolBackward::Kind::average);
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

}  // namespace

void register_pool(StepRegistry& registry) {
  registry.add("max_pool", strided<make_max>);
  registry.add("max_pool_backward", strided_backward<make_max_backward>);
  registry.add("avg_pool", strided<make_average>);
  registry.add("avg_pool_backward", strided_backward<make_average_backward>);
  registry.add("adaptive_max_pool", adaptive<make_max>);
  registry.add("adaptive_max_pool_backward", adaptive_backward<make_max_backward>);
  registry.add("adaptive_avg_pool", adaptive<make_average>);
  registry.add("adaptive_avg_pool_backward", adaptive_backward<make_average_backward>);
}

}  // namespace cnncore
