// SPDX-License-Identifier: Apache-2.0
#include "program/storage.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "bind/bind.h"
#include "bind/unlocked.h"
#include "core/error.h"
#include "program/random_state.h"

namespace cnncore {
namespace {

using Storages = std::vector<std::shared_ptr<Storage>>;
using DictUpdate = std::pair<py::dict, py::dict>;

TensorDesc dense_like(const py::array& array) {
  const std::vector<std::int64_t> shape(array.shape(), array.shape() + array.ndim());
  return desc_from_python(shape, py::str(array.dtype().attr("name")).cast<std::string>(), "c");
}

std::vector<Access::Target> targets_of(const Storages& storages, bool write) {
  std::vector<Access::Target> targets;
  for (const auto& storage : storages) targets.push_back({storage.get(), write});
  return Access::ordered(std::move(targets));
}

std::vector<py::array> read(const Storages& storages) {
  std::vector<py::array> copies;
  std::vector<void*> memory;
  for (const auto& storage : storages) {
    copies.push_back(new_array(storage->desc()));
    memory.push_back(copies.back().mutable_data());
  }
  const Unlocked unlocked;
  const auto targets = targets_of(storages, false);
  const Access access(targets);
  for (std::size_t i = 0; i < storages.size(); ++i)
    std::memcpy(memory[i], storages[i]->data(), storages[i]->desc().bytes());
  return copies;
}

/// Where the contents of a storage come from: memory, or the bytes of a file from `offset` on.
struct Source {
  const void* memory = nullptr;
  int file = -1;
  std::int64_t offset = 0;
};

Source source_of(const py::handle& object, std::size_t i, const TensorDesc& desc) {
  if (py::isinstance<py::tuple>(object)) {
    const auto [file, offset] = object.cast<std::pair<int, std::int64_t>>();
    return {nullptr, file, offset};
  }
  const auto array = py::array::ensure(object);
  require(bool(array), "array ", i, ": expected an array");
  const void* memory = direct_memory(array, desc, "array");
  require(memory != nullptr, "array ", i, ": expected dense ", name_of(desc.dtype));
  return {memory, -1, 0};
}

/// Returns 0 or an error number.
int read_file(const Source& source, const Storage& storage) {
  std::byte* next = storage.data();
  std::int64_t offset = source.offset;
  for (std::size_t left = storage.desc().bytes(); left != 0;) {
    const ssize_t count = pread(source.file, next, left, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count < 0 ? errno : EIO;
    next += count;
    offset += count;
    left -= static_cast<std::size_t>(count);
  }
  return 0;
}

/// Files first: when one cannot be read, storages with other sources have not changed.
int write_all(const Storages& storages, const std::vector<Source>& sources) {
  const Unlocked unlocked;
  const auto targets = targets_of(storages, true);
  const Access access(targets);
  for (std::size_t i = 0; i < storages.size(); ++i) {
    const int error = sources[i].file < 0 ? 0 : read_file(sources[i], *storages[i]);
    if (error != 0) return error;
  }
  for (std::size_t i = 0; i < storages.size(); ++i) {
    if (sources[i].file < 0) std::memcpy(storages[i]->data(), sources[i].memory, storages[i]->desc().bytes());
  }
  return 0;
}

void write(const Storages& storages, const py::list& contents, const std::vector<DictUpdate>& updates) {
  require(storages.size() == contents.size(), "expected ", storages.size(), " arrays, got ", contents.size());
  std::vector<Source> sources;
  for (std::size_t i = 0; i < storages.size(); ++i)
    sources.push_back(source_of(contents[i], i, storages[i]->desc()));
  const int error = write_all(storages, sources);
  if (error != 0) {
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    throw py::error_already_set();
  }
  for (const auto& [dict, entries] : updates) {
    if (PyDict_Update(dict.ptr(), entries.ptr()) != 0) throw py::error_already_set();
  }
}

void write_one(const std::shared_ptr<Storage>& storage, const py::array& array) {
  const void* memory = direct_memory(array, storage->desc(), "array");
  require(memory != nullptr, "expected a dense array of ", name_of(storage->desc().dtype));
  write_all({storage}, {{memory, -1, 0}});
}

void write_part(const std::shared_ptr<Storage>& storage, std::int64_t start, const py::array& array) {
  const std::int64_t count = array.size();
  const void* memory = direct_memory(array, dense_desc(storage->desc().dtype, &count, 1, false), "array");
  require(memory != nullptr, "expected a dense array of ", name_of(storage->desc().dtype));
  require(start >= 0 && count <= storage->desc().numel() - start, "expected at most ",
          storage->desc().numel(), " elements, got ", count, " from element ", start, " on");
  const Unlocked unlocked;
  const auto targets = targets_of({storage}, true);
  const Access access(targets);
  const std::size_t item = item_size(storage->desc().dtype);
  std::memcpy(storage->data() + static_cast<std::size_t>(start) * item, memory,
              static_cast<std::size_t>(count) * item);
}

/// `numbers`: of each storage, whose elements become their float64 bit patterns.
void write_numbers(const Storages& storages, const std::vector<py::tuple>& numbers) {
  require(storages.size() == numbers.size(), "expected ", storages.size(), " tuples, got ", numbers.size());
  std::vector<double> values;
  for (std::size_t i = 0; i < storages.size(); ++i) {
    const TensorDesc& desc = storages[i]->desc();
    require(desc.dtype == DType::i64 && desc.numel() == static_cast<std::int64_t>(numbers[i].size()),
            "tuple ", i, ": expected ", desc.numel(), " numbers for int64, got ", numbers[i].size());
    for (const py::handle number : numbers[i]) values.push_back(number.cast<double>());
  }
  const Unlocked unlocked;
  const auto targets = targets_of(storages, true);
  const Access access(targets);
  const double* next = values.data();
  for (const auto& storage : storages) {
    std::memcpy(storage->data(), next, storage->desc().bytes());
    next += storage->desc().numel();
  }
}

std::int64_t item(const std::shared_ptr<Storage>& storage) {
  require(storage->desc().dtype == DType::i64 && storage->desc().numel() == 1, "expected an int64 scalar");
  const Unlocked unlocked;
  const std::vector<Access::Target> targets{{storage.get(), false}};
  const Access access(targets);
  std::int64_t value = 0;
  std::memcpy(&value, storage->data(), sizeof value);
  return value;
}

std::shared_ptr<Storage> make(const py::array& array) {
  auto storage = std::make_shared<Storage>(dense_like(array));
  write_one(storage, array);
  return storage;
}

std::vector<std::shared_ptr<Snapshot>> snapshots(const Storages& storages) {
  const Unlocked unlocked;
  const auto targets = targets_of(storages, false);
  const Access access(targets);
  std::vector<std::shared_ptr<Snapshot>> taken;
  for (const auto& storage : storages) taken.push_back(storage->snapshot());
  return taken;
}

py::array read_snapshot(const Snapshot& snapshot) {
  py::array copy = new_array(snapshot.desc());
  void* memory = copy.mutable_data();
  const Unlocked unlocked;
  snapshot.read(memory);
  return copy;
}

py::tuple shape_of(const TensorDesc& desc) {
  py::tuple shape(desc.rank);
  for (int i = 0; i < desc.rank; ++i) shape[static_cast<std::size_t>(i)] = desc.dim(i);
  return shape;
}

py::buffer_info read_only(Storage& storage) {
  const TensorDesc& desc = storage.desc();
  const auto item = static_cast<py::ssize_t>(item_size(desc.dtype));
  std::vector<py::ssize_t> shape, strides;
  for (int i = 0; i < desc.rank; ++i) {
    shape.push_back(desc.dim(i));
    strides.push_back(desc.step(i) * item);
  }
  const std::string format = py::str(py::dtype(name_of(desc.dtype)).attr("char")).cast<std::string>();
  return py::buffer_info(storage.data(), item, format, desc.rank, shape, strides, true);
}

py::tuple as_pair(RandomState state) { return py::make_tuple(state.seed, state.step); }

}  // namespace

void bind_storage(py::module_& module) {
  py::class_<Storage, std::shared_ptr<Storage>>(
      module, "Storage", py::buffer_protocol(),
      "Memory of a parameter, which only write() and programs change.")
      .def(py::init(&make), py::arg("array"), "A copy of a C-order array.")
      .def_buffer(&read_only)
      .def_property_readonly("shape", [](const Storage& self) { return shape_of(self.desc()); })
      .def_property_readonly("dtype",
                             [](const Storage& self) { return py::dtype(name_of(self.desc().dtype)); })
      .def_property_readonly("nbytes", [](const Storage& self) { return self.desc().bytes(); })
      .def_property_readonly("version", &Storage::version)
      .def("read", [](const std::shared_ptr<Storage>& self) { return read({self}).front(); })
      .def("item", &item, "The element of an int64 scalar.")
      .def("write", &write_one, py::arg("array"))
      .def("write_part", &write_part, py::arg("start"), py::arg("array"),
           "Changes elements from `start` on, in C order, to those of a flat array.")
      .def(py::pickle([](const std::shared_ptr<Storage>& self) { return read({self}).front(); }, &make));
  py::class_<Snapshot, std::shared_ptr<Snapshot>>(module, "Snapshot")
      .def_property_readonly("shape", [](const Snapshot& self) { return shape_of(self.desc()); })
      .def_property_readonly("dtype",
                             [](const Snapshot& self) { return py::dtype(name_of(self.desc().dtype)); })
      .def_property_readonly("shared", &Snapshot::shared)
      .def("read", &read_snapshot);
  module.def("read_storages", &read, py::arg("storages"), "Copies of all, of one moment.");
  module.def("write_storages", &write, py::arg("storages"), py::arg("contents"),
             py::arg("updates") = py::tuple(),
             "Changes all at one moment to an array each, or to what a file has: (descriptor, offset). Then "
             "updates dicts by others, (dict, entries) each, in the same call.");
  module.def("write_numbers", &write_numbers, py::arg("storages"), py::arg("numbers"),
             "Changes int64 storages at one moment to the float64 bit patterns of a tuple each.");
  module.def("take_snapshots", &snapshots, py::arg("storages"), "A snapshot of each, of one moment.");
  module.def("random_state", [] { return as_pair(random_state()); });
  module.def(
      "set_random_state", [](std::int64_t seed, std::int64_t step) { set_random_state({seed, step}); },
      py::arg("seed"), py::arg("step"));
}

}  // namespace cnncore
