// SPDX-License-Identifier: Apache-2.0
// The pixels around a place: rows of an image and columns in them, with their weights and the derivatives of
// these by the place.
#pragma once

#include "isa/kernels/lanes.h"
#include "isa/sample.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {

inline constexpr int kMostTaps = 4;

/// Coordinates inside an axis that count for a place.
struct AxisTaps {
  int count;
  int64_t index[kMostTaps];
  float weight[kMostTaps];
  float slope[kMostTaps];
};

/// What counts for a place, by rows (of all depths) and columns. `each` calls take(offset, weight) for every
/// pixel, `each_slope` calls take(offset, weight, its derivatives by the place in width, height and depth);
/// offsets are in floats.
struct Taps {
  int rows;
  int columns;
  int64_t row_offset[kMostTaps];
  float row_weight[kMostTaps];
  float row_slope[2][kMostTaps];  // by height and depth
  int64_t column_offset[kMostTaps];
  float column_weight[kMostTaps];
  float column_slope[kMostTaps];

  template <class Take>
  CNNCORE_MEMBER void each(const Take& take) const {
    for (int r = 0; r < rows; ++r) {
      for (int k = 0; k < columns; ++k) {
        take(row_offset[r] + column_offset[k], row_weight[r] * column_weight[k]);
      }
    }
  }
  template <class Take>
  CNNCORE_MEMBER void each_slope(const Take& take) const {
    for (int r = 0; r < rows; ++r) {
      for (int k = 0; k < columns; ++k) {
        take(row_offset[r] + column_offset[k], row_weight[r] * column_weight[k],
             row_weight[r] * column_slope[k], row_slope[0][r] * column_weight[k],
             row_slope[1][r] * column_weight[k]);
      }
    }
  }
};

struct WindowTaps {
  const WindowSum& window;

  template <class Take>
  CNNCORE_MEMBER void each(const Take& take) const {
    for (int64_t r = 0; r < window.rows; ++r) {
      for (int64_t k = 0; k < window.columns; ++k) {
        take(window.row_offset[r] + window.column_offset[k], window.row_weight[r] * window.column_weight[k]);
      }
    }
  }
};

struct NoTaps {
  template <class Take>
  CNNCORE_MEMBER void each(const Take&) const {}
  template <class Take>
  CNNCORE_MEMBER void each_slope(const Take&) const {}
};

struct NearestTap {
  int64_t at;
  float weight;

  template <class Take>
  CNNCORE_MEMBER void each(const Take& take) const {
    take(at, weight);
  }
  template <class Take>
  CNNCORE_MEMBER void each_slope(const Take& take) const {
    take(at, weight, 0.0f, 0.0f, 0.0f);
  }
};

/// Two pixels of a row, `t` of the way from one to the other.
struct PairTaps {
  int64_t at;
  int64_t pitch;
  float t;
  float weight;  // of the row, and its derivatives
  float by_height;
  float by_depth;

  template <class Take>
  CNNCORE_MEMBER void each(const Take& take) const {
    const float right = weight * t;
    take(at, weight - right);
    take(at + pitch, right);
  }
  template <class Take>
  CNNCORE_MEMBER void each_slope(const Take& take) const {
    take(at, weight * (1.0f - t), -weight, by_height * (1.0f - t), by_depth * (1.0f - t));
    take(at + pitch, weight * t, weight, by_height * t, by_depth * t);
  }
};

/// The four pixels around a place, all of them inside.
struct PlaneTaps {
  int64_t at;
  int64_t row;  // floats from row to row
  int64_t pitch;
  float x, y;  // 0 to 1
  float weight = 1.0f;
  float by_depth = 0.0f;

  CNNCORE_MEMBER PairTaps upper() const {
    return {at, pitch, x, weight * (1.0f - y), -weight, by_depth * (1.0f - y)};
  }
  CNNCORE_MEMBER PairTaps lower() const { return {at + row, pitch, x, weight * y, weight, by_depth * y}; }
  template <class Take>
  CNNCORE_MEMBER void each(const Take& take) const {
    upper().each(take);
    lower().each(take);
  }
  template <class Take>
  CNNCORE_MEMBER void each_slope(const Take& take) const {
    upper().each_slope(take);
    lower().each_slope(take);
  }
};

/// The eight.
struct VolumeTaps {
  int64_t plane;  // floats from plane to plane
  float z;
  PlaneTaps front;

  CNNCORE_MEMBER PlaneTaps of(int64_t at, float share, float by_depth) const {
    return {at, front.row, front.pitch, front.x, front.y, front.weight * share, front.weight * by_depth};
  }
  template <class Take>
  CNNCORE_MEMBER void each(const Take& take) const {
    of(front.at, 1.0f - z, -1.0f).each(take);
    of(front.at + plane, z, 1.0f).each(take);
  }
  template <class Take>
  CNNCORE_MEMBER void each_slope(const Take& take) const {
    of(front.at, 1.0f - z, -1.0f).each_slope(take);
    of(front.at + plane, z, 1.0f).each_slope(take);
  }
};

CNNCORE_INLINE void keep_inside(AxisTaps& taps, int64_t i, int64_t extent, float weight, float slope) {
  if (i < 0 || i >= extent) return;
  taps.index[taps.count] = i;
  taps.weight[taps.count] = weight;
  taps.slope[taps.count++] = slope;
}

/// The coordinate inside that stands for one outside, -1 for none.
CNNCORE_INLINE int64_t padded(int64_t i, int64_t extent, const SampleRule& rule) {
  if (i >= 0 && i < extent) return i;
  if (rule.padding == SamplePadding::zeros) return -1;
  if (rule.padding == SamplePadding::border) return i < 0 ? 0 : extent - 1;
  if (extent == 1) return 0;
  const int64_t period = rule.align_corners ? 2 * extent - 2 : 2 * extent;
  if (i < 0) i = rule.align_corners ? -i : -1 - i;
  i %= period;
  return i < extent ? i : rule.align_corners ? period - i : period - 1 - i;
}

CNNCORE_INLINE float cubic_near(float x) { return (1.25f * x - 2.25f) * x * x + 1.0f; }
CNNCORE_INLINE float cubic_far(float x) { return ((-0.75f * x + 3.75f) * x - 6.0f) * x + 3.0f; }
CNNCORE_INLINE float cubic_near_slope(float x) { return (3.75f * x - 4.5f) * x; }
CNNCORE_INLINE float cubic_far_slope(float x) { return (-2.25f * x + 7.5f) * x - 6.0f; }

static inline AxisTaps axis_taps(float place, int64_t extent, const SampleRule& rule) {
  AxisTaps taps;
  taps.count = 0;
  if (rule.mode == SampleMode::nearest) {
    keep_inside(taps, static_cast<int64_t>(__builtin_rintf(place)), extent, 1.0f, 0.0f);
    return taps;
  }
  const float below = __builtin_floorf(place), t = place - below;
  const auto first = static_cast<int64_t>(below);
  if (rule.mode == SampleMode::linear) {
    keep_inside(taps, first, extent, 1.0f - t, -1.0f);
    keep_inside(taps, first + 1, extent, t, 1.0f);
    return taps;
  }
  const float weight[4] = {cubic_far(1.0f + t), cubic_near(t), cubic_near(1.0f - t), cubic_far(2.0f - t)};
  const float slope[4] = {cubic_far_slope(1.0f + t), cubic_near_slope(t), -cubic_near_slope(1.0f - t),
                          -cubic_far_slope(2.0f - t)};
  for (int i = 0; i < 4; ++i)
    keep_inside(taps, padded(first - 1 + i, extent, rule), extent, weight[i], slope[i]);
  return taps;
}

/// Of rows from `begin` to `end` - 1, all weights times `factor`.
static inline Taps taps_at(const SampleRun& run, int64_t pixel, int64_t begin, int64_t end, float factor) {
  const AxisTaps y = axis_taps(run.place[1][pixel], run.extent[1], run.rule);
  const AxisTaps x = axis_taps(run.place[2][pixel], run.extent[2], run.rule);
  AxisTaps z;
  z.count = 1;
  z.index[0] = 0;
  z.weight[0] = 1.0f;
  z.slope[0] = 0.0f;
  if (run.place[0] != nullptr) z = axis_taps(run.place[0][pixel], run.extent[0], run.rule);
  for (int i = 0; i < z.count; ++i) {
    z.weight[i] *= factor;
    z.slope[i] *= factor;
  }
  Taps taps;
  taps.rows = 0;
  for (int i = 0; i < z.count; ++i) {
    for (int j = 0; j < y.count; ++j) {
      const int64_t row = z.index[i] * run.extent[1] + y.index[j];
      if (row < begin || row >= end) continue;
      taps.row_offset[taps.rows] = row * run.extent[2] * run.pitch;
      taps.row_weight[taps.rows] = z.weight[i] * y.weight[j];
      taps.row_slope[0][taps.rows] = z.weight[i] * y.slope[j];
      taps.row_slope[1][taps.rows++] = z.slope[i] * y.weight[j];
    }
  }
  taps.columns = x.count;
  for (int i = 0; i < x.count; ++i) {
    taps.column_offset[i] = x.index[i] * run.pitch;
    taps.column_weight[i] = x.weight[i];
    taps.column_slope[i] = x.slope[i];
  }
  return taps;
}

/// A place between two coordinates of an axis.
struct Between {
  int64_t first;
  float t;
  bool inside;  // both are

  Between(float place, int64_t extent) {
    const float below = __builtin_floorf(place);
    first = static_cast<int64_t>(below);
    t = place - below;
    inside = first >= 0 && first + 2 <= extent;
  }
};

CNNCORE_INLINE float factor_of(const SampleRun& run, int64_t pixel) {
  return run.factor == nullptr ? 1.0f : run.factor[pixel];
}

template <class Body>
CNNCORE_INLINE void for_nearest(const SampleRun& run, int64_t begin, int64_t end, const Body& body) {
  for (int64_t pixel = 0; pixel < run.pixels; ++pixel) {
    const auto y = static_cast<int64_t>(__builtin_rintf(run.place[1][pixel]));
    const auto x = static_cast<int64_t>(__builtin_rintf(run.place[2][pixel]));
    int64_t z = 0;
    if (run.place[0] != nullptr) z = static_cast<int64_t>(__builtin_rintf(run.place[0][pixel]));
    const int64_t row = z * run.extent[1] + y;
    const bool inside =
        x >= 0 && x < run.extent[2] && y >= 0 && y < run.extent[1] && row >= begin && row < end;
    if (inside) {
      body(pixel, NearestTap{(row * run.extent[2] + x) * run.pitch, factor_of(run, pixel)});
    } else {
      body(pixel, NoTaps{});
    }
  }
}

template <class Body>
CNNCORE_INLINE void for_planes(const SampleRun& run, int64_t begin, int64_t end, const Body& body) {
  const int64_t row = run.extent[2] * run.pitch;
  for (int64_t pixel = 0; pixel < run.pixels; ++pixel) {
    const Between y(run.place[1][pixel], end), x(run.place[2][pixel], run.extent[2]);
    const float factor = factor_of(run, pixel);
    if (y.inside && x.inside && y.first >= begin) {
      body(pixel, PlaneTaps{y.first * row + x.first * run.pitch, row, run.pitch, x.t, y.t, factor});
    } else {
      body(pixel, taps_at(run, pixel, begin, end, factor));
    }
  }
}

template <class Body>
CNNCORE_INLINE void for_volumes(const SampleRun& run, int64_t begin, int64_t end, const Body& body) {
  const int64_t row = run.extent[2] * run.pitch, plane = run.extent[1] * row;
  for (int64_t pixel = 0; pixel < run.pixels; ++pixel) {
    const Between z(run.place[0][pixel], run.extent[0]), y(run.place[1][pixel], run.extent[1]),
        x(run.place[2][pixel], run.extent[2]);
    const int64_t first = z.first * run.extent[1] + y.first;
    const float factor = factor_of(run, pixel);
    if (z.inside && y.inside && x.inside && first >= begin && first + run.extent[1] + 1 < end) {
      body(pixel,
           VolumeTaps{plane, z.t, {first * row + x.first * run.pitch, row, run.pitch, x.t, y.t, factor}});
    } else {
      body(pixel, taps_at(run, pixel, begin, end, factor));
    }
  }
}

/// Calls body(pixel, taps) for each pixel, with what lies in rows `begin` to `end` - 1.
template <class Body>
CNNCORE_INLINE void for_taps(const SampleRun& run, int64_t begin, int64_t end, const Body& body) {
  if (run.rule.mode == SampleMode::nearest) return for_nearest(run, begin, end, body);
  if (run.rule.mode == SampleMode::linear && run.place[0] == nullptr)
    return for_planes(run, begin, end, body);
  if (run.rule.mode == SampleMode::linear) return for_volumes(run, begin, end, body);
  for (int64_t pixel = 0; pixel < run.pixels; ++pixel) {
    body(pixel, taps_at(run, pixel, begin, end, factor_of(run, pixel)));
  }
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
