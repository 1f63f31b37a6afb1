// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace cnncore {

/// Bytes of the data or unified cache of a level (1 to 3) as the kernel describes it; 0 where it does not.
///
/// `folder`: of one core's caches, as /sys/devices/system/cpu/cpu0/cache: index*/level, type and size.
std::size_t described_cache(const std::string& folder, int level);

/// The same of this machine: by the kernel's description, else by the C library (glibc 2.36 tells of 256 MB
/// where cores of AMD's Zen 3 share 32 MB). 0 where nothing tells.
std::size_t cache_bytes(int level);

}  // namespace cnncore
