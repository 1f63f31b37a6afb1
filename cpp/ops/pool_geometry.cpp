// SPDX-License-Identifier: Apache-2.0
#include "ops/pool_geometry.h"

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "isa/kernel_table.h"
#include "ops/pixel_pitch.h"

namespace cnncore {
namespace {

std::int32_t narrow(std::int64_t value) { return static_cast<std::int32_t>(value); }

struct AxisAttrs {
  std::int64_t kernel, stride, padding_begin, padding_end, dilation;
  bool count_padding;
};

/// Windows from -padding_begin in steps of `stride`; those that reach past the padded input are cut there.
std::vector<PoolWindow> strided_windows(std::int64_t input, std::int64_t output, const AxisAttrs& axis) {
  std::vector<PoolWindow> windows;
  windows.reserve(static_cast<std::size_t>(output));
  for (std::int64_t o = 0; o < output; ++o) {
    const std::int64_t start = o * axis.stride - axis.padding_begin;
    const std::int64_t first = start < 0 ? (-start + axis.dilation - 1) / axis.dilation : 0;
    const std::int64_t end =
        std::min(axis.kernel, input > start ? (input - start + axis.dilation - 1) / axis.dilation : 0);
    require(end > first, "pooling window ", o, " of ", output, " lies outside the input of ", input,
            " (kernel ", axis.kernel, ", stride ", axis.stride, ", padding ", axis.padding_begin, ")");
    const std::int64_t padded = std::min(axis.kernel, input + axis.padding_end - start);
    windows.push_back({narrow(start + first * axis.dilation), narrow(end - first), narrow(first),
                       narrow(axis.count_padding ? padded : end - first)});
  }
  return windows;
}

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
    require(windows.input >= 1 && windows.input <= std::numeric_limits<std::int32_t>::max(),
            "expected spatial extents of at least 1, got ", input.shape_text());
  }
  return geometry;
}

std::int64_t attr_at(const Attrs& attrs, const std::string& name, std::size_t axis, std::size_t spatial_rank,
                     std::int64_t fallback, std::int64_t least) {
  if (!attrs.has(name)) return fallback;
  const auto& values = attrs.integers(name);
  require(values.size() == spatial_rank, name, ": expected ", spatial_rank, " numbers, got ", values.size());
  require(values[axis] >= least, name, ": expected at least ", least, ", got ", values[axis]);
  return values[axis];
}

}  // namespace

void PoolAxis::invert(std::vector<std::int32_t>& begin, std::vector<PoolSource>& sources) const {
  std::vector<std::vector<PoolSource>> covering(static_cast<std::size_t>(input));
  for (std::int64_t o = 0; o < output; ++o) {
    const PoolWindow& window = windows[static_cast<std::size_t>(o)];
    for (std::int32_t t = 0; t < window.taps; ++t) {
      covering[static_cast<std::size_t>(window.start + t * dilation)].push_back(
          {narrow(o), window.number + t, window.divisor});
    }
  }
  begin.assign(1, 0);
  sources.clear();
  for (const auto& list : covering) {
    sources.insert(sources.end(), list.begin(), list.end());
    begin.push_back(narrow(static_cast<std::int64_t>(sources.size())));
  }
}

PoolRow PoolGeometry::row(std::int64_t plane, std::int64_t line) const {
  const auto& [depth, height, width] = axes;
  const PoolWindow& planes = depth.windows[static_cast<std::size_t>(plane)];
  const PoolWindow& lines = height.windows[static_cast<std::size_t>(line)];
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
  row.columns = width.windows.data();
  row.width = width.output;
  row.channels = channels;
  row.input_pixel = input_pitch;
  row.pixel = channels;
  return row;
}

PoolGeometry pool_geometry(const TensorDesc& input, const TensorDesc& output, const Attrs& attrs) {
  PoolGeometry geometry = extents(input, output);
  const auto spatial_rank = static_cast<std::size_t>(input.rank - 2);
  const std::int64_t override_divisor = attrs.integer("divisor_override", 0);
  for (std::size_t i = 0; i < spatial_rank; ++i) {
    AxisAttrs axis{};
    axis.kernel = attr_at(attrs, "kernel", i, spatial_rank, 0, 1);
    require(axis.kernel >= 1, "missing attribute 'kernel'");
    axis.stride = attr_at(attrs, "stride", i, spatial_rank, axis.kernel, 1);
    axis.padding_begin = attr_at(attrs, "padding_begin", i, spatial_rank, 0, 0);
    axis.padding_end = attr_at(attrs, "padding_end", i, spatial_rank, 0, 0);
    axis.dilation = attr_at(attrs, "dilation", i, spatial_rank, 1, 1);
    axis.count_padding = attrs.integer("count_include_pad", 1) != 0;
    PoolAxis& windows = geometry.axes[i + 3 - spatial_rank];
    windows.kernel = axis.kernel;
    windows.dilation = axis.dilation;
    windows.windows = strided_windows(windows.input, windows.output, axis);
    if (override_divisor != 0) {
      for (auto& window : windows.windows) window.divisor = narrow(i == 0 ? override_divisor : 1);
    }
  }
  geometry.number_step = {geometry.axes[1].kernel * geometry.axes[2].kernel, geometry.axes[2].kernel, 1};
  geometry.largest_number = geometry.axes[0].kernel * geometry.number_step[0] - 1;
  return geometry;
}

PoolGeometry adaptive_pool_geometry(const TensorDesc& input, const TensorDesc& output) {
  PoolGeometry geometry = extents(input, output);
  for (PoolAxis& axis : geometry.axes) {
    axis.kernel = axis.input;
    axis.windows.clear();
    for (std::int64_t o = 0; o < axis.output; ++o) {
      const std::int64_t start = o * axis.input / axis.output;
      const std::int64_t end = ((o + 1) * axis.input + axis.output - 1) / axis.output;
      axis.windows.push_back({narrow(start), narrow(end - start), narrow(start), narrow(end - start)});
    }
  }
  geometry.number_step = {geometry.axes[1].input * geometry.axes[2].input, geometry.axes[2].input, 1};
  geometry.largest_number = geometry.input_pixels() - 1;
  return geometry;
}

void require_float(const TensorDesc& desc, const char* what) {
  require(desc.dtype == DType::f32, what, ": expected float32, got ", name_of(desc.dtype));
}

void require_pool_index(const TensorDesc& index, const TensorDesc& output, std::int64_t largest) {
  require(index.same_layout(output), "index: expected the shape and layout of the pooled tensor ",
          output.shape_text(), ", got ", index.shape_text());
  require(index.dtype == DType::u8 || index.dtype == DType::i32, "index: expected uint8 or int32, got ",
          name_of(index.dtype));
  require(index.dtype == DType::i32 || largest <= 255, "index: numbers up to ", largest, " need int32");
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
  constexpr double kTaskWork = 4096.0;
  constexpr std::int64_t kFewRows = 16;
  constexpr std::int64_t kBlockChannels = 64;
  rows_per_task_ = std::max<std::int64_t>(1, static_cast<std::int64_t>(kTaskWork / std::max(row_work, 1.0)));
  if (rows_ > 0 && rows_ < kFewRows && row_work > kTaskWork && channels >= 2 * kBlockChannels) {
    const std::int64_t blocks = std::min((kFewRows + rows_ - 1) / rows_, channels / kBlockChannels);
    channels_per_block_ = (channels / blocks + kBlockChannels - 1) / kBlockChannels * kBlockChannels;
    channel_blocks_ = (channels + channels_per_block_ - 1) / channels_per_block_;
  }
}

}  // namespace cnncore
