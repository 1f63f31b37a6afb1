// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

/// A function applied to `rows` runs of `n` elements: out[r, i] = f(in[0][r, i], in[1][r, i], ...; alpha,
/// beta). Steps are in floats and may be 0 (broadcasting) or negative; the output may be one of the inputs.
struct ElementwiseRun {
  static constexpr int kMaxInputs = 3;
  static constexpr int kMostVectors = 4;  // computed together

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
  /// Long functions only: writes past the caches, to aligned lines, in rows of a multiple of kMostVectors
  /// vectors.
  bool past_caches;
};

struct ElementwiseFunction {
  const char* name;
  int inputs;
  double cost;  // vector operations for a vector of results, to judge whether threads pay
  void (*run)(const ElementwiseRun& run);
  bool is_long;  // several vectors are computed together
};

struct ElementwiseKernels {
  const ElementwiseFunction* functions;
  int count;
};

}  // namespace cnncore
