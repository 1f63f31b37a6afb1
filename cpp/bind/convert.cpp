// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>
#include <utility>

#include "bind/bind.h"
#include "core/error.h"
#include "core/result_memory.h"
#include "ops/copy.h"
#include "ops/strided_copy.h"

namespace cnncore {
namespace {

struct SourceFormat {
  bool known = false;
  SourceType type = SourceType::f32;
};

SourceFormat source_format(const py::dtype& dtype) {
  const auto is = [&](char kind, py::ssize_t size) {
    return dtype.kind() == kind && dtype.itemsize() == size;
  };
  if (is('f', 4)) return {true, SourceType::f32};
  if (is('u', 1)) return {true, SourceType::u8};
  if (is('i', 8)) return {true, SourceType::i64};
  if (is('f', 8)) return {true, SourceType::f64};
  if (is('f', 2)) return {true, SourceType::f16};
  if (is('i', 4)) return {true, SourceType::i32};
  if (is('i', 2)) return {true, SourceType::i16};
  if (is('i', 1)) return {true, SourceType::i8};
  if (is('u', 2)) return {true, SourceType::u16};
  if (is('u', 4)) return {true, SourceType::u32};
  if (is('u', 8)) return {true, SourceType::u64};
  if (dtype.kind() == 'b') return {true, SourceType::boolean};
  return {};
}

bool is_float(SourceType type) {
  return type == SourceType::f16 || type == SourceType::f32 || type == SourceType::f64;
}

std::string shape_text(const py::array& array) {
  std::string text = "(";
  for (py::ssize_t i = 0; i < array.ndim(); ++i)
    text += (i != 0 ? ", " : "") + std::to_string(array.shape(i));
  return text + (array.ndim() == 1 ? ",)" : ")");
}

bool same_shape(const py::array& array, const TensorDesc& desc) {
  if (array.ndim() != desc.rank) return false;
  for (int i = 0; i < desc.rank; ++i) {
    if (array.shape(i) != desc.dim(i)) return false;
  }
  return true;
}

bool same_memory(const py::array& array, const TensorDesc& desc) {
  if (desc.numel() == 0) return true;
  const auto item = static_cast<std::int64_t>(item_size(desc.dtype));
  for (int i = 0; i < desc.rank; ++i) {
    if (desc.dim(i) != 1 && array.strides(i) != desc.step(i) * item) return false;
  }
  return reinterpret_cast<std::uintptr_t>(array.data()) % static_cast<std::uintptr_t>(item) == 0;
}

/// An object that owns memory for a large result and keeps it for another one in the end.
py::capsule owner_of_result(std::size_t bytes) {
  auto memory = std::make_unique<Buffer>(take_result_memory(bytes));
  py::capsule owner(memory.get(), [](void* owned) {
    const std::unique_ptr<Buffer> buffer(static_cast<Buffer*>(owned));
    keep_result_memory(std::move(*buffer));
  });
  memory.release();
  return owner;
}

}  // namespace

TensorDesc desc_from_python(const std::vector<std::int64_t>& shape, const std::string& dtype,
                            const std::string& layout) {
  require(layout == "channels_last" || layout == "c", "expected layout channels_last or c, got ", layout);
  require(shape.size() <= kMaxRank, "expected at most ", kMaxRank, " axes, got ", shape.size());
  for (const std::int64_t extent : shape) require(extent >= 0, "negative extent ", extent);
  return dense_desc(dtype_from_name(dtype), shape.data(), static_cast<int>(shape.size()),
                    layout == "channels_last");
}

py::array array_from_python(const py::object& object, const std::string& what) {
  py::array array;
  if (py::isinstance<py::array>(object)) {
    array = py::reinterpret_borrow<py::array>(object);
  } else {
    const py::module_ numpy = py::module_::import("numpy");
    const bool only_dlpack = py::hasattr(object, "__dlpack__") && !py::hasattr(object, "__array__") &&
                             !py::hasattr(object, "__array_interface__");
    array = numpy.attr(only_dlpack ? "from_dlpack" : "asarray")(object);
  }
  if (!source_format(array.dtype()).known) {
    throw py::type_error(what + ": expected an array of real numbers, got dtype " +
                         py::str(array.dtype()).cast<std::string>());
  }
  if (array.dtype().byteorder() == '>' || array.dtype().byteorder() == '<') {
    array = array.attr("astype")(array.dtype().attr("newbyteorder")("="));
  }
  return array;
}

void* direct_memory(const py::array& array, const TensorDesc& desc, const std::string& what) {
  require(same_shape(array, desc), what, ": expected shape ", desc.shape_text(), ", got ", shape_text(array));
  const SourceFormat format = source_format(array.dtype());
  const bool fits = format.known && format.type == source_of(desc.dtype) && same_memory(array, desc);
  return fits ? const_cast<void*>(array.data()) : nullptr;
}

void convert_input(const py::array& array, const TensorDesc& desc, const std::string& what, void* memory) {
  const SourceType type = source_format(array.dtype()).type;
  if (facts_of(desc.dtype).kind != DTypeKind::floating && is_float(type)) {
    throw py::type_error(what + ": expected integers (" + name_of(desc.dtype) + "), got " +
                         py::str(array.dtype()).cast<std::string>());
  }
  std::array<std::int64_t, kMaxRank> shape{}, strides{};
  for (int i = 0; i < desc.rank; ++i) {
    shape[static_cast<std::size_t>(i)] = array.shape(i);
    strides[static_cast<std::size_t>(i)] = array.strides(i);
  }
  convert_strided(array.data(), type, shape.data(), strides.data(), desc.rank, desc, memory);
}

py::array new_array(const TensorDesc& desc) {
  // Never destroyed: a library may call exit() without the interpreter lock, as MPI does when it aborts.
  static const std::vector<py::dtype>& dtypes = *[] {
    auto* known = new std::vector<py::dtype>;
    for (const DTypeFacts& facts : kDTypes)
      known->emplace_back(facts.dtype == DType::bf16 ? "V2" : facts.name);
    return known;
  }();
  require(desc.dtype != DType::bf16, "numpy has no bfloat16 arrays");
  const auto item = static_cast<py::ssize_t>(item_size(desc.dtype));
  std::array<py::ssize_t, kMaxRank> shape{}, strides{};
  for (int i = 0; i < desc.rank; ++i) {
    shape[static_cast<std::size_t>(i)] = desc.dim(i);
    strides[static_cast<std::size_t>(i)] = desc.step(i) * item;
  }
  // One flat allocation, viewed with the strides of the layout.
  auto& api = py::detail::npy_api::get();
  const py::ssize_t count = desc.numel();
  const py::dtype& dtype = dtypes[static_cast<std::size_t>(desc.dtype)];
  const auto made = [](PyObject* array) {
    if (array == nullptr) throw py::error_already_set();  // numpy has set MemoryError
    return py::reinterpret_steal<py::array>(array);
  };
  const bool large = desc.bytes() >= kLargeResult;
  if (desc.is_contiguous() && !large) {
    return made(api.PyArray_NewFromDescr_(api.PyArray_Type_, py::dtype(dtype).release().ptr(), desc.rank,
                                          shape.data(), nullptr, nullptr, 0, nullptr));
  }
  const auto view = [&](void* memory, const py::object& owner) {
    py::array array = made(api.PyArray_NewFromDescr_(api.PyArray_Type_, py::dtype(dtype).release().ptr(),
                                                     desc.rank, shape.data(), strides.data(), memory,
                                                     py::detail::npy_api::NPY_ARRAY_WRITEABLE_, nullptr));
    api.PyArray_SetBaseObject_(array.ptr(), py::object(owner).release().ptr());
    return array;
  };
  if (large) {
    const py::capsule owner = owner_of_result(desc.bytes());
    return view(owner.get_pointer<Buffer>()->data(), owner);
  }
  py::array flat = made(api.PyArray_NewFromDescr_(api.PyArray_Type_, py::dtype(dtype).release().ptr(), 1,
                                                  &count, nullptr, nullptr, 0, nullptr));
  return view(flat.mutable_data(), flat);
}

}  // namespace cnncore
