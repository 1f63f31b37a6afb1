// SPDX-License-Identifier: Apache-2.0
// Steps `copy` and `fill`.
//
// copy [x] -> [y]: without attributes, x and y have one shape and their own strides. With attributes
// `shape`, `input_strides`, `output_strides` (lists), `input_offset`, `output_offset` (all in elements, any
// sign) it copies that window and leaves the rest of y alone: slices, concatenation, padding, flips,
// permutations. The dtypes may differ. fill [] -> [y]: attribute `value`, into all of y, which has no gaps.
#include "ops/copy.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/loop_nest.h"
#include "ops/registry.h"
#include "ops/strided_copy.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

ByteStrides in_bytes(const std::int64_t* strides, int rank, std::size_t size) {
  ByteStrides bytes{};
  for (int i = 0; i < rank; ++i)
    bytes[static_cast<std::size_t>(i)] = strides[i] * static_cast<std::int64_t>(size);
  return bytes;
}

class Copy final : public Step {
 public:
  Copy(const StridedCopy& copy, std::int64_t input_offset, std::int64_t output_offset)
      : copy_(copy), input_offset_(input_offset), output_offset_(output_offset) {}

  void run(const StepArgs& args) const override {
    copy_.run(args.input<std::byte>(0) + input_offset_, args.output<std::byte>(0) + output_offset_);
  }
  std::string algorithm() const override { return copy_.way(); }

 private:
  StridedCopy copy_;
  std::int64_t input_offset_;  // bytes
  std::int64_t output_offset_;
};

/// Elements a dense value has room for.
void require_window_inside(const char* which, const TensorDesc& desc, const std::vector<std::int64_t>& shape,
                           const std::vector<std::int64_t>& strides, std::int64_t offset) {
  std::int64_t lowest = offset;
  std::int64_t highest = offset;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    require(shape[i] >= 0, "copy: expected extents of 0 or more, got ", shape[i]);
    if (shape[i] == 0) return;
    const std::int64_t reach = strides[i] * (shape[i] - 1);
    (reach < 0 ? lowest : highest) += reach;
  }
  require(lowest >= 0 && highest < desc.numel(), "copy: the window of the ", which, " reaches elements ",
          lowest, " to ", highest, " of ", desc.numel());
}

std::unique_ptr<Step> make_window_copy(const StepSpec& spec) {
  const TensorDesc& x = spec.input(0);
  const TensorDesc& y = spec.output(0);
  const auto& shape = spec.attrs.integers("shape");
  const auto& input_strides = spec.attrs.integers("input_strides");
  const auto& output_strides = spec.attrs.integers("output_strides");
  const std::int64_t input_offset = spec.attrs.integer("input_offset", 0);
  const std::int64_t output_offset = spec.attrs.integer("output_offset", 0);
  require(shape.size() <= kMaxRank && input_strides.size() == shape.size() &&
              output_strides.size() == shape.size(),
          "copy: expected shape, input_strides and output_strides of one length, at most ", kMaxRank);
  require_window_inside("input", x, shape, input_strides, input_offset);
  require_window_inside("output", y, shape, output_strides, output_offset);
  const int rank = static_cast<int>(shape.size());
  const StridedCopy copy(shape.data(), rank, source_of(x.dtype),
                         in_bytes(input_strides.data(), rank, item_size(x.dtype)), y.dtype,
                         in_bytes(output_strides.data(), rank, item_size(y.dtype)));
  return std::make_unique<Copy>(copy, input_offset * static_cast<std::int64_t>(item_size(x.dtype)),
                                output_offset * static_cast<std::int64_t>(item_size(y.dtype)));
}

class Fill final : public Step {
 public:
  Fill(const TensorDesc& y, double value) : numel_(y.numel()), size_(item_size(y.dtype)) {
    set_value(y.dtype, value);
  }

  void run(const StepArgs& args) const override {
    const std::int64_t chunk = machine().task_elements;
    std::byte* y = args.output<std::byte>(0);
    parallel_for(ceil_div(numel_, chunk), static_cast<double>(numel_) / kernels().width,
                 [&](std::int64_t task, int) {
                   const std::int64_t begin = task * chunk;
                   kernels().copy.fill(std::min(chunk, numel_ - begin), size_, value_.data(),
                                       y + begin * static_cast<std::int64_t>(size_));
                 });
  }

 private:
  void set_value(DType dtype, double value) {
    switch (dtype) {
      case DType::f32:
        return keep(static_cast<float>(value));
      case DType::f64:
        return keep(value);
      case DType::i32:
        return keep(static_cast<std::int32_t>(value));
      case DType::i64:
        return keep(static_cast<std::int64_t>(value));
      case DType::u8:
        return keep(static_cast<std::uint8_t>(value));
      case DType::i8:
        return keep(static_cast<std::int8_t>(value));
      case DType::boolean:
        return keep(static_cast<std::uint8_t>(value != 0.0));
      case DType::bf16:
      case DType::f16:
        fail("fill: there are no ", name_of(dtype), " values");
    }
  }
  template <class T>
  void keep(T value) {
    std::memcpy(value_.data(), &value, sizeof value);
  }

  std::int64_t numel_;
  std::size_t size_;
  std::array<std::byte, 8> value_{};
};

std::unique_ptr<Step> make_fill(const StepSpec& spec) {
  const TensorDesc& y = spec.output(0);
  require(y.is_contiguous() || y.is_channels_last(), "fill: expected a result without gaps");
  return std::make_unique<Fill>(y, spec.attrs.real("value"));
}

}  // namespace

void convert_strided(const void* src, SourceType type, const std::int64_t* shape,
                     const std::int64_t* byte_strides, int rank, const TensorDesc& dst_desc, void* dst) {
  ByteStrides from{};
  std::copy(byte_strides, byte_strides + rank, from.begin());
  const StridedCopy copy(shape, rank, type, from, dst_desc.dtype,
                         in_bytes(dst_desc.stride.data(), rank, item_size(dst_desc.dtype)));
  copy.run(static_cast<const std::byte*>(src), static_cast<std::byte*>(dst));
}

std::unique_ptr<Step> make_copy(const StepSpec& spec) {
  if (spec.attrs.has("shape")) return make_window_copy(spec);
  const TensorDesc& x = spec.input(0);
  const TensorDesc& y = spec.output(0);
  require(x.same_shape(y), "copy: expected equal shapes, got ", x.shape_text(), " and ", y.shape_text());
  const StridedCopy copy(y.shape.data(), y.rank, source_of(x.dtype),
                         in_bytes(x.stride.data(), x.rank, item_size(x.dtype)), y.dtype,
                         in_bytes(y.stride.data(), y.rank, item_size(y.dtype)));
  return std::make_unique<Copy>(copy, 0, 0);
}

void register_copy(StepRegistry& registry) {
  registry.add("copy", make_copy);
  registry.add("fill", make_fill);
}

}  // namespace cnncore
