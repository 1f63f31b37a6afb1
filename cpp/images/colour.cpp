// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "images/colour_range.h"
#include "images/images.h"

namespace cnncore {
namespace {

struct Colour {
  float red;
  float green;
  float blue;
};

/// Writes what make_of(image)(colour) returns for every pixel. The function of an image has its settings as
/// values: behind a pointer they would be read anew after each uint8 that is written, which may alias them.
template <class T, class MakeOf>
void for_each_colour(const T* x, const ImageShape& shape, T* y, const MakeOf& make_of) {
  const std::int64_t pixels = shape.pixels();
  for (std::int64_t i = 0; i < shape.count; ++i) {
    const T* from = x + i * 3 * pixels;
    T* to = y + i * 3 * pixels;
    const auto make = make_of(i);
    for (std::int64_t j = 0; j < pixels; ++j) {
      const Colour colour = make(Colour{static_cast<float>(from[j]), static_cast<float>(from[pixels + j]),
                                        static_cast<float>(from[2 * pixels + j])});
      to[j] = to_colour<T>(colour.red);
      to[pixels + j] = to_colour<T>(colour.green);
      to[2 * pixels + j] = to_colour<T>(colour.blue);
    }
  }
}

/// The hue's place on a circle of six parts.
float hue_of(const Colour& colour, float most, float range) {
  if (range <= 0.0f) return 0.0f;
  if (most == colour.red) return (colour.green - colour.blue) / range;
  if (most == colour.green) return 2.0f + (colour.blue - colour.red) / range;
  return 4.0f + (colour.red - colour.green) / range;
}

/// A place on the circle of six parts, given one at most once around.
float around(float place) { return place < 0.0f ? place + 6.0f : place >= 6.0f ? place - 6.0f : place; }

/// How far one channel of a hue is below the value, in units of the range; `place` is 5, 3 or 1 for red,
/// green and blue.
float below(float hue, float place) {
  const float k = around(place + hue);
  return std::clamp(std::min(k, 4.0f - k), 0.0f, 1.0f);
}

}  // namespace

template <class T>
void mix_colours(const T* x, const ImageShape& shape, const float* matrices, T* y) {
  for_each_colour(x, shape, y, [matrices](std::int64_t i) {
    std::array<float, 12> m;
    std::copy_n(matrices + 12 * i, 12, m.begin());
    return [m](const Colour& c) {
      return Colour{m[0] * c.red + m[1] * c.green + m[2] * c.blue + m[3],
                    m[4] * c.red + m[5] * c.green + m[6] * c.blue + m[7],
                    m[8] * c.red + m[9] * c.green + m[10] * c.blue + m[11]};
    };
  });
}

template <class T>
void shift_hue(const T* x, const ImageShape& shape, const float* shifts, T* y) {
  for_each_colour(x, shape, y, [shifts](std::int64_t i) {
    return [shift = 6.0f * shifts[i]](const Colour& c) {
      const float most = std::max({c.red, c.green, c.blue});
      const float range = most - std::min({c.red, c.green, c.blue});
      const float hue = around(hue_of(c, most, range) + shift);
      return Colour{most - range * below(hue, 5.0f), most - range * below(hue, 3.0f),
                    most - range * below(hue, 1.0f)};
    };
  });
}

void look_up(const std::uint8_t* x, const ImageShape& shape, const std::uint8_t* tables, std::uint8_t* y) {
  for (std::int64_t plane = 0; plane < shape.count * shape.channels; ++plane) {
    const std::int64_t start = plane * shape.pixels();
    for (std::int64_t j = start; j < start + shape.pixels(); ++j) y[j] = tables[plane * 256 + x[j]];
  }
}

void look_up_floats(const std::uint8_t* x, const ImageShape& shape, const float* tables, float* y) {
  for (std::int64_t plane = 0; plane < shape.count * shape.channels; ++plane) {
    const float* table = tables + plane % shape.channels * 256;
    const std::int64_t start = plane * shape.pixels();
    for (std::int64_t j = start; j < start + shape.pixels(); ++j) y[j] = table[x[j]];
  }
}

void count_values(const std::uint8_t* x, const ImageShape& shape, std::int64_t* counts) {
  std::fill_n(counts, shape.count * shape.channels * 256, 0);
  for (std::int64_t plane = 0; plane < shape.count * shape.channels; ++plane) {
    const std::int64_t start = plane * shape.pixels();
    for (std::int64_t j = start; j < start + shape.pixels(); ++j) ++counts[plane * 256 + x[j]];
  }
}

template void mix_colours(const std::uint8_t*, const ImageShape&, const float*, std::uint8_t*);
template void mix_colours(const float*, const ImageShape&, const float*, float*);
template void shift_hue(const std::uint8_t*, const ImageShape&, const float*, std::uint8_t*);
template void shift_hue(const float*, const ImageShape&, const float*, float*);

}  // namespace cnncore
