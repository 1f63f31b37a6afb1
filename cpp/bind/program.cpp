// SPDX-License-Identifier: Apache-2.0
#include "bind/program.h"

#include <optional>

#include "bind/unlocked.h"
#include "core/error.h"
#include "core/parallel.h"
#include "ops/pixel_pitch.h"

namespace cnncore {

int PyProgram::add_value(const std::vector<std::int64_t>& shape, const std::string& dtype,
                         const std::string& layout, std::int64_t pitch) {
  const TensorDesc dense = desc_from_python(shape, dtype, layout);
  return program_.add_value(pitch == 0 ? dense : with_pixel_pitch(dense, pitch));
}

int PyProgram::add_step(const std::string& op, const std::vector<int>& inputs,
                        const std::vector<int>& outputs, std::map<std::string, AttrValue> attrs, bool setup,
                        const std::string& label) {
  return program_.add_step(op, inputs, outputs, Attrs(std::move(attrs)), setup, label);
}

py::dict PyProgram::step_info(int index) const {
  const auto& entry = program_.step(index);
  py::dict info;
  info["op"] = entry.op;
  info["label"] = entry.label;
  info["setup"] = entry.setup;
  info["algorithm"] = entry.step->algorithm();
  info["workspace"] = entry.step->workspace_bytes();
  info["scratch"] = entry.step->scratch_bytes();
  info["tables"] = entry.step->table_bytes();
  info["flops"] = entry.step->flops() * static_cast<double>(entry.portions);
  info["bytes"] = entry.bytes * static_cast<double>(entry.portions);
  return info;
}

void PyProgram::bind(int value, py::array array, bool writable) {
  const TensorDesc& desc = program_.desc(value);
  void* memory = direct_memory(array, desc, "bound array");
  require(memory != nullptr, "bound array: expected dense ", name_of(desc.dtype),
          " memory in the value's layout");
  require(!writable || array.writeable(), "bound array: expected a writable array");
  {
    const Unlocked unlocked;  // runs in other threads may have to end first
    program_.bind(value, memory, writable);
  }
  bound_[value] = std::move(array);
}

void PyProgram::set_exchange(py::function function) {
  exchange_ = std::make_shared<PyExchange>(std::move(function));
  program_.set_exchange(exchange_);
}

void bind_program(py::module_& module) {
  py::class_<PyProgram>(module, "Program")
      .def(py::init<>())
      .def("add_value", &PyProgram::add_value, py::arg("shape"), py::arg("dtype") = "float32",
           py::arg("layout") = "channels_last", py::arg("pitch") = 0,
           "`pitch`: floats from pixel to pixel, where they are more than the channels.")
      .def("add_step", &PyProgram::add_step, py::arg("op"), py::arg("inputs"), py::arg("outputs"),
           py::arg("attrs"), py::arg("setup") = false, py::arg("label") = "")
      .def("step_info", &PyProgram::step_info, py::arg("step"))
      .def(
          "place",
          [](PyProgram& self, int value, const std::string& storage, std::size_t offset) {
            self.program().place(value, storage, offset);
          },
          py::arg("value"), py::arg("storage"), py::arg("offset"))
      .def(
          "alias",
          [](PyProgram& self, int value, int base, std::size_t offset, std::size_t advance) {
            self.program().alias(value, base, offset, advance);
          },
          py::arg("value"), py::arg("base"), py::arg("offset") = 0, py::arg("advance") = 0)
      .def(
          "repeat",
          [](PyProgram& self, int first, int last, int portions) {
            self.program().repeat(first, last, portions);
          },
          py::arg("first"), py::arg("last"), py::arg("portions"))
      .def(
          "place_workspace",
          [](PyProgram& self, int step, std::size_t offset) { self.program().place_workspace(step, offset); },
          py::arg("step"), py::arg("offset"))
      .def(
          "set_inputs", [](PyProgram& self, const std::vector<int>& ids) { self.program().set_inputs(ids); },
          py::arg("values"))
      .def(
          "set_outputs",
          [](PyProgram& self, const std::vector<int>& ids) { self.program().set_outputs(ids); },
          py::arg("values"))
      .def(
          "set_guards", [](PyProgram& self, const std::vector<int>& ids) { self.program().set_guards(ids); },
          py::arg("values"))
      .def("bind", &PyProgram::bind, py::arg("value"), py::arg("array"), py::arg("writable") = false)
      .def(
          "bind_storage",
          [](PyProgram& self, int value, std::shared_ptr<Storage> storage, bool writable) {
            self.program().bind_storage(value, std::move(storage), writable);
          },
          py::arg("value"), py::arg("storage"), py::arg("writable"))
      .def(
          "bind_snapshot",
          [](PyProgram& self, int value, std::shared_ptr<Snapshot> snapshot) {
            const Unlocked unlocked;  // the snapshot may be waiting for runs to end
            self.program().bind_snapshot(value, std::move(snapshot));
          },
          py::arg("value"), py::arg("snapshot"))
      .def("set_exchange", &PyProgram::set_exchange, py::arg("function"),
           "A function (what, number, first, second) by which steps reach other processes.")
      .def("set_random_stream",
           [](PyProgram& self, std::int64_t stream) { self.program().set_random_stream(stream); })
      .def("bind_random", [](PyProgram& self, int value) { self.program().bind_random(value); })
      .def("count", [](PyProgram& self,
                       std::shared_ptr<Storage> storage) { self.program().count(std::move(storage)); })
      .def(
          "finish",
          [](PyProgram& self, std::size_t arena, std::size_t persistent, std::optional<std::size_t> setup) {
            self.program().finish(arena, persistent, setup.value_or(arena));
          },
          py::arg("arena_bytes"), py::arg("persistent_bytes") = 0, py::arg("setup_bytes") = py::none())
      .def("setup",
           [](PyProgram& self) {
             const ThreadSnapshot threads(context_threads());
             const Unlocked unlocked;
             self.program().setup();
           })
      .def("run", &PyProgram::run, py::arg("arrays"))
      .def("measure", &PyProgram::measure, py::arg("arrays"), py::arg("repeats"),
           "The outputs of the last of so many runs, and each step's least seconds.")
      .def_property_readonly("staged_bytes", [](PyProgram& self) { return self.program().staged_bytes(); })
      .def_property_readonly("scratch_bytes_per_thread",
                             [](PyProgram& self) { return self.program().scratch_bytes_per_thread(); });
}

}  // namespace cnncore
