// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "program/step.h"

namespace cnncore {

inline constexpr std::size_t kLeadingInputs = 2;  // hyper, gradient_scale

/// A piece of one tensor: what one task updates.
struct OptimizerChunk {
  std::size_t tensor;
  std::int64_t begin;
  std::int64_t n;
};

/// What all updates share: the tensors of a group, `kInputs` inputs and `kOutputs` outputs each, cut into
/// chunks. Short tensors share a task.
class OptimizerGroup {
 public:
  OptimizerGroup(const StepSpec& spec, std::size_t inputs, std::size_t outputs, std::size_t hyper_count)
      : inputs_(inputs), outputs_(outputs), sign_(spec.attrs.integer("maximize", 0) != 0 ? -1.0f : 1.0f) {
    const std::string& op = spec.op;
    require(spec.has_input(0) && spec.input(0).dtype == DType::i64 &&
                spec.input(0).numel() >= static_cast<std::int64_t>(hyper_count),
            op, ": expected input 0 to be ", hyper_count, " float64 bit patterns in an int64 value");
    require(!spec.has_input(1) || (spec.input(1).dtype == DType::f32 && spec.input(1).numel() == 1), op,
            ": expected gradient_scale to be a float32 scalar");
    require(spec.inputs.size() >= kLeadingInputs && (spec.inputs.size() - kLeadingInputs) % inputs == 0, op,
            ": expected ", inputs, " inputs for each tensor");
    tensors_ = (spec.inputs.size() - kLeadingInputs) / inputs;
    require(spec.outputs.size() == tensors_ * outputs, op, ": expected ", outputs,
            " outputs for each tensor");
    for (std::size_t tensor = 0; tensor < tensors_; ++tensor) {
      check_tensor(spec, tensor);
      add_chunks(tensor, spec.input(input_index(tensor, 0)).numel());
    }
    first_chunk_.push_back(chunks_.size());
  }

  std::size_t input_index(std::size_t tensor, std::size_t i) const {
    return kLeadingInputs + tensor * inputs_ + i;
  }
  std::size_t output_index(std::size_t tensor, std::size_t i) const { return tensor * outputs_ + i; }
  std::int64_t numel() const { return numel_; }
  std::size_t tensors() const { return tensors_; }
  const std::vector<OptimizerChunk>& chunks() const { return chunks_; }
  /// Factor of every gradient.
  float gradient_scale(const StepArgs& args) const {
    return args.inputs[1] == nullptr ? sign_ : sign_ * *args.input(1);
  }

  /// body(number of the chunk) for every chunk, in parallel; `cost` is the vector operations for a vector of
  /// parameters.
  template <class Body>
  void for_each_chunk(double cost, Body&& body) const {
    const auto tasks = static_cast<std::int64_t>(first_chunk_.size()) - 1;
    parallel_for(tasks, cost * static_cast<double>(numel_) / kernels().width, [&](std::int64_t task, int) {
      const auto position = static_cast<std::size_t>(task);
      for (std::size_t i = first_chunk_[position]; i < first_chunk_[position + 1]; ++i) body(i);
    });
  }

 private:
  void check_tensor(const StepSpec& spec, std::size_t tensor) const {
    const std::string& op = spec.op;
    require(spec.has_input(input_index(tensor, 0)) && spec.has_input(input_index(tensor, 1)), op, ": tensor ",
            tensor, " lacks its parameter or its gradient");
    const TensorDesc& parameter = spec.input(input_index(tensor, 0));
    require(parameter.dtype == DType::f32, op, ": expected float32 parameters, got ",
            name_of(parameter.dtype));
    require(parameter.is_contiguous() || parameter.is_channels_last(), op,
            ": expected parameters without gaps");
    for (std::size_t i = 1; i < inputs_; ++i)
      check_input_like(spec, input_index(tensor, i), parameter, "gradient or state");
    for (std::size_t i = 0; i < outputs_; ++i)
      check_output_like(spec, output_index(tensor, i), parameter, "result");
  }

  void add_chunks(std::size_t tensor, std::int64_t n) {
    numel_ += n;
    for (std::int64_t begin = 0; begin < n; begin += machine().task_elements) {
      const std::int64_t length = std::min(machine().task_elements, n - begin);
      if (first_chunk_.empty() || in_task_ + length > machine().task_elements) {
        first_chunk_.push_back(chunks_.size());
        in_task_ = 0;
      }
      chunks_.push_back({tensor, begin, length});
      in_task_ += length;
    }
  }

  std::size_t inputs_;
  std::size_t outputs_;
  float sign_;
  std::size_t tensors_ = 0;
  std::int64_t numel_ = 0;
  std::int64_t in_task_ = 0;
  std::vector<OptimizerChunk> chunks_;
  std::vector<std::size_t> first_chunk_;  // of each task, and the end
};

template <std::size_t kCount>
std::array<double, kCount> read_hyper(const StepArgs& args) {
  std::array<double, kCount> hyper;
  std::memcpy(hyper.data(), args.inputs[0], sizeof hyper);
  return hyper;
}

template <class T>
T* at(T* base, std::int64_t offset) {
  return base == nullptr ? nullptr : base + offset;
}

}  // namespace cnncore
