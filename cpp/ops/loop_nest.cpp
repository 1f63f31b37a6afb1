// SPDX-License-Identifier: Apache-2.0
#include "ops/loop_nest.h"

#include <algorithm>
#include <cstdlib>

#include "core/error.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

struct Axis {
  std::int64_t extent;
  LoopNest::Offsets stride;
};

/// True when `a` is to run outside `b`.
bool runs_outside(const Axis& a, const Axis& b, int operands) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(operands); ++i) {
    const std::int64_t stride_a = std::abs(a.stride[i]);
    const std::int64_t stride_b = std::abs(b.stride[i]);
    if (stride_a != stride_b) return stride_a > stride_b;
  }
  return false;
}

bool continues(const Axis& outer, const Axis& inner, int operands) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(operands); ++i) {
    if (outer.stride[i] != inner.stride[i] * inner.extent) return false;
  }
  return true;
}

}  // namespace

std::int64_t LoopNest::numel() const {
  std::int64_t count = 1;
  for (int i = 0; i < rank; ++i) count *= extent[static_cast<std::size_t>(i)];
  return count;
}

LoopNest::Offsets LoopNest::offsets_of(std::int64_t index, int axes) const {
  Offsets offsets{};
  for (int i = axes - 1; i >= 0; --i) {
    const auto axis = static_cast<std::size_t>(i);
    const std::int64_t place = index % extent[axis];
    index /= extent[axis];
    for (std::size_t j = 0; j < kMaxOperands; ++j) offsets[j] += place * stride[axis][j];
  }
  return offsets;
}

LoopNest LoopNest::without(int position) const {
  LoopNest rest = *this;
  for (auto i = static_cast<std::size_t>(position); i + 1 < static_cast<std::size_t>(rank); ++i) {
    rest.extent[i] = extent[i + 1];
    rest.stride[i] = stride[i + 1];
  }
  --rest.rank;
  return rest;
}

LoopNest loop_nest(const std::int64_t* shape, int rank, std::initializer_list<const std::int64_t*> strides) {
  require(rank >= 0 && rank <= kMaxRank, "expected at most ", kMaxRank, " axes, got ", rank);
  const int operands = static_cast<int>(strides.size());
  std::array<Axis, kMaxRank> axes{};
  std::size_t count = 0;
  for (int i = 0; i < rank; ++i) {
    if (shape[i] == 1) continue;
    axes[count].extent = shape[i];
    std::size_t operand = 0;
    for (const std::int64_t* stride : strides) axes[count].stride[operand++] = stride[i];
    ++count;
  }
  std::stable_sort(axes.begin(), axes.begin() + static_cast<std::ptrdiff_t>(count),
                   [operands](const Axis& a, const Axis& b) { return runs_outside(a, b, operands); });
  LoopNest nest;
  nest.operands = operands;
  for (std::size_t i = 0; i < count; ++i) {
    const auto last = static_cast<std::size_t>(nest.rank - 1);
    if (nest.rank > 0 && continues({nest.extent[last], nest.stride[last]}, axes[i], operands)) {
      nest.extent[last] *= axes[i].extent;
      nest.stride[last] = axes[i].stride;
    } else {
      nest.extent[static_cast<std::size_t>(nest.rank)] = axes[i].extent;
      nest.stride[static_cast<std::size_t>(nest.rank)] = axes[i].stride;
      ++nest.rank;
    }
  }
  return nest;
}

std::array<std::int64_t, kMaxRank> broadcast_strides(const TensorDesc& desc, const std::int64_t* shape,
                                                     int rank) {
  std::array<std::int64_t, kMaxRank> strides{};
  const int missing = rank - desc.rank;
  require(missing >= 0, "cannot broadcast ", desc.shape_text(), " to fewer axes (", rank, ")");
  for (int i = missing; i < rank; ++i) {
    const std::int64_t extent = desc.dim(i - missing);
    require(extent == shape[i] || extent == 1, "cannot broadcast ", desc.shape_text(), ": axis ", i,
            " of the result has extent ", shape[i]);
    strides[static_cast<std::size_t>(i)] = extent == 1 ? 0 : desc.step(i - missing);
  }
  return strides;
}

RowTasks::RowTasks(const LoopNest& nest, std::int64_t task_elements) {
  inner = nest.inner_extent();
  const std::int64_t elements = nest.numel();
  if (elements == 0) return;
  total_rows = elements / inner;
  rows = std::min(total_rows, std::max<std::int64_t>(1, task_elements / inner));
  parts = rows > 1 ? 1 : ceil_div(inner, task_elements);
  length = parts == 1 ? inner : task_elements;
  count = ceil_div(total_rows, rows) * parts;
}

}  // namespace cnncore
