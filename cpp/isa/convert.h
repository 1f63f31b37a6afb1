// SPDX-License-Identifier: Apache-2.0
// Conversions between element types as plain loops. Those to float32 and copies are compiled for each
// instruction set, which makes vectors of them; the others once (ops/convert.cpp).
#pragma once

#include <cstddef>
#include <cstdint>

#include "isa/copy.h"

namespace cnncore {
namespace {

// Arrays from outside may be misaligned, and every type reads bytes that another one wrote.
template <class T>
struct Element {
  typedef T __attribute__((aligned(1), may_alias)) Stored;
  static T value(Stored stored) { return stored; }
  template <class From>
  static T from(From number) {
    return static_cast<T>(number);
  }
};

struct Half {};
template <>
struct Element<Half> {
  typedef std::uint16_t __attribute__((aligned(1), may_alias)) Stored;
  static float value(Stored stored) {
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
  static std::uint8_t value(Stored stored) { return stored != 0; }
  template <class From>
  static std::uint8_t from(From number) {
    return number != From{};
  }
};

// Rows of fewer elements than this are not worth a loop of their own.
constexpr std::int64_t kShortRow = 16;

/// `run` with rows and positions within rows exchanged when there are more of the former.
inline StridedRows longer_inside(const StridedRows& run) {
  if (run.n >= run.rows) return run;
  return {run.n, run.rows, run.src, run.src_step, run.src_row, run.dst, run.dst_step, run.dst_row};
}

template <class From, class To>
inline __attribute__((always_inline)) void convert_row(std::int64_t n, const std::byte* src,
                                                       std::int64_t src_step, std::byte* dst,
                                                       std::int64_t dst_step) {
  using Source = typename Element<From>::Stored;
  using Target = typename Element<To>::Stored;
  for (std::int64_t i = 0; i < n; ++i) {
    const Source* in = reinterpret_cast<const Source*>(src + i * src_step);
    *reinterpret_cast<Target*>(dst + i * dst_step) = Element<To>::from(Element<From>::value(*in));
  }
}

/// `kVectors` gives dense rows a loop of their own.
template <class From, class To, bool kVectors>
void convert(const StridedRows& original) {
  constexpr auto from_size = static_cast<std::int64_t>(sizeof(typename Element<From>::Stored));
  constexpr auto to_size = static_cast<std::int64_t>(sizeof(typename Element<To>::Stored));
  const bool dense = original.src_step == from_size && original.dst_step == to_size;
  const StridedRows run = dense && original.n >= kShortRow ? original : longer_inside(original);
  for (std::int64_t row = 0; row < run.rows; ++row) {
    const std::byte* src = run.src + row * run.src_row;
    std::byte* dst = run.dst + row * run.dst_row;
    // Constant steps are what allows vectors.
    if (kVectors && run.src_step == from_size && run.dst_step == to_size) {
      convert_row<From, To>(run.n, src, from_size, dst, to_size);
    } else {
      convert_row<From, To>(run.n, src, run.src_step, dst, run.dst_step);
    }
  }
}

}  // namespace
}  // namespace cnncore
