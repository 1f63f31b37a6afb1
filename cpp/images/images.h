// SPDX-License-Identifier: Apache-2.0
// Functions of batches of images, (count, channels, height, width) without gaps, for data sets and their
// augmentation. Elements are uint8 from 0 to 255 or float32 from 0 to 1. Every image has settings of its own,
// and its result depends on nothing else. The functions run on the caller's thread: a data loader has
// several.
#pragma once

#include <cstdint>

namespace cnncore {

/// The extents of a batch.
struct ImageShape {
  std::int64_t count;
  std::int64_t channels;
  std::int64_t height;
  std::int64_t width;

  std::int64_t pixels() const { return height * width; }
  std::int64_t elements() const { return count * channels * height * width; }
};

/// How an image is read between its pixels.
enum class Between { nearest, linear, cubic };

/// y[row, column] = x at the place that a homography gives: (row, column, 1 times a divisor) is the matrix
/// times (column, row, 1) with x first. Places outside of the image have the colour `fill` (channels).
///
/// matrices: count times 3 x 3, row by row. between: nearest or linear. Image i of y has extents `height` and
/// `width`.
template <class T>
void warp(const T* x, const ImageShape& shape, const double* matrices, Between between, const float* fill,
          T* y, std::int64_t height, std::int64_t width);

/// y[row, column] = x at (rows, columns)[row, column]; the rest as `warp`.
///
/// places: count times 2 planes of y's extents, the places' rows and columns.
template <class T>
void remap(const T* x, const ImageShape& shape, const float* places, Between between, const float* fill, T* y,
           std::int64_t height, std::int64_t width);

/// Resizes a box of each image to `height` x `width`. Where an axis shrinks and `antialias` is set, the
/// filter is as wide as the pixels that become one (as Pillow has it).
///
/// boxes: count times (top, left, height, width), in pixels, inside of the image.
template <class T>
void resample(const T* x, const ImageShape& shape, const double* boxes, Between between, bool antialias, T* y,
              std::int64_t height, std::int64_t width);

/// y = matrix * (red, green, blue, 1), cut to the range of colours. matrices: count times 3 x 4; the last
/// column counts in the elements' own unit.
template <class T>
void mix_colours(const T* x, const ImageShape& shape, const float* matrices, T* y);

/// Turns the hue of red, green, blue images by shifts[i] of a whole circle, -0.5 to 0.5 (HSV of Smith, 1978).
template <class T>
void shift_hue(const T* x, const ImageShape& shape, const float* shifts, T* y);

/// y = table[channel][x]. tables: count times channels times 256.
void look_up(const std::uint8_t* x, const ImageShape& shape, const std::uint8_t* tables, std::uint8_t* y);

/// y = table[channel][x]. tables: channels times 256, the same for all images.
void look_up_floats(const std::uint8_t* x, const ImageShape& shape, const float* tables, float* y);

/// counts: count times channels times 256, how often each value occurs.
void count_values(const std::uint8_t* x, const ImageShape& shape, std::int64_t* counts);

/// Filters rows and columns with one kernel of odd `size` an image; beyond a border the image is mirrored
/// without its outermost pixel.
template <class T>
void filter(const T* x, const ImageShape& shape, const float* kernels, std::int64_t size, T* y);

/// y = factor * x + (1 - factor) * smooth x, cut to the range of colours; smooth is the 3 x 3 mean in which
/// the middle counts five times. Pixels at the border stay.
template <class T>
void sharpen(const T* x, const ImageShape& shape, const float* factors, T* y);

}  // namespace cnncore
