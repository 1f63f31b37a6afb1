// SPDX-License-Identifier: Apache-2.0
// Direct convolution, forward and backward-data: dense loops on the GEMM tile. It takes every problem.
#include <algorithm>

#include "ops/conv_algorithm.h"
#include "ops/conv_loop.h"
#include "ops/conv_pack.h"

namespace cnncore {
namespace {

WeightLayout weight_layout(const ConvProblem& p, ConvDirection direction) {
  const std::int64_t filter = p.group_in() * p.taps();
  WeightLayout layout{p.group_out() * filter, filter, p.taps(), p.kernel};
  if (direction == ConvDirection::backward_data) std::swap(layout.column, layout.reduction);
  return layout;
}

std::vector<ConvLoop> loops_of(const ConvProblem& p, ConvDirection direction) {
  if (direction == ConvDirection::backward_data) return backward_data_loops(p);
  return {forward_loop(p)};
}

class DirectPack : public Step {
 public:
  DirectPack(const ConvProblem& p, ConvDirection direction) {
    for (const auto& loop : loops_of(p, direction)) packs_.emplace_back(loop, weight_layout(p, direction));
  }

  void run(const StepArgs& args) const override {
    float* packed = args.output(0);
    for (const auto& pack : packs_) {
      pack.run(args.input(0), packed, args);
      packed += pack.packed_floats();
    }
  }
  std::size_t scratch_bytes() const override {
    std::int64_t floats = 0;
    for (const auto& pack : packs_) floats = std::max(floats, pack.scratch_floats());
    return static_cast<std::size_t>(floats) * sizeof(float);
  }

 private:
  std::vector<WeightPack> packs_;
};

class DirectConv : public Step {
 public:
  DirectConv(const ConvProblem& p, ConvDirection direction, const ConvEpilogue& epilogue)
      : epilogue_(epilogue), flops_(p.flops()) {
    for (const auto& loop : loops_of(p, direction)) plans_.emplace_back(loop);
  }

  void run(const StepArgs& args) const override {
    ConvLoopMemory memory;
    memory.input = args.input(0);
    memory.packed = args.input(1);
    if (epilogue_.bias) memory.bias = args.input(2);
    if (epilogue_.residual) memory.residual = args.input(3);
    memory.output = args.output(0);
    if (epilogue_.statistics) memory.statistics = args.output(1);
    for (const auto& plan : plans_) {
      plan.run(memory, epilogue_, args);
      memory.packed += plan.packed_floats();
    }
  }

  std::size_t scratch_bytes() const override {
    return epilogue_.statistics ? static_cast<std::size_t>(ConvLoopPlan::scratch_floats()) * sizeof(float)
                                : 0;
  }
  double flops() const override { return flops_; }

 private:
  ConvEpilogue epilogue_;
  double flops_;
  std::vector<ConvLoopPlan> plans_;
};

/// At least 1: where stride and padding keep all taps off the input, backward-data has none.
template <ConvDirection kDirection>
std::int64_t packed_floats(const ConvProblem& p) {
  std::int64_t floats = 0;
  for (const auto& loop : loops_of(p, kDirection)) floats += loop.groups * packed_group_floats(loop);
  return std::max<std::int64_t>(1, floats);
}

template <ConvDirection kDirection>
std::unique_ptr<Step> make_pack(const ConvProblem& p) {
  return std::make_unique<DirectPack>(p, kDirection);
}

template <ConvDirection kDirection>
std::unique_ptr<Step> make_conv(const ConvProblem& p, const ConvEpilogue& epilogue) {
  return std::make_unique<DirectConv>(p, kDirection, epilogue);
}

std::string take_all(const ConvProblem&, const std::string&) { return {}; }
std::int64_t chunk_count(const ConvProblem& p) { return ConvLoopPlan::chunk_count(forward_loop(p)); }
std::int64_t no_statistics(const ConvProblem&) { return 0; }

}  // namespace

ConvAlgorithm direct_forward() {
  constexpr auto kDirection = ConvDirection::forward;
  return {"direct",
          kDirection,
          take_all,
          packed_floats<kDirection>,
          chunk_count,
          make_pack<kDirection>,
          make_conv<kDirection>};
}

ConvAlgorithm direct_backward_data() {
  constexpr auto kDirection = ConvDirection::backward_data;
  return {"direct",
          kDirection,
          take_all,
          packed_floats<kDirection>,
          no_statistics,
          make_pack<kDirection>,
          make_conv<kDirection>};
}

}  // namespace cnncore
