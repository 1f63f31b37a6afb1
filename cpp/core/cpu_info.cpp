// SPDX-License-Identifier: Apache-2.0
#include "core/cpu_info.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
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

int affinity_cores(int logical) {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return logical;
}

/// Quota of one cgroup folder in cores; 0 where it sets none.
double quota_in(const std::string& folder) {
  std::ifstream v2(folder + "/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0) return std::stod(quota) / period;
  std::ifstream v1_quota(folder + "/cpu.cfs_quota_us");
  std::ifstream v1_period(folder + "/cpu.cfs_period_us");
  double limit = 0;
  if (v1_quota >> limit && v1_period >> period && limit > 0 && period > 0) return limit / period;
  return 0;
}

/// The tightest CPU quota on the way from this process's cgroup up to the root.
double cgroup_quota() {
  double tightest = 0;
  const auto visit = [&](const std::string& mount, std::string path) {
    for (;;) {
      const double quota = quota_in(mount + path);
      if (quota > 0 && (tightest == 0 || quota < tightest)) tightest = quota;
      if (path.empty()) return;
      path.erase(path.find_last_of('/'));
    }
  };
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string id, controllers, path;
    if (!std::getline(fields, id, ':') || !std::getline(fields, controllers, ':') ||
        !std::getline(fields, path))
      continue;
    if (path == "/" || path.empty() || path.front() != '/') path.clear();
    if (controllers.empty()) visit("/sys/fs/cgroup", path);
    if (controllers.find("cpu") == 0 && controllers.find("cpuset") == std::string::npos)
      visit("/sys/fs/cgroup/cpu", path);
  }
  return tightest;
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
  info.cgroup_quota = cgroup_quota();
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
