// SPDX-License-Identifier: Apache-2.0
// Gradients of pooling. Every input pixel is written once, by one task: it gathers from the windows that
// cover it, or, where windows tile the image, each window writes its own pixels.
#include <algorithm>

#include "core/error.h"
#include "isa/kernel_table.h"
#include "ops/channel_blocks.h"
#include "ops/pixel_pitch.h"
#include "ops/pool_geometry.h"

namespace cnncore {
namespace {

/// The gate of one run: the pooling's output, from `offset` on, is input 2 where it applied an activation.
ActivationGate opened(ActivationGate gate, const StepArgs& args, std::int64_t offset) {
  if (gate.activation != Activation::none) gate.output = args.input(2) + offset;
  return gate;
}

/// What is added to the gradient, input 3; it may be some of the channels of a wider tensor.
struct Addend {
  std::int64_t pitch = 0;  // floats from pixel to pixel; 0 where there is none

  Addend() = default;
  explicit Addend(const StepSpec& spec) {
    if (!spec.has_input(3)) return;
    const TensorDesc& addend = spec.input(3);
    require_float(addend, "addend");
    pitch = addend.is_channels_last() ? addend.dim(1) : pixel_pitch(addend);
    require(pitch > 0 && addend.same_shape(spec.output(0)), "addend: expected channels-last memory of shape ",
            spec.output(0).shape_text(), ", got ", addend.shape_text());
  }
  const float* at(const StepArgs& args, std::int64_t pixel, std::int64_t channel) const {
    return pitch > 0 ? args.input(3) + pixel * pitch + channel : nullptr;
  }
};

class PoolGatherStep final : public Step {
 public:
  enum class Kind { average, max_u8, max_i32 };

  PoolGatherStep(PoolGeometry geometry, Kind kind, const ActivationGate& gate = {}, Addend addend = {})
      : geometry_(std::move(geometry)), kind_(kind), gate_(gate), addend_(addend) {
    for (std::size_t i = 0; i < 3; ++i) geometry_.axes[i].invert(begin_[i], sources_[i]);
    const auto& [depth, height, width] = geometry_.axes;
    const auto covers = static_cast<double>(sources_[0].size() * sources_[1].size()) /
                        static_cast<double>(depth.input * height.input);
    const double row_work =
        pool_vectors(geometry_.channels) *
        (static_cast<double>(width.input) + covers * static_cast<double>(sources_[2].size()));
    tasks_ = PoolTasks(geometry_.batch, depth.input, height.input, geometry_.channels, row_work);
  }

  void run(const StepArgs& args) const override {
    tasks_.for_rows([&](const PoolTasks::Row& at) { run_row(args, at); });
  }

  std::string algorithm() const override { return "gather"; }
  double flops() const override { return tasks_.work() * kernels().width; }

 private:
  void run_row(const StepArgs& args, const PoolTasks::Row& at) const {
    const auto& [depth, height, width] = geometry_.axes;
    const std::int32_t* planes = begin_[0].data() + at.plane;
    const std::int32_t* lines = begin_[1].data() + at.line;
    const std::int64_t pixel = geometry_.channels;
    PoolGather row{};
    row.plane_step = height.output * width.output * pixel;
    row.row_step = width.output * pixel;
    row.pixel = pixel;
    row.grad_output = at.image * depth.output * row.plane_step + at.channel;
    row.planes = sources_[0].data() + planes[0];
    row.plane_count = planes[1] - planes[0];
    row.rows = sources_[1].data() + lines[0];
    row.row_count = lines[1] - lines[0];
    row.column_begin = begin_[2].data();
    row.columns = sources_[2].data();
    row.width = width.input;
    row.plane_number = static_cast<std::int32_t>(geometry_.number_step[0]);
    row.row_number = static_cast<std::int32_t>(geometry_.number_step[1]);
    row.channels = at.channels;
    row.addend = addend_.at(args, at.index * width.input, at.channel);
    row.addend_pixel = addend_.pitch;

    float* grad_input = args.output(0) + at.index * width.input * pixel + at.channel;
    const PoolKernels& pool = kernels().pool;
    switch (kind_) {
      case Kind::average:
        pool.average_gather(row, args.input(0), grad_input);
        break;
      case Kind::max_u8:
        pool.max_gather_u8(row, args.input(0), args.input<std::uint8_t>(1), opened(gate_, args, 0),
                           grad_input);
        break;
      case Kind::max_i32:
        pool.max_gather_i32(row, args.input(0), args.input<std::int32_t>(1), opened(gate_, args, 0),
                            grad_input);
        break;
    }
  }

  PoolGeometry geometry_;
  Kind kind_;
  ActivationGate gate_;
  Addend addend_;
  std::array<std::vector<std::int32_t>, 3> begin_;
  std::array<std::vector<PoolSource>, 3> sources_;
  PoolTasks tasks_;
};

/// True when the windows lie side by side from coordinate 0 on; coordinates after the last are covered by
/// none.
bool tiles(const PoolAxis& axis) {
  std::int64_t next = 0;
  for (const PoolWindow& window : axis.windows) {
    if (window.start != next) return false;
    next += window.taps;
  }
  return axis.dilation == 1;
}

std::int64_t covered(const PoolAxis& axis) { return axis.windows.back().start + axis.windows.back().taps; }

/// max_pool_backward for windows of one plane that tile it. A task owns the input rows of its windows.
class PoolScatterStep final : public Step {
 public:
  PoolScatterStep(PoolGeometry geometry, const ActivationGate& gate, Addend addend)
      : geometry_(std::move(geometry)), gate_(gate), addend_(addend) {
    const auto& [depth, height, width] = geometry_.axes;
    const double row_work =
        pool_vectors(geometry_.channels) * static_cast<double>(width.input * (height.windows[0].taps + 1));
    tasks_ = PoolTasks(geometry_.batch, depth.output, height.output, geometry_.channels, row_work);
  }

  static bool accepts(const PoolGeometry& geometry) {
    const auto& [depth, height, width] = geometry.axes;
    return depth.input == 1 && depth.output == 1 && tiles(height) && tiles(width);
  }

  void run(const StepArgs& args) const override {
    tasks_.for_rows([&](const PoolTasks::Row& at) { run_row(args, at); });
  }

  std::string algorithm() const override { return "scatter"; }
  double flops() const override { return tasks_.work() * kernels().width; }

 private:
  void run_row(const StepArgs& args, const PoolTasks::Row& at) const {
    const PoolAxis& height = geometry_.axes[1];
    const PoolAxis& width = geometry_.axes[2];
    const PoolWindow& window = height.windows[static_cast<std::size_t>(at.line)];
    const std::int64_t pixel = geometry_.channels;
    const std::int64_t line_size = width.input * pixel;
    PoolRow row{};
    row.rows = window.taps;
    row.row_step = line_size;
    row.column_step = pixel;
    row.row_number = static_cast<std::int32_t>(geometry_.number_step[1]);
    row.first_number = window.number * row.row_number;
    row.columns = width.windows.data();
    row.width = width.output;
    row.channels = at.channels;
    row.pixel = pixel;
    const std::int64_t first = (at.image * height.input + window.start) * width.input;  // pixel
    row.addend = addend_.at(args, first, at.channel);
    row.addend_row = width.input * addend_.pitch;
    row.addend_pixel = addend_.pitch;

    float* grad_input = args.output(0) + first * pixel + at.channel;
    const std::int64_t offset = at.index * width.output * pixel + at.channel;
    kernels().pool.max_scatter_u8(row, args.input(0) + offset, args.input<std::uint8_t>(1) + offset,
                                  opened(gate_, args, offset), grad_input);
    for (std::int64_t j = 0; j < window.taps; ++j) {
      fill(row, j, covered(width), grad_input);
    }
    if (at.line + 1 < height.output) return;
    for (std::int64_t j = window.taps; j < height.input - window.start; ++j) {
      fill(row, j, 0, grad_input);
    }
  }

  /// Pixels of line j, from `begin` on, that no window covers.
  void fill(const PoolRow& row, std::int64_t j, std::int64_t begin, float* grad_input) const {
    for (std::int64_t x = begin; x < geometry_.axes[2].input; ++x) {
      float* pixel = grad_input + j * row.row_step + x * row.pixel;
      if (row.addend == nullptr) {
        std::fill_n(pixel, row.channels, 0.0f);
      } else {
        std::copy_n(row.addend + j * row.addend_row + x * row.addend_pixel, row.channels, pixel);
      }
    }
  }

  PoolGeometry geometry_;
  ActivationGate gate_;
  Addend addend_;
  PoolTasks tasks_;
};

}  // namespace

std::unique_ptr<Step> make_max_pool_backward(const StepSpec& spec, PoolGeometry geometry) {
  require_float(spec.input(0), "grad_output");
  require_float(spec.output(0), "grad_input");
  require(spec.output(0).is_channels_last(), "grad_input: expected dense memory");
  require_pool_index(spec.input(1), spec.input(0), geometry.largest_number);
  const ActivationGate gate = activation_from_attrs(spec.attrs);
  if (gate.activation != Activation::none) {
    require_float(spec.input(2), "output");
    require(spec.input(2).same_layout(spec.input(0)), "output: expected ", spec.input(0).shape_text(),
            ", got ", spec.input(2).shape_text());
  }
  const Addend addend(spec);
  if (spec.input(1).dtype != DType::u8) {
    return std::make_unique<PoolGatherStep>(std::move(geometry), PoolGatherStep::Kind::max_i32, gate, addend);
  }
  if (PoolScatterStep::accepts(geometry)) {
    return std::make_unique<PoolScatterStep>(std::move(geometry), gate, addend);
  }
  return std::make_unique<PoolGatherStep>(std::move(geometry), PoolGatherStep::Kind::max_u8, gate, addend);
}

std::unique_ptr<Step> make_average_pool_backward(const StepSpec& spec, PoolGeometry geometry) {
  require_float(spec.input(0), "grad_output");
  require_float(spec.output(0), "grad_input");
  require(spec.output(0).is_channels_last(), "grad_input: expected dense memory");
  return std::make_unique<PoolGatherStep>(std::move(geometry), PoolGatherStep::Kind::average);
}

}  // namespace cnncore
