// SPDX-License-Identifier: Apache-2.0
#include "isa/boxes.h"

#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

void suppress(const BoxColumns& boxes, int64_t by, int64_t begin, int64_t end, float threshold, float* gone) {
  const Vec left = set1(boxes.left[by]), top = set1(boxes.top[by]), right = set1(boxes.right[by]),
            bottom = set1(boxes.bottom[by]), area = set1(boxes.area[by]);
  for (int64_t i = begin; i < end; i += kWidth) {
    const Vec width = max(min(right, load(boxes.right + i)) - max(left, load(boxes.left + i)), zero());
    const Vec height = max(min(bottom, load(boxes.bottom + i)) - max(top, load(boxes.top + i)), zero());
    // Rounded by itself, as it is without multiply-adds: the threshold decides the same way everywhere.
    const Vec inter = in_register(width * height);
    const Vec share = inter / (area + load(boxes.area + i) - inter);
    store(gone + i, select(greater(share, set1(threshold)), set1(1.0f), load(gone + i)));
  }
}

void largest(const float* image, int64_t width, int64_t pitch, const BinRange& bin, int64_t channels,
             float* out, std::int32_t* index) {
  const bool empty = bin.bottom <= bin.top || bin.right <= bin.left;
  for (int64_t c = 0; c < channels; c += kWidth) {
    const int64_t lanes = channels - c;
    Vec most = empty ? zero() : set1(-3.402823466e+38f);
    Vec place = as_float(iset1(-1));
    for (int64_t y = bin.top; y < bin.bottom; ++y) {
      for (int64_t x = bin.left; x < bin.right; ++x) {
        const int64_t pixel = y * width + x;
        const Vec value = load_upto(image + pixel * pitch + c, lanes);
        const Mask larger = greater(value, most);
        most = select(larger, value, most);
        place = select(larger, as_float(iset1(static_cast<int>(pixel))), place);
      }
    }
    store_upto(out + c, most, lanes);
    store_upto(reinterpret_cast<float*>(index + c), place, lanes);
  }
}

}  // namespace

BoxKernels box_kernels() { return {suppress, largest}; }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
