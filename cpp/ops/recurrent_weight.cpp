// SPDX-License-Identifier: Apache-2.0
// recurrent_pack [weight (gates * units, depth)] -> [packed]
//   attributes gates, units, depth, direction ("forward", "backward").
#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/recurrent.h"
#include "ops/registry.h"
#include "ops/tasks.h"
#include "ops/transpose.h"

namespace cnncore {
namespace {

/// Vector operations that a task should be worth: the hand-over to the next step costs some hundred.
constexpr double kLeastWork = 1500.0;
constexpr std::int64_t kLeastRows = 8;  // of a task, where units are too few to share
constexpr double kStateWork = 30.0;     // of a gate's sum, to the state
constexpr std::int64_t kSums = 4096;    // floats of sums that stay in the first cache

UnitPanels panels_of(const RecurrentWeight& weight, const std::string& direction) {
  require(direction == "forward" || direction == "backward",
          "recurrent_pack: expected direction forward or backward, got ", direction);
  return direction == "forward" ? weight.forward() : weight.backward();
}

class RecurrentPack final : public Step {
 public:
  explicit RecurrentPack(const StepSpec& spec) {
    const RecurrentWeight weight = {spec.attrs.integer("gates"), spec.attrs.integer("units"),
                                    spec.attrs.integer("depth")};
    const std::string direction = spec.attrs.text("direction");
    panels_ = panels_of(weight, direction);
    transposed_ = direction == "backward";
    check_vector(spec.input(0), weight.gates * weight.units * weight.depth, "recurrent_pack: weight");
    check_vector(spec.output(0), panels_.floats(), "recurrent_pack: packed weight");
  }

  void run(const StepArgs& args) const override { panels_.pack(args.input(0), transposed_, args.output(0)); }

 private:
  UnitPanels panels_;
  bool transposed_ = false;
};

}  // namespace

UnitPanels::UnitPanels(std::int64_t gates, std::int64_t units, std::int64_t depth)
    : gates_(gates), units_(units), depth_(depth) {
  const std::int64_t width = kernels().width;
  const std::int64_t most = std::max(width, kernels().gemm_tile.nr / gates / width * width);
  block_ = round_up(even_part(units, most), width);
  blocks_ = ceil_div(units, block_);
}

std::int64_t UnitPanels::size(std::int64_t block) const { return std::min(block_, units_ - begin(block)); }

void UnitPanels::pack(const float* weight, bool transposed, float* packed) const {
  const std::int64_t nr = kernels().gemm_tile.nr;
  const double work = static_cast<double>(floats()) / 4.0;
  parallel_for(blocks_, work, [&](std::int64_t block, int) {
    float* to = packed + block * columns() * depth_;
    const std::int64_t count = size(block);
    if (count < block_) std::fill(to, to + columns() * depth_, 0.0f);
    for (std::int64_t gate = 0; gate < gates_; ++gate) {
      // A block is one panel, or one vector of units, which no panel divides.
      const std::int64_t panel = gate * block_ / nr * nr;
      const std::int64_t width = std::min(nr, columns() - panel);
      float* at = to + panel * depth_ + gate * block_ % nr;
      if (transposed) {
        for (std::int64_t k = 0; k < depth_; ++k)
          std::copy_n(weight + k * units_ + begin(block), count, at + k * width);
      } else {
        const float* from = weight + (gate * units_ + begin(block)) * depth_;
        transpose(from, depth_, depth_, count, at, width);
      }
    }
  });
}

void UnitPanels::multiply(const UnitBlocks& blocks, const float* packed, const RecurrentRows& input,
                          std::int64_t rows, float* sums) const {
  const auto& tile = kernels().gemm_tile;
  const std::int64_t nr = tile.nr;
  if (rows == 1) {
    const bool far = floats() > machine().near_weight;
    for (std::int64_t i = 0; i < blocks.count; ++i) {
      const float* panels = packed + blocks[i] * columns() * depth_;
      for (std::int64_t column = 0; column < columns(); column += nr) {
        kernels().recurrent.multiply(input.data, depth_, panels + column * depth_,
                                     std::min(nr, columns() - column), far, sums + i * columns() + column);
      }
    }
    return;
  }
  std::int64_t row_offset[RecurrentTasks::kRows], sums_offset[RecurrentTasks::kRows];
  for (std::int64_t i = 0; i < rows; ++i) {
    row_offset[i] = i * input.stride;
    sums_offset[i] = i * columns();
  }
  const std::int64_t zero = 0;
  GemmTileArgs call;
  call.row_offset = row_offset;
  call.output_offset = sums_offset;
  call.rows = rows;
  call.tap_offset = &zero;
  call.tap_row = &zero;
  for (std::int64_t i = 0; i < blocks.count; ++i) {
    for (std::int64_t column = 0; column < columns(); column += nr) {
      call.columns = std::min(nr, columns() - column);
      call.output = sums + i * rows * columns() + column;
      const float* panel = packed + (blocks[i] * columns() + column) * depth_;
      for (std::int64_t k = 0; k < depth_; k += machine().matmul.depth) {
        call.depth = std::min(machine().matmul.depth, depth_ - k);
        call.accumulate = k != 0;
        call.input = input.data + k;
        call.panel = panel + k * call.columns;
        tile.run(call);
      }
    }
  }
}

std::int64_t recurrent_packed_floats(std::int64_t gates, std::int64_t units, std::int64_t depth,
                                     const std::string& direction) {
  require(gates > 0 && units > 0 && depth > 0, "expected positive sizes, got ", gates, ", ", units, ", ",
          depth);
  return panels_of({gates, units, depth}, direction).floats();
}

RecurrentTasks::RecurrentTasks(const UnitPanels& panels, std::int64_t batch)
    : batch_(batch), blocks_(panels.blocks()), columns_(panels.columns()) {
  const double width = static_cast<double>(kernels().width);
  work_ = static_cast<double>(panels.floats() * batch) / width +
          kStateWork * static_cast<double>(blocks_ * columns_ * batch) / width;
  std::int64_t worth = 1;  // a power of two, which 2, 4 and 8 threads share evenly
  while (2 * worth <= machine().tasks && 2.0 * static_cast<double>(worth) * kLeastWork <= work_) worth *= 2;
  const bool near = panels.floats() <= machine().near_weight;
  std::int64_t groups = 1;
  while (near && 2 * groups <= worth && 2 * groups * machine().recurrent_rows <= batch) groups *= 2;
  unit_groups_ = std::min(blocks_, worth / groups);
  row_groups_ =
      std::clamp<std::int64_t>(worth / unit_groups_, 1, std::max<std::int64_t>(groups, batch / kLeastRows));
  blocks_together_ = std::max<std::int64_t>(1, kSums / (std::min(batch, kRows) * columns_));
  blocks_together_ = std::min(blocks_together_, ceil_div(blocks_, unit_groups_));
}

void register_recurrent_weight(StepRegistry& registry) {
  registry.add("recurrent_pack", [](const StepSpec& spec) -> std::unique_ptr<Step> {
    return std::make_unique<RecurrentPack>(spec);
  });
}

}  // namespace cnncore
