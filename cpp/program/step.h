// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/attrs.h"
#include "core/tensor.h"
#include "program/exchange.h"

namespace cnncore {

/// What a step is built from. An absent optional tensor has `present == false`.
struct StepTensor {
  bool present = false;
  TensorDesc desc;
};

struct StepSpec {
  std::string op;
  std::vector<StepTensor> inputs;
  std::vector<StepTensor> outputs;
  Attrs attrs;

  bool has_input(std::size_t i) const { return i < inputs.size() && inputs[i].present; }
  bool has_output(std::size_t i) const { return i < outputs.size() && outputs[i].present; }
  const TensorDesc& input(std::size_t i) const;
  const TensorDesc& output(std::size_t i) const;
};

/// Memory of one run of one step. An absent tensor is nullptr.
struct StepArgs {
  void* const* inputs = nullptr;
  void* const* outputs = nullptr;
  std::byte* workspace = nullptr;  // Step::workspace_bytes() bytes, 64-byte aligned, shared by all threads
  std::byte* scratch = nullptr;    // a slice of Step::scratch_bytes() for each thread
  std::size_t scratch_stride = 0;
  Exchange* exchange = nullptr;  // of programs with steps that use it

  template <class T = float>
  const T* input(std::size_t i) const {
    return static_cast<const T*>(inputs[i]);
  }
  template <class T = float>
  T* output(std::size_t i) const {
    return static_cast<T*>(outputs[i]);
  }
  template <class T = float>
  T* scratch_of(int thread) const {
    return reinterpret_cast<T*>(scratch + scratch_stride * static_cast<std::size_t>(thread));
  }
};

/// One operation with everything decided: shapes, algorithm, blocking. Immutable, so several
/// threads may run the same step on different memory at once. run() neither allocates nor throws.
class Step {
 public:
  Step() = default;
  virtual ~Step() = default;
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  virtual void run(const StepArgs& args) const = 0;
  virtual std::size_t workspace_bytes() const { return 0; }
  virtual std::size_t scratch_bytes() const { return 0; }  // for each thread
  virtual std::size_t table_bytes() const { return 0; }    // of offsets and the like that the step keeps
  virtual std::string algorithm() const { return "direct"; }
  virtual double flops() const { return 0.0; }
  virtual bool exchanges() const { return false; }  // whether it calls StepArgs::exchange
};

using StepFactory = std::unique_ptr<Step> (*)(const StepSpec& spec);

}  // namespace cnncore
