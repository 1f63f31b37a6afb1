// SPDX-License-Identifier: Apache-2.0
#include "core/cpu_info.h"

#include <algorithm>
#include <fstream>
#include <thread>

#include "core/affinity.h"
#include "core/caches.h"
#include "core/cgroup.h"

namespace cnncore {
namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, 10, "model name") == 0) return line.substr(std::min(line.size(), line.find(':') + 2));
  }
  return "unknown";
}

CpuInfo read_cpu_info() {
  CpuInfo info;
  info.model = cpu_model();
  info.logical_cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  info.affinity_cores = affinity_cores(info.logical_cores);
  info.cgroup_quota = cgroup_quota("/proc/self/cgroup", "/sys/fs/cgroup");
  info.l1d_bytes = cache_bytes(1);
  info.l2_bytes = cache_bytes(2);
  info.l3_bytes = cache_bytes(3);
  return info;
}

}  // namespace

const CpuInfo& cpu_info() {
  static const CpuInfo info = read_cpu_info();
  return info;
}

}  // namespace cnncore
