// SPDX-License-Identifier: Apache-2.0
#include <tuple>

#include "bind/bind.h"
#include "core/cpu_info.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/registry.h"
#include "program/peak.h"

namespace cnncore {
namespace {

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
  info["threads"] = num_threads();
  info["thread_source"] = thread_source();
  return info;
}

py::dict peak_dict(double seconds) {
  Peak peak;
  {
    const py::gil_scoped_release released;
    peak = measure_peak(seconds);
  }
  py::dict result;
  result["gflops_one_thread"] = peak.gflops_one_thread;
  result["gflops"] = peak.gflops;
  result["gbytes"] = peak.gbytes;
  return result;
}

}  // namespace

void bind_runtime(py::module_& module) {
  kernels();  // a bad CNNCORE_ISA is reported by the import
  module.def("num_threads", &num_threads);
  module.def("set_num_threads", &set_num_threads, py::arg("threads"));
  module.def("cpu_info", &cpu_info_dict);
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
