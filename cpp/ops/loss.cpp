// SPDX-License-Identifier: Apache-2.0
// Cross entropy of logits (N, C, spatial...) and labels (N, spatial...), with torch's meaning of class
// weights, ignored labels, label smoothing and reductions. Rows are cut into chunks by shape alone and
// summed in double in chunk order.
#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

constexpr std::int64_t kChunkRows = 512;

enum class Reduction { none, mean, sum };

Reduction reduction_from_name(const std::string& name) {
  if (name == "none") return Reduction::none;
  if (name == "mean") return Reduction::mean;
  require(name == "sum", "reduction: expected none, mean or sum, got '", name, "'");
  return Reduction::sum;
}

/// Where the values of consecutive rows (n, spatial...) lie in a tensor of any strides.
class RowWalk {
 public:
  RowWalk(const TensorDesc& desc, std::int64_t row) : desc_(desc) {
    for (int axis = desc_.rank - 1; axis >= 0; --axis) {
      index_[static_cast<std::size_t>(axis)] = row % desc_.dim(axis);
      offset_ += row % desc_.dim(axis) * desc_.step(axis);
      row /= desc_.dim(axis);
    }
  }

  /// The current row's offset; goes on to the next.
  std::int64_t next() {
    const std::int64_t current = offset_;
    for (int axis = desc_.rank - 1; axis >= 0; --axis) {
      std::int64_t& index = index_[static_cast<std::size_t>(axis)];
      offset_ += desc_.step(axis);
      if (++index < desc_.dim(axis)) break;
      offset_ -= index * desc_.step(axis);
      index = 0;
    }
    return current;
  }

 private:
  const TensorDesc& desc_;
  std::array<std::int64_t, kMaxRank> index_{};
  std::int64_t offset_ = 0;
};

struct CrossEntropyProblem {
  std::int64_t rows = 0;
  std::int64_t classes = 0;
  Reduction reduction = Reduction::mean;
  std::int64_t ignore_index = 0;
  double smoothing = 0.0;
  bool has_weight = false;
  TensorDesc target, log_normaliser, loss;

  std::int64_t chunks() const { return ceil_div(rows, kChunkRows); }
  double work() const { return 20.0 * static_cast<double>(rows * (classes / kernels().width + 1)); }
  bool counts(std::int64_t label) const { return label != ignore_index && label >= 0 && label < classes; }
};

void require_rows(const StepSpec& spec, const TensorDesc& desc, DType dtype, const char* what) {
  const TensorDesc& logits = spec.op == "cross_entropy" ? spec.input(0) : spec.input(1);
  bool fits = desc.dtype == dtype && desc.rank == logits.rank - 1 && desc.dim(0) == logits.dim(0);
  for (int axis = 1; fits && axis < desc.rank; ++axis) fits = desc.dim(axis) == logits.dim(axis + 1);
  require(fits, spec.op, ": expected ", what, " of ", name_of(dtype), " with the shape of logits ",
          logits.shape_text(), " without axis 1, got ", desc.shape_text(), " of ", name_of(desc.dtype));
}

CrossEntropyProblem cross_entropy_problem(const StepSpec& spec, const TensorDesc& logits,
                                          const TensorDesc& loss, const TensorDesc& target,
                                          std::size_t weight_index) {
  CrossEntropyProblem problem;
  check_activation(logits, spec.op + ": logits");
  require(logits.rank >= 2, spec.op, ": expected logits (N, C, ...), got ", logits.shape_text());
  problem.classes = logits.dim(1);
  require(problem.classes >= 1, spec.op, ": expected at least one class, got logits ", logits.shape_text());
  problem.rows = logits.numel() / problem.classes;
  problem.reduction = reduction_from_name(spec.attrs.text("reduction", "mean"));
  problem.ignore_index = spec.attrs.integer("ignore_index", -100);
  problem.smoothing = spec.attrs.real("label_smoothing", 0.0);
  require(problem.smoothing >= 0.0 && problem.smoothing <= 1.0, spec.op,
          ": expected label_smoothing in [0, 1], got ", problem.smoothing);
  require_rows(spec, target, DType::i64, "target");
  problem.target = target;
  if (problem.reduction == Reduction::none) {
    require_rows(spec, loss, DType::f32, "loss");
    problem.loss = loss;
  } else {
    check_vector(loss, 1, spec.op + ": loss");
  }
  problem.has_weight = spec.has_input(weight_index);
  check_input(spec, weight_index, problem.classes, "class_weight");
  return problem;
}

double weight_of(const float* weight, std::int64_t label) {
  return weight == nullptr ? 1.0 : static_cast<double>(weight[label]);
}

double weight_sum(const float* weight, std::int64_t classes) {
  double sum = 0.0;
  for (std::int64_t c = 0; c < classes; ++c) sum += weight_of(weight, c);
  return sum;
}

class CrossEntropy final : public Step {
 public:
  explicit CrossEntropy(const StepSpec& spec)
      : problem_(cross_entropy_problem(spec, spec.input(0), spec.output(0), spec.input(1), 2)),
        has_normaliser_(spec.has_output(1)) {
    if (has_normaliser_) {
      require_rows(spec, spec.output(1), DType::f32, "log_normaliser");
      problem_.log_normaliser = spec.output(1);
    }
  }

  std::size_t workspace_bytes() const override {
    return static_cast<std::size_t>(problem_.chunks()) * sizeof(Partial);
  }
  std::size_t scratch_bytes() const override { return 2 * kChunkRows * sizeof(float); }

  void run(const StepArgs& args) const override {
    auto* partials = reinterpret_cast<Partial*>(args.workspace);
    const float* weight = problem_.has_weight ? args.input(2) : nullptr;
    const double all_weights = problem_.smoothing > 0.0 ? weight_sum(weight, problem_.classes) : 0.0;
    parallel_for(problem_.chunks(), problem_.work(), [&](std::int64_t chunk, int thread) {
      partials[chunk] = sum_chunk(args, weight, all_weights, chunk, args.scratch_of(thread));
    });
    Partial total;
    for (std::int64_t chunk = 0; chunk < problem_.chunks(); ++chunk) {
      total.loss += partials[chunk].loss;
      total.weight += partials[chunk].weight;
    }
    if (problem_.reduction != Reduction::none) {
      const double loss = problem_.reduction == Reduction::mean ? total.loss / total.weight : total.loss;
      *args.output(0) = static_cast<float>(loss);
    }
  }
  double flops() const override { return problem_.work() * kernels().width; }

 private:
  struct Partial {
    double loss = 0.0;
    double weight = 0.0;
  };

  Partial sum_chunk(const StepArgs& args, const float* weight, double all_weights, std::int64_t chunk,
                    float* scratch) const {
    const std::int64_t begin = chunk * kChunkRows;
    const std::int64_t count = std::min(kChunkRows, problem_.rows - begin);
    const float* logits = args.input(0) + begin * problem_.classes;
    float* largest = scratch;
    float* log_sum = scratch + kChunkRows;
    kernels().softmax.normalisers(logits, count, problem_.classes, largest, log_sum);
    Partial partial;
    RowWalk target(problem_.target, begin), normaliser(problem_.log_normaliser, begin),
        losses(problem_.loss, begin);
    for (std::int64_t r = 0; r < count; ++r, logits += problem_.classes) {
      if (has_normaliser_) args.output(1)[normaliser.next()] = largest[r] + log_sum[r];
      const std::int64_t label = args.input<std::int64_t>(1)[target.next()];
      double loss = 0.0;
      if (problem_.counts(label)) {
        loss = row_loss(logits, label, weight, all_weights, largest[r], static_cast<double>(log_sum[r]));
        partial.weight += weight_of(weight, label);
      } else if (label != problem_.ignore_index) {
        loss = std::numeric_limits<double>::quiet_NaN();
      }
      partial.loss += loss;
      if (problem_.reduction == Reduction::none) {
        args.output(0)[losses.next()] = static_cast<float>(loss);
      }
    }
    return partial;
  }

  /// (largest - x) + log_sum rather than log_normaliser - x: exact for a well classified row.
  double row_loss(const float* logits, std::int64_t label, const float* weight, double all_weights,
                  float largest, double log_sum) const {
    const double distance = static_cast<double>(largest) - static_cast<double>(logits[label]) + log_sum;
    const double loss = weight_of(weight, label) * distance;
    if (problem_.smoothing <= 0.0) return loss;
    const double gap = static_cast<double>(kernels().softmax.gap(logits, largest, weight, problem_.classes));
    return (1.0 - problem_.smoothing) * loss +
           problem_.smoothing / static_cast<double>(problem_.classes) * (gap + all_weights * log_sum);
  }

  CrossEntropyProblem problem_;
  bool has_normaliser_;
};

/// How many labels are neither a class nor the ignored one: a guard that runs before anything is changed.
class CountBadLabels final : public Step {
 public:
  explicit CountBadLabels(const StepSpec& spec)
      : count_(spec.input(0).numel()),
        classes_(spec.attrs.integer("classes")),
        ignore_index_(spec.attrs.integer("ignore_index", -100)) {
    const TensorDesc& target = spec.input(0);
    require(target.dtype == DType::i64 && (target.is_contiguous() || target.is_channels_last()),
            "count_bad_labels: expected dense int64 labels, got ", target.shape_text());
    require(spec.output(0).dtype == DType::i64 && spec.output(0).numel() == 1,
            "count_bad_labels: expected an int64 scalar as output, got ", spec.output(0).shape_text());
  }

  void run(const StepArgs& args) const override {
    const auto* labels = args.input<std::int64_t>(0);
    std::int64_t bad = 0;
    for (std::int64_t i = 0; i < count_; ++i) {
      const bool known = labels[i] >= 0 && labels[i] < classes_;
      bad += known || labels[i] == ignore_index_ ? 0 : 1;
    }
    *args.output<std::int64_t>(0) = bad;
  }

 private:
  std::int64_t count_;
  std::int64_t classes_;
  std::int64_t ignore_index_;
};

/// Rows whose label is ignored or out of range get a zero gradient.
class CrossEntropyBackward final : public Step {
 public:
  explicit CrossEntropyBackward(const StepSpec& spec)
      : problem_(cross_entropy_problem(spec, spec.input(1), spec.input(0), spec.input(2), 4)) {
    const TensorDesc& logits = spec.input(1);
    require_rows(spec, spec.input(3), DType::f32, "log_normaliser");
    problem_.log_normaliser = spec.input(3);
    check_like(spec.output(0), logits, spec.op + ": grad_logits");
  }

  std::size_t workspace_bytes() const override {
    return static_cast<std::size_t>(problem_.chunks()) * sizeof(double);
  }
  std::size_t scratch_bytes() const override { return 4 * kChunkRows * sizeof(float); }

  void run(const StepArgs& args) const override {
    const float* weight = problem_.has_weight ? args.input(4) : nullptr;
    const double divisor = problem_.reduction == Reduction::mean ? label_weights(args, weight) : 1.0;
    const double all_weights = problem_.smoothing > 0.0 ? weight_sum(weight, problem_.classes) : 0.0;
    parallel_for(problem_.chunks(), problem_.work(), [&](std::int64_t chunk, int thread) {
      run_chunk(args, weight, divisor, all_weights, chunk, args.scratch_of(thread));
    });
  }
  double flops() const override { return problem_.work() * kernels().width; }

 private:
  /// Sum of the weights of all labels that count.
  double label_weights(const StepArgs& args, const float* weight) const {
    auto* partials = reinterpret_cast<double*>(args.workspace);
    parallel_for(problem_.chunks(), static_cast<double>(problem_.rows), [&](std::int64_t chunk, int) {
      const std::int64_t end = std::min(problem_.rows, (chunk + 1) * kChunkRows);
      double sum = 0.0;
      RowWalk target(problem_.target, chunk * kChunkRows);
      for (std::int64_t row = chunk * kChunkRows; row < end; ++row) {
        const std::int64_t label = args.input<std::int64_t>(2)[target.next()];
        if (problem_.counts(label)) sum += weight_of(weight, label);
      }
      partials[chunk] = sum;
    });
    double total = 0.0;
    for (std::int64_t chunk = 0; chunk < problem_.chunks(); ++chunk) total += partials[chunk];
    return total;
  }

  void run_chunk(const StepArgs& args, const float* weight, double divisor, double all_weights,
                 std::int64_t chunk, float* scratch) const {
    const std::int64_t begin = chunk * kChunkRows, classes = problem_.classes;
    const std::int64_t count = std::min(kChunkRows, problem_.rows - begin);
    const auto* labels = args.input<std::int64_t>(2);
    const double scale = 1.0 / divisor, spread = problem_.smoothing / static_cast<double>(classes);
    float* log_normaliser = scratch;
    float* factor = scratch + kChunkRows;
    float* hard = scratch + 2 * kChunkRows;
    float* soft = problem_.smoothing > 0.0 ? scratch + 3 * kChunkRows : nullptr;
    const bool one_loss = problem_.reduction != Reduction::none;
    RowWalk target(problem_.target, begin), normaliser(problem_.log_normaliser, begin),
        losses(problem_.loss, begin);
    for (std::int64_t r = 0; r < count; ++r) {
      const double grad_loss = static_cast<double>(args.input(0)[one_loss ? 0 : losses.next()]) * scale;
      const std::int64_t label = labels[target.next()];
      const double share = problem_.counts(label) ? weight_of(weight, label) : 0.0;
      const double at_label = grad_loss * (1.0 - problem_.smoothing) * share;
      const double at_all = grad_loss * spread;
      log_normaliser[r] = args.input(3)[normaliser.next()];
      factor[r] = static_cast<float>(at_label + at_all * all_weights);
      hard[r] = static_cast<float>(at_label);
      if (soft != nullptr) soft[r] = static_cast<float>(at_all);
    }
    float* grad_logits = args.output(0) + begin * classes;
    kernels().softmax.cross_entropy_gradient(args.input(1) + begin * classes, log_normaliser, factor, soft,
                                             weight, count, classes, grad_logits);
    RowWalk again(problem_.target, begin);
    for (std::int64_t r = 0; r < count; ++r, grad_logits += classes) {
      const std::int64_t label = labels[again.next()];
      if (problem_.counts(label)) {
        grad_logits[label] -= hard[r];
      } else {
        std::fill_n(grad_logits, classes, 0.0f);
      }
    }
  }

  CrossEntropyProblem problem_;
};

template <class StepType>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<StepType>(spec);
}

}  // namespace

void register_loss(StepRegistry& registry) {
  registry.add("cross_entropy", make<CrossEntropy>);
  registry.add("count_bad_labels", make<CountBadLabels>);
  registry.add("cross_entropy_backward", make<CrossEntropyBackward>);
}

}  // namespace cnncore
