// SPDX-License-Identifier: Apache-2.0
// Winograd's transforms along one axis, kWidth channels at a time. A tile's positions may lie any number of
// pixels apart, so that axes other than the last and dilated kernels are lines as well.
#include "isa/kernels/winograd_tiles.h"
#include "isa/kernels/winograd_weight.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

template <class F, class T>
void gather(const WinogradGather& args) {
  const WinogradImages& images = args.images;
  Position at(images, args.first_tile);
  for (int64_t tile = 0; tile < args.tiles; ++tile, at.next(images)) {
    const int64_t first = images.left + at.column * F::kTile * images.step + at.row;
    const float* from[T::kRead];
    bool whole = true;
    for (int r = 0; r < T::kRead; ++r) {
      const int64_t pixel = first + r * images.step;
      const bool inside = pixel >= 0 && pixel < images.pixels;
      whole = whole && inside;
      from[r] = inside ? args.pixels + (at.image * images.pixels + pixel) * images.pitch : nullptr;
    }
    float* values = args.values + tile * kWinogradBlock;
    for (int64_t channel = 0; channel < args.channels; channel += kWidth) {
      const int64_t left = min_of(args.channels - channel, kWidth);
      float* out = values + channel / kWinogradBlock * args.block_step + channel % kWinogradBlock;
      if (whole && left == kWidth) {
        const auto read = [&](int r) CNNCORE_FLATTEN { return load(from[r] + channel); };
        transform_points<F, T, 0>(read, args.point_step, out);
        continue;
      }
      const auto read = [&](int r) CNNCORE_FLATTEN {
        return from[r] != nullptr ? load_upto(from[r] + channel, left) : zero();
      };
      transform_points<F, T, 0>(read, args.point_step, out);
    }
  }
}

/// First pixel of a tile's results in its image.
CNNCORE_INLINE int64_t first_pixel(const WinogradImages& images, const Position& at, int64_t tile) {
  return at.column * tile * images.step + at.row;
}

/// Results of a tile that lie in the image.
CNNCORE_INLINE int64_t results_inside(const WinogradImages& images, int64_t first, int64_t tile) {
  return max_of(0, min_of(tile, (images.pixels - first + images.step - 1) / images.step));
}

template <class F>
void scatter(const WinogradScatter& args) {
  const WinogradImages& images = args.images;
  for (int64_t channel = 0; channel < args.channels; channel += kWidth) {
    Finish finish(args, channel, images.step * images.pitch);
    Position at(images, args.first_tile);
    const float* block = args.values + channel / kWinogradBlock * args.block_step + channel % kWinogradBlock;
    for (int64_t tile = 0; tile < args.tiles; ++tile, block += kWinogradBlock, at.next(images)) {
      const int64_t first = first_pixel(images, at, F::kTile);
      const int64_t results = results_inside(images, first, F::kTile);
      const int64_t offset = (at.image * images.pixels + first) * images.pitch + channel;
      Vec y[F::kTile];
      transform_results<F>([&](int r) CNNCORE_FLATTEN { return load(block + r * args.point_step); }, y);
      if (results == F::kTile && finish.left == kWidth) {
        finish.template row<F::kTile, true>(y, offset, results);
      } else {
        finish.template row<F::kTile, false>(y, offset, results);
      }
      if (!in_registers(args.activation)) finish.template activate_values<F::kTile>(offset, 1, results, 0);
    }
    if (args.statistics != nullptr) finish.write_statistics();
  }
}

}  // namespace

WinogradTransforms winograd_f4x1() {
  return {F4::kTile,
          F4::kTaps,
          F4::kTaps,
          F4::kPoints,
          gather<F4, F4::Input>,
          scatter<F4>,
          nullptr,
          transform_weight<F4, true>,
          gather<F4, F4::Gradient>,
          transform_grad_weight<F4, true>};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
