// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/loop_nest.h"
#include "ops/reduce.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

using Offsets = LoopNest::Offsets;

/// Index of the first largest element of each output's part of x, counted in logical order.
class Argmax final : public Step {
 public:
  explicit Argmax(const ReduceAxes& axes)
      : kept_(loop_nest(axes.kept_shape.data(), axes.kept, {axes.kept_x.data(), axes.kept_y.data()})),
        outputs_(kept_.numel()) {
    // Not sorted by strides: indices count in logical order.
    reduced_.operands = 1;
    for (int i = 0; i < axes.reduced; ++i) {
      const auto axis = static_cast<std::size_t>(i);
      reduced_.extent[axis] = axes.reduced_shape[axis];
      reduced_.stride[axis][0] = axes.reduced_x[axis];
    }
    reduced_.rank = axes.reduced;
    rows_ = reduced_.numel() / std::max<std::int64_t>(1, reduced_.inner_extent());
    group_ = items_in_task(reduced_.numel());
  }

  void run(const StepArgs& args) const override {
    const double work = static_cast<double>(outputs_ * reduced_.numel());
    parallel_for(ceil_div(outputs_, group_), work, [&](std::int64_t task, int) {
      const std::int64_t last = std::min((task + 1) * group_, outputs_);
      for (std::int64_t i = task * group_; i < last; ++i) {
        const Offsets offsets = kept_.offsets_of(i, kept_.rank);
        args.output<std::int64_t>(0)[offsets[1]] = index_of_largest(args.input(0) + offsets[0]);
      }
    });
  }

 private:
  std::int64_t index_of_largest(const float* x) const {
    const std::int64_t n = reduced_.inner_extent();
    std::int64_t best = 0;
    float top = -std::numeric_limits<float>::infinity();
    for (std::int64_t row = 0; row < rows_; ++row) {
      const Offsets offsets = reduced_.rank > 1 ? reduced_.offsets_of(row, reduced_.rank - 1) : Offsets{};
      float largest = 0.0f;
      const std::int64_t index =
          kernels().reduce.argmax(n, x + offsets[0], reduced_.inner_stride(0), &largest);
      if (row == 0 || largest > top || largest != largest) {
        best = row * n + index;
        top = largest;
      }
      if (top != top) break;
    }
    return best;
  }

  LoopNest kept_;
  LoopNest reduced_;
  std::int64_t outputs_;
  std::int64_t rows_ = 0;
  std::int64_t group_ = 1;
};

}  // namespace

std::unique_ptr<Step> make_argmax(const ReduceAxes& axes) { return std::make_unique<Argmax>(axes); }

}  // namespace cnncore
