// SPDX-License-Identifier: Apache-2.0
#include "isa/embedding_bag.h"

#include "isa/kernels/channel_runs.h"
#include "isa/kernels/small_ints.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

// Rows lie anywhere in the table, where the hardware foresees nothing: so many lines of those to come are on
// their way, but no more rows than the pages that the first table of addresses knows.
constexpr int64_t kLinesAhead = 128, kRowsAhead = 32;

/// Fetches the rows of some bags a while before they are read.
class RowsAhead {
 public:
  explicit RowsAhead(const BagRun& run, const float* table)
      : table_(table),
        indices_(run.indices),
        features_(run.features),
        distance_(max_of(1, min_of(kRowsAhead, kLinesAhead / max_of(1, run.features / kLineFloats)))),
        end_(run.count - distance_) {}

  /// The columns that are read of row k, of the row to come: memory is busy during all passes over a bag.
  template <int V>
  CNNCORE_MEMBER void fetch(int64_t k, int64_t c) const {
    if (k >= end_) return;
    const float* row = table_ + indices_[k + distance_] * features_ + c;
    for (int64_t i = 0; i < V * kWidth; i += kLineFloats) __builtin_prefetch(row + i);
  }

 private:
  const float* table_;
  const int64_t* indices_;
  int64_t features_, distance_, end_;
};

/// Calls body(k, row) for the rows of a bag that count, for V vectors from column c on.
template <int V, class Body>
CNNCORE_INLINE void for_rows(const BagRun& bag, const RowsAhead& ahead, int64_t begin, int64_t end, int64_t c,
                             const Body& body) {
  const int64_t* const indices = bag.indices;
  const int64_t padding = bag.padding, features = bag.features;
  const float* const table = bag.table + c;
  for (int64_t k = begin; k < end; ++k) {
    ahead.fetch<V>(k, c);
    const int64_t index = indices[k];
    if (index != padding) body(k, table + index * features);
  }
}

template <bool kPlaced>
struct SumOfRows {
  const BagRun& bag;
  const RowsAhead &ahead, &places_ahead;
  int64_t first_row, last_row;
  float factor;
  float* out;
  int64_t column = 0;  // that c counts from

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes, int64_t, int64_t) const {
    c += column;
    const float* const factors = bag.factors;
    const Vec same = set1(factor);
    Vec sum[V];
    for (int v = 0; v < V; ++v) sum[v] = zero();
    for_rows<V>(bag, ahead, first_row, last_row, c, [&](int64_t k, const float* row) {
      const Vec by = factors != nullptr ? set1(factors[k]) : same;
      if constexpr (kPlaced) places_ahead.template fetch<V>(k, c);
      for (int v = 0; v < V; ++v) {
        Vec value = load_some<kFull>(row + v * kWidth, lanes);
        if constexpr (kPlaced) value = placed<kFull>(k, row + v * kWidth, lanes, value);
        sum[v] = fmadd(by, value, sum[v]);
      }
    });
    const bool past = kFull && bag.far && is_aligned(out + c);
    for (int v = 0; v < V; ++v) {
      if (past) {
        store_past_cache(out + c + v * kWidth, sum[v]);
      } else {
        store_some<kFull>(out + c + v * kWidth, sum[v], lanes);
      }
    }
  }

  /// `value` where its place is the number of k, else 0.
  template <bool kFull>
  CNNCORE_MEMBER Vec placed(int64_t k, const float* row, int64_t lanes, Vec value) const {
    const auto* places = reinterpret_cast<const float*>(bag.places) + (row - bag.table);
    const IVec apart = isub(as_int(load_some<kFull>(places, lanes)), iset1(bag.numbers[k]));
    return select(equal(to_float(apart), zero()), value, zero());
  }
};

struct LargestOfRows {
  const BagRun& bag;
  const RowsAhead& ahead;
  int64_t first_row, last_row;
  float* out;
  int32_t* place;

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes, int64_t, int64_t) const {
    Vec most[V], from[V];
    for (int v = 0; v < V; ++v) {
      most[v] = zero();
      from[v] = as_float(iset1(-1));
    }
    bool none = true;
    for_rows<V>(bag, ahead, first_row, last_row, c, [&](int64_t k, const float* row) {
      const Vec number = as_float(iset1(static_cast<int32_t>(k)));
      for (int v = 0; v < V; ++v) {
        const Vec value = load_some<kFull>(row + v * kWidth, lanes);
        const Mask larger = greater(value, most[v]);
        most[v] = none ? value : select(larger, value, most[v]);
        from[v] = none ? number : select(larger, number, from[v]);
      }
      none = false;
    });
    for (int v = 0; v < V; ++v) {
      store_some<kFull>(out + c + v * kWidth, most[v], lanes);
      store_some<kFull>(reinterpret_cast<float*>(place + c) + v * kWidth, from[v], lanes);
    }
  }
};

float share(const BagRun& run, int64_t bag) {
  const int64_t end = run.begin(bag + 1);
  int64_t rows = 0;
  for (int64_t k = run.begin(bag); k < end; ++k) rows += run.indices[k] != run.padding ? 1 : 0;
  return 1.0f / static_cast<float>(max_of(1, rows));
}

template <bool kPlaced>
void sum_rows(const BagRun& run, int64_t first, int64_t last, float* out) {
  const RowsAhead ahead(run, run.table), places(run, reinterpret_cast<const float*>(run.places));
  for (int64_t bag = first; bag < last; ++bag) {
    const float factor = run.mean ? share(run, bag) : 1.0f;
    SumOfRows<kPlaced> body{
        run, ahead, places, run.begin(bag), run.begin(bag + 1), factor, out + bag * run.features};
    int64_t c = 0;
#if defined(__AVX512F__)
    // As many sums as there are registers for: a row is read to its end before the next one.
    if constexpr (!kPlaced) {
      for (; c + 16 * kWidth <= run.columns; c += 16 * kWidth) body.template run<16, true>(c, kWidth, 0, 1);
      for (; c + 8 * kWidth <= run.columns; c += 8 * kWidth) body.template run<8, true>(c, kWidth, 0, 1);
    }
#endif
    body.column = c;
    for_channels(body, run.columns - c, 0, 1);
  }
  if (run.far) finish_streaming();
}

void sum(const BagRun& run, int64_t first, int64_t last, float* out) {
  if (run.places != nullptr) {
    sum_rows<true>(run, first, last, out);
  } else {
    sum_rows<false>(run, first, last, out);
  }
}

void largest(const BagRun& run, int64_t first, int64_t last, float* out, int32_t* place) {
  const RowsAhead ahead(run, run.table);
  for (int64_t bag = first; bag < last; ++bag) {
    const int64_t at = bag * run.features;
    const LargestOfRows body{run, ahead, run.begin(bag), run.begin(bag + 1), out + at, place + at};
    for_channels(body, run.features, 0, 1);
  }
}

}  // namespace

EmbeddingBagKernels embedding_bag_kernels() { return {sum, largest, share}; }

}  // namespace CNNCORE_ISA
}  // namespace cnncore
