// SPDX-License-Identifier: Apache-2.0
// Pixels of a chunk sorted by the taps that hit the input. Padding then costs neither copies nor products
// with zeros: pixels near an edge simply have fewer taps.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "ops/conv_geometry.h"

namespace cnncore {

/// Taps [begin, end) of one axis, and of each.
using TapRange = std::array<std::int64_t, 2>;
using TapBox = std::array<TapRange, 3>;

/// How a loop reads its input in place: strides in floats, and which axis's taps are one contiguous run.
struct TapGeometry {
  TapGeometry(const ConvLoop& loop, std::int64_t pitch);

  std::array<std::int64_t, 3> stride;  // of input pixels along each axis
  std::int64_t image_stride;
  std::int64_t channels;
  int merged = -1;  // axis whose taps continue the channels of a pixel; -1 when there is none
};

/// Pixels [begin, begin + count) of a table, which all have the same taps.
struct PixelClass {
  std::int64_t begin = 0;
  std::int64_t count = 0;
  std::int64_t tap_begin = 0;  // in PixelTable::tap_*
  std::int64_t taps = 0;
  std::int64_t channel = 0;  // where the run of a tap starts
  std::int64_t depth = 0;    // and its length
};

/// Offsets, relative to the chunk's first pixel, of a chunk's pixels and taps.
struct PixelTable {
  std::vector<std::int64_t> input_offset;
  std::vector<std::int64_t> output_offset;
  std::vector<std::int64_t> tap_offset;  // floats from a pixel to its tap
  std::vector<std::int64_t> tap_number;  // among the loop's taps, merged ones counted as one
  std::vector<std::int64_t> tap_row;     // row of the packed panel where the tap starts
  std::vector<PixelClass> classes;

  std::size_t bytes() const;
};

PixelTable make_pixel_table(const ConvLoop& loop, const TapGeometry& geometry, const ConvChunk& chunk,
                            std::int64_t output_pitch);

/// Taps that hit the input from `count` pixels of an axis: chunks that agree in it along all axes, and in
/// their number of images, share a table.
std::vector<std::int64_t> axis_key(const ConvAxis& axis, std::int64_t start, std::int64_t count);

}  // namespace cnncore
