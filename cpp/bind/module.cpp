// SPDX-License-Identifier: Apache-2.0
#include "bind/bind.h"

PYBIND11_MODULE(_core, module) {
  module.doc() = "The C++ core of cnncore: kernels, steps and the Program that runs them.";
  cnncore::bind_storage(module);
  cnncore::bind_program(module);
  cnncore::bind_exchange(module);
  cnncore::bind_conv(module);
  cnncore::bind_norm(module);
  cnncore::bind_images(module);
  cnncore::bind_recurrent(module);
  cnncore::bind_runtime(module);
}
