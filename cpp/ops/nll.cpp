// SPDX-License-Identifier: Apache-2.0
// Negative log-likelihood of labels, with torch's meaning of class weights, ignored labels and reductions.
//
// nll [x (N, C, spatial...), target int64 (N, spatial...) in C order, class_weight (C) or none] -> [loss]:
// -weight[target] x[target], one for each label in C order, or their sum, or that over the sum of the
// weights. nll_backward [grad_loss, target, class_weight or none] -> [grad_x].
//   attributes ignore_index, reduction (none, mean, sum). Ignored labels count as 0, as do those
//   outside the classes, which a guard has found.
#include <algorithm>
#include <cstdint>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "ops/axis_rows.h"
#include "ops/checks.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

constexpr std::int64_t kChunk = 4096;  // labels

class NllStep : public Step {
 public:
  NllStep(const StepSpec& spec, const TensorDesc& x, const TensorDesc& target, const TensorDesc& loss,
          std::size_t target_input)
      : target_(target_input), weighted_(spec.has_input(target_input + 1)) {
    check_dense(x, spec.op + ": input");
    require(x.rank >= 2, spec.op, ": expected input (N, C, ...), got ", x.shape_text());
    classes_ = x.dim(1);
    inner_ = x.step(1);
    labels_ = x.numel() / std::max<std::int64_t>(1, classes_);
    require(classes_ >= 1 && labels_ >= 1, spec.op, ": expected at least one class and label");
    ignored_ = spec.attrs.integer("ignore_index");
    const std::string reduction = spec.attrs.text("reduction");
    require(reduction == "none" || reduction == "mean" || reduction == "sum", spec.op,
            ": expected reduction none, mean or sum, got '", reduction, "'");
    each_ = reduction == "none";
    mean_ = reduction == "mean";
    check_vector(target, labels_, spec.op + ": target", DType::i64);
    check_vector(loss, each_ ? labels_ : 1, spec.op + ": loss");
    check_input(spec, target_input + 1, classes_, "class_weight");
  }

  std::size_t workspace_bytes() const override {
    return static_cast<std::size_t>(chunks()) * sizeof(Partial);
  }

 protected:
  struct Partial {
    double loss = 0.0;
    double weight = 0.0;
  };

  std::int64_t chunks() const { return ceil_div(labels_, kChunk); }
  double work() const { return 4.0 * static_cast<double>(labels_); }
  const std::int64_t* targets(const StepArgs& args) const { return args.input<std::int64_t>(target_); }

  bool counts(std::int64_t label) const { return label != ignored_ && label >= 0 && label < classes_; }
  /// Of a label that counts.
  float weight(const StepArgs& args, std::int64_t label) const {
    return weighted_ ? args.input(target_ + 1)[label] : 1.0f;
  }

  /// Calls body(label's number, its offset in x) in a chunk: x is [outer][classes][inner].
  template <class Body>
  void each_label(const StepArgs& args, std::int64_t chunk, const Body& body) const {
    const std::int64_t* target = targets(args);
    const std::int64_t end = std::min(labels_, (chunk + 1) * kChunk);
    for (std::int64_t i = chunk * kChunk; i < end;) {
      const std::int64_t outer = i / inner_, stop = std::min(end, (outer + 1) * inner_);
      for (; i < stop; ++i) body(i, (outer * classes_ + target[i]) * inner_ + i - outer * inner_);
    }
  }

  Partial total(const StepArgs& args) const {
    const auto* partials = reinterpret_cast<const Partial*>(args.workspace);
    Partial sum;
    for (std::int64_t chunk = 0; chunk < chunks(); ++chunk) {
      sum.loss += partials[chunk].loss;
      sum.weight += partials[chunk].weight;
    }
    return sum;
  }

  std::size_t target_;
  std::int64_t classes_ = 0, inner_ = 1, labels_ = 0, ignored_ = 0;
  bool weighted_, each_ = false, mean_ = false;
};

class Nll final : public NllStep {
 public:
  explicit Nll(const StepSpec& spec) : NllStep(spec, spec.input(0), spec.input(1), spec.output(0), 1) {}

  void run(const StepArgs& args) const override {
    auto* partials = reinterpret_cast<Partial*>(args.workspace);
    parallel_for(chunks(), work(), [&](std::int64_t chunk, int) {
      Partial sum;
      each_label(args, chunk, [&](std::int64_t i, std::int64_t at) {
        const std::int64_t label = targets(args)[i];
        fetch(args, i, at - label * inner_);
        const float share = counts(label) ? weight(args, label) : 0.0f;
        const float loss = counts(label) ? -share * args.input(0)[at] : 0.0f;
        if (each_) args.output(0)[i] = loss;
        sum.loss += static_cast<double>(loss);
        sum.weight += static_cast<double>(share);
      });
      partials[chunk] = sum;
    });
    if (each_) return;
    const Partial sum = total(args);
    *args.output(0) = static_cast<float>(mean_ ? sum.loss / sum.weight : sum.loss);
  }

 private:
  /// Fetches what a label to come reads, in the class of the label there: classes of maps lie far apart.
  void fetch(const StepArgs& args, std::int64_t i, std::int64_t first_class) const {
    constexpr std::int64_t kAhead = 128;  // labels; Zen 3: with 64 or 256, up to 5 % more
    if (inner_ < kAhead || i + kAhead >= labels_) return;
    const std::int64_t label = targets(args)[i + kAhead];
    if (counts(label)) __builtin_prefetch(args.input(0) + first_class + label * inner_ + kAhead);
  }
};

class NllBackward final : public NllStep {
 public:
  explicit NllBackward(const StepSpec& spec)
      : NllStep(spec, spec.output(0), spec.input(1), spec.input(0), 1) {}

  void run(const StepArgs& args) const override {
    double divisor = 1.0;
    if (mean_) divisor = weights(args);
    const double zeros = static_cast<double>(labels_ * classes_) / kernels().width;
    parallel_for(chunks(), work() + zeros, [&](std::int64_t chunk, int) {
      clear(args.output(0), chunk);
      each_label(args, chunk, [&](std::int64_t i, std::int64_t at) {
        const std::int64_t label = targets(args)[i];
        if (!counts(label)) return;
        const double share = static_cast<double>(weight(args, label));
        const double grad = static_cast<double>(args.input(0)[each_ ? i : 0]) / divisor;
        args.output(0)[at] = static_cast<float>(-share * grad);
      });
    });
  }

 private:
  double weights(const StepArgs& args) const {
    auto* partials = reinterpret_cast<Partial*>(args.workspace);
    parallel_for(chunks(), work(), [&](std::int64_t chunk, int) {
      Partial sum;
      const std::int64_t end = std::min(labels_, (chunk + 1) * kChunk);
      for (std::int64_t i = chunk * kChunk; i < end; ++i) {
        const std::int64_t label = targets(args)[i];
        if (counts(label)) sum.weight += static_cast<double>(weight(args, label));
      }
      partials[chunk] = sum;
    });
    return total(args).weight;
  }

  /// All classes of a chunk's labels.
  void clear(float* grad, std::int64_t chunk) const {
    const std::int64_t end = std::min(labels_, (chunk + 1) * kChunk);
    for (std::int64_t i = chunk * kChunk; i < end;) {
      const std::int64_t outer = i / inner_, place = i - outer * inner_;
      if (inner_ == 1) {
        std::fill_n(grad + i * classes_, (end - i) * classes_, 0.0f);
        return;
      }
      const std::int64_t count = std::min(end - i, inner_ - place);
      for (std::int64_t c = 0; c < classes_; ++c) {
        std::fill_n(grad + (outer * classes_ + c) * inner_ + place, count, 0.0f);
      }
      i += count;
    }
  }
};

template <class T>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<T>(spec);
}

}  // namespace

void register_nll(StepRegistry& registry) {
  registry.add("nll", make<Nll>);
  registry.add("nll_backward", make<NllBackward>);
}

}  // namespace cnncore
