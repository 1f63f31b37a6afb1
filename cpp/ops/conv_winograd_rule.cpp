// SPDX-License-Identifier: Apache-2.0
// The geometry of Winograd convolution and the rule of when it is taken.
#include <algorithm>

#include "ops/conv_geometry.h"
#include "ops/conv_winograd.h"

namespace cnncore {
namespace {

constexpr std::int64_t kLeastChannels = 8;
// Of the forward direction: below, direct reads a kernel row as one tap, and products at the points are too
// short for their results, which are written and read.
constexpr std::int64_t kLeastInputs = 4;
constexpr Spatial kSquare{1, 2, 2}, kOnes{1, 1, 1}, kNone{0, 0, 0};

// A sum of few tiles has little error of its own beside that of the transforms, which would be more than 2.5
// times direct's; so it would where direct has registers for shorter chains, with few output channels.
struct GradientLimits {
  std::int64_t tiles, outputs;
};

constexpr GradientLimits limits_of(WinogradForm form) {
  if (form == WinogradForm::f4 || form == WinogradForm::f4x1) return {16, 1};
  return form == WinogradForm::f2 ? GradientLimits{1, 1} : GradientLimits{64, kWinogradBlock + 1};
}

// The rule of when Winograd pays: cycles as Machine::Winograd counts them. Those of the transforms are
// measured; they are what small channel counts cannot hide.
double transfer(double floats) {
  const Machine::Winograd& costs = machine().winograd;
  const double bytes = sizeof(float) * floats;
  return std::max(0.0, std::min(bytes, costs.far_bytes) - costs.near_bytes) / costs.bytes_per_cycle +
         std::max(0.0, bytes - costs.far_bytes) / costs.far_bytes_per_cycle;
}
double vectors(std::int64_t channels) { return static_cast<double>(ceil_div(channels, kWinogradBlock)); }

const Machine::WinogradForm& costs_of(WinogradForm form) {
  const Machine::Winograd& costs = machine().winograd;
  if (form == WinogradForm::f4) return costs.f4;
  if (form == WinogradForm::f4x1) return costs.f4x1;
  return form == WinogradForm::f2 ? costs.f2 : costs.f2x5;
}

double winograd_cost(const ConvProblem& p, ConvDirection direction, WinogradForm form) {
  const WinogradGeometry g(p, direction, form);
  const Machine::WinogradForm& costs = costs_of(form);
  const auto points = static_cast<double>(winograd_transforms(form).points);
  const auto slices = static_cast<double>(g.slices);
  const auto filters = slices * static_cast<double>(g.in_channels * g.out_channels);
  const double in_blocks = slices * vectors(g.in_channels);
  const double out_blocks = vectors(g.out_channels);
  const bool weights = direction == ConvDirection::backward_weight;
  const auto depth = weights ? in_blocks * kWinogradBlock : slices * static_cast<double>(g.in_channels);
  const double scatters = (weights ? slices : 1.0) * out_blocks;
  const double tiles = static_cast<double>(g.tiles) *
                       (points * depth * out_blocks + costs.gather * in_blocks + costs.scatter * scatters);
  // Training transforms weights in every step; only the forward direction also serves inference.
  const double weight = direction == ConvDirection::forward ? 0.0 : costs.weight * filters;
  const double passes = weights ? 2.0 : 1.0;  // sums are written and read
  return machine().winograd.start +
         static_cast<double>(g.groups) * (tiles + weight + passes * transfer(points * filters));
}

/// Pairs of an output coordinate and a tap that meet the input: direct convolution does no others.
std::int64_t inner_taps(const ConvProblem& p, std::size_t axis) {
  std::int64_t pairs = 0;
  for (std::int64_t tap = 0; tap < p.kernel[axis]; ++tap) {
    const std::int64_t shift = p.padding_begin[axis] - tap * p.dilation[axis];
    const std::int64_t first = std::max<std::int64_t>(0, shift);
    const std::int64_t end = std::min(p.output[axis], p.input[axis] + shift);
    pairs += std::max<std::int64_t>(0, end - first);
  }
  return pairs;
}

double direct_cost(const ConvProblem& p, ConvDirection direction) {
  const bool back = direction == ConvDirection::backward_data;
  const std::int64_t inputs = back ? p.group_out() : p.group_in();
  const std::int64_t outputs = back ? p.group_in() : p.group_out();
  const auto weights = static_cast<double>(inputs * outputs * p.taps());
  // Half a vector costs half.
  const double columns = outputs <= kWinogradBlock / 2 ? 0.5 : vectors(outputs);
  const auto taps = static_cast<double>(p.batch) *
                    static_cast<double>(inner_taps(p, 0) * inner_taps(p, 1) * inner_taps(p, 2));
  const double places =
      direction == ConvDirection::backward_weight ? machine().winograd.direct_weight * weights : 0.0;
  return static_cast<double>(p.groups) *
         (taps * static_cast<double>(inputs) * columns + places + transfer(weights));
}

/// The axis that a line lies along: the only one whose kernel has more than one tap; 3 when there is none.
std::size_t line_axis(const ConvProblem& p) {
  std::size_t axis = 3;
  for (std::size_t a = 0; a < 3; ++a) {
    if (p.kernel[a] == 1) continue;
    if (axis < 3) return 3;
    axis = a;
  }
  return axis;
}

std::string line_unsupported(const ConvProblem& p, int taps) {
  const std::size_t axis = line_axis(p);
  if (axis == 3 || p.kernel[axis] != taps) {
    return "the kernel does not have " + std::to_string(taps) +
           " taps along one axis and one along the others";
  }
  for (std::size_t a = 0; a < 3; ++a) {
    if (p.stride[a] != 1) return "stride " + std::to_string(p.stride[a]) + " != 1";
    const std::int64_t most = p.dilation[a] * (p.kernel[a] - 1);
    if (std::max(p.padding_begin[a], p.padding_end[a]) > most) {
      return "padding of more than " + std::to_string(most);
    }
  }
  if (p.pool) return "it does not pool along one axis";
  return {};
}

std::string square_unsupported(const ConvProblem& p, int taps) {
  if (p.kernel[1] != taps || p.kernel[2] != taps) {
    const std::string side = std::to_string(taps);
    return "the kernel is " + std::to_string(p.kernel[1]) + "x" + std::to_string(p.kernel[2]) + ", not " +
           side + "x" + side;
  }
  if (p.kernel[0] == 1 && (p.padding_begin[0] != 0 || p.padding_end[0] != 0)) return "padding of images";
  for (std::size_t a = 0; a < 3; ++a) {
    if (p.stride[a] != 1) return "stride " + std::to_string(p.stride[a]) + " != 1";
    if (a == 0) continue;
    if (p.dilation[a] != 1) return "dilation " + std::to_string(p.dilation[a]) + " != 1";
    if (std::max(p.padding_begin[a], p.padding_end[a]) >= taps) {
      return "padding of more than " + std::to_string(taps - 1);
    }
  }
  if (p.pool && (p.pool->kernel != kSquare || p.pool->stride != kSquare || p.pool->dilation != kOnes ||
                 p.pool->padding_begin != kNone)) {
    return "its tiles are pooled in squares of 2x2 only";
  }
  return {};
}

/// Images cut into squares; those under a kernel's depth are slices.
void lay_squares(const ConvProblem& p, bool back, std::int64_t tile, WinogradGeometry& g) {
  g.input.height = p.input[1];
  g.input.width = p.input[2];
  g.output.height = p.output[1];
  g.output.width = p.output[2];
  g.input.top = -p.padding_begin[1];
  g.input.left = -p.padding_begin[2];
  if (back) {
    std::swap(g.input.height, g.output.height);
    std::swap(g.input.width, g.output.width);
    g.input.top = p.padding_begin[1] + 1 - p.kernel[1];
    g.input.left = p.padding_begin[2] + 1 - p.kernel[2];
  }
  g.output.tile_rows = ceil_div(g.output.height, tile);
  g.output.tile_columns = ceil_div(g.output.width, tile);
  std::int64_t images = p.input[0];
  if (p.kernel[0] > 1) {
    g.slices = p.kernel[0];
    g.slice_step = back ? -p.dilation[0] : p.dilation[0];
    g.input.depth = back ? p.output[0] : p.input[0];
    g.input.tile_depth = images = back ? p.input[0] : p.output[0];
    g.input.front = back ? p.padding_begin[0] : -p.padding_begin[0];
  }
  g.tiles = p.batch * images * g.output.tile_rows * g.output.tile_columns;
}

/// Images cut into lines along the kernel's axis: those of axes after it lie side by side, and so do the
/// positions between two that a dilated kernel reads.
void lay_lines(const ConvProblem& p, bool back, std::int64_t tile, WinogradGeometry& g) {
  const std::size_t axis = line_axis(p);
  std::int64_t lines = p.batch, after = 1;
  for (std::size_t a = 0; a < axis; ++a) lines *= p.input[a];
  for (std::size_t a = axis + 1; a < 3; ++a) after *= p.input[a];
  const std::int64_t reach = p.dilation[axis] * (p.kernel[axis] - 1);
  const std::int64_t extent = back ? p.input[axis] : p.output[axis];
  g.input.step = g.output.step = after * p.dilation[axis];
  g.input.pixels = after * (back ? p.output[axis] : p.input[axis]);
  g.output.pixels = after * extent;
  g.input.left = after * (back ? p.padding_begin[axis] - reach : -p.padding_begin[axis]);
  g.output.tile_rows = std::min(g.output.step, g.output.pixels);
  g.output.tile_columns = ceil_div(ceil_div(extent, p.dilation[axis]), tile);
  g.tiles = lines * g.output.tile_rows * g.output.tile_columns;
}

}  // namespace

WinogradGeometry::WinogradGeometry(const ConvProblem& p, ConvDirection direction, WinogradForm form)
    : in_channels(p.group_in()), out_channels(p.group_out()), groups(p.groups) {
  input.pitch = p.in_channels;
  output.pitch = p.out_channels;
  const bool back = direction == ConvDirection::backward_data;
  if (back) {
    std::swap(input.pitch, output.pitch);
    std::swap(in_channels, out_channels);
  }
  (form == WinogradForm::f4x1 ? lay_lines : lay_squares)(p, back, winograd_transforms(form).tile, *this);
  input.tile_rows = output.tile_rows;
  input.tile_columns = output.tile_columns;
}

std::int64_t WinogradGeometry::slice_channels() const {
  return slices == 1 ? in_channels : round_up(in_channels, kWinogradBlock);
}

WinogradImages WinogradGeometry::slice_images(std::int64_t slice) const {
  WinogradImages images = input;
  images.front += slice * slice_step;
  return images;
}

const char* winograd_name(WinogradForm form) {
  if (form == WinogradForm::f4) return "winograd_f4";
  if (form == WinogradForm::f4x1) return "winograd_f4x1";
  return form == WinogradForm::f2 ? "winograd_f2" : "winograd_f2x5";
}

const WinogradTransforms& winograd_transforms(WinogradForm form) {
  const auto& kernel = kernels().winograd;
  if (form == WinogradForm::f4) return kernel.f4;
  if (form == WinogradForm::f4x1) return kernel.f4x1;
  return form == WinogradForm::f2 ? kernel.f2 : kernel.f2x5;
}

std::int64_t winograd_point_step(std::int64_t blocks, std::int64_t tiles) {
  return (blocks * (tiles + kWinogradSpareTiles) | 1) * kWinogradBlock;
}

std::string winograd_cannot(const ConvProblem& p, WinogradForm form) {
  if (p.groups > 1 && (p.group_in() < kLeastChannels || p.group_out() < kLeastChannels)) {
    return "groups of fewer than " + std::to_string(kLeastChannels) + " channels";
  }
  const int taps = winograd_transforms(form).taps;
  return form == WinogradForm::f4x1 ? line_unsupported(p, taps) : square_unsupported(p, taps);
}

std::string winograd_declines(const ConvProblem& p, ConvDirection direction, WinogradForm form) {
  const std::int64_t tiles = WinogradGeometry(p, direction, form).tiles;
  if (direction == ConvDirection::backward_weight) {
    const GradientLimits least = limits_of(form);
    if (tiles < least.tiles) return "the gradient of few tiles has too much rounding error";
    if (p.group_out() < least.outputs) {
      return "the gradient of few output channels has too much rounding error";
    }
  }
  const double cost = winograd_cost(p, direction, form);
  const bool few_inputs = direction == ConvDirection::forward && p.group_in() < kLeastInputs;
  if (few_inputs || cost >= direct_cost(p, direction)) return "too few channels or tiles to pay off";
  if (form == WinogradForm::f4 && cost > winograd_cost(p, direction, WinogradForm::f2)) {
    return "its weights are too large for this few tiles: F(2x2) costs less";
  }
  return {};
}

}  // namespace cnncore
