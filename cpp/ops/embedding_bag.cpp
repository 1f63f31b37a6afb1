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
#include "ops/row_lists.h"

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
    run.features = run.columns = features_;
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

/// Sums in grad_weight are made in the order of the indices.
class BagWeightGradient final : public BagStep {
 public:
  explicit BagWeightGradient(const StepSpec& spec)
      : BagStep(spec, spec.output(0), spec.input(0)),
        weighted_(spec.has_input(3)),
        lists_(1, entries_, features_, count_) {
    check_input(spec, 3, count_, "factors");
    if (max_) check_vector(spec.input(4), bags_ * features_, spec.op + ": places", DType::i32);
  }

  std::size_t workspace_bytes() const override { return lists_.bytes(); }

  void run(const StepArgs& args) const override {
    list(args);
    BagRun run;
    run.table = args.input(0);
    if (max_) {
      run.numbers = lists_.marks<std::int32_t>(args.workspace);
      run.places = args.input<std::int32_t>(4);
    } else if (mean_ || weighted_) {
      run.factors = lists_.marks<float>(args.workspace);
    }
    lists_.sum(run, args.workspace, bags_, args.output(0));
  }

 private:
  /// The bags of each entry, with what it counts for in them or, for the largest, its index's number.
  void list(const StepArgs& args) const {
    const BagRun run = bags(args);
    std::int64_t* const members = lists_.members(args.workspace);
    auto* const factors = lists_.marks<float>(args.workspace);
    auto* const numbers = lists_.marks<std::int32_t>(args.workspace);
    std::int64_t bag = bags_;
    float share = 1.0f;
    lists_.fill(args.workspace, run.indices, padding_, [&](std::int64_t at, std::int64_t k) {
      if (bag == bags_ || k < run.begin(bag)) {
        do --bag;
        while (bag > 0 && k < run.begin(bag));
        if (mean_) share = kernels().embedding_bag.share(run, bag);
      }
      members[at] = bag;
      if (max_) {
        numbers[at] = static_cast<std::int32_t>(k);
      } else if (mean_ || weighted_) {
        factors[at] = weighted_ ? args.input(3)[k] : share;
      }
    });
  }

  bool weighted_;
  RowLists lists_;
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
