// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cnncore {

enum class DType : std::uint8_t { f32, i32, i64, u8, f64, i8, boolean, bf16, f16 };
enum class DTypeKind : std::uint8_t { floating, integer, boolean };

struct DTypeFacts {
  DType dtype;
  const char* name;  // numpy's
  std::size_t bytes;
  DTypeKind kind;
};

/// Every element type of a value. bfloat16 and float16 are reserved: they have a size and can be copied, and
/// a kernel that does not know them refuses them.
inline constexpr std::array<DTypeFacts, 9> kDTypes = {{
    {DType::f32, "float32", 4, DTypeKind::floating},
    {DType::i32, "int32", 4, DTypeKind::integer},
    {DType::i64, "int64", 8, DTypeKind::integer},
    {DType::u8, "uint8", 1, DTypeKind::integer},
    {DType::f64, "float64", 8, DTypeKind::floating},
    {DType::i8, "int8", 1, DTypeKind::integer},
    {DType::boolean, "bool", 1, DTypeKind::boolean},
    {DType::bf16, "bfloat16", 2, DTypeKind::floating},
    {DType::f16, "float16", 2, DTypeKind::floating},
}};

constexpr const DTypeFacts& facts_of(DType dtype) { return kDTypes[static_cast<std::size_t>(dtype)]; }
constexpr std::size_t item_size(DType dtype) { return facts_of(dtype).bytes; }
constexpr const char* name_of(DType dtype) { return facts_of(dtype).name; }
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

std::string shape_text(const std::vector<std::int64_t>& shape);

/// A dense descriptor: channels-last for rank >= 3 when `channels_last`, C order otherwise.
TensorDesc dense_desc(DType dtype, const std::int64_t* shape, int rank, bool channels_last);

}  // namespace cnncore
