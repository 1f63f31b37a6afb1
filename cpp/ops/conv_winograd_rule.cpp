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
  if (form == WinogradForm::f4) return {16, 1};
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
  return form == WinogradForm::f2 ? costs.f2 : costs.f2x5;
}

double winograd_cost(const ConvProblem& p, ConvDirection direction, WinogradForm form) {
  const WinogradGeometry g(p, direction, form);
  const Machine::WinogradForm& costs = costs_of(form);
  const auto points = static_cast<double>(winograd_transforms(form).points);
  const auto filters = static_cast<double>(g.in_channels * g.out_channels);
  const double in_blocks = vectors(g.in_channels);
  const double out_blocks = vectors(g.out_channels);
  const bool weights = direction == ConvDirection::backward_weight;
  const auto depth = weights ? in_blocks * kWinogradBlock : static_cast<double>(g.in_channels);
  const double tiles = static_cast<double>(g.tiles) *
                       (points * depth * out_blocks + costs.gather * in_blocks + costs.scatter * out_blocks);
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
    const std::int64_t first = std::max<std::int64_t>(0, p.padding_begin[axis] - tap);
    const std::int64_t end = std::min(p.output[axis], p.input[axis] + p.padding_begin[axis] - tap);
    pairs += std::max<std::int64_t>(0, end - first);
  }
  return pairs;
}

double direct_cost(const ConvProblem& p, ConvDirection direction) {
  const WinogradGeometry g(p, direction, WinogradForm::f2);
  const auto weights = static_cast<double>(g.in_channels * g.out_channels * p.taps());
  // Half a vector costs half.
  const double columns = g.out_channels <= kWinogradBlock / 2 ? 0.5 : vectors(g.out_channels);
  const auto taps = static_cast<double>(p.batch * p.input[0] * inner_taps(p, 1) * inner_taps(p, 2));
  const double places =
      direction == ConvDirection::backward_weight ? machine().winograd.direct_weight * weights : 0.0;
  return static_cast<double>(g.groups) *
         (taps * static_cast<double>(g.in_channels) * columns + places + transfer(weights));
}

/// What the algorithm cannot do at all.
std::string unsupported(const ConvProblem& p, int taps) {
  if (p.kernel[1] != taps || p.kernel[2] != taps) {
    const std::string side = std::to_string(taps);
    return "the kernel is " + std::to_string(p.kernel[1]) + "x" + std::to_string(p.kernel[2]) + ", not " +
           side + "x" + side;
  }
  if (p.kernel[0] != 1 || p.padding_begin[0] != 0 || p.padding_end[0] != 0) return "the kernel has depth";
  for (std::size_t a = 0; a < 3; ++a) {
    if (p.stride[a] != 1) return "stride " + std::to_string(p.stride[a]) + " != 1";
    if (a > 0 && p.dilation[a] != 1) return "dilation " + std::to_string(p.dilation[a]) + " != 1";
    if (std::max(p.padding_begin[a], p.padding_end[a]) >= taps) {
      return "padding of more than " + std::to_string(taps - 1);
    }
  }
  if (p.pool && (p.pool->kernel != kSquare || p.pool->stride != kSquare || p.pool->dilation != kOnes ||
                 p.pool->padding_begin != kNone)) {
    return "its tiles are pooled in squares of 2x2 only";
  }
  if (p.groups > 1 && (p.group_in() < kLeastChannels || p.group_out() < kLeastChannels)) {
    return "groups of fewer than " + std::to_string(kLeastChannels) + " channels";
  }
  return {};
}

}  // namespace

WinogradGeometry::WinogradGeometry(const ConvProblem& p, ConvDirection direction, WinogradForm form)
    : in_channels(p.group_in()), out_channels(p.group_out()), groups(p.groups) {
  input.height = p.input[1];
  input.width = p.input[2];
  input.pitch = p.in_channels;
  input.top = -p.padding_begin[1];
  input.left = -p.padding_begin[2];
  output.height = p.output[1];
  output.width = p.output[2];
  output.pitch = p.out_channels;
  if (direction == ConvDirection::backward_data) {
    std::swap(input, output);
    std::swap(in_channels, out_channels);
    input.top = p.padding_begin[1] + 1 - p.kernel[1];
    input.left = p.padding_begin[2] + 1 - p.kernel[2];
    output.top = output.left = 0;
  }
  const std::int64_t tile = winograd_transforms(form).tile;
  output.tile_rows = ceil_div(output.height, tile);
  output.tile_columns = ceil_div(output.width, tile);
  input.tile_rows = output.tile_rows;
  input.tile_columns = output.tile_columns;
  tiles = p.batch * p.input[0] * output.tile_rows * output.tile_columns;
}

const char* winograd_name(WinogradForm form) {
  if (form == WinogradForm::f4) return "winograd_f4";
  return form == WinogradForm::f2 ? "winograd_f2" : "winograd_f2x5";
}

const WinogradTransforms& winograd_transforms(WinogradForm form) {
  const auto& kernel = kernels().winograd;
  if (form == WinogradForm::f4) return kernel.f4;
  return form == WinogradForm::f2 ? kernel.f2 : kernel.f2x5;
}

std::int64_t winograd_point_step(std::int64_t blocks, std::int64_t tiles) {
  return (blocks * (tiles + kWinogradSpareTiles) | 1) * kWinogradBlock;
}

std::string winograd_cannot(const ConvProblem& p, WinogradForm form) {
  return unsupported(p, winograd_transforms(form).taps);
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
