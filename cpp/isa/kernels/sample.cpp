// SPDX-License-Identifier: Apache-2.0
#include "isa/sample.h"

#include "isa/kernels/channel_runs.h"
#include "isa/kernels/lane_sums.h"
#include "isa/kernels/sample_taps.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

// -- places --------------------------------------------------------------------------------------------

struct Placement {
  float factor;  // place = (grid + 1) * factor + shift
  float shift;
  float low;  // of what may be read
  float high;
  float origin;  // where the first mirror stands
  float span;    // to the next one
};

Placement placement(const PlaceRun& run) {
  const auto extent = static_cast<float>(run.extent);
  Placement p{};
  p.factor = run.rule.align_corners ? 0.5f * (extent - 1.0f) : 0.5f * extent;
  p.shift = run.rule.align_corners ? 0.0f : -0.5f;
  // Beyond these no tap is inside, and indices stay small.
  p.low = -3.0f;
  p.high = extent + 2.0f;
  p.origin = p.shift;
  p.span = run.rule.align_corners ? extent - 1.0f : extent;
  return p;
}

/// max(a, low) then min(.., high); NaN gives low.
CNNCORE_INLINE float within(float a, float low, float high) {
  const float raised = a > low ? a : low;
  return raised < high ? raised : high;
}

/// Places that are clamped: where nothing is read, or to the border.
void clamped_places(const PlaceRun& run, const Placement& p, float low, float high, float* place,
                    float* slope) {
  for (int64_t i = 0; i < run.count; ++i) {
    const float raw = (run.grid[i * run.step] + 1.0f) * p.factor + p.shift;
    place[i] = within(raw, low, high);
  }
  if (slope == nullptr) return;
  for (int64_t i = 0; i < run.count; ++i) {
    const float raw = (run.grid[i * run.step] + 1.0f) * p.factor + p.shift;
    const float inside = raw > low ? p.factor : 0.0f;
    slope[i] = raw < high ? inside : 0.0f;
  }
}

/// Places between two mirrors, then inside.
void mirrored_places(const PlaceRun& run, const Placement& p, float* place, float* slope) {
  const float last = static_cast<float>(run.extent) - 1.0f;
  const float inverse = 1.0f / p.span;  // infinite for one pixel with align_corners, which NaN brings to 0
  for (int64_t i = 0; i < run.count; ++i) {
    const float raw = (run.grid[i * run.step] + 1.0f) * p.factor + p.shift - p.origin;
    const float distance = __builtin_fabsf(raw);
    const float turns = __builtin_floorf(distance * inverse);
    const float rest = distance - turns * p.span;
    const bool back = turns - 2.0f * __builtin_floorf(0.5f * turns) > 0.5f;
    const float mirrored = (back ? p.span - rest : rest) + p.origin;
    place[i] = within(mirrored, 0.0f, last);
    if (slope == nullptr) continue;
    const float sign = (raw < 0.0f) != back ? -p.factor : p.factor;
    slope[i] = mirrored > 0.0f && mirrored < last ? sign : 0.0f;
  }
}

/// Places within one period of mirror images: each tap is mirrored by itself.
void periodic_places(const PlaceRun& run, const Placement& p, float* place, float* slope) {
  const double period = 2.0 * static_cast<double>(p.span);
  for (int64_t i = 0; i < run.count; ++i) {
    const float raw = (run.grid[i * run.step] + 1.0f) * p.factor + p.shift;
    float wrapped = raw;
    if (!(raw > p.low && raw < p.high)) {
      const auto wide = static_cast<double>(raw);
      const double rest = period > 0.0 ? wide - period * __builtin_floor(wide / period) : 0.0;
      wrapped = within(static_cast<float>(rest), 0.0f, static_cast<float>(period));
    }
    place[i] = wrapped;
    if (slope != nullptr) slope[i] = wrapped - wrapped == 0.0f && raw - raw == 0.0f ? p.factor : 0.0f;
  }
}

void places(const PlaceRun& run, float* place, float* slope) {
  const Placement p = placement(run);
  if (run.rule.padding == SamplePadding::reflection) {
    if (run.rule.mode == SampleMode::cubic) return periodic_places(run, p, place, slope);
    return mirrored_places(run, p, place, slope);
  }
  // A border is a matter of each tap where there are four.
  const bool border = run.rule.padding == SamplePadding::border && run.rule.mode != SampleMode::cubic;
  const float low = border ? 0.0f : p.low;
  const float high = border ? static_cast<float>(run.extent) - 1.0f : p.high;
  clamped_places(run, p, low, high, place, slope);
}

// -- sums of pixels ------------------------------------------------------------------------------------

// Loads of a partial vector wait for stores that they overlap, and cost as much as several floats.
constexpr int64_t kFewChannels = 4;

/// out = the weighted sum of the pixels of `taps`.
template <class T>
struct SumTaps {
  const T& taps;
  const float* image;
  float* out;

  template <int kVectors, bool kFull>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes, int64_t, int64_t) const {
    constexpr int kLast = kVectors - 1;
    Vec sum[kVectors];
    for (int j = 0; j < kVectors; ++j) sum[j] = zero();
    taps.each([&](int64_t offset, float weight) {
      const float* pixel = image + offset + c;
      const Vec factor = set1(weight);
      for (int j = 0; j < kLast; ++j) sum[j] = fmadd(factor, load(pixel + j * kWidth), sum[j]);
      sum[kLast] = fmadd(factor, load_some<kFull>(pixel + kLast * kWidth, lanes), sum[kLast]);
    });
    for (int j = 0; j < kLast; ++j) store(out + c + j * kWidth, sum[j]);
    store_some<kFull>(out + c + kLast * kWidth, sum[kLast], lanes);
  }
};

template <class T>
CNNCORE_INLINE void sum_taps(const T& taps, const float* image, int64_t channels, float* out) {
  if (channels > kFewChannels) return for_channels(SumTaps<T>{taps, image, out}, channels, 0, 1);
  for (int64_t c = 0; c < channels; ++c) {
    float sum = 0.0f;
    taps.each([&](int64_t offset, float weight) { sum += weight * image[offset + c]; });
    out[c] = sum;
  }
}

/// The pixels of `taps` += weight * grad.
template <class T>
struct AddTaps {
  const T& taps;
  const float* grad;
  float* image;

  template <int kVectors, bool kFull>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes, int64_t, int64_t) const {
    constexpr int kLast = kVectors - 1;
    Vec value[kVectors];
    for (int j = 0; j < kLast; ++j) value[j] = load(grad + c + j * kWidth);
    value[kLast] = load_some<kFull>(grad + c + kLast * kWidth, lanes);
    taps.each([&](int64_t offset, float weight) {
      float* pixel = image + offset + c;
      const Vec factor = set1(weight);
      for (int j = 0; j < kLast; ++j) {
        store(pixel + j * kWidth, fmadd(factor, value[j], load(pixel + j * kWidth)));
      }
      float* last = pixel + kLast * kWidth;
      store_some<kFull>(last, fmadd(factor, value[kLast], load_some<kFull>(last, lanes)), lanes);
    });
  }
};

template <class T>
CNNCORE_INLINE void add_taps(const T& taps, const float* grad, int64_t channels, float* image) {
  if (channels > kFewChannels) return for_channels(AddTaps<T>{taps, grad, image}, channels, 0, 1);
  taps.each([&](int64_t offset, float weight) {
    for (int64_t c = 0; c < channels; ++c) image[offset + c] += weight * grad[c];
  });
}

/// Adds to `sums`, by width, height, depth and value, the products with grad of what the taps give.
template <bool kDepth, class T>
struct TapSlopes {
  const T& taps;
  const float* image;
  const float* grad;
  Vec* sums;

  template <int kVectors, bool kFull>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes, int64_t, int64_t) const {
    for (int j = 0; j + 1 < kVectors; ++j) vector<true>(c + j * kWidth, lanes);
    vector<kFull>(c + (kVectors - 1) * kWidth, lanes);
  }

  template <bool kFull>
  CNNCORE_MEMBER void vector(int64_t c, int64_t lanes) const {
    Vec width = zero(), height = zero(), depth = zero(), value = zero();
    taps.each_slope([&](int64_t offset, float weight, float by_width, float by_height, float by_depth) {
      const Vec pixel = load_some<kFull>(image + offset + c, lanes);
      width = fmadd(set1(by_width), pixel, width);
      height = fmadd(set1(by_height), pixel, height);
      if constexpr (kDepth) depth = fmadd(set1(by_depth), pixel, depth);
      value = fmadd(set1(weight), pixel, value);
    });
    const Vec factor = load_some<kFull>(grad + c, lanes);
    sums[0] = fmadd(factor, width, sums[0]);
    sums[1] = fmadd(factor, height, sums[1]);
    if constexpr (kDepth) sums[2] = fmadd(factor, depth, sums[2]);
    sums[3] = fmadd(factor, value, sums[3]);
  }
};

/// `sums` are by width, height, depth and value.
template <bool kDepth, class T>
CNNCORE_INLINE void sum_slopes(const T& taps, const float* image, const float* grad, int64_t channels,
                               float* sums) {
  if (channels > kFewChannels) {
    Vec sum[4] = {zero(), zero(), zero(), zero()};
    for_channels(TapSlopes<kDepth, T>{taps, image, grad, sum}, channels, 0, 1);
    for (int i = 0; i < 4; ++i) sums[i] = i == 2 && !kDepth ? 0.0f : sum_lanes(sum[i]);
    return;
  }
  float width = 0.0f, height = 0.0f, depth = 0.0f, value = 0.0f;
  for (int64_t c = 0; c < channels; ++c) {
    taps.each_slope([&](int64_t offset, float weight, float by_width, float by_height, float by_depth) {
      const float product = grad[c] * image[offset + c];
      width += by_width * product;
      height += by_height * product;
      if constexpr (kDepth) depth += by_depth * product;
      value += weight * product;
    });
  }
  sums[0] = width;
  sums[1] = height;
  sums[2] = depth;
  sums[3] = value;
}

template <bool kDepth>
void slopes_of(const SampleRun& run, const float* image, const float* grad, float* sums, float* values) {
  for_taps(run, 0, run.extent[0] * run.extent[1], [&](int64_t pixel, const auto& taps) {
    float sum[4];
    sum_slopes<kDepth>(taps, image, grad + pixel * run.sample_pitch, run.channels, sum);
    for (int i = 0; i < 3; ++i) sums[3 * pixel + i] = sum[i];
    if (values != nullptr) values[pixel] = sum[3];
  });
}

// -- the table -----------------------------------------------------------------------------------------

void sample(const SampleRun& run, const float* image, float* samples) {
  for_taps(run, 0, run.extent[0] * run.extent[1], [&](int64_t pixel, const auto& taps) {
    sum_taps(taps, image, run.channels, samples + pixel * run.sample_pitch);
  });
}

void add(const SampleRun& run, const float* grad, float* image, int64_t begin, int64_t end) {
  for_taps(run, begin, end, [&](int64_t pixel, const auto& taps) {
    add_taps(taps, grad + pixel * run.sample_pitch, run.channels, image);
  });
}

void slopes(const SampleRun& run, const float* image, const float* grad, float* sums, float* values) {
  SampleRun plain = run;
  plain.factor = nullptr;
  if (run.place[0] == nullptr) return slopes_of<false>(plain, image, grad, sums, values);
  slopes_of<true>(plain, image, grad, sums, values);
}

void sum_window(const WindowSum& window, const float* image, int64_t channels, float* out) {
  sum_taps(WindowTaps{window}, image, channels, out);
}

void add_window(const WindowSum& window, const float* grad, int64_t channels, float* image) {
  add_taps(WindowTaps{window}, grad, channels, image);
}

}  // namespace

SampleKernels sample_kernels() { return {places, sample, add, slopes, sum_window, add_window}; }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
