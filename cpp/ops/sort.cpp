// SPDX-License-Identifier: Apache-2.0
// What needs an order along one axis: sorted elements, extremes with their places, running extremes, the most
// frequent element.
#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/error.h"
#include "ops/axis_rows.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

template <class T>
bool is_nan(T value) {
  return std::is_floating_point_v<T> && value != value;
}

/// Element and place as one number whose order is theirs: equal elements stay in the order of their places.
/// NaN is above all others, or below with `nan_first`; -0 equals 0.
struct Place32 {
  std::uint64_t both;
  std::int64_t index() const { return static_cast<std::int64_t>(both & 0xffffffffu); }
  bool same_element(Place32 other) const { return both >> 32 == other.both >> 32; }
  bool operator<(Place32 other) const { return both < other.both; }
};

struct Place64 {
  std::uint64_t key;
  std::int64_t place;
  std::int64_t index() const { return place; }
  bool same_element(Place64 other) const { return key == other.key; }
  bool operator<(Place64 other) const { return key != other.key ? key < other.key : place < other.place; }
};

std::uint32_t ordered(float value, bool nan_first) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (is_nan(value)) return nan_first ? 0u : ~0u;
  if (bits << 1 == 0) bits = 0;
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
std::uint32_t ordered(std::uint8_t value, bool) { return value; }
std::uint32_t ordered(std::int32_t value, bool) { return static_cast<std::uint32_t>(value) ^ 0x80000000u; }
std::uint64_t ordered(std::int64_t value, bool) {
  return static_cast<std::uint64_t>(value) ^ (std::uint64_t{1} << 63);
}

template <class T>
using PlaceOf = std::conditional_t<sizeof(T) == 8, Place64, Place32>;

template <class T>
PlaceOf<T> place_of(T value, std::int64_t index, bool descending, bool nan_first) {
  auto key = ordered(value, nan_first);
  if (descending) key = ~key;
  if constexpr (sizeof(T) == 8) {
    return {key, index};
  } else {
    return {static_cast<std::uint64_t>(key) << 32 | static_cast<std::uint64_t>(index)};
  }
}

/// The columns whose places are gathered at once: a cache line of float32, fewer where rows are long.
std::int64_t gathered_columns(std::int64_t extent) { return std::clamp<std::int64_t>(65536 / extent, 1, 16); }

/// Places of the elements of each row, in scratch memory, for steps that order them.
template <class T>
class OrderStep : public RowsStep {
 public:
  OrderStep(const AxisRows& rows, bool descending, bool nan_first)
      : RowsStep(rows, gathered_columns(rows.extent)), descending_(descending), nan_first_(nan_first) {}

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(width_ * rows_.extent) * sizeof(PlaceOf<T>);
  }

  void run(const StepArgs& args) const override {
    for_each_block(20.0, [&](std::int64_t outer, std::int64_t column, std::int64_t columns, int thread) {
      auto* places = args.scratch_of<PlaceOf<T>>(thread);
      const T* x = args.input<T>(0) + outer * rows_.extent * rows_.inner + column;
      for (std::int64_t i = 0; i < rows_.extent; ++i) {
        for (std::int64_t j = 0; j < columns; ++j) {
          places[j * rows_.extent + i] = place_of(x[i * rows_.inner + j], i, descending_, nan_first_);
        }
      }
      const std::int64_t target = outer * rows_.count * rows_.inner + column;
      for (std::int64_t j = 0; j < columns; ++j) {
        order(places + j * rows_.extent, x + j, args.output<T>(0) + target + j,
              args.output<std::int64_t>(1) + target + j);
      }
    });
  }

 protected:
  /// Orders the places of a row x and writes what is asked for; neighbours in a row are `inner` apart.
  virtual void order(PlaceOf<T>* places, const T* x, T* values, std::int64_t* indices) const = 0;

  void write(const PlaceOf<T>* places, const T* x, T* values, std::int64_t* indices) const {
    for (std::int64_t i = 0; i < rows_.count; ++i) {
      const std::int64_t index = places[i].index();
      values[i * rows_.inner] = x[index * rows_.inner];
      indices[i * rows_.inner] = index;
    }
  }

 private:
  bool descending_;
  bool nan_first_;
};

/// The elements of rank `begin` to `begin + count` of each row, in order; `nan_wins` takes a NaN instead.
template <class T>
class Sorted final : public OrderStep<T> {
 public:
  Sorted(const AxisRows& rows, std::int64_t begin, bool descending, bool nan_wins)
      : OrderStep<T>(rows, descending, nan_wins), begin_(begin), nan_wins_(nan_wins) {}

 private:
  void order(PlaceOf<T>* places, const T* x, T* values, std::int64_t* indices) const override {
    const std::int64_t n = this->rows_.extent;
    std::int64_t begin = begin_;
    if (nan_wins_) {
      std::iter_swap(places, std::min_element(places, places + n));
      if (is_nan(x[places->index() * this->rows_.inner])) begin = 0;
    }
    const std::int64_t end = begin + this->rows_.count;
    if (begin > 0) std::nth_element(places, places + begin, places + n);
    if (end < n) std::nth_element(places + begin, places + end - 1, places + n);
    std::sort(places + begin, places + end);
    this->write(places + begin, x, values, indices);
  }

  std::int64_t begin_;
  bool nan_wins_;
};

/// The most frequent element of each row, the least of several, and its last place.
template <class T>
class Mode final : public OrderStep<T> {
 public:
  explicit Mode(const AxisRows& rows) : OrderStep<T>(rows, false, false) {}

 private:
  void order(PlaceOf<T>* places, const T* x, T* values, std::int64_t* indices) const override {
    const std::int64_t n = this->rows_.extent;
    std::sort(places, places + n);
    std::int64_t best = 0, most = 0;
    for (std::int64_t first = 0, next = 1; first < n; first = next++) {
      while (next < n && places[next].same_element(places[first])) ++next;
      if (next - first > most) {
        most = next - first;
        best = next - 1;
      }
    }
    this->write(places + best, x, values, indices);
  }
};

/// The largest (least) element of each row and its first place; NaN wins.
template <class T, bool kLeast>
class Extreme final : public RowsStep {
 public:
  explicit Extreme(const AxisRows& rows) : RowsStep(rows) {}

  void run(const StepArgs& args) const override {
    for_each_block(1.0, [&](std::int64_t outer, std::int64_t column, std::int64_t columns, int) {
      const T* x = args.input<T>(0) + outer * rows_.extent * rows_.inner + column;
      T* best = args.output<T>(0) + outer * rows_.inner + column;
      std::int64_t* places = args.output<std::int64_t>(1) + outer * rows_.inner + column;
      for (std::int64_t j = 0; j < columns; ++j) {
        best[j] = x[j];
        places[j] = 0;
      }
      for (std::int64_t i = 1; i < rows_.extent; ++i) {
        const T* row = x + i * rows_.inner;
        for (std::int64_t j = 0; j < columns; ++j) {
          const bool better = !(kLeast ? row[j] >= best[j] : row[j] <= best[j]) && !is_nan(best[j]);
          best[j] = better ? row[j] : best[j];
          places[j] = better ? i : places[j];
        }
      }
    });
  }
};

/// The largest (least) element so far along each row and its last place; NaN wins.
template <class T, bool kLeast>
class RunningExtreme final : public RowsStep {
 public:
  explicit RunningExtreme(const AxisRows& rows) : RowsStep(rows) {}

  void run(const StepArgs& args) const override {
    for_each_block(2.0, [&](std::int64_t outer, std::int64_t column, std::int64_t columns, int) {
      const std::int64_t start = outer * rows_.extent * rows_.inner + column;
      const T* x = args.input<T>(0) + start;
      T* best = args.output<T>(0) + start;
      std::int64_t* places = args.output<std::int64_t>(1) + start;
      for (std::int64_t j = 0; j < columns; ++j) {
        best[j] = x[j];
        places[j] = 0;
      }
      for (std::int64_t i = 1; i < rows_.extent; ++i) {
        for (std::int64_t j = 0; j < columns; ++j) {
          const std::int64_t now = i * rows_.inner + j, before = now - rows_.inner;
          const T value = x[now], top = best[before];
          const bool better = is_nan(value) || (!is_nan(top) && (kLeast ? value <= top : value >= top));
          best[now] = better ? value : top;
          places[now] = better ? i : places[before];
        }
      }
    });
  }
};

/// [x] -> [values, indices] along the axis.
AxisRows value_rows(const StepSpec& spec) {
  const TensorDesc &x = spec.input(0), &values = spec.output(0), &indices = spec.output(1);
  require(values.dtype == x.dtype && indices.dtype == DType::i64 && values.same_layout(indices), spec.op,
          ": expected values like the input and int64 indices of their layout");
  const AxisRows rows = axis_rows(spec, x, values);
  require(rows.extent <= std::numeric_limits<std::uint32_t>::max(), spec.op, ": the axis is too long");
  return rows;
}

/// attrs: axis, begin (rank of the first element wanted), descending, nan_wins.
std::unique_ptr<Step> make_sort(const StepSpec& spec) {
  const AxisRows rows = value_rows(spec);
  const std::int64_t begin = spec.attrs.integer("begin");
  const bool descending = spec.attrs.integer("descending") != 0;
  const bool nan_wins = spec.attrs.integer("nan_wins") != 0;
  require(begin >= 0 && rows.count >= 1 && begin + rows.count <= rows.extent, spec.op, ": elements ", begin,
          " to ", begin + rows.count, " of ", rows.extent);
  require(!nan_wins || (rows.count == 1 && !descending), spec.op, ": only one element can be NaN's");
  return by_type(spec.input(0).dtype, [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<Sorted<decltype(zero)>>(rows, begin, descending, nan_wins);
  });
}

std::unique_ptr<Step> make_mode(const StepSpec& spec) {
  const AxisRows rows = value_rows(spec);
  require(rows.count == 1, spec.op, ": expected one element a row");
  return by_type(spec.input(0).dtype, [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<Mode<decltype(zero)>>(rows);
  });
}

template <template <class, bool> class Kind>
std::unique_ptr<Step> make_extreme(const StepSpec& spec, const AxisRows& rows) {
  const bool least = spec.attrs.integer("least") != 0;
  return by_type(spec.input(0).dtype, [&](auto zero) -> std::unique_ptr<Step> {
    if (least) return std::make_unique<Kind<decltype(zero), true>>(rows);
    return std::make_unique<Kind<decltype(zero), false>>(rows);
  });
}

std::unique_ptr<Step> make_extreme_step(const StepSpec& spec) {
  const AxisRows rows = value_rows(spec);
  require(rows.count == 1, spec.op, ": expected one element a row");
  return make_extreme<Extreme>(spec, rows);
}

std::unique_ptr<Step> make_running_extreme(const StepSpec& spec) {
  const AxisRows rows = value_rows(spec);
  require(rows.count == rows.extent, spec.op, ": expected as many elements as there are");
  return make_extreme<RunningExtreme>(spec, rows);
}

}  // namespace

void register_sort(StepRegistry& registry) {
  registry.add("sort", make_sort);
  registry.add("mode", make_mode);
  registry.add("extreme", make_extreme_step);
  registry.add("running_extreme", make_running_extreme);
}

}  // namespace cnncore
