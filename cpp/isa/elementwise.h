// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// A function applied to `rows` runs of `n` elements: out[r, i] = f(in[0][r, i], in[1][r, i], ...; alpha,
/// beta). Steps are in floats and may be 0 (broadcasting) or negative; the output may be one of the inputs.
struct ElementwiseRun {
  static constexpr int kMaxInputs = 3;

  std::int64_t rows;
  std::int64_t n;
  const float* in[kMaxInputs];
  std::int64_t in_row[kMaxInputs];
  std::int64_t in_step[kMaxInputs];
  float* out;
  std::int64_t out_row;
  std::int64_t out_step;
  float alpha;
  float beta;
};

struct ElementwiseFunction {
  const char* name;
  int inputs;
  double cost;  // vector operations for a vector of results, to judge whether threads pay
  void (*run)(const ElementwiseRun& run);
};

struct ElementwiseKernels {
  const ElementwiseFunction* functions;
  int count;
};

}  // namespace cnncore
