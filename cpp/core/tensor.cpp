// SPDX-License-Identifier: Apache-2.0
#include "core/tensor.h"

#include <algorithm>

#include "core/error.h"
#include "core/sizes.h"

namespace cnncore {
namespace {

constexpr bool in_order() {
  for (std::size_t i = 0; i < kDTypes.size(); ++i) {
    if (static_cast<std::size_t>(kDTypes[i].dtype) != i) return false;
  }
  return true;
}
static_assert(in_order(), "kDTypes lists the types in the order of DType");

/// Memory order of the axes, slowest first.
std::array<int, kMaxRank> axis_order(int rank, bool channels_last) {
  std::array<int, kMaxRank> order{};
  for (int i = 0; i < rank; ++i) order[static_cast<std::size_t>(i)] = i;
  if (channels_last && rank >= 3) {
    for (int i = 1; i + 1 < rank; ++i) order[static_cast<std::size_t>(i)] = i + 1;
    order[static_cast<std::size_t>(rank - 1)] = 1;
  }
  return order;
}

bool dense_in_order(const TensorDesc& desc, bool channels_last) {
  const auto order = axis_order(desc.rank, channels_last);
  std::int64_t expected = 1;
  for (int i = desc.rank - 1; i >= 0; --i) {
    const int axis = order[static_cast<std::size_t>(i)];
    if (desc.dim(axis) != 1 && desc.step(axis) != expected) return false;
    expected *= desc.dim(axis);
  }
  return true;
}

}  // namespace

DType dtype_from_name(const std::string& name) {
  std::string names;
  for (const DTypeFacts& facts : kDTypes) {
    if (name == facts.name) return facts.dtype;
    names += (names.empty() ? "" : ", ") + std::string(facts.name);
  }
  fail("expected a dtype of ", names, ", got ", name);
}

std::int64_t TensorDesc::numel() const {
  std::int64_t count = 1;
  for (int i = 0; i < rank; ++i) count *= dim(i);
  return count;
}

bool TensorDesc::is_contiguous() const { return dense_in_order(*this, false); }
bool TensorDesc::is_channels_last() const { return dense_in_order(*this, true); }

bool TensorDesc::same_shape(const TensorDesc& other) const {
  if (rank != other.rank) return false;
  for (int i = 0; i < rank; ++i) {
    if (dim(i) != other.dim(i)) return false;
  }
  return true;
}

bool TensorDesc::same_layout(const TensorDesc& other) const {
  if (!same_shape(other)) return false;
  for (int i = 0; i < rank; ++i) {
    if (dim(i) != 1 && step(i) != other.step(i)) return false;
  }
  return true;
}

std::string TensorDesc::shape_text() const {
  return cnncore::shape_text({shape.begin(), shape.begin() + rank});
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i != 0 ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

TensorDesc dense_desc(DType dtype, const std::int64_t* shape, int rank, bool channels_last) {
  require(rank >= 0 && rank <= kMaxRank, "expected at most ", kMaxRank, " axes, got ", rank);
  TensorDesc desc;
  desc.dtype = dtype;
  desc.rank = rank;
  for (int i = 0; i < rank; ++i) desc.shape[static_cast<std::size_t>(i)] = shape[i];
  const auto order = axis_order(rank, channels_last);
  std::int64_t step = 1;
  for (int i = rank - 1; i >= 0; --i) {
    const auto axis = static_cast<std::size_t>(order[static_cast<std::size_t>(i)]);
    desc.stride[axis] = step;
    step = checked_product(step, std::max<std::int64_t>(1, desc.shape[axis]));
  }
  checked_product(step, static_cast<std::int64_t>(item_size(dtype)));
  return desc;
}

}  // namespace cnncore
