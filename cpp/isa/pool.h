// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "isa/activation.h"

namespace cnncore {

/// The window of one output coordinate along one axis, clipped to the input.
struct PoolWindow {
  std::int32_t start;    // first input coordinate
  std::int32_t taps;     // at least 1
  std::int32_t number;   // of the first tap
  std::int32_t divisor;  // this axis's factor of what an average divides by
};

/// One row of output pixels. Steps are in floats, `input_pixel` and `pixel` those from one pixel to the next
/// of input and output. A tap's number is first_number + plane * plane_number + row * row_number + the
/// column's own number.
struct PoolRow {
  const float* input;  // first plane, first row, column 0
  std::int64_t planes, rows;
  std::int64_t plane_step, row_step, column_step;
  std::int32_t first_number, plane_number, row_number;
  float divisor;  // depth's and height's factors of what an average divides by
  const PoolWindow* columns;
  std::int64_t width;
  std::int64_t channels;
  std::int64_t input_pixel, pixel;
  std::int64_t ahead;     // of an input beyond the caches: how far before they are read its lines are fetched
  Activation activation;  // of the largest values, in_registers
  float alpha;
  // Of max_scatter: null, or what is added to each pixel of grad_input.
  const float* addend;
  std::int64_t addend_row, addend_pixel;
};

/// An output coordinate whose window covers some input coordinate.
struct PoolSource {
  std::int32_t output;
  std::int32_t number;  // of the tap that meets the input coordinate
  std::int32_t divisor;
};

/// One row of input pixels, each the sum over the windows that cover it. Column i is covered by
/// columns[column_begin[i]] ... columns[column_begin[i + 1] - 1].
struct PoolGather {
  std::int64_t grad_output;  // offset of plane 0, row 0, column 0, in elements; the same for the index
  const PoolSource* planes;
  std::int64_t plane_count;
  const PoolSource* rows;
  std::int64_t row_count;
  const std::int32_t* column_begin;
  const PoolSource* columns;
  std::int64_t width;
  std::int64_t plane_step, row_step, pixel;  // of grad_output; pixel also of grad_input
  std::int32_t plane_number, row_number;
  std::int64_t channels;
  const float* addend;  // null, or what is added to each pixel of grad_input
  std::int64_t addend_pixel;
};

struct PoolKernels {
  /// Largest value of each window; NaN if any is NaN. With an index: number of the first tap that holds it
  /// (of the last NaN).
  void (*max)(const PoolRow& row, float* output);
  void (*max_index_u8)(const PoolRow& row, float* output, std::uint8_t* index);
  void (*max_index_i32)(const PoolRow& row, float* output, std::int32_t* index);
  void (*average)(const PoolRow& row, float* output);
  /// The gate is that of the activation which `max_...` applied.
  void (*max_gather_u8)(const PoolGather& row, const float* grad_output, const std::uint8_t* index,
                        const ActivationGate& gate, float* grad_input);
  void (*max_gather_i32)(const PoolGather& row, const float* grad_output, const std::int32_t* index,
                         const ActivationGate& gate, float* grad_input);
  void (*average_gather)(const PoolGather& row, const float* grad_output, float* grad_input);
  /// The other way round, for windows that do not overlap: one row of windows of one plane writes the input
  /// pixels it covers. `row.input` is not used; grad_input is where it would point to.
  void (*max_scatter_u8)(const PoolRow& row, const float* grad_output, const std::uint8_t* index,
                         const ActivationGate& gate, float* grad_input);
};

}  // namespace cnncore
