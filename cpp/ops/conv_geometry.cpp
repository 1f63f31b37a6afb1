// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_geometry.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace cnncore {
namespace {

ConvAxis forward_axis(const ConvProblem& p, std::size_t a) {
  ConvAxis axis;
  axis.count = axis.out_size = p.output[a];
  axis.in_start = -p.padding_begin[a];
  axis.in_step = p.stride[a];
  axis.in_size = p.input[a];
  axis.taps = p.kernel[a];
  axis.tap_step = p.dilation[a];
  return axis;
}

/// Phase `start` of the input pixels: x = start + i * stride receives grad_output[(x + padding - t *
/// dilation) / stride] from each tap t that divides. Those taps are `period` apart; taking them from the last
/// one down makes the coordinates ascend.
ConvAxis backward_axis(const ConvProblem& p, std::size_t a, std::int64_t start) {
  const std::int64_t stride = p.stride[a];
  const std::int64_t dilation = p.dilation[a];
  const std::int64_t period = stride / std::gcd(stride, dilation);
  ConvAxis axis;
  axis.count = ceil_div(p.input[a] - start, stride);
  axis.out_start = start;
  axis.out_step = stride;
  axis.out_size = p.input[a];
  axis.in_size = p.output[a];
  axis.taps = 0;
  for (std::int64_t t = p.kernel[a] - 1; t >= 0; --t) {
    const std::int64_t distance = start + p.padding_begin[a] - t * dilation;
    if (distance % stride != 0) continue;
    if (axis.taps == 0) {
      axis.kernel_start = t;
      axis.in_start = distance / stride;
    }
    ++axis.taps;
  }
  axis.tap_step = period * dilation / stride;
  axis.kernel_step = -period;
  return axis;
}

/// Whether all pixels are rows of one column, as flatten_pointwise leaves them. Taken for rows, each would
/// cost more than its copy.
bool is_flat(const ConvLoop& loop) {
  const auto& [depth, height, width] = loop.axis;
  return loop.batch == 1 && depth.in_size == 1 && width.in_size == 1 && depth.is_identity() &&
         height.is_identity() && width.is_identity();
}

/// Copies `channels` floats of each pixel. Pixels far apart defeat the hardware's prefetch.
void copy_pixels(const float* source, std::int64_t source_step, std::int64_t pixels, std::int64_t channels,
                 float* target, std::int64_t target_step) {
  constexpr std::int64_t kAhead = 16;
  for (std::int64_t i = 0; i < pixels; ++i, source += source_step, target += target_step) {
    std::int64_t c = 0;
    for (; c + kLineFloats <= channels; c += kLineFloats) {
      __builtin_prefetch(source + kAhead * source_step + c);
      std::memcpy(target + c, source + c, kLineFloats * sizeof(float));
    }
    for (; c < channels; ++c) target[c] = source[c];
  }
}

}  // namespace

bool ConvAxis::needs_padding() const {
  if (taps == 0) return false;
  return in_start < 0 || in_start + (count - 1) * in_step + (taps - 1) * tap_step >= in_size;
}

bool ConvAxis::is_identity() const {
  return taps == 1 && in_start == 0 && out_start == 0 && in_step == 1 && out_step == 1 && count == in_size &&
         count == out_size;
}

ConvLoop forward_loop(const ConvProblem& p) {
  ConvLoop loop{p.batch, p.groups, p.group_in(), p.group_out(), {}};
  for (std::size_t a = 0; a < 3; ++a) loop.axis[a] = forward_axis(p, a);
  return loop;
}

bool has_few_phases(const ConvProblem& p) {
  constexpr std::int64_t kFew = 16;
  std::int64_t phases = 1;
  for (std::size_t a = 0; a < 3; ++a) {
    const std::int64_t own = std::min(p.stride[a], p.input[a]);
    if (own > kFew) return false;
    phases *= own;
  }
  return phases <= kFew;
}

std::vector<std::int64_t> touched_phases(const ConvProblem& p, std::size_t a) {
  std::vector<std::int64_t> phases;
  for (std::int64_t t = 0; t < p.kernel[a]; ++t) {
    const std::int64_t distance = t * p.dilation[a] - p.padding_begin[a];
    const std::int64_t phase = (distance % p.stride[a] + p.stride[a]) % p.stride[a];
    if (phase < p.input[a]) phases.push_back(phase);
  }
  std::sort(phases.begin(), phases.end());
  phases.erase(std::unique(phases.begin(), phases.end()), phases.end());
  return phases;
}

std::vector<ConvLoop> backward_data_loops(const ConvProblem& p) {
  std::vector<ConvLoop> loops;
  const bool few = has_few_phases(p);
  const auto phases = [&p, few](std::size_t a) {
    if (!few) return touched_phases(p, a);
    std::vector<std::int64_t> all(static_cast<std::size_t>(std::min(p.stride[a], p.input[a])));
    std::iota(all.begin(), all.end(), 0);
    return all;
  };
  const std::vector<std::int64_t> columns = phases(2);
  const std::vector<std::int64_t> rows = phases(1);
  for (const auto d : phases(0)) {
    for (const auto h : rows) {
      for (const auto w : columns) {
        loops.push_back({p.batch,
                         p.groups,
                         p.group_out(),
                         p.group_in(),
                         {backward_axis(p, 0, d), backward_axis(p, 1, h), backward_axis(p, 2, w)}});
      }
    }
  }
  return loops;
}

ConvLoop flatten_pointwise(const ConvLoop& loop) {
  for (const auto& axis : loop.axis) {
    if (!axis.is_identity()) return loop;
  }
  ConvLoop flat = loop;
  flat.axis = {};
  auto& rows = flat.axis[1];
  rows.count = rows.in_size = rows.out_size = loop.pixels();
  flat.batch = 1;
  return flat;
}

ChunkGrid::ChunkGrid(const ConvLoop& loop, std::int64_t pixels) {
  total_ = {loop.batch, loop.axis[0].count, loop.axis[1].count, loop.axis[2].count};
  size_ = {1, 1, 1, 1};
  std::int64_t unit = 1;
  // From the inside out: axes that fit whole stay whole, the first that does not is cut into equal
  // pieces, those outside it into single steps.
  bool cut = false;
  for (std::size_t a = 4; a-- > 0;) {
    if (a == 3 && total_[a] <= kLongRow) {
      unit = size_[a] = total_[a];
    } else if (!cut) {
      const std::int64_t fit = std::max<std::int64_t>(1, pixels / std::max<std::int64_t>(1, unit));
      const std::int64_t wanted = std::max<std::int64_t>(1, (total_[a] + fit / 2) / fit);
      size_[a] = ceil_div(total_[a], std::min(wanted, total_[a]));
      cut = size_[a] < total_[a];
      unit *= size_[a];
    }
    counts_[a] = ceil_div(total_[a], size_[a]);
  }
}

ChunkGrid::Place ChunkGrid::place(std::int64_t index) const {
  Place place{};
  for (std::size_t a = 4; a-- > 0;) {
    place[a] = index % counts_[a];
    index /= counts_[a];
  }
  return place;
}

ConvChunk ChunkGrid::at(const Place& place) const {
  ConvChunk chunk;
  for (std::size_t a = 0; a < 4; ++a) {
    chunk.start[a] = place[a] * size_[a];
    chunk.count[a] = std::min(size_[a], total_[a] - chunk.start[a]);
  }
  return chunk;
}

std::int64_t chunk_output(const ConvLoop& loop, const ConvChunk& chunk) {
  const auto& [depth, height, width] = loop.axis;
  const std::int64_t plane =
      chunk.start[0] * depth.out_size + depth.out_start + chunk.start[1] * depth.out_step;
  const std::int64_t row = plane * height.out_size + height.out_start + chunk.start[2] * height.out_step;
  return row * width.out_size + width.out_start + chunk.start[3] * width.out_step;
}

std::int64_t chunk_input(const ConvLoop& loop, const ConvChunk& chunk) {
  const auto& [depth, height, width] = loop.axis;
  const std::int64_t plane = chunk.start[0] * depth.in_size + depth.in_start + chunk.start[1] * depth.in_step;
  const std::int64_t row = plane * height.in_size + height.in_start + chunk.start[2] * height.in_step;
  return row * width.in_size + width.in_start + chunk.start[3] * width.in_step;
}

InputView::Range InputView::range(const ConvAxis& axis, std::int64_t start, std::int64_t count) const {
  const std::int64_t first = axis.in_start + start * axis.in_step;
  if (axis.taps == 1) return {first, axis.in_step, count};  // pixels between the steps are never read
  return {first, 1, (count - 1) * axis.in_step + (axis.taps - 1) * axis.tap_step + 1};
}

InputView::InputView(const ConvLoop& loop, const ChunkGrid& grid, std::int64_t tensor_pitch, bool copy,
                     std::int64_t pitch)
    : copy_(copy && loop.taps() > 0), tensor_pitch_(tensor_pitch), pitch_(copy_ ? pitch : tensor_pitch) {
  const ConvChunk chunk = grid.largest();
  std::int64_t stride = pitch_;
  for (std::size_t a = 3; a-- > 0;) {
    const ConvAxis& axis = loop.axis[a];
    const std::int64_t step = copy_ && axis.taps == 1 ? 1 : axis.in_step;
    pixel_step_[a] = step * stride;
    tap_step_[a] = axis.tap_step * stride;
    stride *= copy_ ? range(axis, 0, chunk.count[a + 1]).count : axis.in_size;
  }
  image_stride_ = stride;
  scratch_floats_ = chunk.count[0] * stride;
}

void InputView::copy_row(const float* row, const Range& width, const ConvAxis& axis, std::int64_t channels,
                         float* target) const {
  const std::int64_t below = width.first < 0 ? ceil_div(-width.first, width.step) : 0;
  const std::int64_t before = std::min(width.count, below);
  const std::int64_t last = axis.in_size - 1 - width.first;
  const std::int64_t end = last < 0 ? before : std::clamp(last / width.step + 1, before, width.count);
  const auto bytes = static_cast<std::size_t>(channels) * sizeof(float);
  const auto zero = [&](std::int64_t from, std::int64_t to) {
    if (from < to)
      std::memset(target + from * pitch_, 0, sizeof(float) * static_cast<std::size_t>((to - from) * pitch_));
  };
  zero(0, before);
  const float* source = row + (width.first + before * width.step) * tensor_pitch_;
  if (channels == pitch_ && channels == tensor_pitch_ && width.step == 1) {
    std::memcpy(target + before * pitch_, source, static_cast<std::size_t>(end - before) * bytes);
  } else {
    copy_pixels(source, width.step * tensor_pitch_, end - before, channels, target + before * pitch_, pitch_);
  }
  zero(end, width.count);
}

const float* InputView::prepare(const ConvLoop& loop, const ConvChunk& chunk, const float* tensor,
                                std::int64_t channel, std::int64_t channels, float* scratch) const {
  const auto& [depth, height, width] = loop.axis;
  const std::int64_t row_floats = width.in_size * tensor_pitch_;
  const std::int64_t plane_floats = height.in_size * row_floats;
  const float* images = tensor + chunk.start[0] * depth.in_size * plane_floats + channel;
  if (!copy_) {
    if (loop.taps() == 0) return tensor;
    return images + (depth.in_start + chunk.start[1] * depth.in_step) * plane_floats +
           (height.in_start + chunk.start[2] * height.in_step) * row_floats +
           (width.in_start + chunk.start[3] * width.in_step) * tensor_pitch_;
  }
  if (is_flat(loop)) {
    copy_pixels(images + chunk.start[2] * tensor_pitch_, tensor_pitch_, chunk.count[2], channels, scratch,
                pitch_);
    return scratch;
  }
  const Range planes = range(depth, chunk.start[1], chunk.count[1]);
  const Range rows = range(height, chunk.start[2], chunk.count[2]);
  const Range columns = range(width, chunk.start[3], chunk.count[3]);
  const std::int64_t row_pitch = tap_step_[1] / height.tap_step;
  const std::int64_t plane_pitch = tap_step_[0] / depth.tap_step;
  for (std::int64_t n = 0; n < chunk.count[0]; ++n) {
    for (std::int64_t d = 0; d < planes.count; ++d) {
      const std::int64_t plane = planes.first + d * planes.step;
      float* target = scratch + n * image_stride_ + d * plane_pitch;
      for (std::int64_t h = 0; h < rows.count; ++h, target += row_pitch) {
        const std::int64_t y = rows.first + h * rows.step;
        if (plane < 0 || plane >= depth.in_size || y < 0 || y >= height.in_size) {
          std::memset(target, 0, static_cast<std::size_t>(row_pitch) * sizeof(float));
        } else {
          copy_row(images + (n * depth.in_size + plane) * plane_floats + y * row_floats, columns, width,
                   channels, target);
        }
      }
    }
  }
  return scratch;
}

std::vector<std::int64_t> merge_taps(const ConvLoop& loop, const InputView& view, std::int64_t& run) {
  int outer = 2;  // axes above this one stay taps; this one and those inside it are merged or have one tap
  for (; outer >= 0; --outer) {
    const ConvAxis& axis = loop.axis[static_cast<std::size_t>(outer)];
    if (axis.taps == 1) continue;
    if (axis.taps == 0 || view.tap_step(outer) != run) break;
    run *= axis.taps;
  }
  std::vector<std::int64_t> offsets = {0};
  for (int a = 0; a <= outer; ++a) {
    std::vector<std::int64_t> next;
    for (const auto offset : offsets) {
      for (std::int64_t t = 0; t < loop.axis[static_cast<std::size_t>(a)].taps; ++t)
        next.push_back(offset + t * view.tap_step(a));
    }
    offsets = std::move(next);
  }
  return offsets;
}

}  // namespace cnncore
