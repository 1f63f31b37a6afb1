// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "core/error.h"
#include "isa/kernel_table.h"

namespace cnncore {

namespace portable {
KernelTable kernel_table();
}
#if defined(__x86_64__)
namespace avx2 {
KernelTable kernel_table();
}
namespace avx512 {
KernelTable kernel_table();
}
#endif

namespace {

struct Isa {
  const char* name;
  KernelTable (*table)();
};

/// __builtin_cpu_supports also asks XGETBV whether the system saves the wide registers.
std::vector<Isa> supported() {
  std::vector<Isa> isas = {{"portable", portable::kernel_table}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    isas.push_back({"avx2", avx2::kernel_table});
  if (isas.size() == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    isas.push_back({"avx512", avx512::kernel_table});
  }
#endif
  return isas;
}

KernelTable pick() {
  const auto isas = supported();
  const char* wanted = std::getenv("CNNCORE_ISA");
  if (wanted == nullptr || *wanted == '\0') return isas.back().table();
  std::string names;
  for (const auto& isa : isas) {
    if (std::string(wanted) == isa.name) return isa.table();
    names += (names.empty() ? "" : ", ") + std::string(isa.name);
  }
  fail("CNNCORE_ISA: expected one of ", names, " (what this CPU can run), got '", wanted, "'");
}

}  // namespace

const KernelTable& kernels() {
  static const KernelTable table = pick();
  return table;
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const auto& isa : supported()) names.emplace_back(isa.name);
  return names;
}

}  // namespace cnncore
