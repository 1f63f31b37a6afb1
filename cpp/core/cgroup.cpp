// SPDX-License-Identifier: Apache-2.0
#include "core/cgroup.h"

#include <cmath>
#include <fstream>
#include <sstream>

namespace cnncore {
namespace {

/// quota / period, where both are there and make sense.
double cores_of(std::istream& quota_file, std::istream& period_file) {
  double quota = 0, period = 0;
  const bool read = static_cast<bool>(quota_file >> quota) && static_cast<bool>(period_file >> period);
  if (!read || !std::isfinite(quota) || !std::isfinite(period) || quota <= 0 || period <= 0) return 0;
  return quota / period;
}

/// Quota of one cgroup folder in cores; 0 where it sets none.
double quota_in(const std::string& folder) {
  std::ifstream v2(folder + "/cpu.max");  // "max 100000" where there is no limit
  if (const double cores = cores_of(v2, v2); cores > 0) return cores;
  std::ifstream v1_quota(folder + "/cpu.cfs_quota_us");  // -1 where there is no limit
  std::ifstream v1_period(folder + "/cpu.cfs_period_us");
  return cores_of(v1_quota, v1_period);
}

bool lists_cpu(const std::string& controllers) {
  std::istringstream names(controllers);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == "cpu") return true;
  }
  return false;
}

}  // namespace

double cgroup_quota(const std::string& process, const std::string& mount) {
  double tightest = 0;
  const auto visit = [&](const std::string& root, std::string path) {
    for (;;) {
      const double quota = quota_in(root + path);
      if (quota > 0 && (tightest == 0 || quota < tightest)) tightest = quota;
      if (path.empty()) return;
      path.erase(path.find_last_of('/'));
    }
  };
  std::ifstream file(process);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string id, controllers, path;
    if (!std::getline(fields, id, ':') || !std::getline(fields, controllers, ':') ||
        !std::getline(fields, path))
      continue;
    if (path == "/" || path.empty() || path.front() != '/') path.clear();
    if (controllers.empty()) visit(mount, path);
    if (!lists_cpu(controllers)) continue;
    visit(mount + "/cpu", path);
    if (controllers != "cpu") visit(mount + "/" + controllers, path);
  }
  return tightest;
}

}  // namespace cnncore
