// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <utility>

#include "bind/bind.h"
#include "program/exchange.h"

namespace cnncore {

/// A Python function (what, number, first, second) that reaches the other processes; the latter two are
/// writable memory. An exception ends the run and is raised after it.
class PyExchange final : public Exchange {
 public:
  explicit PyExchange(py::function function) : function_(std::move(function)) {}

  void call(Call what, std::int64_t number, Floats first, Floats second) noexcept override;
  bool failed() const noexcept override { return error_ != nullptr; }
  /// Raises what the last run ended with, once.
  void rethrow();

 private:
  py::function function_;
  std::exception_ptr error_;
};

}  // namespace cnncore
