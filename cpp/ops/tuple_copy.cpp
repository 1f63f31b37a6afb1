// SPDX-License-Identifier: Apache-2.0
#include "ops/tuple_copy.h"

#include <algorithm>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

constexpr std::int64_t kWord = 4;
constexpr std::int64_t kMostTuple = 4;
constexpr std::int64_t kMostRun = 4096;  // longer planes are copied well by blocks

/// The axis along which an operand has this stride, -1 where there is none.
int axis_of(const LoopNest& nest, std::size_t operand, std::int64_t stride) {
  for (int axis = nest.rank - 1; axis >= 0; --axis) {
    if (nest.stride[static_cast<std::size_t>(axis)][operand] == stride) return axis;
  }
  return -1;
}

}  // namespace

TupleCopy::TupleCopy(const LoopNest& nest) {
  if (nest.numel() == 0 || (!find(nest, 0) && !find(nest, 1))) return;
  pieces_in_task_ = items_in_task(planes_.n * planes_.count);
}

/// With `tuples` the operand that may have them. A tuple may be two axes: the pixels of a block, by rows.
bool TupleCopy::find(const LoopNest& nest, std::size_t tuples) {
  const std::size_t planes = 1 - tuples;
  const int run = axis_of(nest, planes, kWord), inner = axis_of(nest, tuples, kWord);
  if (run < 0 || inner < 0 || run == inner) return false;
  const auto at = [](int axis) { return static_cast<std::size_t>(axis); };
  const std::int64_t words = nest.extent[at(inner)], distance = nest.stride[at(run)][tuples] / kWord;
  int outer = -1;
  if (distance != words) {
    outer = axis_of(nest, tuples, words * kWord);
    if (outer < 0 || outer == run || distance != words * nest.extent[at(outer)]) return false;
  }
  const bool whole = nest.stride[at(run)][tuples] == distance * kWord;
  if (!whole || distance < 2 || distance > kMostTuple || nest.extent[at(run)] > kMostRun) return false;
  splits_ = tuples == 1;
  planes_.count = distance;
  planes_.n = nest.extent[at(run)];
  for (std::int64_t k = 0; k < distance; ++k) {
    planes_.plane[k] = k % words * nest.stride[at(inner)][planes];
    if (outer >= 0) planes_.plane[k] += k / words * nest.stride[at(outer)][planes];
  }
  outer_ = nest;
  for (int axis = nest.rank - 1; axis >= 0; --axis) {
    if (axis == run || axis == inner || axis == outer) outer_ = outer_.without(axis);
  }
  return true;
}

void TupleCopy::run(const std::byte* src, std::byte* dst) const {
  const std::int64_t pieces = outer_.numel();
  const double vectors = static_cast<double>(pieces * planes_.n * planes_.count) / kernels().width;
  parallel_for(ceil_div(pieces, pieces_in_task_), 2.0 * vectors,
               [&](std::int64_t task, int) { run_task(task, src, dst); });
}

void TupleCopy::run_task(std::int64_t task, const std::byte* src, std::byte* dst) const {
  const std::size_t tuples = splits_ ? 1 : 0, planes = 1 - tuples;
  const std::int64_t end = std::min(outer_.numel(), (task + 1) * pieces_in_task_);
  for (std::int64_t piece = task * pieces_in_task_; piece < end;) {
    TuplePlanes run = planes_;
    run.repeats = 1;
    if (outer_.rank > 0) {
      const auto last = static_cast<std::size_t>(outer_.rank - 1);
      run.repeats = std::min(end - piece, outer_.extent[last] - piece % outer_.extent[last]);
      run.tuple_repeat = outer_.stride[last][tuples];
      run.plane_repeat = outer_.stride[last][planes];
    }
    const LoopNest::Offsets offsets = outer_.offsets_of(piece, outer_.rank);
    const auto copy = splits_ ? kernels().copy.split_tuples : kernels().copy.join_planes;
    copy(run, src + offsets[1], dst + offsets[0]);
    piece += run.repeats;
  }
}

}  // namespace cnncore
