// SPDX-License-Identifier: Apache-2.0
#include "core/caches.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace cnncore {
namespace {

/// Bytes of "32768K"; 0 for anything else.
std::size_t size_in(const std::string& file) {
  std::ifstream stream(file);
  long long size = 0;
  if (!(stream >> size) || size <= 0 || size > (1LL << 40)) return 0;
  const int unit = stream.get();
  const int shift = unit == 'K' ? 10 : unit == 'M' ? 20 : unit == 'G' ? 30 : 0;
  return static_cast<std::size_t>(size) << shift;
}

}  // namespace

std::size_t described_cache(const std::string& folder, int level) {
  for (int index = 0;; ++index) {
    const std::string entry = folder + "/index" + std::to_string(index) + "/";
    std::ifstream level_file(entry + "level");
    std::ifstream type_file(entry + "type");
    if (!level_file || !type_file) return 0;
    int found = 0;
    std::string type;
    level_file >> found;
    type_file >> type;
    if (found == level && (type == "Data" || type == "Unified")) return size_in(entry + "size");
  }
}

std::size_t cache_bytes(int level) {
#if defined(__linux__)
  if (const std::size_t bytes = described_cache("/sys/devices/system/cpu/cpu0/cache", level); bytes > 0)
    return bytes;
#endif
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

}  // namespace cnncore
