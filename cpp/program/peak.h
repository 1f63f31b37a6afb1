// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cnncore {

struct Peak {
  double gflops_one_thread = 0;
  double gflops = 0;  // on num_threads() threads
  double gbytes = 0;  // read from memory per second, on num_threads() threads
};

/// Measures what this machine can do now: float32 FMAs from registers with the vectors of the ISA
/// in use, and reads of a block larger than the caches. Takes about `seconds`.
Peak measure_peak(double seconds);

}  // namespace cnncore
