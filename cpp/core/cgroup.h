// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace cnncore {

/// The tightest CPU quota, in cores, on the way from the cgroup of a process up to the root; 0 where there is
/// none. Files that do not have the kernel's form count as none.
///
/// `process`: its list of cgroups, as /proc/self/cgroup; `mount`: of the cgroup file system, as
/// /sys/fs/cgroup.
double cgroup_quota(const std::string& process, const std::string& mount);

}  // namespace cnncore
