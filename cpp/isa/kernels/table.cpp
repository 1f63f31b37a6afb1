// SPDX-License-Identifier: Apache-2.0
#include "isa/kernel_table.h"
#include "isa/kernels/tiles.h"
#include "isa/vec.h"

#define CNNCORE_TEXT_OF(name) #name
#define CNNCORE_TEXT(name) CNNCORE_TEXT_OF(name)

namespace cnncore {
namespace CNNCORE_ISA {

GemmTileKernels gemm_tile_kernels();
OuterTileKernels outer_tile_kernels();
LinearKernels linear_kernels();
WinogradKernels winograd_kernels();
DepthwiseKernels depthwise_kernels();
GroupedKernels grouped_kernels();
ScatterKernels scatter_kernels();
PoolKernels pool_kernels();
NormKernels norm_kernels();
RowNormKernels row_norm_kernels();
RecurrentKernels recurrent_kernels();
ActivationKernels activation_kernels();
ElementwiseKernels elementwise_kernels();
IntegerKernels integer_kernels();
ReduceKernels reduce_kernels();
SoftmaxKernels softmax_kernels();
DropoutKernels dropout_kernels();
OptimizerKernels optimizer_kernels();
CopyKernels copy_kernels();
SampleKernels sample_kernels();
EmbeddingBagKernels embedding_bag_kernels();
BoxKernels box_kernels();
PeakKernels peak_kernels();

KernelTable kernel_table() {
  return {
      CNNCORE_TEXT(CNNCORE_ISA),
      kWidth,
      kMachine,
      gemm_tile_kernels(),
      outer_tile_kernels(),
      linear_kernels(),
      winograd_kernels(),
      depthwise_kernels(),
      grouped_kernels(),
      scatter_kernels(),
      pool_kernels(),
      norm_kernels(),
      row_norm_kernels(),
      recurrent_kernels(),
      activation_kernels(),
      elementwise_kernels(),
      integer_kernels(),
      reduce_kernels(),
      softmax_kernels(),
      dropout_kernels(),
      optimizer_kernels(),
      copy_kernels(),
      sample_kernels(),
      embedding_bag_kernels(),
      box_kernels(),
      peak_kernels(),
  };
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
