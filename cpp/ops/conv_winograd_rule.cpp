// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_geometry.h"
#include "ops/conv_winograd.h"

namespace cnncore {
namespace {

constexpr std::int64_t kLeastChannels = 8;

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
  if (accuracy == "exact") return "accuracy is 'exact'";
  const WinogradGeometry g(p, direction, tile);
  if (g.in_channels < kLeastChannels || g.out_channels < kLeastChannels) {
    return "fewer than " + std::to_string(kLeastChannels) + " channels";
  }
  return {};
}

}  // namespace cnncore
