// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bind/bind.h"
#include "bind/exchange.h"
#include "program/program.h"

namespace cnncore {

/// A Program together with the Python objects whose memory it uses.
class PyProgram {
 public:
  int add_value(const std::vector<std::int64_t>& shape, const std::string& dtype, const std::string& layout,
                std::int64_t pitch);
  int add_step(const std::string& op, const std::vector<int>& inputs, const std::vector<int>& outputs,
               std::map<std::string, AttrValue> attrs, bool setup, const std::string& label);
  py::dict step_info(int index) const;
  void bind(int value, py::array array, bool writable);
  py::list run(const py::sequence& arrays);
  py::tuple measure(const py::sequence& arrays, int repeats);
  void set_exchange(py::function function);
  Program& program() { return program_; }

 private:
  Program program_;
  std::map<int, py::array> bound_;
  std::shared_ptr<PyExchange> exchange_;
};

}  // namespace cnncore
