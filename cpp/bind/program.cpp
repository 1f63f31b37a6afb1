// SPDX-License-Identifier: Apache-2.0
#include "program/program.h"

#include <optional>

#include "bind/bind.h"
#include "bind/exchange.h"
#include "bind/unlocked.h"
#include "core/error.h"
#include "core/parallel.h"
#include "ops/pixel_pitch.h"

namespace cnncore {
namespace {

/// A Program together with the Python objects whose memory it uses.
class PyProgram {
 public:
  int add_value(const std::vector<std::int64_t>& shape, const std::string& dtype, const std::string& layout,
                std::int64_t pitch) {
    const TensorDesc dense = desc_from_python(shape, dtype, layout);
    return program_.add_value(pitch == 0 ? dense : with_pixel_pitch(dense, pitch));
  }

  int add_step(const std::string& op, const std::vector<int>& inputs, const std::vector<int>& outputs,
               std::map<std::string, AttrValue> attrs, bool setup, const std::string& label) {
    return program_.add_step(op, inputs, outputs, Attrs(std::move(attrs)), setup, label);
  }

  py::dict step_info(int index) const {
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

  void bind(int value, py::array array, bool writable) {
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

  py::list run(const py::sequence& arrays) {
    Call call(program_, arrays);
    {
      const ThreadSnapshot threads(context_threads());
      const Unlocked unlocked;
      program_.run(call.context(), call.inputs.data(), call.outputs.data());
    }
    if (exchange_ != nullptr) exchange_->rethrow();
    return std::move(call.results);
  }

  py::tuple measure(const py::sequence& arrays, int repeats) {
    require(repeats > 0, "expected at least one repeat, got ", repeats);
    std::vector<double> seconds(static_cast<std::size_t>(program_.step_count()), 0.0);
    Call call(program_, arrays);
    {
      const ThreadSnapshot threads(context_threads());
      const Unlocked unlocked;
      program_.measure(call.context(), call.inputs.data(), call.outputs.data(), repeats, seconds.data());
    }
    if (exchange_ != nullptr) exchange_->rethrow();
    return py::make_tuple(std::move(call.results), seconds);
  }

  void set_exchange(py::function function) {
    exchange_ = std::make_shared<PyExchange>(std::move(function));
    program_.set_exchange(exchange_);
  }

  Program& program() { return program_; }

 private:
  /// A context that returns to the program's idle list whatever happens.
  class Lease {
   public:
    explicit Lease(Program& program) : program_(program), context_(program.acquire()) {}
    ~Lease() { program_.release(std::move(context_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    RunContext& operator*() { return *context_; }

   private:
    Program& program_;
    std::unique_ptr<RunContext> context_;
  };

  /// The memory of one run: a lease of a context, the inputs where they lie or staged, new outputs.
  class Call {
   public:
    Call(Program& program, const py::sequence& arrays) : lease_(program) {
      const auto& values = program.inputs();
      require(arrays.size() == values.size(), "expected ", values.size(), " input arrays, got ",
              arrays.size());
      held_.resize(values.size());
      inputs.resize(values.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::string what = values.size() == 1 ? "input" : "input " + std::to_string(i);
        held_[i] = array_from_python(py::object(arrays[i]), what);
        const TensorDesc& desc = program.desc(values[i]);
        void* memory = direct_memory(held_[i], desc, what);
        if (memory == nullptr) {
          memory = program.staging(*lease_, i);
          convert_input(held_[i], desc, what, memory);
        }
        inputs[i] = memory;
      }
      results = py::list(program.outputs().size());
      outputs.resize(program.outputs().size());
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        py::array array = new_array(program.desc(program.outputs()[i]));
        outputs[i] = array.mutable_data();
        results[i] = std::move(array);
      }
    }
    RunContext& context() { return *lease_; }

    std::vector<void*> inputs;
    std::vector<void*> outputs;
    py::list results;

   private:
    Lease lease_;
    std::vector<py::array> held_;
  };

  Program program_;
  std::map<int, py::array> bound_;
  std::shared_ptr<PyExchange> exchange_;
};

}  // namespace

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
