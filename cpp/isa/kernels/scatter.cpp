// SPDX-License-Identifier: Apache-2.0
#include "isa/scatter.h"

#include "isa/kernels/activations.h"
#include "isa/kernels/channel_runs.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

/// `kVectors` vectors of every run, the last of `lanes` floats. All runs of a position come before the next
/// position, whose targets overlap with these: a load soon after two stores that it overlaps would wait for
/// both.
template <int kVectors, bool kFull>
void add_vectors(const AddRunsArgs& args, int64_t begin, int64_t lanes) {
  const float* source = args.source + begin;
  float* target = args.target + begin;
  for (int64_t i = 0; i < args.positions; ++i) {
    for (int64_t run = 0; run < args.runs; ++run) {
      float* to = target + args.target_offset[run];
      Vec sum[kVectors];
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sum[j] = load(to + j * kWidth);
      const int64_t end = args.first_term[run + 1];
      for (int64_t term = args.first_term[run]; term < end; ++term) {
        const float* from = source + args.term_offset[term];
#pragma GCC unroll 4
        for (int j = 0; j + 1 < kVectors; ++j) sum[j] = sum[j] + load(from + j * kWidth);
        const int j = kVectors - 1;
        sum[j] = sum[j] + load_some<kFull>(from + j * kWidth, lanes);
      }
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) store(to + j * kWidth, sum[j]);
    }
    source += args.source_step;
    target += args.target_step;
  }
}

template <int kVectors>
void add_tail(const AddRunsArgs& args, int64_t begin, int64_t left) {
  if constexpr (kVectors > 1) {
    if (left <= (kVectors - 1) * kWidth) return add_tail<kVectors - 1>(args, begin, left);
  }
  const int64_t lanes = left - (kVectors - 1) * kWidth;
  if (lanes == kWidth) {
    add_vectors<kVectors, true>(args, begin, lanes);
  } else {
    add_vectors<kVectors, false>(args, begin, lanes);
  }
}

void add_runs(const AddRunsArgs& args) {
  constexpr int kVectors = 4;
  int64_t begin = 0;
  for (; begin + kVectors * kWidth < args.length; begin += kVectors * kWidth) {
    add_vectors<kVectors, true>(args, begin, kWidth);
  }
  add_tail<kVectors>(args, begin, args.length - begin);
}

void store_row(const float* source, int64_t count, Activation activation, float alpha, float* activated,
               float* target) {
  const Vec slope = set1(alpha);
  for (int64_t i = 0; i < count; i += kWidth) {
    const int64_t left = count - i;
    store_upto(target + i, activate(load_upto(source + i, left), activation, slope), left);
  }
  if (in_registers(activation)) return;
  activate_row(target, count, activation, alpha, activated == nullptr ? target : activated);
}

}  // namespace

ScatterKernels scatter_kernels() { return {add_runs, store_row}; }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
