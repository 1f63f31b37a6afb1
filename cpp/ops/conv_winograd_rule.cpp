// SPDX-License-Identifier: Apache-2.0
// The geometry of Winograd convolution and the rule of when it is taken.
#include <algorithm>

#include "ops/conv_geometry.h"
#include "ops/conv_winograd.h"

namespace cnncore {
namespace {

constexpr std::int64_t kLeastChannels = 8;

// The rule of when Winograd pays: cycles of one core with 16 lanes and one FMA a cycle. The transforms'
// cycles are measured; they are what small channel counts cannot hide.
struct Costs {
  double gather;   // a tile and block of 16 channels, to the points
  double scatter;  // from the points
  double weight;   // a filter, to or from the points
};
constexpr Costs kF4 = {205.0, 125.0, 24.0};
constexpr Costs kF2 = {80.0, 45.0, 12.0};
constexpr double kDirectWeight = 24.0;  // direct gradients: a filter's sums to their places
constexpr double kStart = 3000.0;       // of a step with its stages and tasks
// Weights beyond a second cache come from the third, and larger ones from memory, once for a problem of few
// tiles.
constexpr double kNearBytes = 512.0 * 1024.0;
constexpr double kFarBytes = 8.0 * 1024.0 * 1024.0;
constexpr double kBytesPerCycle = 8.0;
constexpr double kFarBytesPerCycle = 4.0;

double transfer(double floats) {
  const double bytes = 4.0 * floats;
  return std::max(0.0, std::min(bytes, kFarBytes) - kNearBytes) / kBytesPerCycle +
         std::max(0.0, bytes - kFarBytes) / kFarBytesPerCycle;
}
double vectors(std::int64_t channels) { return static_cast<double>(ceil_div(channels, kWinogradBlock)); }

double winograd_cost(const ConvProblem& p, ConvDirection direction, int tile) {
  const WinogradGeometry g(p, direction, tile);
  const Costs& costs = tile == 4 ? kF4 : kF2;
  const auto points = static_cast<double>(winograd_transforms(tile).points);
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
  return kStart + static_cast<double>(g.groups) * (tiles + weight + passes * transfer(points * filters));
}

/// Pairs of an output coordinate and a tap that meet the input: direct convolution does no others.
std::int64_t inner_taps(const ConvProblem& p, std::size_t axis) {
  std::int64_t pairs = 0;
  for (std::int64_t tap = 0; tap < 3; ++tap) {
    const std::int64_t first = std::max<std::int64_t>(0, p.padding_begin[axis] - tap);
    const std::int64_t end = std::min(p.output[axis], p.input[axis] + p.padding_begin[axis] - tap);
    pairs += std::max<std::int64_t>(0, end - first);
  }
  return pairs;
}

double direct_cost(const ConvProblem& p, ConvDirection direction) {
  const WinogradGeometry g(p, direction, 2);
  const auto filters = static_cast<double>(g.in_channels * g.out_channels);
  // Half a vector costs half.
  const double columns = g.out_channels <= kWinogradBlock / 2 ? 0.5 : vectors(g.out_channels);
  const auto taps = static_cast<double>(p.batch * p.input[0] * inner_taps(p, 1) * inner_taps(p, 2));
  const double weight = direction == ConvDirection::backward_weight ? kDirectWeight * filters : 0.0;
  return static_cast<double>(g.groups) *
         (taps * static_cast<double>(g.in_channels) * columns + weight + transfer(9.0 * filters));
}

/// What the algorithm cannot do at all.
std::string unsupported(const ConvProblem& p) {
  for (std::size_t a = 1; a < 3; ++a) {
    if (p.kernel[a] != 3) {
      return "the kernel is " + std::to_string(p.kernel[1]) + "x" + std::to_string(p.kernel[2]) + ", not 3x3";
    }
  }
  if (p.kernel[0] != 1 || p.padding_begin[0] != 0 || p.padding_end[0] != 0) return "the kernel has depth";
  for (std::size_t a = 0; a < 3; ++a) {
    if (p.stride[a] != 1) return "stride " + std::to_string(p.stride[a]) + " != 1";
    if (a > 0 && p.dilation[a] != 1) return "dilation " + std::to_string(p.dilation[a]) + " != 1";
    if (p.padding_begin[a] > 2 || p.padding_end[a] > 2) return "padding of more than 2";
  }
  if (p.groups > 1 && (p.group_in() < kLeastChannels || p.group_out() < kLeastChannels)) {
    return "groups of fewer than " + std::to_string(kLeastChannels) + " channels";
  }
  return {};
}

}  // namespace

WinogradGeometry::WinogradGeometry(const ConvProblem& p, ConvDirection direction, int tile)
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
    input.top = p.padding_begin[1] - 2;
    input.left = p.padding_begin[2] - 2;
    output.top = output.left = 0;
  }
  output.tile_rows = ceil_div(output.height, tile);
  output.tile_columns = ceil_div(output.width, tile);
  input.tile_rows = output.tile_rows;
  input.tile_columns = output.tile_columns;
  tiles = p.batch * p.input[0] * output.tile_rows * output.tile_columns;
}

const WinogradTransforms& winograd_transforms(int tile) {
  return tile == 4 ? kernels().winograd.f4 : kernels().winograd.f2;
}

std::int64_t winograd_point_step(std::int64_t blocks, std::int64_t tiles) {
  return (blocks * (tiles + kWinogradSpareTiles) | 1) * kWinogradBlock;
}

std::string winograd_refuse(const ConvProblem& p, ConvDirection direction, int tile,
                            const std::string& accuracy) {
  std::string reason = unsupported(p);
  if (!reason.empty() || accuracy.empty()) return reason;
  const double cost = winograd_cost(p, direction, tile);
  if (cost >= direct_cost(p, direction)) return "too few channels or tiles to pay off";
  if (tile == 4 && cost > winograd_cost(p, direction, 2)) {
    return "its weights are too large for this few tiles: F(2x2) costs less";
  }
  return {};
}

}  // namespace cnncore
