// SPDX-License-Identifier: Apache-2.0
// Step `place_indices` [indices, integers of any type] -> [places int64 in the indices' layout or none, int64
// scalar]: the scalar counts the indices outside `least` .. `most`. Places are the indices, with `extent`
// added to negative ones where `least` is negative, and those outside at the nearest of 0 .. extent - 1, so
// that what reads at them stays inside until the count ends the run.
#include <algorithm>
#include <cstdint>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/integer.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

class PlaceIndices final : public Step {
 public:
  explicit PlaceIndices(const StepSpec& spec)
      : rows_(spec.input(0).dtype, "place_indices"),
        count_(spec.input(0).numel()),
        range_{spec.attrs.integer("least"), spec.attrs.integer("most"), spec.attrs.integer("extent")},
        places_(spec.has_output(0)) {
    const TensorDesc& indices = spec.input(0);
    require(indices.is_contiguous() || indices.is_channels_last(), spec.op, ": expected dense indices, got ",
            indices.shape_text());
    if (places_) {
      require(spec.output(0).dtype == DType::i64 && spec.output(0).same_layout(indices), spec.op,
              ": expected int64 places of the indices' layout");
      require(range_.extent >= 1, spec.op, ": expected an extent of at least 1, got ", range_.extent);
    }
    check_vector(spec.output(1), 1, spec.op + ": count", DType::i64);
  }

  std::size_t workspace_bytes() const override {
    return static_cast<std::size_t>(tasks()) * sizeof(std::int64_t);
  }

  void run(const StepArgs& args) const override {
    auto* outside = reinterpret_cast<std::int64_t*>(args.workspace);
    parallel_for(tasks(), static_cast<double>(count_), [&](std::int64_t task, int) {
      outside[task] = 0;
      const std::int64_t end = std::min(count_, (task + 1) * kTask);
      for (std::int64_t i = task * kTask; i < end; i += IntegerRows::kBlock) {
        outside[task] += run_block(args, i, std::min(IntegerRows::kBlock, end - i));
      }
    });
    std::int64_t total = 0;
    for (std::int64_t task = 0; task < tasks(); ++task) total += outside[task];
    *args.output<std::int64_t>(1) = total;
  }

 private:
  static constexpr std::int64_t kTask = 8192;

  std::int64_t tasks() const { return ceil_div(count_, kTask); }

  std::int64_t run_block(const StepArgs& args, std::int64_t begin, std::int64_t n) const {
    IntegerRows::Block block;
    const std::int64_t* x = rows_.read(args.inputs[0], begin, 1, n, block);
    return kernels().integer.place(n, x, range_, places_ ? args.output<std::int64_t>(0) + begin : nullptr);
  }

  IntegerRows rows_;
  std::int64_t count_;
  IndexRange range_;
  bool places_;
};

std::unique_ptr<Step> make_place_indices(const StepSpec& spec) {
  return std::make_unique<PlaceIndices>(spec);
}

}  // namespace

void register_indices(StepRegistry& registry) { registry.add("place_indices", make_place_indices); }

}  // namespace cnncore
