// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <tuple>

#include "core/attrs.h"
#include "core/sizes.h"

namespace cnncore {

using Spatial = std::array<std::int64_t, 3>;  // depth, height, width

/// Position of the first of `rank` spatial axes inside a Spatial: the last one is the width.
constexpr int first_axis(int rank) { return 3 - rank; }

/// What a convolution or a pooling passes over the image.
struct Window {
  Spatial kernel{1, 1, 1};
  Spatial stride{1, 1, 1};
  Spatial padding_begin{0, 0, 0};
  Spatial padding_end{0, 0, 0};
  Spatial dilation{1, 1, 1};

  auto window_fields() const { return std::tie(kernel, stride, padding_begin, padding_end, dilation); }
  static constexpr std::array<const char*, 5> kFieldNames = {"kernel", "stride", "padding_begin",
                                                             "padding_end", "dilation"};
  std::int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  /// Pixels of the input under one window.
  std::int64_t reach(std::size_t axis) const { return kernel_reach(kernel[axis], dilation[axis]); }
  /// Pixels of the input with its padding.
  std::int64_t padded(const Spatial& input, std::size_t axis) const {
    return checked_sum(input[axis], checked_sum(padding_begin[axis], padding_end[axis]));
  }
  /// Windows along each axis of an input that holds one.
  Spatial extents(const Spatial& input) const;
};

/// The numbers of a setting for each of `rank` axes, from `least` to `largest`, absent axes 1 or, where
/// `least` is 0, 0. Without the setting `missing` has them all.
Spatial spatial_setting(const Attrs& attrs, const std::string& name, std::size_t rank, std::int64_t least,
                        const Spatial& missing, std::int64_t largest = kLargestSetting);

}  // namespace cnncore
