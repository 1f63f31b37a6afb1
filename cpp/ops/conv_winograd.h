// SPDX-License-Identifier: Apache-2.0
// What the directions of Winograd convolution share: the geometry of tiles and the rule of when it pays.
#pragma once

#include <cstdint>
#include <string>

#include "isa/kernel_table.h"
#include "ops/conv.h"

namespace cnncore {

/// F(4x4, 3x3), F(2x2, 3x3) and F(2x2, 5x5), and F(4, 3) along the one axis whose kernel has three taps.
enum class WinogradForm { f4, f2, f2x5, f4x1 };

const char* winograd_name(WinogradForm form);
const WinogradTransforms& winograd_transforms(WinogradForm form);

/// A convolution of stride 1 as tiles. Backward-data is one too: of grad_output, with rotated weights and
/// input and output channels exchanged. The images under a kernel's depth are slices: a tile of each, whose
/// channels are summed like those of one image.
struct WinogradGeometry {
  WinogradGeometry(const ConvProblem& problem, ConvDirection direction, WinogradForm form);

  /// Channels from slice to slice of a tile's values: blocks of 16 are whole where there are several.
  std::int64_t slice_channels() const;
  /// The sum's length.
  std::int64_t depth() const { return (slices - 1) * slice_channels() + in_channels; }
  /// The input's images under a slice.
  WinogradImages slice_images(std::int64_t slice) const;

  std::int64_t in_channels;  // of a group, as are out_channels
  std::int64_t out_channels;
  std::int64_t groups;
  std::int64_t tiles;
  std::int64_t slices = 1;
  std::int64_t slice_step = 0;  // images from slice to slice
  WinogradImages input;         // of the first slice
  WinogradImages output;
};

/// ConvAlgorithm::cannot and ConvAlgorithm::declines of a form.
std::string winograd_cannot(const ConvProblem& problem, WinogradForm form);
std::string winograd_declines(const ConvProblem& problem, ConvDirection direction, WinogradForm form);

/// Floats from point to point of `blocks` blocks of channels and `tiles` tiles: an odd number of cache lines,
/// so that the points of a tile do not share one set of the first cache.
std::int64_t winograd_point_step(std::int64_t blocks, std::int64_t tiles);

/// The same for matrices of weights.
inline constexpr std::int64_t winograd_matrix_step(std::int64_t floats) { return floats + kWinogradBlock; }

inline constexpr std::int64_t winograd_block_step(std::int64_t tiles) {
  return (tiles + kWinogradSpareTiles) * kWinogradBlock;
}

}  // namespace cnncore
