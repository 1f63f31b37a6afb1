// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/tensor.h"
#include "isa/copy.h"
#include "ops/reduce.h"
#include "program/step.h"

namespace cnncore {

/// Rows of integers or booleans of one type, read and written as int64.
class IntegerRows {
 public:
  static constexpr std::int64_t kBlock = 512;
  using Block = std::array<std::int64_t, kBlock>;

  IntegerRows() = default;
  /// Throws, naming `what`, for a dtype that is neither.
  IntegerRows(DType dtype, const char* what);

  /// n <= kBlock elements, `step` elements apart, the first of which is `base[offset]`: where they lie if
  /// they are consecutive int64, else in `block`.
  const std::int64_t* read(const void* base, std::int64_t offset, std::int64_t step, std::int64_t n,
                           Block& block) const;
  /// Where n results may be written: in their place, or in `block`, from which `write` takes them.
  std::int64_t* target(void* base, std::int64_t offset, std::int64_t step, Block& block) const;
  void write(const std::int64_t* values, void* base, std::int64_t offset, std::int64_t step,
             std::int64_t n) const;

 private:
  DType dtype_ = DType::i64;
  std::int64_t size_ = 8;
  Convert widen_ = nullptr;
  Convert narrow_ = nullptr;
};

/// Step `elementwise` where values are integers or booleans.
std::unique_ptr<Step> make_integer_elementwise(const StepSpec& spec);
/// Step `reduce` of integers and booleans to int64: sum, prod.
std::unique_ptr<Step> make_integer_reduce(const StepSpec& spec, const ReduceAxes& axes);

}  // namespace cnncore
