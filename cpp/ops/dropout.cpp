// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

constexpr std::int64_t kChunk = 16384;  // a multiple of the kernel's block of 64
constexpr double kRandomRange = 16777216.0;

/// y = x * mask / (1 - p). The mask follows from seed, step, the attribute `key` and the element's place in
/// memory, so the gradient is the same step applied to grad_output.
class Dropout final : public Step {
 public:
  explicit Dropout(const StepSpec& spec) : count_(spec.input(0).numel()) {
    const TensorDesc& x = spec.input(0);
    require(x.dtype == DType::f32 && (x.is_contiguous() || x.is_channels_last()),
            "dropout: expected a dense float32 input");
    require(spec.output(0).dtype == DType::f32 && spec.output(0).same_layout(x),
            "dropout: expected an output like the input ", x.shape_text(), ", got ",
            spec.output(0).shape_text());
    require(spec.input(1).dtype == DType::i64 && spec.input(1).numel() == 2,
            "dropout: expected rng as int64 (2,): seed and step");
    const double p = spec.attrs.real("p");
    require(p >= 0.0 && p <= 1.0, "dropout: expected a probability in [0, 1], got ", p);
    threshold_ = static_cast<std::uint32_t>(std::lround(p * kRandomRange));
    scale_ = p < 1.0 ? static_cast<float>(1.0 / (1.0 - p)) : 0.0f;
    key_ = static_cast<std::uint32_t>(spec.attrs.integer("key"));
  }

  void run(const StepArgs& args) const override {
    const auto* rng = args.input<std::int64_t>(1);
    const DropoutKey key = {static_cast<std::uint64_t>(rng[0]), static_cast<std::uint64_t>(rng[1]), key_};
    const std::int64_t chunks = ceil_div(count_, kChunk);
    const double work = 40.0 * static_cast<double>(count_) / kernels().width;
    parallel_for(chunks, work, [&](std::int64_t chunk, int) {
      const std::int64_t begin = chunk * kChunk;
      kernels().dropout.apply(args.input(0) + begin, begin, std::min(kChunk, count_ - begin), key, threshold_,
                              scale_, args.output(0) + begin);
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

}  // namespace

void register_dropout(StepRegistry& registry) {
  registry.add("dropout",
               [](const StepSpec& spec) -> std::unique_ptr<Step> { return std::make_unique<Dropout>(spec); });
}

}  // namespace cnncore
