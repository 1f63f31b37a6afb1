// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <limits>

#include "core/error.h"
#include "ops/reduce.h"

namespace cnncore {

ReduceAxes::ReduceAxes(const StepSpec& spec) {
  const TensorDesc& x = spec.input(0);
  const TensorDesc& y = spec.output(0);
  std::array<bool, kMaxRank> goes{};
  if (!spec.attrs.has("axes")) goes.fill(true);
  const int listed = spec.attrs.has("axes") ? static_cast<int>(spec.attrs.integers("axes").size()) : x.rank;
  for (int i = 0; spec.attrs.has("axes") && i < listed; ++i) {
    std::int64_t axis = spec.attrs.integers("axes")[static_cast<std::size_t>(i)];
    if (axis < 0) axis += x.rank;
    require(axis >= 0 && axis < x.rank, "reduce: axis ", axis, " does not exist in ", x.shape_text());
    require(!goes[static_cast<std::size_t>(axis)], "reduce: axis ", axis, " is listed twice");
    goes[static_cast<std::size_t>(axis)] = true;
  }
  const bool keeps_rank = y.rank == x.rank;
  require(keeps_rank || y.rank == x.rank - listed, "reduce: ", x.shape_text(), " over ", listed,
          " axes does not give ", y.shape_text());
  int y_axis = 0;
  for (int i = 0; i < x.rank; ++i) {
    if (goes[static_cast<std::size_t>(i)]) {
      const auto position = static_cast<std::size_t>(reduced++);
      reduced_shape[position] = x.dim(i);
      reduced_x[position] = x.step(i);
      require(!keeps_rank || y.dim(i) == 1, "reduce: axis ", i, " of the result should have extent 1");
      y_axis += keeps_rank ? 1 : 0;
    } else {
      const auto position = static_cast<std::size_t>(kept++);
      require(y.dim(y_axis) == x.dim(i), "reduce: ", x.shape_text(), " does not reduce to ", y.shape_text());
      kept_shape[position] = x.dim(i);
      kept_x[position] = x.step(i);
      kept_y[position] = y.step(y_axis++);
    }
  }
}

bool ReduceAxes::columns_are_nearer() const {
  const auto nearest = [](const auto& shape, const auto& strides, int count) {
    std::int64_t best = std::numeric_limits<std::int64_t>::max();
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      if (shape[i] != 1) best = std::min(best, std::abs(strides[i]));
    }
    return best;
  };
  return nearest(kept_shape, kept_x, kept) < nearest(reduced_shape, reduced_x, reduced);
}

}  // namespace cnncore
