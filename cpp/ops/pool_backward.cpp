// SPDX-License-Identifier: Apache-2.0
// Gradients of pooling. Every input pixel is written once, by one task: it gathers from the windows that
// cover it, or, where windows tile the image, each window writes its own pixels.
#include <algorithm>
#include <array>
#include <cstddef>

#include "core/error.h"
#include "isa/kernel_table.h"
#include "ops/channel_blocks.h"
#include "ops/pixel_pitch.h"
#include "ops/pool_geometry.h"

namespace cnncore {
namespace {

/// The gate of one run: the pooling's output, from `offset` on, is input 2 where it applied an activation.
ActivationGate opened(ActivationGate gate, const StepArgs& args, std::int64_t offset) {
  if (gate.activation != Activation::none) gate.saved = args.input(2) + offset;
  return gate;
}

/// What is added to the gradient, input 3; it may be some of the channels of a wider tensor.
struct Addend {
  std::int64_t pitch = 0;  // floats from pixel to pixel; 0 where there is none

  Addend() = default;
  explicit Addend(const StepSpec& spec) {
    if (!spec.has_input(3)) return;
    const TensorDesc& addend = spec.input(3);
    check_float(addend, "addend");
    pitch = addend.is_channels_last() ? addend.dim(1) : pixel_pitch(addend);
    require(pitch > 0 && addend.same_shape(spec.output(0)), "addend: expected channels-last memory of shape ",
            spec.output(0).shape_text(), ", got ", addend.shape_text());
  }
  const float* at(const StepArgs& args, std::int64_t pixel, std::int64_t channel) const {
    return pitch > 0 ? args.input(3) + pixel * pitch + channel : nullptr;
  }
};

/// Windows of one output coordinate each that cover an input coordinate, sorted by input coordinate: listed
/// for short axes, computed in scratch for long ones.
class PoolSources {
 public:
  struct Part {
    const std::int32_t* begin;  // those of coordinate i are sources[begin[i]] ... sources[begin[i + 1] - 1]
    const PoolSource* sources;
  };

  PoolSources() = default;
  explicit PoolSources(const PoolAxis& axis)
      : listed_(std::max(axis.input, axis.output) <= PoolAxis::kListed) {
    most_ = axis.most_covering();
    tile_ = std::clamp<std::int64_t>(kTileSources / most_, 1, axis.input);
    if (!listed_) return;
    begin_.resize(static_cast<std::size_t>(axis.input) + 1);
    count(axis, 0, axis.input, begin_.data());
    sources_.resize(static_cast<std::size_t>(begin_.back()));
    fill(axis, 0, axis.input, begin_.data(), sources_.data());
    shift(axis.input, begin_.data());
  }

  bool listed() const { return listed_; }
  std::int64_t tile() const { return tile_; }  // coordinates that are found at a time
  double total(const PoolAxis& axis) const {
    return listed_
               ? static_cast<double>(sources_.size())
               : static_cast<double>(axis.output) * static_cast<double>(axis.window(axis.output / 2).taps);
  }
  std::size_t table_bytes() const {
    return begin_.capacity() * sizeof(std::int32_t) + sources_.capacity() * sizeof(PoolSource);
  }
  std::size_t scratch_bytes() const {
    if (listed_) return 0;
    const auto coordinates = static_cast<std::size_t>(tile_);
    return coordinates * static_cast<std::size_t>(most_) * sizeof(PoolSource) +
           (coordinates + 2) / 2 * 2 * sizeof(std::int32_t);
  }

  /// The windows over coordinates first ... first + size - 1, at most tile() of them where nothing is listed.
  Part find(const PoolAxis& axis, std::int64_t first, std::int64_t size, std::byte*& scratch) const {
    if (listed_) return {begin_.data() + first, sources_.data()};
    auto* begin = reinterpret_cast<std::int32_t*>(scratch);
    auto* sources = reinterpret_cast<PoolSource*>(begin + (tile_ + 2) / 2 * 2);
    scratch += scratch_bytes();
    std::fill_n(begin, size + 1, 0);
    count(axis, first, size, begin);
    fill(axis, first, size, begin, sources);
    shift(size, begin);
    return {begin, sources};
  }

 private:
  static constexpr std::int64_t kTileSources = 2048;

  /// Calls body(coordinate - first, source) for all windows, in their order.
  template <class Body>
  static void for_sources(const PoolAxis& axis, std::int64_t first, std::int64_t size, const Body& body) {
    const auto [low, high] = axis.covering(first, size);
    for (std::int64_t o = low; o < high; ++o) {
      const PoolWindow window = axis.window(o);
      const std::int64_t ahead = first - window.start;
      const std::int64_t begin = ahead <= 0 ? 0 : ceil_div(ahead, axis.dilation);
      const std::int64_t reach = size - 1 + ahead;
      const std::int64_t end = reach < 0 ? 0 : std::min<std::int64_t>(window.taps, reach / axis.dilation + 1);
      for (std::int64_t t = begin; t < end; ++t) {
        const auto number = static_cast<std::int32_t>(window.number + t);
        body(t * axis.dilation - ahead, PoolSource{static_cast<std::int32_t>(o), number, window.divisor});
      }
    }
  }
  /// begin[i]: where the sources of coordinate i start.
  static void count(const PoolAxis& axis, std::int64_t first, std::int64_t size, std::int32_t* begin) {
    for_sources(axis, first, size, [&](std::int64_t i, const PoolSource&) { ++begin[i + 1]; });
    for (std::int64_t i = 0; i < size; ++i) begin[i + 1] += begin[i];
  }
  /// Leaves in begin[i] where the sources of coordinate i + 1 start.
  static void fill(const PoolAxis& axis, std::int64_t first, std::int64_t size, std::int32_t* begin,
                   PoolSource* sources) {
    for_sources(axis, first, size,
                [&](std::int64_t i, const PoolSource& source) { sources[begin[i]++] = source; });
  }
  static void shift(std::int64_t size, std::int32_t* begin) {
    for (std::int64_t i = size; i > 0; --i) begin[i] = begin[i - 1];
    begin[0] = 0;
  }

  bool listed_ = true;
  std::int64_t most_ = 0;  // windows over a coordinate
  std::int64_t tile_ = 0;
  std::vector<std::int32_t> begin_;
  std::vector<PoolSource> sources_;
};

class PoolGatherStep final : public Step {
 public:
  enum class Kind { average, max_u8, max_i32 };

  PoolGatherStep(PoolGeometry geometry, Kind kind, const ActivationGate& gate = {}, Addend addend = {})
      : geometry_(std::move(geometry)), kind_(kind), gate_(gate), addend_(addend) {
    for (std::size_t i = 0; i < 3; ++i) sources_[i] = PoolSources(geometry_.axes[i]);
    const auto& [depth, height, width] = geometry_.axes;
    const double covers = sources_[0].total(depth) * sources_[1].total(height) /
                          static_cast<double>(depth.input * height.input);
    const double row_work = pool_vectors(geometry_.channels) *
                            (static_cast<double>(width.input) + covers * sources_[2].total(width));
    tasks_ = PoolTasks(geometry_.batch, depth.input, height.input, geometry_.channels, row_work);
  }

  void run(const StepArgs& args) const override {
    tasks_.for_rows(
        [&](const PoolTasks::Row& at, int thread) { run_row(args, at, args.scratch_of<std::byte>(thread)); });
  }

  std::size_t scratch_bytes() const override {
    return sources_[0].scratch_bytes() + sources_[1].scratch_bytes() + sources_[2].scratch_bytes();
  }
  std::size_t table_bytes() const override {
    std::size_t bytes = geometry_.table_bytes();
    for (const PoolSources& sources : sources_) bytes += sources.table_bytes();
    return bytes;
  }
  std::string algorithm() const override { return "gather"; }
  double flops() const override { return tasks_.work() * kernels().width; }

 private:
  void run_row(const StepArgs& args, const PoolTasks::Row& at, std::byte* scratch) const {
    const auto& [depth, height, width] = geometry_.axes;
    const PoolSources::Part planes = sources_[0].find(depth, at.plane, 1, scratch);
    const PoolSources::Part lines = sources_[1].find(height, at.line, 1, scratch);
    const std::int64_t pixel = geometry_.channels;
    PoolGather row{};
    row.plane_step = height.output * width.output * pixel;
    row.row_step = width.output * pixel;
    row.pixel = pixel;
    row.grad_output = at.image * depth.output * row.plane_step + at.channel;
    row.planes = planes.sources + planes.begin[0];
    row.plane_count = planes.begin[1] - planes.begin[0];
    row.rows = lines.sources + lines.begin[0];
    row.row_count = lines.begin[1] - lines.begin[0];
    row.plane_number = static_cast<std::int32_t>(geometry_.number_step[0]);
    row.row_number = static_cast<std::int32_t>(geometry_.number_step[1]);
    row.channels = at.channels;
    row.addend_pixel = addend_.pitch;
    const std::int64_t step = sources_[2].listed() ? width.input : sources_[2].tile();
    for (std::int64_t column = 0; column < width.input; column += step) {
      std::byte* own = scratch;
      row.width = std::min(step, width.input - column);
      const PoolSources::Part columns = sources_[2].find(width, column, row.width, own);
      row.column_begin = columns.begin;
      row.columns = columns.sources;
      const std::int64_t first = at.index * width.input + column;
      row.addend = addend_.at(args, first, at.channel);
      run_columns(args, row, args.output(0) + first * pixel + at.channel);
    }
  }

  void run_columns(const StepArgs& args, const PoolGather& row, float* grad_input) const {
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
  std::array<PoolSources, 3> sources_;
  PoolTasks tasks_;
};

std::int64_t covered(const PoolAxis& axis) {
  const PoolWindow last = axis.window(axis.output - 1);
  return last.start + last.taps;
}

/// max_pool_backward for windows of one plane that tile it. A task owns the input rows of its windows.
class PoolScatterStep final : public Step {
 public:
  PoolScatterStep(PoolGeometry geometry, const ActivationGate& gate, Addend addend)
      : geometry_(std::move(geometry)), gate_(gate), addend_(addend) {
    const auto& [depth, height, width] = geometry_.axes;
    const double row_work =
        pool_vectors(geometry_.channels) * static_cast<double>(width.input * (height.window(0).taps + 1));
    tasks_ = PoolTasks(geometry_.batch, depth.output, height.output, geometry_.channels, row_work);
  }

  static bool accepts(const PoolGeometry& geometry) {
    const auto& [depth, height, width] = geometry.axes;
    return depth.input == 1 && depth.output == 1 && height.tiles() && width.tiles();
  }

  void run(const StepArgs& args) const override {
    tasks_.for_rows([&](const PoolTasks::Row& at, int) { run_row(args, at); });
  }

  std::size_t table_bytes() const override { return geometry_.table_bytes(); }
  std::string algorithm() const override { return "scatter"; }
  double flops() const override { return tasks_.work() * kernels().width; }

 private:
  void run_row(const StepArgs& args, const PoolTasks::Row& at) const {
    const PoolAxis& height = geometry_.axes[1];
    const PoolAxis& width = geometry_.axes[2];
    const PoolWindow window = height.window(at.line);
    const std::int64_t pixel = geometry_.channels;
    const std::int64_t line_size = width.input * pixel;
    PoolRow row{};
    row.rows = window.taps;
    row.row_step = line_size;
    row.column_step = pixel;
    row.row_number = static_cast<std::int32_t>(geometry_.number_step[1]);
    row.first_number = window.number * row.row_number;
    row.channels = at.channels;
    row.pixel = pixel;
    const std::int64_t first = (at.image * height.input + window.start) * width.input;  // pixel
    row.addend = addend_.at(args, first, at.channel);
    row.addend_row = width.input * addend_.pitch;
    row.addend_pixel = addend_.pitch;

    float* grad_input = args.output(0) + first * pixel + at.channel;
    width.for_windows([&](std::int64_t column, std::int64_t count, const PoolWindow* columns) {
      row.columns = columns;
      row.width = count;
      const std::int64_t offset = (at.index * width.output + column) * pixel + at.channel;
      kernels().pool.max_scatter_u8(row, args.input(0) + offset, args.input<std::uint8_t>(1) + offset,
                                    opened(gate_, args, offset), grad_input);
    });
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
  check_float(spec.input(0), "grad_output");
  check_float(spec.output(0), "grad_input");
  require(spec.output(0).is_channels_last(), "grad_input: expected dense memory");
  require_pool_index(spec.input(1), spec.input(0), geometry.largest_number);
  const ActivationGate gate = pooling_activation(spec.attrs);
  if (gate.activation != Activation::none) {
    check_float(spec.input(2), "output");
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
  check_float(spec.input(0), "grad_output");
  check_float(spec.output(0), "grad_input");
  require(spec.output(0).is_channels_last(), "grad_input: expected dense memory");
  return std::make_unique<PoolGatherStep>(std::move(geometry), PoolGatherStep::Kind::average);
}

}  // namespace cnncore
