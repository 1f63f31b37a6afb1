// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace cnncore {

struct CpuInfo {
  std::string model;
  int logical_cores = 1;    // of the machine
  int affinity_cores = 1;   // this process may run on
  double cgroup_quota = 0;  // cores' worth of CPU time a container grants; 0 = no limit
  std::size_t l1d_bytes = 0;
  std::size_t l2_bytes = 0;
  std::size_t l3_bytes = 0;
};

/// Read once, from the system's own tables.
const CpuInfo& cpu_info();

}  // namespace cnncore
