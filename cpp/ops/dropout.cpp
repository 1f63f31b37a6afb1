// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

constexpr std::int64_t kChunk = 16384;  // a multiple of the kernel's block of 64
constexpr double kRandomRange = 16777216.0;

DropoutKey random_key(const StepArgs& args, std::size_t input, std::uint32_t key) {
  const auto* rng = args.input<std::int64_t>(input);
  return {static_cast<std::uint64_t>(rng[0]), static_cast<std::uint64_t>(rng[1]), key};
}

/// Calls body(first element, elements) for chunks of `count` elements.
template <class Body>
void for_chunks(std::int64_t count, const Body& body) {
  const double work = 40.0 * static_cast<double>(count) / kernels().width;
  parallel_for(ceil_div(count, kChunk), work, [&](std::int64_t chunk, int) {
    const std::int64_t begin = chunk * kChunk;
    body(begin, std::min(kChunk, count - begin));
  });
}

void require_rng(const TensorDesc& rng, const char* what) {
  require(rng.dtype == DType::i64 && rng.numel() == 2, what, ": expected rng as int64 (2,): seed and step");
}

/// y = x * mask / (1 - p). The mask follows from seed, step, the attribute `key` and the element's place in
/// memory, so the gradient is the same step applied to grad_output.
class Dropout final : public Step {
 public:
  explicit Dropout(const StepSpec& spec) : count_(spec.input(0).numel()) {
    const TensorDesc& x = spec.input(0);
    check_dense(x, "dropout: input");
    check_like(spec.output(0), x, "dropout: output");
    require_rng(spec.input(1), "dropout");
    const double p = spec.attrs.real("p");
    require(p >= 0.0 && p <= 1.0, "dropout: expected a probability in [0, 1], got ", p);
    threshold_ = static_cast<std::uint32_t>(std::lround(p * kRandomRange));
    scale_ = p < 1.0 ? static_cast<float>(1.0 / (1.0 - p)) : 0.0f;
    key_ = static_cast<std::uint32_t>(spec.attrs.integer("key"));
  }

  void run(const StepArgs& args) const override {
    const DropoutKey key = random_key(args, 1, key_);
    for_chunks(count_, [&](std::int64_t begin, std::int64_t count) {
      kernels().dropout.apply(args.input(0) + begin, begin, count, key, threshold_, scale_,
                              args.output(0) + begin);
    });
  }
  std::string algorithm() const override { return "philox4x32-10"; }
  double flops() const override { return static_cast<double>(count_); }

 private:
  std::int64_t count_;
  std::uint32_t threshold_ = 0;
  std::uint32_t key_ = 0;
  float scale_ = 1.0f;
};

/// Numbers in (0, 1), which follow from seed, step, the attribute `key` and the element's place in memory.
class Uniform final : public Step {
 public:
  explicit Uniform(const StepSpec& spec) : count_(spec.output(0).numel()) {
    const TensorDesc& y = spec.output(0);
    check_dense(y, "uniform: output");
    require_rng(spec.input(0), "uniform");
    key_ = static_cast<std::uint32_t>(spec.attrs.integer("key"));
  }

  void run(const StepArgs& args) const override {
    const DropoutKey key = random_key(args, 0, key_);
    for_chunks(count_, [&](std::int64_t begin, std::int64_t count) {
      kernels().dropout.uniform(begin, count, key, args.output(0) + begin);
    });
  }
  std::string algorithm() const override { return "philox4x32-10"; }
  double flops() const override { return static_cast<double>(count_); }

 private:
  std::int64_t count_;
  std::uint32_t key_ = 0;
};

}  // namespace

void register_dropout(StepRegistry& registry) {
  registry.add("uniform",
               [](const StepSpec& spec) -> std::unique_ptr<Step> { return std::make_unique<Uniform>(spec); });
  registry.add("dropout",
               [](const StepSpec& spec) -> std::unique_ptr<Step> { return std::make_unique<Dropout>(spec); });
}

}  // namespace cnncore
