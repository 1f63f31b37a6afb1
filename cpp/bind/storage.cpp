// SPDX-License-Identifier: Apache-2.0
#include "program/storage.h"

#include <cstring>

#include "bind/bind.h"
#include "core/error.h"
#include "program/random_state.h"

namespace cnncore {
namespace {

using Storages = std::vector<std::shared_ptr<Storage>>;

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
  const py::gil_scoped_release released;
  const auto targets = targets_of(storages, false);
  const Access access(targets);
  for (std::size_t i = 0; i < storages.size(); ++i)
    std::memcpy(memory[i], storages[i]->data(), storages[i]->desc().bytes());
  return copies;
}

void write(const Storages& storages, const std::vector<py::array>& arrays) {
  require(storages.size() == arrays.size(), "expected ", storages.size(), " arrays, got ", arrays.size());
  std::vector<const void*> memory;
  for (std::size_t i = 0; i < storages.size(); ++i) {
    memory.push_back(direct_memory(arrays[i], storages[i]->desc(), "array"));
    require(memory.back() != nullptr, "array ", i, ": expected dense ", name_of(storages[i]->desc().dtype));
  }
  const py::gil_scoped_release released;
  const auto targets = targets_of(storages, true);
  const Access access(targets);
  for (std::size_t i = 0; i < storages.size(); ++i)
    std::memcpy(storages[i]->data(), memory[i], storages[i]->desc().bytes());
}

void write_part(const std::shared_ptr<Storage>& storage, std::int64_t start, const py::array& array) {
  const std::int64_t count = array.size();
  const void* memory = direct_memory(array, dense_desc(storage->desc().dtype, &count, 1, false), "array");
  require(memory != nullptr, "expected a dense array of ", name_of(storage->desc().dtype));
  require(start >= 0 && count <= storage->desc().numel() - start, "expected at most ",
          storage->desc().numel(), " elements, got ", count, " from element ", start, " on");
  const py::gil_scoped_release released;
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
  const py::gil_scoped_release released;
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
  const py::gil_scoped_release released;
  const std::vector<Access::Target> targets{{storage.get(), false}};
  const Access access(targets);
  std::int64_t value = 0;
  std::memcpy(&value, storage->data(), sizeof value);
  return value;
}

std::shared_ptr<Storage> make(const py::array& array) {
  auto storage = std::make_shared<Storage>(dense_like(array));
  write({storage}, {array});
  return storage;
}

std::vector<std::shared_ptr<Snapshot>> snapshots(const Storages& storages) {
  const py::gil_scoped_release released;
  const auto targets = targets_of(storages, false);
  const Access access(targets);
  std::vector<std::shared_ptr<Snapshot>> taken;
  for (const auto& storage : storages) taken.push_back(storage->snapshot());
  return taken;
}

py::array read_snapshot(const Snapshot& snapshot) {
  py::array copy = new_array(snapshot.desc());
  void* memory = copy.mutable_data();
  const py::gil_scoped_release released;
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
      .def(
          "write",
          [](const std::shared_ptr<Storage>& self, const py::array& array) { write({self}, {array}); },
          py::arg("array"))
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
  module.def("write_storages", &write, py::arg("storages"), py::arg("arrays"), "Changes all at one moment.");
  module.def("write_numbers", &write_numbers, py::arg("storages"), py::arg("numbers"),
             "Changes int64 storages at one moment to the float64 bit patterns of a tuple each.");
  module.def("take_snapshots", &snapshots, py::arg("storages"), "A snapshot of each, of one moment.");
  module.def("random_state", [] { return as_pair(random_state()); });
  module.def(
      "set_random_state", [](std::int64_t seed, std::int64_t step) { set_random_state({seed, step}); },
      py::arg("seed"), py::arg("step"));
}

}  // namespace cnncore
