// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <thread>

#include "bind/bind.h"

namespace cnncore {

// Gives up the interpreter's lock until the end of the scope. pybind11's gil_scoped_release ends the process
// with an abort where the interpreter has been finalized meanwhile, which happens to daemon threads: Python
// then ends the thread by unwinding its stack, which no destructor lets through. Here such a thread waits for
// the end of the process, as in Python itself from 3.14 on.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

  ~Unlocked() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }

 private:
  PyThreadState* state_;
};

}  // namespace cnncore
