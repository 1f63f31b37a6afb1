// SPDX-License-Identifier: Apache-2.0
// Steps that meet those of the same program in other processes (program/exchange.h).
//
// exchange_share [] -> [factor, active]: scalars. exchange_begin [x, ...] -> [packed, received]: packs the
// tensors one after the other and begins to sum them over all processes. exchange_end [packed, received] ->
// [x, ...]: waits for the sum and unpacks it. exchange_gather [x] -> [x of each process]. Attribute `number`
// tells the calls of a kind apart.
#include "ops/exchange.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

constexpr std::int64_t kPiece = 16384;  // floats of a task
constexpr std::int64_t kColumns = 512;  // sums in double stay in the first cache

class ExchangeStep : public Step {
 public:
  bool exchanges() const final { return true; }

 protected:
  explicit ExchangeStep(const StepSpec& spec) : number_(spec.attrs.integer("number", 0)) {}

  void call(const StepArgs& args, Exchange::Call what, Floats first, Floats second) const {
    args.exchange->call(what, number_, first, second);
  }

 private:
  std::int64_t number_;
};

class Share final : public ExchangeStep {
 public:
  explicit Share(const StepSpec& spec) : ExchangeStep(spec) {
    check_vector(spec.output(0), 1, "exchange_share: factor");
    check_vector(spec.output(1), 1, "exchange_share: active");
  }
  void run(const StepArgs& args) const override {
    call(args, Exchange::Call::share, {args.output(0), 1}, {args.output(1), 1});
  }
};

class Gather final : public ExchangeStep {
 public:
  explicit Gather(const StepSpec& spec)
      : ExchangeStep(spec), mine_(spec.input(0).numel()), all_(spec.output(0).numel()) {
    check_dense(spec.input(0), "exchange_gather: input");
    check_dense(spec.output(0), "exchange_gather: output");
    require(all_ % mine_ == 0, "exchange_gather: expected whole inputs in the output, got ", all_, " of ",
            mine_);
  }
  void run(const StepArgs& args) const override {
    // The other side only reads it.
    call(args, Exchange::Call::gather, {const_cast<float*>(args.input(0)), mine_}, {args.output(0), all_});
  }

 private:
  std::int64_t mine_;
  std::int64_t all_;
};

/// Tensors one after the other in one memory, copied piece by piece.
class Packing {
 public:
  explicit Packing(const std::vector<StepTensor>& tensors) {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      check_dense(tensors[i].desc, "exchange: tensor");
      const std::int64_t n = tensors[i].desc.numel();
      for (std::int64_t begin = 0; begin < n; begin += kPiece)
        pieces_.push_back({i, begin, total_ + begin, std::min(kPiece, n - begin)});
      total_ += n;
    }
  }

  std::int64_t total() const { return total_; }

  /// copy(tensor, its first element, first element of the packed memory, elements).
  template <class Copy>
  void for_each(const Copy& copy) const {
    const double work = static_cast<double>(total_) / kernels().width;
    parallel_for(static_cast<std::int64_t>(pieces_.size()), work, [&](std::int64_t task, int) {
      const Piece& piece = pieces_[static_cast<std::size_t>(task)];
      copy(piece.tensor, piece.begin, piece.packed, static_cast<std::size_t>(piece.n) * sizeof(float));
    });
  }

 private:
  struct Piece {
    std::size_t tensor;
    std::int64_t begin;
    std::int64_t packed;
    std::int64_t n;
  };
  std::vector<Piece> pieces_;
  std::int64_t total_ = 0;
};

void require_room(const TensorDesc& packed, const TensorDesc& received, std::int64_t total) {
  check_dense(packed, "exchange: packed");
  check_vector(received, packed.numel(), "exchange: received");
  require(packed.numel() >= total, "exchange: expected room for ", total, " floats, got ", packed.numel());
}

class Begin final : public ExchangeStep {
 public:
  explicit Begin(const StepSpec& spec)
      : ExchangeStep(spec), packing_(spec.inputs), room_(spec.output(0).numel()) {
    require_room(spec.output(0), spec.output(1), packing_.total());
  }
  void run(const StepArgs& args) const override {
    float* packed = args.output(0);
    packing_.for_each([&](std::size_t tensor, std::int64_t begin, std::int64_t at, std::size_t bytes) {
      std::memcpy(packed + at, args.input(tensor) + begin, bytes);
    });
    std::fill(packed + packing_.total(), packed + room_, 0.0f);
    call(args, Exchange::Call::begin, {packed, room_}, {args.output(1), room_});
  }

 private:
  Packing packing_;
  std::int64_t room_;
};

class End final : public ExchangeStep {
 public:
  explicit End(const StepSpec& spec)
      : ExchangeStep(spec), packing_(spec.outputs), room_(spec.input(0).numel()) {
    require_room(spec.input(0), spec.input(1), packing_.total());
  }
  void run(const StepArgs& args) const override {
    auto* packed = static_cast<float*>(args.inputs[0]);
    call(args, Exchange::Call::end, {packed, room_}, {static_cast<float*>(args.inputs[1]), room_});
    packing_.for_each([&](std::size_t tensor, std::int64_t begin, std::int64_t at, std::size_t bytes) {
      std::memcpy(args.output(tensor) + begin, packed + at, bytes);
    });
  }

 private:
  Packing packing_;
  std::int64_t room_;
};

template <class T>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<T>(spec);
}

}  // namespace

void sum_parts(const float* runs, std::int64_t parts, std::int64_t n, float* out) {
  const double work = 2.0 * static_cast<double>(parts * n) / kernels().width;
  parallel_for(ceil_div(n, kColumns), work, [&](std::int64_t task, int) {
    const std::int64_t begin = task * kColumns;
    const std::int64_t count = std::min(kColumns, n - begin);
    std::array<double, kColumns> sums{};
    kernels().reduce.sum.across_columns({parts, count, runs + begin, n, 1}, sums.data());
    for (std::int64_t i = 0; i < count; ++i)
      out[begin + i] = static_cast<float>(sums[static_cast<std::size_t>(i)]);
  });
}

void register_exchange(StepRegistry& registry) {
  registry.add("exchange_share", make<Share>);
  registry.add("exchange_begin", make<Begin>);
  registry.add("exchange_end", make<End>);
  registry.add("exchange_gather", make<Gather>);
}

}  // namespace cnncore
