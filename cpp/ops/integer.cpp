// SPDX-License-Identifier: Apache-2.0
#include "ops/integer.h"

#include "core/error.h"
#include "ops/strided_copy.h"

namespace cnncore {
IntegerRows::IntegerRows(DType dtype, const char* what)
    : dtype_(dtype), size_(static_cast<std::int64_t>(item_size(dtype))) {
  require(facts_of(dtype).kind != DTypeKind::floating, what, ": expected integers or booleans, got ",
          name_of(dtype));
  widen_ = conversion(source_of(dtype), DType::i64);
  narrow_ = conversion(SourceType::i64, dtype);
}

const std::int64_t* IntegerRows::read(const void* base, std::int64_t offset, std::int64_t step,
                                      std::int64_t n, Block& block) const {
  const std::byte* src = static_cast<const std::byte*>(base) + offset * size_;
  if (dtype_ == DType::i64 && step == 1) return reinterpret_cast<const std::int64_t*>(src);
  widen_({1, n, src, 0, step * size_, reinterpret_cast<std::byte*>(block.data()), 0, 8});
  return block.data();
}

std::int64_t* IntegerRows::target(void* base, std::int64_t offset, std::int64_t step, Block& block) const {
  if (dtype_ != DType::i64 || step != 1) return block.data();
  return static_cast<std::int64_t*>(base) + offset;
}

void IntegerRows::write(const std::int64_t* values, void* base, std::int64_t offset, std::int64_t step,
                        std::int64_t n) const {
  std::byte* dst = static_cast<std::byte*>(base) + offset * size_;
  const auto* src = reinterpret_cast<const std::byte*>(values);
  if (src != dst) narrow_({1, n, src, 0, 8, dst, 0, step * size_});
}

}  // namespace cnncore
