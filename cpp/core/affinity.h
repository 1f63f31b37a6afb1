// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cnncore {

/// Cores this process may run on. Where another library's OpenMP has bound the calling thread to one of its
/// places (OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY), the cores of all its places count.
int affinity_cores(int logical);

/// Lets the calling thread run on all those cores, if OpenMP has bound the thread that started it.
void leave_openmp_places();

}  // namespace cnncore
