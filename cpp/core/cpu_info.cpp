// SPDX-License-Identifier: Apache-2.0
#include "core/cpu_info.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "core/affinity.h"
#include "core/cgroup.h"

#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace cnncore {
namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, 10, "model name") == 0) return line.substr(std::min(line.size(), line.find(':') + 2));
  }
  return "unknown";
}

std::size_t cache_bytes(int level) {
#if defined(__linux__) && defined(_SC_LEVEL1_DCACHE_SIZE)
  const int keys[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
  return static_cast<std::size_t>(std::max(0L, sysconf(keys[level - 1])));
#elif defined(__APPLE__)
  const char* keys[] = {"hw.l1dcachesize", "hw.l2cachesize", "hw.l3cachesize"};
  std::size_t value = 0, size = sizeof value;
  return sysctlbyname(keys[level - 1], &value, &size, nullptr, 0) == 0 ? value : 0;
#else
  (void)level;
  return 0;
#endif
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
