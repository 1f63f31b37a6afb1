// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/tensor.h"
#include "isa/copy.h"
#include "program/step.h"

namespace cnncore {

/// Element types of arrays that enter from outside; those of DType travel inside programs.
enum class SourceType : std::uint8_t { f16, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64, boolean, bf16 };

std::size_t item_size(SourceType type);

/// The loop that converts elements; null where there is none (to bfloat16 and float16).
Convert conversion(SourceType from, DType to);

/// Writes the array `src` (any type, any byte strides, negative and zero ones included) into the
/// memory `dst`, which is laid out as `dst_desc` says (same rank and extents). Floats are rounded to the
/// nearest float32, floats become integers by truncation (numbers outside the integers' range become
/// anything), what is not zero becomes a boolean 1. Throws where there is no such conversion (to bfloat16 and
/// float16). Runs in parallel. Whether a conversion should be allowed is the caller's question.
void convert_strided(const void* src, SourceType type, const std::int64_t* shape,
                     const std::int64_t* byte_strides, int rank, const TensorDesc& dst_desc, void* dst);

/// The `copy` step; `elementwise` with function "cast" is one, too.
std::unique_ptr<Step> make_copy(const StepSpec& spec);

}  // namespace cnncore
