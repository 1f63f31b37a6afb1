// SPDX-License-Identifier: Apache-2.0
#include "isa/convert.h"

#include <array>

#include "isa/kernel_table.h"
#include "ops/copy.h"

namespace cnncore {
namespace {

using Row = std::array<Convert, kDTypes.size()>;

/// In the order of DType; to float32, and from it to booleans, the kernels have faster ones.
template <class From>
constexpr Row conversions_from() {
  return {nullptr,
          convert<From, std::int32_t, false>,
          convert<From, std::int64_t, false>,
          convert<From, std::uint8_t, false>,
          convert<From, double, false>,
          convert<From, std::int8_t, false>,
          convert<From, Boolean, false>,
          nullptr,
          nullptr};
}

// In the order of SourceType.
constexpr std::array<Row, CopyKernels::kSources> kConversions = {conversions_from<Half>(),
                                                                 conversions_from<float>(),
                                                                 conversions_from<double>(),
                                                                 conversions_from<std::int8_t>(),
                                                                 conversions_from<std::int16_t>(),
                                                                 conversions_from<std::int32_t>(),
                                                                 conversions_from<std::int64_t>(),
                                                                 conversions_from<std::uint8_t>(),
                                                                 conversions_from<std::uint16_t>(),
                                                                 conversions_from<std::uint32_t>(),
                                                                 conversions_from<std::uint64_t>(),
                                                                 conversions_from<Boolean>(),
                                                                 Row{}};

}  // namespace

Convert conversion(SourceType from, DType to) {
  const auto source = static_cast<std::size_t>(from);
  if (from == SourceType::f32 && to == DType::boolean) return kernels().copy.float_to_boolean;
  return to == DType::f32 ? kernels().copy.to_float[source]
                          : kConversions[source][static_cast<std::size_t>(to)];
}

}  // namespace cnncore
