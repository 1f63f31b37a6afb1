// SPDX-License-Identifier: Apache-2.0
#include "isa/pool.h"

#include "isa/kernels/lanes.h"
#include "isa/kernels/small_ints.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

/// A run of 1 to V vectors of channels; only a run of one vector may be partial.
template <int V>
CNNCORE_INLINE Vec load_lane(const float* p, int v, int64_t lanes) {
  return V == 1 ? load_upto(p, lanes) : load(p + v * kWidth);
}
template <int V>
CNNCORE_INLINE void store_lane(float* p, int v, Vec value, int64_t lanes) {
  if (V == 1) {
    store_upto(p, value, lanes);
  } else {
    store(p + v * kWidth, value);
  }
}

/// Calls body.run<V>(first channel, lanes) over all channels: four vectors at a time, then one.
template <class Body>
CNNCORE_INLINE void for_channels(int64_t channels, const Body& body) {
  int64_t c = 0;
  for (; c + 4 * kWidth <= channels; c += 4 * kWidth) body.template run<4>(c, kWidth);
  for (; c < channels; c += kWidth) body.template run<1>(c, channels - c);
}

struct NoIndex {};
template <int V>
CNNCORE_INLINE void store_index(NoIndex, int64_t, int, IVec, int64_t) {}
template <int V, class T>
CNNCORE_INLINE void store_index(T* index, int64_t c, int v, IVec value, int64_t lanes) {
  if (V == 1) {
    store_ints_upto(index + c, value, lanes);
  } else {
    store_ints(index + c + v * kWidth, value);
  }
}
CNNCORE_INLINE NoIndex advance(NoIndex none, int64_t) { return none; }
template <class T>
CNNCORE_INLINE T* advance(T* index, int64_t elements) {
  return index + elements;
}

/// The largest value of one window for a run of channels. kRows x kColumns is the window's size when it is
/// known (then it has one plane), 0 x 0 otherwise.
template <int kRows, int kColumns, class Index>
struct MaxWindow {
  const PoolRow& row;
  const float* input;
  int64_t columns;
  int32_t number;
  float* output;
  Index index;

  template <int V>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes) const {
    Vec top[V], at[V];
    for (int v = 0; v < V; ++v) {
      top[v] = set1(-__builtin_inff());
      at[v] = as_float(iset1(number));
    }
    const int64_t planes = kRows != 0 ? 1 : row.planes;
    const int64_t rows = kRows != 0 ? kRows : row.rows;
    const int64_t taps = kRows != 0 ? kColumns : columns;
    for (int64_t i = 0; i < planes; ++i) {
#pragma GCC unroll 3
      for (int64_t j = 0; j < rows; ++j) {
        const float* p = input + i * row.plane_step + j * row.row_step + c;
        const int32_t first =
            number + static_cast<int32_t>(i) * row.plane_number + static_cast<int32_t>(j) * row.row_number;
#pragma GCC unroll 3
        for (int64_t k = 0; k < taps; ++k) {
          const Vec here = as_float(iset1(first + static_cast<int32_t>(k)));
          for (int v = 0; v < V; ++v) {
            const Vec value = load_lane<V>(p + k * row.column_step, v, lanes);
            const Mask better = either(greater(value, top[v]), is_nan(value));
            top[v] = select(better, value, top[v]);
            at[v] = select(better, here, at[v]);
          }
        }
      }
    }
    for (int v = 0; v < V; ++v) {
      store_lane<V>(output + c, v, top[v], lanes);
      store_index<V>(index, c, v, as_int(at[v]), lanes);
    }
  }
};

template <int kRows, int kColumns, class Index>
CNNCORE_INLINE void max_window(const PoolRow& row, const PoolWindow& window, float* output, Index index) {
  const MaxWindow<kRows, kColumns, Index> body = {row,         row.input + window.start * row.pixel,
                                                  window.taps, row.first_number + window.number,
                                                  output,      index};
  for_channels(row.channels, body);
}

template <class Index>
CNNCORE_INLINE void max_row(const PoolRow& row, float* output, Index index) {
  const bool flat = row.planes == 1;
  for (int64_t x = 0; x < row.width; ++x) {
    const PoolWindow& window = row.columns[x];
    float* y = output + x * row.pixel;
    const Index at = advance(index, x * row.pixel);
    if (flat && row.rows == 2 && window.taps == 2) {
      max_window<2, 2>(row, window, y, at);
    } else if (flat && row.rows == 3 && window.taps == 3) {
      max_window<3, 3>(row, window, y, at);
    } else {
      max_window<0, 0>(row, window, y, at);
    }
  }
}

void max_values(const PoolRow& row, float* output) { max_row(row, output, NoIndex{}); }
void max_index_u8(const PoolRow& row, float* output, uint8_t* index) { max_row(row, output, index); }
void max_index_i32(const PoolRow& row, float* output, int32_t* index) { max_row(row, output, index); }

struct AverageWindow {
  const PoolRow& row;
  const float* input;
  int64_t columns;
  float divisor;
  float* output;

  /// Rows are summed one by one before they are added up, so the error grows with height plus width.
  template <int V>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes) const {
    Vec total[V];
    for (int v = 0; v < V; ++v) total[v] = zero();
    for (int64_t i = 0; i < row.planes; ++i) {
      for (int64_t j = 0; j < row.rows; ++j) {
        const float* p = input + i * row.plane_step + j * row.row_step + c;
        Vec line[V];
        for (int v = 0; v < V; ++v) line[v] = load_lane<V>(p, v, lanes);
        for (int64_t k = 1; k < columns; ++k) {
          for (int v = 0; v < V; ++v) line[v] = line[v] + load_lane<V>(p + k * row.column_step, v, lanes);
        }
        for (int v = 0; v < V; ++v) total[v] = total[v] + line[v];
      }
    }
    for (int v = 0; v < V; ++v) store_lane<V>(output + c, v, total[v] / set1(divisor), lanes);
  }
};

void average(const PoolRow& row, float* output) {
  for (int64_t x = 0; x < row.width; ++x) {
    const PoolWindow& window = row.columns[x];
    const AverageWindow body = {row, row.input + window.start * row.pixel, window.taps,
                                row.divisor * static_cast<float>(window.divisor), output + x * row.pixel};
    for_channels(row.channels, body);
  }
}

/// One input pixel: the sum over the windows that cover it of what `term` takes from each.
template <class Term>
struct GatherPixel {
  const PoolGather& row;
  const PoolSource* columns;
  int64_t column_count;
  const Term& term;
  float* grad_input;

  template <int V>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes) const {
    Vec sum[V];
    for (int v = 0; v < V; ++v) sum[v] = zero();
    for (int64_t i = 0; i < row.plane_count; ++i) {
      for (int64_t j = 0; j < row.row_count; ++j) {
        const int64_t line =
            row.grad_output + row.planes[i].output * row.plane_step + row.rows[j].output * row.row_step;
        const int32_t number = row.planes[i].number * row.plane_number + row.rows[j].number * row.row_number;
        const int32_t divisor = row.planes[i].divisor * row.rows[j].divisor;
        for (int64_t k = 0; k < column_count; ++k) {
          const PoolSource& column = columns[k];
          const auto window = term.window(number + column.number, divisor * column.divisor);
          const int64_t at = line + column.output * row.pixel + c;
          for (int v = 0; v < V; ++v) sum[v] = term.template add<V>(sum[v], window, at, v, lanes);
        }
      }
    }
    for (int v = 0; v < V; ++v) store_lane<V>(grad_input + c, v, sum[v], lanes);
  }
};

template <class Term>
CNNCORE_INLINE void gather_row(const PoolGather& row, const Term& term, float* grad_input) {
  for (int64_t x = 0; x < row.width; ++x) {
    const int32_t begin = row.column_begin[x];
    const GatherPixel<Term> body = {row, row.columns + begin, row.column_begin[x + 1] - begin, term,
                                    grad_input + x * row.pixel};
    for_channels(row.channels, body);
  }
}

template <class Index>
struct MaxTerm {
  const float* grad_output;
  const Index* index;

  CNNCORE_MEMBER IVec window(int32_t number, int32_t) const { return iset1(number); }
  template <int V>
  CNNCORE_MEMBER Vec add(Vec sum, IVec number, int64_t at, int v, int64_t lanes) const {
    const IVec chosen = V == 1 ? load_ints_upto(index + at, lanes) : load_ints(index + at + v * kWidth);
    const Vec grad = load_lane<V>(grad_output + at, v, lanes);
    return select(equal_ints(chosen, number), sum + grad, sum);
  }
};

struct AverageTerm {
  const float* grad_output;

  CNNCORE_MEMBER Vec window(int32_t, int32_t divisor) const {
    return set1(1.0f / static_cast<float>(divisor));
  }
  template <int V>
  CNNCORE_MEMBER Vec add(Vec sum, Vec factor, int64_t at, int v, int64_t lanes) const {
    return fmadd(load_lane<V>(grad_output + at, v, lanes), factor, sum);
  }
};

void max_gather_u8(const PoolGather& row, const float* grad_output, const uint8_t* index, float* grad_input) {
  gather_row(row, MaxTerm<uint8_t>{grad_output, index}, grad_input);
}

void max_gather_i32(const PoolGather& row, const float* grad_output, const int32_t* index,
                    float* grad_input) {
  gather_row(row, MaxTerm<int32_t>{grad_output, index}, grad_input);
}

void average_gather(const PoolGather& row, const float* grad_output, float* grad_input) {
  gather_row(row, AverageTerm{grad_output}, grad_input);
}

}  // namespace

PoolKernels pool_kernels() {
  return {max_values, max_index_u8, max_index_i32, average, max_gather_u8, max_gather_i32, average_gather};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
