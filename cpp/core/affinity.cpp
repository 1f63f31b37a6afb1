// SPDX-License-Identifier: Apache-2.0
#include "core/affinity.h"

#include <algorithm>

#if defined(__linux__)
#include <dlfcn.h>
#include <sched.h>

#include <vector>
#endif

namespace cnncore {

#if defined(__linux__)
namespace {

/// The cores of libgomp's places, if another library has loaded it and it has any: then it has bound the
/// thread that loaded it, and those started by that thread inherit this.
bool openmp_cores(cpu_set_t& cores) {
  void* library = dlopen("libgomp.so.1", RTLD_NOLOAD | RTLD_LAZY);
  if (library == nullptr) return false;
  const auto places = reinterpret_cast<int (*)()>(dlsym(library, "omp_get_num_places"));
  const auto size = reinterpret_cast<int (*)(int)>(dlsym(library, "omp_get_place_num_procs"));
  const auto list = reinterpret_cast<void (*)(int, int*)>(dlsym(library, "omp_get_place_proc_ids"));
  CPU_ZERO(&cores);
  if (places != nullptr && size != nullptr && list != nullptr) {
    for (int place = 0; place < places(); ++place) {
      std::vector<int> ids(static_cast<std::size_t>(std::max(0, size(place))));
      list(place, ids.data());
      for (const int id : ids) {
        if (id >= 0 && id < CPU_SETSIZE) CPU_SET(static_cast<std::size_t>(id), &cores);
      }
    }
  }
  dlclose(library);
  return CPU_COUNT(&cores) > 0;
}

}  // namespace

int affinity_cores(int logical) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (openmp_cores(cores) || sched_getaffinity(0, sizeof cores, &cores) == 0)
    return std::max(1, CPU_COUNT(&cores));
  return logical;
}

void leave_openmp_places() {
  cpu_set_t cores;
  if (openmp_cores(cores)) sched_setaffinity(0, sizeof cores, &cores);
}
#else
int affinity_cores(int logical) { return logical; }
void leave_openmp_places() {}
#endif

}  // namespace cnncore
