// SPDX-License-Identifier: Apache-2.0
#include "ops/pool_geometry.h"

#include <algorithm>
#include <cstdlib>

#include "core/error.h"
#include "core/sizes.h"
#include "isa/kernel_table.h"
#include "ops/pixel_pitch.h"

namespace cnncore {
namespace {

// With ceil_mode the last window may reach as far beyond the input as the largest padding and stride
// together.
constexpr std::int64_t kLargestPadding = 2 * kLargestSetting;

std::int32_t narrow(std::int64_t value) { return static_cast<std::int32_t>(value); }

/// Spatial extents of both tensors on three axes; absent ones lead and have extent 1.
PoolGeometry extents(const TensorDesc& input, const TensorDesc& output) {
  require(input.rank >= 3 && input.rank <= 5,
          "expected input (N, C, spatial...) with 1 to 3 spatial axes, got ", input.shape_text());
  require(output.rank == input.rank && output.dim(0) == input.dim(0) && output.dim(1) == input.dim(1),
          "expected batch and channels of ", input.shape_text(), ", got ", output.shape_text());
  const std::int64_t pitch = input.is_channels_last() ? input.dim(1) : pixel_pitch(input);
  require(pitch > 0 && output.is_channels_last(), "expected channels-last memory");
  PoolGeometry geometry;
  geometry.batch = input.dim(0);
  geometry.channels = input.dim(1);
  geometry.input_pitch = pitch;
  for (int axis = 2; axis < input.rank; ++axis) {
    PoolAxis& windows = geometry.axes[static_cast<std::size_t>(axis + 3 - input.rank)];
    windows.input = input.dim(axis);
    windows.output = output.dim(axis);
    require(std::min(windows.input, windows.output) >= 1 &&
                std::max(windows.input, windows.output) <= kLargestSetting,
            "expected spatial extents from 1 to ", kLargestSetting, ", got ", input.shape_text(), " and ",
            output.shape_text());
  }
  return geometry;
}

Window read_window(const Attrs& attrs, std::size_t rank) {
  Window window;
  require(attrs.has("kernel"), "missing attribute 'kernel'");
  window.kernel = spatial_setting(attrs, "kernel", rank, 1, {}, kLargestPadding);
  window.stride = spatial_setting(attrs, "stride", rank, 1, window.kernel, kLargestPadding);
  window.padding_begin =
      spatial_setting(attrs, "padding_begin", rank, 0, window.padding_begin, kLargestPadding);
  window.padding_end = spatial_setting(attrs, "padding_end", rank, 0, window.padding_end, kLargestPadding);
  window.dilation = spatial_setting(attrs, "dilation", rank, 1, window.dilation, kLargestPadding);
  return window;
}

}  // namespace

PoolWindow PoolAxis::compute(std::int64_t o) const {
  if (adaptive) {
    const std::int64_t start = o * input / output;
    const std::int64_t taps = ceil_div((o + 1) * input, output) - start;
    return {narrow(start), narrow(taps), narrow(start), narrow(taps)};
  }
  // Windows go from -padding_begin in steps of the stride; those that reach past the padded input are cut
  // there.
  const std::int64_t start = o * stride - padding_begin;
  const std::int64_t first = start < 0 ? ceil_div(-start, dilation) : 0;
  const std::int64_t room = input > start ? ceil_div(input - start, dilation) : 0;
  const std::int64_t taps = std::min(kernel, room) - first;
  const std::int64_t padded = std::min(kernel, input + padding_end - start);
  const std::int64_t divides = divisor != 0 ? divisor : count_padding ? padded : taps;
  return {narrow(start + first * dilation), narrow(taps), narrow(first), narrow(divides)};
}

void PoolAxis::require_inside(std::int64_t o) const {
  require(compute(o).taps > 0, "pooling window ", o, " of ", output, " lies outside the input of ", input,
          " (kernel ", kernel, ", stride ", stride, ", padding ", padding_begin, ")");
}

void PoolAxis::finish() {
  if (!adaptive) {  // windows that reach over neither end are inside
    const std::int64_t inner = std::min(output, ceil_div(padding_begin, stride));
    const std::int64_t reach = kernel_reach(kernel, dilation);
    const std::int64_t last = input - reach + padding_begin;  // where windows may begin, from the first's
    for (std::int64_t o = 0; o < inner; ++o) require_inside(o);
    for (std::int64_t o = std::max(inner, last < 0 ? 0 : last / stride + 1); o < output; ++o)
      require_inside(o);
  }
  listed_.clear();
  for (std::int64_t o = 0; output <= kListed && o < output; ++o) listed_.push_back(compute(o));
}

bool PoolAxis::tiles() const {
  if (dilation != 1) return false;
  if (listed_.empty()) return !adaptive && padding_begin == 0 && stride == kernel;
  std::int64_t next = 0;
  for (const PoolWindow& window : listed_) {
    if (window.start != next) return false;
    next += window.taps;
  }
  return true;
}

std::array<std::int64_t, 2> PoolAxis::covering(std::int64_t first, std::int64_t count) const {
  const std::int64_t last = first + count - 1;
  if (adaptive) {
    return {std::max<std::int64_t>(0, first * output / input - 1),
            std::min(output, (last + 1) * output / input + 1)};
  }
  const std::int64_t before = first + padding_begin - (kernel - 1) * dilation;
  return {before <= 0 ? 0 : std::min(output, ceil_div(before, stride)),
          std::min(output, (last + padding_begin) / stride + 1)};
}

PoolRow PoolGeometry::row(std::int64_t plane, std::int64_t line) const {
  const auto& [depth, height, width] = axes;
  const PoolWindow planes = depth.window(plane);
  const PoolWindow lines = height.window(line);
  PoolRow row{};
  row.planes = planes.taps;
  row.rows = lines.taps;
  row.plane_step = depth.dilation * plane_size();
  row.row_step = height.dilation * line_size();
  row.column_step = width.dilation * input_pitch;
  row.plane_number = narrow(number_step[0]);
  row.row_number = narrow(number_step[1]);
  row.first_number = planes.number * row.plane_number + lines.number * row.row_number;
  row.divisor = static_cast<float>(planes.divisor) * static_cast<float>(lines.divisor);
  row.channels = channels;
  row.input_pixel = input_pitch;
  row.pixel = channels;
  return row;
}

PoolGeometry pool_geometry(const TensorDesc& input, const TensorDesc& output, const Attrs& attrs) {
  const Window window = read_window(attrs, input.rank > 2 ? static_cast<std::size_t>(input.rank - 2) : 0);
  const std::int64_t divisor = attrs.integer("divisor_override", 0);
  require(std::abs(divisor) <= kLargestSetting, "divisor_override: expected at most ", kLargestSetting,
          ", got ", divisor);
  return pool_geometry(input, output, window, attrs.integer("count_include_pad", 1) != 0, divisor);
}

PoolGeometry pool_geometry(const TensorDesc& input, const TensorDesc& output, const Window& window,
                           bool count_padding, std::int64_t divisor) {
  PoolGeometry geometry = extents(input, output);
  const auto first = static_cast<std::size_t>(first_axis(input.rank - 2));
  for (std::size_t i = first; i < 3; ++i) {
    PoolAxis& axis = geometry.axes[i];
    axis.kernel = window.kernel[i];
    axis.stride = window.stride[i];
    axis.padding_begin = window.padding_begin[i];
    axis.padding_end = window.padding_end[i];
    axis.dilation = window.dilation[i];
    axis.count_padding = count_padding;
    if (divisor != 0) axis.divisor = i == first ? divisor : 1;
  }
  for (PoolAxis& axis : geometry.axes) axis.finish();
  geometry.number_step = {checked_product(geometry.axes[1].kernel, geometry.axes[2].kernel),
                          geometry.axes[2].kernel, 1};
  geometry.largest_number = checked_product(geometry.axes[0].kernel, geometry.number_step[0]) - 1;
  return geometry;
}

PoolGeometry adaptive_pool_geometry(const TensorDesc& input, const TensorDesc& output) {
  PoolGeometry geometry = extents(input, output);
  for (PoolAxis& axis : geometry.axes) {
    axis.kernel = axis.input;
    axis.adaptive = true;
    axis.finish();
  }
  geometry.number_step = {geometry.axes[1].input * geometry.axes[2].input, geometry.axes[2].input, 1};
  geometry.largest_number = geometry.input_pixels() - 1;
  return geometry;
}

void require_pool_index(const TensorDesc& index, const TensorDesc& output, std::int64_t largest) {
  require(index.same_layout(output), "index: expected the shape and layout of the pooled tensor ",
          output.shape_text(), ", got ", index.shape_text());
  require(index.dtype == DType::u8 || index.dtype == DType::i32, "index: expected uint8 or int32, got ",
          name_of(index.dtype));
  require(index.dtype == DType::i32 || largest <= 255, "index: numbers up to ", largest, " need int32");
  require(largest <= kLargestSetting, "windows of more than ", kLargestSetting, " elements have no gradient");
}

double pool_vectors(std::int64_t floats) {
  return static_cast<double>(floats) / static_cast<double>(kernels().width) + 1.0;
}

PoolTasks::PoolTasks(std::int64_t batch, std::int64_t planes, std::int64_t lines, std::int64_t channels,
                     double row_work)
    : rows_(batch * planes * lines),
      planes_(planes),
      lines_(lines),
      channels_(channels),
      channels_per_block_(channels),
      work_(row_work * static_cast<double>(rows_)) {
  // A task of a few microseconds pays for its dispatch and still leaves many to share out.
  const double least = machine().least_pool_task;
  constexpr std::int64_t kFewRows = 16;
  constexpr std::int64_t kBlockChannels = 64;
  rows_per_task_ = std::max<std::int64_t>(1, static_cast<std::int64_t>(least / std::max(row_work, 1.0)));
  if (rows_ > 0 && rows_ < kFewRows && row_work > least && channels >= 2 * kBlockChannels) {
    const std::int64_t blocks = std::min(ceil_div(kFewRows, rows_), channels / kBlockChannels);
    channels_per_block_ = round_up(channels / blocks, kBlockChannels);
    channel_blocks_ = ceil_div(channels, channels_per_block_);
  }
}

}  // namespace cnncore
