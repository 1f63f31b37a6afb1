// SPDX-License-Identifier: Apache-2.0
// Direct convolution, forward and backward-data: dense loops on the GEMM tile. It takes every problem.
#include <algorithm>
#include <optional>

#include "core/parallel.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_loop.h"
#include "ops/conv_pack.h"
#include "ops/conv_untouched.h"

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
    std::int64_t packed = 0;
    for (const auto& loop : loops_of(p, direction)) {
      phases_.push_back({ConvLoopPlan(loop, epilogue.output_pitch), packed});
      packed += phases_.back().plan.packed_floats();
      work_ += phases_.back().plan.work();
    }
    if (direction == ConvDirection::backward_data) untouched_.emplace(p, epilogue.output_pitch);
    list_tasks();
  }

  void run(const StepArgs& args) const override {
    ConvLoopMemory memory;
    memory.input = args.input(0);
    memory.packed = args.input(1);
    if (epilogue_.bias) memory.bias = args.input(2);
    if (epilogue_.residual) memory.residual = args.input(3);
    memory.output = epilogue_.sums(args);
    memory.activated = epilogue_.activated(args);
    if (epilogue_.statistics) memory.statistics = args.output(1);
    parallel_for(static_cast<std::int64_t>(tasks_.size()), work_, [&](std::int64_t i, int thread) {
      const Task& task = tasks_[static_cast<std::size_t>(i)];
      ConvLoopMemory own = memory;
      own.packed += phases_[task.phase].packed;
      phases_[task.phase].plan.run_task(task.number, own, epilogue_, args.scratch_of(thread));
    });
    if (untouched_) untouched_->run(memory, epilogue_);
  }

  std::size_t scratch_bytes() const override {
    return epilogue_.statistics ? static_cast<std::size_t>(ConvLoopPlan::scratch_floats()) * sizeof(float)
                                : 0;
  }
  std::size_t table_bytes() const override {
    std::size_t bytes = phases_.capacity() * sizeof(Phase) + tasks_.capacity() * sizeof(Task);
    for (const Phase& phase : phases_) bytes += phase.plan.table_bytes();
    return bytes + (untouched_ ? untouched_->table_bytes() : 0);
  }
  double flops() const override { return flops_; }

 private:
  struct Phase {
    ConvLoopPlan plan;
    std::int64_t packed;  // where its weight starts
  };
  struct Task {
    std::size_t phase;
    std::int64_t number;
  };

  /// Tasks of all phases by their place in the result: phases fill pixels between each other's.
  void list_tasks() {
    for (std::size_t phase = 0; phase < phases_.size(); ++phase) {
      for (std::int64_t i = 0; i < phases_[phase].plan.tasks(); ++i) tasks_.push_back({phase, i});
    }
    const auto place = [this](const Task& task) {
      return static_cast<double>(task.number) / static_cast<double>(phases_[task.phase].plan.tasks());
    };
    std::stable_sort(tasks_.begin(), tasks_.end(),
                     [&](const Task& a, const Task& b) { return place(a) < place(b); });
  }

  ConvEpilogue epilogue_;
  double flops_;
  double work_ = 0.0;
  std::vector<Phase> phases_;
  std::vector<Task> tasks_;
  std::optional<UntouchedPixels> untouched_;
};

/// At least 1: where stride and padding keep all taps off the input, backward-data has none.
template <ConvDirection kDirection>
Packed packed_weight(const ConvProblem& p) {
  std::int64_t floats = 0;
  for (const auto& loop : loops_of(p, kDirection)) floats += loop.groups * packed_group_floats(loop);
  return {std::max<std::int64_t>(1, floats)};
}

template <ConvDirection kDirection>
std::unique_ptr<Step> make_pack(const ConvProblem& p) {
  return std::make_unique<DirectPack>(p, kDirection);
}

template <ConvDirection kDirection>
std::unique_ptr<Step> make_conv(const ConvProblem& p, const ConvEpilogue& epilogue) {
  if (kDirection == ConvDirection::forward && p.pool.has_value()) return make_direct_pool(p, epilogue);
  return std::make_unique<DirectConv>(p, kDirection, epilogue);
}

std::string can_all(const ConvProblem&) { return {}; }
std::int64_t chunk_count(const ConvProblem& p) { return ConvLoopPlan::chunk_count(forward_loop(p)); }
std::int64_t no_statistics(const ConvProblem&) { return 0; }

}  // namespace

ConvAlgorithm direct_forward() {
  constexpr auto kDirection = ConvDirection::forward;
  return {"direct",
          kDirection,
          can_all,
          nullptr,
          packed_weight<kDirection>,
          chunk_count,
          make_pack<kDirection>,
          make_conv<kDirection>,
          true,
          true,
          true,
          direct_pool_refuse};
}

ConvAlgorithm direct_backward_data() {
  constexpr auto kDirection = ConvDirection::backward_data;
  return {"direct",
          kDirection,
          can_all,
          nullptr,
          packed_weight<kDirection>,
          no_statistics,
          make_pack<kDirection>,
          make_conv<kDirection>,
          true,
          true,
          true};
}

}  // namespace cnncore
