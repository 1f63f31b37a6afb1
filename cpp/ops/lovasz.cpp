// SPDX-License-Identifier: Apache-2.0
// Step `lovasz_weights` [truth (rows, n)] -> [weights (rows, n)]: how much each further error, from the
// largest to the smallest, adds to the Jaccard loss (Berman et al., 2018, algorithm 1). truth is 1 or 0, in
// the errors' order.
#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"
#include "ops/checks.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

class LovaszWeights final : public Step {
 public:
  explicit LovaszWeights(const StepSpec& spec) {
    const TensorDesc& truth = spec.input(0);
    check_in_order(truth, 2, spec.op + ": truth");
    check_like(spec.output(0), truth, spec.op + ": weights");
    rows_ = truth.dim(0);
    n_ = truth.dim(1);
  }

  void run(const StepArgs& args) const override {
    parallel_for(rows_, flops(), [&](std::int64_t row, int) {
      const float* truth = args.input(0) + row * n_;
      float* weights = args.output(0) + row * n_;
      double wanted = 0.0;
      for (std::int64_t i = 0; i < n_; ++i) wanted += static_cast<double>(truth[i]);
      double missed = 0.0, joined = wanted, before = 0.0;
      for (std::int64_t i = 0; i < n_; ++i) {
        missed += static_cast<double>(truth[i]);
        joined += 1.0 - static_cast<double>(truth[i]);
        const double loss = 1.0 - (wanted - missed) / joined;
        weights[i] = static_cast<float>(loss - before);
        before = loss;
      }
    });
  }

  double flops() const override { return 6.0 * static_cast<double>(rows_ * n_); }

 private:
  std::int64_t rows_ = 0;
  std::int64_t n_ = 0;
};

}  // namespace

void register_lovasz(StepRegistry& registry) {
  registry.add("lovasz_weights", [](const StepSpec& spec) -> std::unique_ptr<Step> {
    return std::make_unique<LovaszWeights>(spec);
  });
}

}  // namespace cnncore
