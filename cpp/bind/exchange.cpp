// SPDX-License-Identifier: Apache-2.0
#include "bind/exchange.h"

#include "bind/unlocked.h"
#include "core/error.h"
#include "ops/exchange.h"

namespace cnncore {
namespace {

const char* name_of(Exchange::Call what) {
  switch (what) {
    case Exchange::Call::share:
      return "share";
    case Exchange::Call::begin:
      return "begin";
    case Exchange::Call::end:
      return "end";
    default:
      return "gather";
  }
}

py::memoryview view(Floats floats) {
  const auto bytes = floats.count * static_cast<std::int64_t>(sizeof(float));
  return py::memoryview::from_memory(static_cast<void*>(floats.data), bytes);
}

void sum_received(const py::buffer& received, std::int64_t parts, const py::buffer& sum) {
  const py::buffer_info from = received.request();
  const py::buffer_info to = sum.request(true);
  const auto item = static_cast<std::int64_t>(sizeof(float));
  const std::int64_t n = to.size * to.itemsize / item;
  require(parts > 0 && from.size * from.itemsize == parts * n * item, "expected ", parts, " times ", n,
          " floats, got ", from.size * from.itemsize / item);
  const Unlocked unlocked;
  sum_parts(static_cast<const float*>(from.ptr), parts, n, static_cast<float*>(to.ptr));
}

}  // namespace

void PyExchange::call(Call what, std::int64_t number, Floats first, Floats second) noexcept {
  const py::gil_scoped_acquire acquired;
  try {
    function_(name_of(what), number, view(first), view(second));
  } catch (...) {
    error_ = std::current_exception();
  }
}

void PyExchange::rethrow() {
  if (error_ == nullptr) return;
  std::rethrow_exception(std::exchange(error_, nullptr));
}

void bind_exchange(py::module_& module) {
  module.def("sum_parts", &sum_received, py::arg("received"), py::arg("parts"), py::arg("sum"),
             "Sums runs of floats that follow one another, in their order.");
}

}  // namespace cnncore
