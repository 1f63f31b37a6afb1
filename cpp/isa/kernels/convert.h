// SPDX-License-Identifier: Apache-2.0
// Conversions between element types; plain loops that the compiler turns into vectors.
#pragma once

#include "isa/copy.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

// Arrays from outside may be misaligned, and every type reads bytes that another one wrote.
template <class T>
struct Element {
  typedef T __attribute__((aligned(1), may_alias)) Stored;
  CNNCORE_INLINE T value(Stored stored) { return stored; }
};

struct Half {};
template <>
struct Element<Half> {
  typedef std::uint16_t __attribute__((aligned(1), may_alias)) Stored;
  CNNCORE_INLINE float value(Stored stored) {
    const std::uint32_t bits = stored;
    const std::uint32_t magnitude = bits & 0x7fffu;
    // The exponent moves from bias 15 to bias 127; infinities and NaN move to the top, denormals are integers
    // times 2^-24.
    const std::uint32_t rebias = magnitude >= 0x7c00u ? (255u - 31u) << 23 : (127u - 15u) << 23;
    const std::uint32_t moved = (magnitude << 13) + rebias;
    float number;
    __builtin_memcpy(&number, &moved, sizeof number);
    const float denormal = static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24f;
    const float positive = magnitude < 0x0400u ? denormal : number;
    return (bits & 0x8000u) != 0 ? -positive : positive;
  }
};

struct Boolean {};
template <>
struct Element<Boolean> {
  typedef std::uint8_t __attribute__((aligned(1), may_alias)) Stored;
  CNNCORE_INLINE std::uint8_t value(Stored stored) { return stored != 0; }
};

template <class From, class To>
void convert(int64_t n, const std::byte* src, int64_t src_step, void* dst) {
  using Source = typename Element<From>::Stored;
  using Target = typename Element<To>::Stored;
  Target* out = static_cast<Target*>(dst);
  if (src_step == static_cast<int64_t>(sizeof(Source))) {
    const Source* in = reinterpret_cast<const Source*>(src);
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<To>(Element<From>::value(in[i]));
  } else {
    for (int64_t i = 0; i < n; ++i) {
      out[i] = static_cast<To>(Element<From>::value(*reinterpret_cast<const Source*>(src + i * src_step)));
    }
  }
}

}  // namespace
}  // namespace CNNCORE_ISA
}  // namespace cnncore
