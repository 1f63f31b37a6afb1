// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace cnncore {

enum class DType : std::uint8_t { f32, i32, i64, u8 };

std::size_t item_size(DType dtype);
const char* name_of(DType dtype);
DType dtype_from_name(const std::string& name);

inline constexpr int kMaxRank = 8;

/// Shape and memory layout of a value. The shape is logical (batch, channels, spatial...);
/// the strides, in elements, say where memory really is: channels-last for activations,
/// C order for parameters and for values of rank 2 and below.
struct TensorDesc {
  DType dtype = DType::f32;
  int rank = 0;
  std::array<std::int64_t, kMaxRank> shape{};
  std::array<std::int64_t, kMaxRank> stride{};

  std::int64_t numel() const;
  std::size_t bytes() const { return static_cast<std::size_t>(numel()) * item_size(dtype); }
  std::int64_t dim(int axis) const { return shape[static_cast<std::size_t>(axis)]; }
  std::int64_t step(int axis) const { return stride[static_cast<std::size_t>(axis)]; }
  /// True when memory runs without gaps in C order (axes of extent 1 are ignored).
  bool is_contiguous() const;
  /// True when memory runs without gaps with axis 1 fastest: N, spatial..., C.
  bool is_channels_last() const;
  bool same_shape(const TensorDesc& other) const;
  /// Same shape and same strides (axes of extent 1 are ignored): element k of one is element k of the other.
  bool same_layout(const TensorDesc& other) const;
  std::string shape_text() const;
};

/// A dense descriptor: channels-last for rank >= 3 when `channels_last`, C order otherwise.
TensorDesc dense_desc(DType dtype, const std::int64_t* shape, int rank, bool channels_last);

}  // namespace cnncore
