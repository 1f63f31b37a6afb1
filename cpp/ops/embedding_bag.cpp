// SPDX-License-Identifier: Apache-2.0
// Sums, means and maxima of rows of a table, a bag of rows each.
//
// embedding_bag [weight (entries, features), indices int64 (count), offsets int64 (bags), factors (count) or
// none] -> [bags (bags, features), int32 of the same shape: for mode max the places in `indices` of the
// largest, -1 for empty bags; none otherwise]
// embedding_bag_backward_weight [grad (bags, features), indices, offsets, factors or none, places of mode
// max]
// -> [grad_weight]
// embedding_bag_backward_factors [grad, indices, offsets, weight] -> [grad_factors (count)]
//   attributes mode (sum, mean, max); padding: an entry that does not count, -1 for none.
// Bag i goes from offsets[i] to offsets[i + 1], the last one to the end; offsets rise.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/registry.h"
#include "ops/scatter_tasks.h"

namespace cnncore {
namespace {

class BagStep : public Step {
 public:
  BagStep(const StepSpec& spec, const TensorDesc& weight, const TensorDesc& bags)
      : padding_(spec.attrs.integer("padding")) {
    const std::string mode = spec.attrs.text("mode");
    require(mode == "sum" || mode == "mean" || mode == "max", spec.op, ": unknown mode '", mode, "'");
    mean_ = mode == "mean";
    max_ = mode == "max";
    require(weight.rank == 2 && bags.rank == 2 && bags.dim(1) == weight.dim(1), spec.op,
            ": expected a table (entries, features) and bags of its features");
    entries_ = weight.dim(0);
    features_ = weight.dim(1);
    bags_ = bags.dim(0);
    count_ = spec.input(1).numel();
    check_vector(weight, entries_ * features_, spec.op + ": weight");
    check_vector(bags, bags_ * features_, spec.op + ": bags");
    check_vector(spec.input(1), count_, spec.op + ": indices", DType::i64);
    check_vector(spec.input(2), bags_, spec.op + ": offsets", DType::i64);
    require(count_ <= std::numeric_limits<std::int32_t>::max(), spec.op, ": too many indices");
  }

 protected:
  /// Input 1 of each step are the indices, input 2 the offsets.
  BagRun bags(const StepArgs& args) const {
    BagRun run;
    run.features = features_;
    run.indices = args.input<std::int64_t>(1);
    run.count = count_;
    run.offsets = args.input<std::int64_t>(2);
    run.bags = bags_;
    run.padding = padding_;
    run.mean = mean_;
    return run;
  }
  /// Calls body(first, last + 1) for the bags of each task.
  template <class Body>
  void for_bags(const Body& body) const {
    const std::int64_t group = std::max<std::int64_t>(1, bags_ / machine().tasks);
    parallel_for(ceil_div(bags_, group), work(),
                 [&](std::int64_t task, int) { body(task * group, std::min(bags_, (task + 1) * group)); });
  }
  double work() const {
    return static_cast<double>(count_) * (4.0 + static_cast<double>(features_) / kernels().width);
  }

  std::int64_t padding_;
  bool mean_ = false, max_ = false;
  std::int64_t entries_ = 0, features_ = 0, bags_ = 0, count_ = 0;
};

class EmbeddingBag final : public BagStep {
 public:
  explicit EmbeddingBag(const StepSpec& spec)
      : BagStep(spec, spec.input(0), spec.output(0)), weighted_(spec.has_input(3)) {
    check_input(spec, 3, count_, "factors");
    if (max_) check_vector(spec.output(1), bags_ * features_, spec.op + ": places", DType::i32);
  }

  void run(const StepArgs& args) const override {
    BagRun run = bags(args);
    run.table = args.input(0);
    if (weighted_) run.factors = args.input(3);
    for_bags([&](std::int64_t first, std::int64_t last) {
      if (max_) {
        kernels().embedding_bag.largest(run, first, last, args.output(0), args.output<std::int32_t>(1));
      } else {
        kernels().embedding_bag.sum(run, first, last, args.output(0));
      }
    });
  }

 private:
  bool weighted_;
};

/// Sums in grad_weight are made in the order of the indices, whoever makes them.
class BagWeightGradient final : public BagStep {
 public:
  explicit BagWeightGradient(const StepSpec& spec)
      : BagStep(spec, spec.output(0), spec.input(0)),
        weighted_(spec.has_input(3)),
        tasks_(1, features_, entries_) {
    check_input(spec, 3, count_, "factors");
    if (max_) check_vector(spec.input(4), bags_ * features_, spec.op + ": places", DType::i32);
  }

  void run(const StepArgs& args) const override {
    const double clearing = static_cast<double>(entries_ * features_) / kernels().width;
    parallel_for(tasks_.count(), work() + clearing, [&](std::int64_t number, int) {
      const ScatterTask task = tasks_.task(number);
      float* table = args.output(0) + task.channel;
      task.clear(table, 1, features_);
      for (std::int64_t i = 0; i < bags_; ++i) {
        const float* grad = args.input(0) + i * features_ + task.channel;
        if (max_) {
          add_largest(args, task, i, grad, table);
        } else {
          add_bag(args, task, i, grad, table);
        }
      }
    });
  }

 private:
  void add_bag(const StepArgs& args, const ScatterTask& task, std::int64_t i, const float* grad,
               float* table) const {
    const BagRun run = bags(args);
    const float each = mean_ ? kernels().embedding_bag.share(run, i) : 1.0f;
    const std::int64_t end = run.begin(i + 1);
    const std::int64_t zero = 0;
    const float one = 1.0f;
    for (std::int64_t k = run.begin(i); k < end; ++k) {
      const std::int64_t entry = run.indices[k];
      if (entry == padding_ || entry < task.rows.begin || entry >= task.rows.end) continue;
      const std::int64_t offset = entry * features_;
      const float weight = weighted_ ? args.input(3)[k] : each;
      kernels().sample.add_window({1, 1, &offset, &weight, &zero, &one}, grad, task.channels, table);
    }
  }

  void add_largest(const StepArgs& args, const ScatterTask& task, std::int64_t i, const float* grad,
                   float* table) const {
    const auto* indices = args.input<std::int64_t>(1);
    const auto* place = args.input<std::int32_t>(4) + i * features_ + task.channel;
    for (std::int64_t c = 0; c < task.channels; ++c) {
      if (place[c] < 0) continue;
      const std::int64_t entry = indices[place[c]];
      if (entry >= task.rows.begin && entry < task.rows.end) table[entry * features_ + c] += grad[c];
    }
  }

  bool weighted_;
  ScatterTasks tasks_;
};

class BagFactorGradient final : public BagStep {
 public:
  explicit BagFactorGradient(const StepSpec& spec) : BagStep(spec, spec.input(3), spec.input(0)) {
    check_vector(spec.output(0), count_, spec.op + ": grad_factors");
  }

  void run(const StepArgs& args) const override {
    const BagRun run = bags(args);
    for_bags([&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        const std::int64_t end = run.begin(i + 1);
        for (std::int64_t k = run.begin(i); k < end; ++k) {
          const std::int64_t entry = run.indices[k];
          const float* row = args.input(3) + entry * features_;
          args.output(0)[k] = entry == padding_ ? 0.0f : product(row, args.input(0) + i * features_);
        }
      }
    });
  }

 private:
  /// Summed in lanes, which the compiler makes vectors of.
  float product(const float* a, const float* b) const {
    constexpr std::int64_t kLanes = 8;
    float lanes[kLanes] = {};
    std::int64_t c = 0;
    for (; c + kLanes <= features_; c += kLanes) {
      for (std::int64_t i = 0; i < kLanes; ++i) lanes[i] += a[c + i] * b[c + i];
    }
    float sum = 0.0f;
    for (; c < features_; ++c) sum += a[c] * b[c];
    for (const float lane : lanes) sum += lane;
    return sum;
  }
};

template <class T>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<T>(spec);
}

}  // namespace

void register_embedding_bag(StepRegistry& registry) {
  registry.add("embedding_bag", make<EmbeddingBag>);
  registry.add("embedding_bag_backward_weight", make<BagWeightGradient>);
  registry.add("embedding_bag_backward_factors", make<BagFactorGradient>);
}

}  // namespace cnncore
