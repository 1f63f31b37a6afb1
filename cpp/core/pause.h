// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cnncore {

/// Tells the core that this thread waits for another one.
inline void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

}  // namespace cnncore
