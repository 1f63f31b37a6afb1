// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"

namespace cnncore {
namespace {

// Vector operations that reading a vector counts as. A single thread would be quick enough with a few hundred
// thousand floats, but it would draw them into its cache from that of the thread that wrote them and will
// write there again.
constexpr double kReadWork = 4.0;

std::int64_t bias_pieces(const ConvProblem& p) {
  return std::clamp<std::int64_t>(p.output_pixels() / 64, 1, 16);
}

}  // namespace

std::int64_t conv_bias_gradient_floats(const ConvProblem& p) { return bias_pieces(p) * p.out_channels; }

void conv_bias_gradient(const ConvProblem& p, const float* grad_output, float* workspace, float* grad_bias) {
  const std::int64_t channels = p.out_channels;
  const std::int64_t pixels = p.output_pixels();
  const std::int64_t pieces = bias_pieces(p);
  const auto bytes = static_cast<std::size_t>(channels) * sizeof(float);
  const auto column_sums = kernels().outer_tile.column_sums;
  const double work = kReadWork * static_cast<double>(pixels * ceil_div(channels, kernels().width));
  parallel_for(pieces, work, [&](std::int64_t piece, int) {
    float* sum = workspace + piece * channels;
    std::memset(sum, 0, bytes);
    const std::int64_t begin = pixels * piece / pieces;
    const std::int64_t end = pixels * (piece + 1) / pieces;
    column_sums(grad_output + begin * channels, end - begin, channels, channels, sum);
  });
  std::memset(grad_bias, 0, bytes);
  column_sums(workspace, pieces, channels, channels, grad_bias);
}

}  // namespace cnncore
