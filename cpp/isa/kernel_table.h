// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "isa/activation.h"
#include "isa/boxes.h"
#include "isa/copy.h"
#include "isa/depthwise.h"
#include "isa/dropout.h"
#include "isa/elementwise.h"
#include "isa/embedding_bag.h"
#include "isa/gemm_tile.h"
#include "isa/grouped.h"
#include "isa/integer.h"
#include "isa/linear.h"
#include "isa/machine.h"
#include "isa/norm.h"
#include "isa/optimizer.h"
#include "isa/outer_tile.h"
#include "isa/peak.h"
#include "isa/pool.h"
#include "isa/recurrent.h"
#include "isa/reduce.h"
#include "isa/row_norm.h"
#include "isa/sample.h"
#include "isa/scatter.h"
#include "isa/softmax.h"
#include "isa/winograd.h"

namespace cnncore {

/// Every kernel of one instruction set with its tile sizes, and what the loops above count on: the whole
/// tuning of a CPU is one of these tables. Kernels take raw pointers and sizes and handle their own edges;
/// they allocate nothing, start no threads, throw nothing and keep no state.
struct KernelTable {
  const char* name;
  int width;  // floats in a vector
  Machine machine;
  GemmTileKernels gemm_tile;
  OuterTileKernels outer_tile;
  LinearKernels linear;
  WinogradKernels winograd;
  DepthwiseKernels depthwise;
  GroupedKernels grouped;
  ScatterKernels scatter;
  PoolKernels pool;
  NormKernels norm;
  RowNormKernels row_norm;
  RecurrentKernels recurrent;
  ActivationKernels activation;
  ElementwiseKernels elementwise;
  IntegerKernels integer;
  ReduceKernels reduce;
  SoftmaxKernels softmax;
  DropoutKernels dropout;
  OptimizerKernels optimizer;
  CopyKernels copy;
  SampleKernels sample;
  EmbeddingBagKernels embedding_bag;
  BoxKernels boxes;
  PeakKernels peak;
};

/// The table of the best instruction set that this CPU has and CNNCORE_ISA allows; picked once per process.
const KernelTable& kernels();
inline const Machine& machine() { return kernels().machine; }

/// Names of the instruction sets this CPU can run, worst first.
std::vector<std::string> available_isas();

}  // namespace cnncore
