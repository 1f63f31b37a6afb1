// SPDX-License-Identifier: Apache-2.0
#include "ops/channel_blocks.h"

#include "core/error.h"
#include "isa/kernel_table.h"

namespace cnncore {
namespace {

// Running sums of one chunk are float32: this bounds how many terms they add.
constexpr std::int64_t kMostChunkPixels = 1024;
// A multiple of every vector width, so that chunks of wide pixels start at channel 0.
constexpr std::int64_t kPixelStep = 16;
constexpr std::int64_t kMostWideChannels = 8192;

}  // namespace

ChannelBlocks::ChannelBlocks(const TensorDesc& desc) {
  require(desc.dtype == DType::f32, "expected float32, got ", name_of(desc.dtype));
  require(desc.rank >= 2 && desc.is_channels_last(), "expected channels-last memory of rank 2 or more, got ",
          desc.shape_text());
  channels = desc.dim(1);
  pixels = channels == 0 ? 0 : desc.numel() / channels;
  const std::int64_t fit =
      machine().norm_chunk / std::max<std::int64_t>(channels, 1) / kPixelStep * kPixelStep;
  chunk_pixels = std::min(kMostChunkPixels, std::max(kPixelStep, fit));
  const std::int64_t width = kernels().width;
  while (repeat < kPixelStep && (repeat * channels % width != 0 || repeat * channels < 4 * width))
    repeat *= 2;
  if (repeat * channels > kMostWideChannels || repeat > pixels) repeat = 1;
}

double ChannelBlocks::work(double per_float) const {
  return per_float * static_cast<double>(floats()) / static_cast<double>(kernels().width);
}

void ChannelBlocks::repeat_values(float* values) const {
  for (std::int64_t i = channels; i < wide_channels(); ++i) values[i] = values[i - channels];
}

void ChannelBlocks::fold_sums(const float* sums, std::int64_t wide, float* folded) const {
  for (std::int64_t begin = 0; begin < wide; begin += channels) {
    const std::int64_t count = std::min(channels, wide - begin);
    for (std::int64_t c = 0; c < count; ++c) folded[c] += sums[begin + c];
  }
}

}  // namespace cnncore
