// SPDX-License-Identifier: Apache-2.0
// Step `scan` [decay?, value?] -> [y]: along attribute `axis`, s[i] = decay[i] s[i - 1] + value[i], where an
// absent decay is 1 and an absent value 0; s before the first element is attribute `start`. With `reverse`
// the axis is walked from its end, with `exclusive` y[i] is s before element i. float32, summed in double, or
// int64.
#include <algorithm>
#include <array>
#include <type_traits>

#include "core/error.h"
#include "ops/axis_rows.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

constexpr std::int64_t kColumns = 64;

struct ScanSettings {
  std::int64_t start;
  bool reverse;
  bool exclusive;
  bool decays;
  bool adds;
};

template <class T>
class Scan final : public RowsStep {
 public:
  Scan(const AxisRows& rows, const ScanSettings& settings) : RowsStep(rows, kColumns), settings_(settings) {}

  void run(const StepArgs& args) const override {
    if (rows_.inner == 1 && settings_.adds && !settings_.decays) {
      const auto add_row = settings_.reverse ? (settings_.exclusive ? add_up<-1, true> : add_up<-1, false>)
                                             : (settings_.exclusive ? add_up<1, true> : add_up<1, false>);
      for_each_block(4.0, [&](std::int64_t outer, std::int64_t, std::int64_t, int) {
        const std::int64_t first = outer * rows_.extent + (settings_.reverse ? rows_.extent - 1 : 0);
        add_row(args.input<T>(1) + first, rows_.extent, static_cast<State>(settings_.start),
                args.output<T>(0) + first);
      });
      return;
    }
    for_each_block(4.0, [&](std::int64_t outer, std::int64_t column, std::int64_t columns, int) {
      std::array<State, kColumns> state;
      state.fill(static_cast<State>(settings_.start));
      for (std::int64_t k = 0; k < rows_.extent; ++k) {
        const std::int64_t i = settings_.reverse ? rows_.extent - 1 - k : k;
        advance(args, (outer * rows_.extent + i) * rows_.inner + column, columns, state.data());
      }
    });
  }

 private:
  // Sums of int64 wrap around.
  using State = std::conditional_t<std::is_floating_point_v<T>, double, std::uint64_t>;

  /// Sums of one row: those of four elements are made beside the running sum, which waits for one addition.
  template <std::int64_t kStep, bool kExclusive>
  static void add_up(const T* x, std::int64_t left, State sum, T* y) {
    constexpr std::int64_t kElements = 4;
    for (; left >= kElements; left -= kElements, x += kElements * kStep, y += kElements * kStep) {
      State part[kElements + 1];
      part[0] = 0;
#pragma GCC unroll 4
      for (std::int64_t i = 0; i < kElements; ++i) part[i + 1] = part[i] + static_cast<State>(x[i * kStep]);
#pragma GCC unroll 4
      for (std::int64_t i = 0; i < kElements; ++i) {
        y[i * kStep] = static_cast<T>(sum + part[kExclusive ? i : i + 1]);
      }
      sum += part[kElements];
    }
    for (; left > 0; --left, x += kStep, y += kStep) {
      const State before = sum;
      sum += static_cast<State>(*x);
      *y = static_cast<T>(kExclusive ? before : sum);
    }
  }

  void advance(const StepArgs& args, std::int64_t at, std::int64_t columns, State* state) const {
    const T* decay = settings_.decays ? args.input<T>(0) + at : nullptr;
    const T* value = settings_.adds ? args.input<T>(1) + at : nullptr;
    T* y = args.output<T>(0) + at;
    for (std::int64_t j = 0; j < columns; ++j) {
      const State before = state[j];
      if (decay != nullptr) state[j] *= static_cast<State>(decay[j]);
      if (value != nullptr) state[j] += static_cast<State>(value[j]);
      y[j] = static_cast<T>(settings_.exclusive ? before : state[j]);
    }
  }

  ScanSettings settings_;
};

std::unique_ptr<Step> make_scan(const StepSpec& spec) {
  const TensorDesc& y = spec.output(0);
  ScanSettings settings{};
  settings.start = spec.attrs.integer("start");
  settings.reverse = spec.attrs.integer("reverse") != 0;
  settings.exclusive = spec.attrs.integer("exclusive") != 0;
  settings.decays = spec.has_input(0);
  settings.adds = spec.has_input(1);
  for (std::size_t i = 0; i < 2; ++i) {
    require(!spec.has_input(i) || (spec.input(i).dtype == y.dtype && spec.input(i).same_layout(y)),
            "scan: expected inputs of the result's type and layout");
  }
  const AxisRows rows = axis_rows(spec, y, y);
  if (y.dtype == DType::f32) return std::make_unique<Scan<float>>(rows, settings);
  require(y.dtype == DType::i64, "scan: expected float32 or int64, got ", name_of(y.dtype));
  return std::make_unique<Scan<std::int64_t>>(rows, settings);
}

}  // namespace

void register_scan(StepRegistry& registry) { registry.add("scan", make_scan); }

}  // namespace cnncore
