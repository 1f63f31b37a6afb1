// SPDX-License-Identifier: Apache-2.0
#include "ops/window.h"

#include "core/error.h"
#include "core/tensor.h"

namespace cnncore {

Spatial Window::extents(const Spatial& input) const {
  Spatial result{};
  for (std::size_t a = 0; a < 3; ++a) result[a] = (padded(input, a) - reach(a)) / stride[a] + 1;
  return result;
}

Spatial spatial_setting(const Attrs& attrs, const std::string& name, std::size_t rank, std::int64_t least,
                        const Spatial& missing, std::int64_t largest) {
  if (!attrs.has(name)) return missing;
  const auto& values = attrs.integers(name);
  require(values.size() == rank, name, ": expected ", rank, " numbers, got ", values.size());
  Spatial result{least, least, least};
  const auto first = static_cast<std::size_t>(first_axis(static_cast<int>(rank)));
  for (std::size_t i = 0; i < rank; ++i) {
    require(values[i] >= least && values[i] <= largest, name, ": expected numbers from ", least, " to ",
            largest, ", got ", shape_text(values));
    result[first + i] = values[i];
  }
  return result;
}

}  // namespace cnncore
