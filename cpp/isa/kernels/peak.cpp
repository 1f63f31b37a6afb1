// SPDX-License-Identifier: Apache-2.0
#include "isa/peak.h"

#include "isa/kernels/tiles.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

double fma_peak(int64_t rounds, float* sink) {
  Vec chain[kPeakChains];
  const Vec factor = set1(sink[0]);
  const Vec addend = set1(sink[1]);
  // All loops over the chains are unrolled: one that indexes the array would keep it in memory.
#pragma GCC unroll 12
  for (int i = 0; i < kPeakChains; ++i) chain[i] = set1(static_cast<float>(i) * 1e-3f);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kPeakChains; ++i) chain[i] = fmadd(chain[i], factor, addend);
#pragma GCC unroll 12
    for (int i = 0; i < kPeakChains; ++i) asm volatile("" : "+v"(chain[i]));
  }
  Vec sum = zero();
#pragma GCC unroll 12
  for (int i = 0; i < kPeakChains; ++i) sum = sum + chain[i];
  sink[2] = reduce_add(sum);
  return 2.0 * kPeakChains * kWidth * static_cast<double>(rounds);
}

void read_all(const float* data, size_t floats, float* sink) {
  Vec sum[4] = {zero(), zero(), zero(), zero()};
  const size_t block = 4 * kWidth;
  for (size_t i = 0; i + block <= floats; i += block) {
    for (int j = 0; j < 4; ++j) sum[j] = sum[j] + load(data + i + static_cast<size_t>(j * kWidth));
  }
  sink[2] = reduce_add((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

}  // namespace

PeakKernels peak_kernels() { return {fma_peak, read_all}; }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
