// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include "bind/bind.h"
#include "bind/unlocked.h"
#include "core/caches.h"
#include "core/cgroup.h"
#include "core/cpu_info.h"
#include "core/parallel.h"
#include "core/result_memory.h"
#include "isa/kernel_table.h"
#include "ops/registry.h"
#include "program/peak.h"

namespace cnncore {
namespace {

PyObject* thread_context = nullptr;  // a contextvars.ContextVar; lives as long as the process

py::dict cpu_info_dict() {
  const CpuInfo& cpu = cpu_info();
  py::dict info;
  info["model"] = cpu.model;
  info["logical_cores"] = cpu.logical_cores;
  info["affinity_cores"] = cpu.affinity_cores;
  info["cgroup_quota"] = cpu.cgroup_quota;
  info["l1d_bytes"] = cpu.l1d_bytes;
  info["l2_bytes"] = cpu.l2_bytes;
  info["l3_bytes"] = cpu.l3_bytes;
  info["isa"] = kernels().name;
  info["isas"] = available_isas();
  const int block = context_threads();
  const ThreadSnapshot threads(block);
  info["threads"] = num_threads();
  info["thread_source"] = block > 0 ? "threads" : thread_source();
  return info;
}

py::dict peak_dict(double seconds) {
  Peak peak;
  {
    const ThreadSnapshot threads(context_threads());
    const Unlocked unlocked;
    peak = measure_peak(seconds);
  }
  py::dict result;
  result["gflops_one_thread"] = peak.gflops_one_thread;
  result["gflops"] = peak.gflops;
  result["gbytes"] = peak.gbytes;
  return result;
}

}  // namespace

int context_threads() {
  PyObject* value = nullptr;
  if (PyContextVar_Get(thread_context, nullptr, &value) != 0) throw py::error_already_set();
  return value == nullptr ? 0 : py::reinterpret_steal<py::object>(value).cast<int>();
}

void bind_runtime(py::module_& module) {
  kernels();      // a bad CNNCORE_ISA is reported by the import
  num_threads();  // so is a bad CNNCORE_NUM_THREADS
  thread_context = PyContextVar_New("cnncore.threads", nullptr);
  if (thread_context == nullptr) throw py::error_already_set();
  module.attr("thread_context") = py::reinterpret_borrow<py::object>(thread_context);
  module.def("num_threads", [] {
    const ThreadSnapshot threads(context_threads());
    return num_threads();
  });
  module.def("cgroup_quota", &cgroup_quota, py::arg("process"), py::arg("mount"));
  module.def("described_cache", &described_cache, py::arg("folder"), py::arg("level"));
  module.def("set_num_threads", &set_num_threads, py::arg("threads"));
  module.def("cpu_info", &cpu_info_dict);
  module.def("drop_result_memory", &drop_result_memory,
             "Gives back the memory that is kept for results; false if there was none.");
  module.def("measure_peak", &peak_dict, py::arg("seconds") = 0.6);
  module.def(
      "activations",
      [] {
        std::vector<std::tuple<std::string, bool, bool>> list;
        const ActivationKernels& table = kernels().activation;
        for (int i = 0; i < table.count; ++i) {
          const ActivationFunction& function = table.functions[i];
          list.emplace_back(function.name, function.reads_argument, in_registers(static_cast<Activation>(i)));
        }
        return list;
      },
      "Name of each activation, whether its gradient reads the argument, and whether max pooling may come "
      "before it.");
  module.def("step_names", [] {
    std::vector<std::string> names;
    for (const auto& item : step_registry().all()) names.push_back(item.first);
    return names;
  });
}

}  // namespace cnncore
