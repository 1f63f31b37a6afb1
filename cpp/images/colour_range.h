// SPDX-License-Identifier: Apache-2.0
// Colours that were computed as numbers again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace cnncore {

/// The colour of full brightness.
template <class T>
constexpr float kWhite = std::is_same_v<T, std::uint8_t> ? 255.0f : 1.0f;

/// The nearest colour; NaN is black.
template <class T>
T to_colour(float value) {
  const float bounded = std::min(kWhite<T>, std::max(0.0f, value));
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    return static_cast<std::uint8_t>(static_cast<std::int32_t>(bounded + 0.5f));
  } else {
    return bounded;
  }
}

/// What a weighted mean of elements gives: floats may be other things than colours, and stay what they are.
template <class T>
T to_element(float value) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    return to_colour<std::uint8_t>(value);
  } else {
    return value;
  }
}

}  // namespace cnncore
