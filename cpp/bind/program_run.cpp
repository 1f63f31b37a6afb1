// SPDX-License-Identifier: Apache-2.0
#include "bind/program.h"
#include "bind/unlocked.h"
#include "core/error.h"
#include "core/parallel.h"

namespace cnncore {
namespace {

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
    require(arrays.size() == values.size(), "expected ", values.size(), " input arrays, got ", arrays.size());
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

}  // namespace

py::list PyProgram::run(const py::sequence& arrays) {
  Call call(program_, arrays);
  {
    const ThreadSnapshot threads(context_threads());
    const Unlocked unlocked;
    program_.run(call.context(), call.inputs.data(), call.outputs.data());
  }
  if (exchange_ != nullptr) exchange_->rethrow();
  return std::move(call.results);
}

py::tuple PyProgram::measure(const py::sequence& arrays, int repeats) {
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

}  // namespace cnncore
