// SPDX-License-Identifier: Apache-2.0
#include "isa/pool.h"

#include "isa/kernels/activations.h"
#include "isa/kernels/channel_runs.h"
#include "isa/kernels/small_ints.h"
#include "isa/kernels/tiles.h"
#include "isa/vec.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

template <bool kFull, class T>
CNNCORE_INLINE IVec load_some_ints(const T* p, int64_t lanes) {
  return kFull ? load_ints(p) : load_ints_partial(p, lanes);
}
template <bool kFull, class T>
CNNCORE_INLINE void store_some_ints(T* p, IVec v, int64_t lanes) {
  if (kFull) {
    store_ints(p, v);
  } else {
    store_ints_partial(p, v, lanes);
  }
}

/// The running maximum of V vectors of channels with the number of the tap that
/// holds it.
template <class Index, int V>
struct Top {
  Vec value[V];
  Vec number[V];

  static CNNCORE_MEMBER Vec none() { return set1(-__builtin_inff()); }
  CNNCORE_MEMBER void begin(int v, Vec first, IVec tap) {
    value[v] = first;
    number[v] = as_float(tap);
  }
  CNNCORE_MEMBER void add(int v, Vec candidate, IVec tap) {
    const Mask better = either(greater(candidate, value[v]), is_nan(candidate));
    value[v] = select(better, candidate, value[v]);
    number[v] = select(better, as_float(tap), number[v]);
  }
  CNNCORE_MEMBER void end_line() {}
};

/// Without numbers. max() forgets a NaN when the next value comes, so NaN is
/// noted apart.
template <int V>
struct Top<void, V> {
  Vec value[V];
  Vec nan[V];

  static CNNCORE_MEMBER Vec none() { return set1(-__builtin_inff()); }
  CNNCORE_MEMBER void begin(int v, Vec first, IVec) { value[v] = nan[v] = first; }
  CNNCORE_MEMBER void add(int v, Vec candidate, IVec) {
    value[v] = max(value[v], candidate);
    nan[v] = select(is_nan(candidate), candidate, nan[v]);
  }
  CNNCORE_MEMBER void end_line() {}
};

/// Fetches the next row of an output, where the first cache has room for it.
template <class T>
CNNCORE_INLINE void prefetch_row(const T* row, int64_t count) {
  constexpr int64_t kNear = 8192;
  if (count <= kNear) prefetch_write(row + count, count);
}

struct MaxOutput {
  float* output;
  Activation activation;
  float alpha;

  /// The next row.
  CNNCORE_MEMBER void prefetch(int64_t count) const { prefetch_row(output, count); }

  template <int V>
  using Accumulator = Top<void, V>;
  template <int V, bool kFull>
  CNNCORE_MEMBER void put(const Top<void, V>& top, int64_t at, int64_t lanes, int32_t, float) const {
    for (int v = 0; v < V; ++v) {
      const Vec value = select(is_nan(top.nan[v]), top.nan[v], top.value[v]);
      store_some<kFull>(output + at + v * kWidth, activate(value, activation, set1(alpha)), lanes);
    }
  }
};

template <class Index>
struct MaxIndexOutput {
  float* output;
  Index* index;
  Activation activation;
  float alpha;

  CNNCORE_MEMBER void prefetch(int64_t count) const {
    prefetch_row(output, count);
    prefetch_row(index, count);
  }

  template <int V>
  using Accumulator = Top<Index, V>;
  template <int V, bool kFull>
  CNNCORE_MEMBER void put(const Top<Index, V>& top, int64_t at, int64_t lanes, int32_t first, float) const {
    for (int v = 0; v < V; ++v) {
      store_some<kFull>(output + at + v * kWidth, activate(top.value[v], activation, set1(alpha)), lanes);
      store_some_ints<kFull>(index + at + v * kWidth, iadd(as_int(top.number[v]), iset1(first)), lanes);
    }
  }
};

/// Lines are summed one by one before they are added up, so the error grows
/// with height plus width.
template <int V>
struct Sum {
  Vec total[V];
  Vec line[V];

  static CNNCORE_MEMBER Vec none() { return zero(); }
  CNNCORE_MEMBER void begin(int v, Vec first, IVec) {
    total[v] = zero();
    line[v] = first;
  }
  CNNCORE_MEMBER void add(int v, Vec value, IVec) { line[v] = line[v] + value; }
  CNNCORE_MEMBER void end_line() {
    for (int v = 0; v < V; ++v) {
      total[v] = total[v] + line[v];
      line[v] = zero();
    }
  }
};

struct AverageOutput {
  float* output;

  CNNCORE_MEMBER void prefetch(int64_t count) const { prefetch_row(output, count); }

  template <int V>
  using Accumulator = Sum<V>;
  template <int V, bool kFull>
  CNNCORE_MEMBER void put(const Sum<V>& sum, int64_t at, int64_t lanes, int32_t, float divisor) const {
    for (int v = 0; v < V; ++v) {
      store_some<kFull>(output + at + v * kWidth, sum.total[v] / set1(divisor), lanes);
    }
  }
};

/// Windows of one plane with at most kSize rows get a loop of their own where they
/// have kSize columns. Taps are numbered from the window's first while the
/// largest is sought: numbers then stay in registers.
template <int kSize, class Output>
struct WindowRow {
  const PoolRow& row;
  Output output;

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes, int64_t begin, int64_t end) const {
    const int64_t rows = row.rows, far_rows = row.ahead == 0 ? 0 : rows, pixel = row.pixel;
    const int64_t row_step = row.row_step, column_step = row.column_step;
    const float* const input = row.input + c;
    const PoolWindow* const columns = row.columns;
    const int32_t first_number = row.first_number;
    const float divisor = row.divisor;
    IVec number[kSize + 1][kSize + 1];
    for (int j = 0; j < kSize; ++j) {
      for (int k = 0; k < kSize; ++k) number[j][k] = iset1(j * row.row_number + k);
    }
    for (int64_t x = begin; x < end; ++x) {
      const PoolWindow window = columns[x];
      if (kSize == 0 || window.taps != kSize) {
        any_window<V, kFull>(c, lanes, x);
        continue;
      }
      const float* start = input + window.start * row.input_pixel;
      for (int64_t j = 0; j < far_rows; ++j) {
        // Two pixels: what the usual stride leaves of a row for each window.
        for (int k = 0; k < 2; ++k) {
          const float* p = start + j * row_step + k * column_step + row.ahead;
          for (int v = 0; v < V * kWidth; v += kLineFloats) __builtin_prefetch(p + v);
        }
      }
      typename Output::template Accumulator<V> sum;
#pragma GCC unroll 3
      for (int j = 0; j < kSize; ++j) {
        if (j == rows) break;
#pragma GCC unroll 3
        for (int k = 0; k < kSize; ++k) {
          const float* p = start + j * row_step + k * column_step;
          for (int v = 0; v < V; ++v) {
            const Vec value = load_some<kFull>(p + v * kWidth, lanes);
            if (j + k == 0) {
              sum.begin(v, value, number[0][0]);
            } else {
              sum.add(v, value, number[j][k]);
            }
          }
        }
        sum.end_line();
      }
      output.template put<V, kFull>(sum, x * pixel + c, lanes, first_number + window.number,
                                    divisor * static_cast<float>(window.divisor));
    }
  }

  /// A call of its own, which leaves the registers to the loop above.
  template <int V, bool kFull>
  __attribute__((noinline)) void any_window(int64_t c, int64_t lanes, int64_t x) const {
    const PoolWindow window = row.columns[x];
    const float* input = row.input + window.start * row.input_pixel + c;
    typename Output::template Accumulator<V> sum;
    for (int v = 0; v < V; ++v) sum.begin(v, Output::template Accumulator<V>::none(), iset1(0));
    for (int64_t i = 0; i < row.planes; ++i) {
      for (int64_t j = 0; j < row.rows; ++j) {
        const float* p = input + i * row.plane_step + j * row.row_step;
        int32_t number =
            static_cast<int32_t>(i) * row.plane_number + static_cast<int32_t>(j) * row.row_number;
        for (int32_t k = 0; k < window.taps; ++k, p += row.column_step, ++number) {
          for (int v = 0; v < V; ++v) sum.add(v, load_some<kFull>(p + v * kWidth, lanes), iset1(number));
        }
        sum.end_line();
      }
    }
    output.template put<V, kFull>(sum, x * row.pixel + c, lanes, row.first_number + window.number,
                                  row.divisor * static_cast<float>(window.divisor));
  }
};

template <class Output>
CNNCORE_INLINE void window_row(const PoolRow& row, const Output& output) {
  output.prefetch(row.width * row.pixel);
  const int32_t taps = row.planes == 1 ? row.columns[row.width / 2].taps : 0;
  if (taps == 2 && row.rows <= 2) {
    for_row(WindowRow<2, Output>{row, output}, row.channels, row.width);
  } else if (taps == 3 && row.rows <= 3) {
    for_row(WindowRow<3, Output>{row, output}, row.channels, row.width);
  } else {
    for_row(WindowRow<0, Output>{row, output}, row.channels, row.width);
  }
}

void max_values(const PoolRow& row, float* output) {
  window_row(row, MaxOutput{output, row.activation, row.alpha});
}
void max_index_u8(const PoolRow& row, float* output, uint8_t* index) {
  window_row(row, MaxIndexOutput<uint8_t>{output, index, row.activation, row.alpha});
}
/// Windows of few taps have short numbers, but for those of adaptive pooling.
void max_index_i32(const PoolRow& row, float* output, int32_t* index) {
  using Output = MaxIndexOutput<int32_t>;
  const Output to{output, index, row.activation, row.alpha};
  to.prefetch(row.width * row.pixel);
  for_row(WindowRow<0, Output>{row, to}, row.channels, row.width);
}
/// total += the sum of a line of `taps` pixels.
struct LineSum {
  const float* line;
  int64_t taps, pixel, ahead;
  float* total;

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes, int64_t, int64_t) const {
    Vec sum[V];
    for (int v = 0; v < V; ++v) sum[v] = zero();
    const float* p = line + c;
    for (int64_t k = 0; k < taps; ++k, p += pixel) {
      for (int v = 0; v < V * kWidth; v += kLineFloats) __builtin_prefetch(p + v + ahead);
      for (int v = 0; v < V; ++v) sum[v] = sum[v] + load_some<kFull>(p + v * kWidth, lanes);
    }
    for (int v = 0; v < V; ++v) {
      float* to = total + c + v * kWidth;
      store_some<kFull>(to, load_some<kFull>(to, lanes) + sum[v], lanes);
    }
  }
};

/// Windows that are read line by line, all channels of one before the next line: memory is then read once,
/// in order.
void average_lines(const PoolRow& row, float* output) {
  for (int64_t x = 0; x < row.width; ++x) {
    const PoolWindow window = row.columns[x];
    const float* input = row.input + window.start * row.input_pixel;
    float* total = output + x * row.pixel;
    for (int64_t c = 0; c < row.channels; ++c) total[c] = 0.0f;
    for (int64_t line = 0; line < row.planes * row.rows; ++line) {
      const float* from = input + line / row.rows * row.plane_step + line % row.rows * row.row_step;
      const LineSum sum{from, window.taps, row.column_step, row.ahead, total};
      int64_t c = 0;
      for (; c + 8 * kWidth <= row.channels; c += 8 * kWidth) sum.run<8, true>(c, kWidth, 0, 1);
      for_channels(LineSum{from + c, window.taps, row.column_step, row.ahead, total + c}, row.channels - c, 0,
                   1);
    }
    const float divisor = row.divisor * static_cast<float>(window.divisor);
    for (int64_t c = 0; c < row.channels; ++c) total[c] = total[c] / divisor;
  }
}

void average(const PoolRow& row, float* output) {
  if constexpr (kPoolLineTaps > 0) {
    const bool large = row.planes * row.rows * row.columns[row.width / 2].taps >= kPoolLineTaps;
    if (large && row.ahead != 0 && row.channels > 4 * kWidth) return average_lines(row, output);
  }
  window_row(row, AverageOutput{output});
}

/// Each input pixel is the sum over the windows that cover it of what `term`
/// takes from each.
template <class Term>
struct GatherRow {
  const PoolGather& row;
  const Term& term;
  float* grad_input;

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes, int64_t begin, int64_t end) const {
    for (int64_t x = begin; x < end; ++x) {
      Vec sum[V];
      for (int v = 0; v < V; ++v) sum[v] = zero();
      for (int64_t i = 0; i < row.plane_count; ++i) {
        for (int64_t j = 0; j < row.row_count; ++j) {
          const PoolSource& plane = row.planes[i];
          const PoolSource& line = row.rows[j];
          const int64_t start =
              row.grad_output + plane.output * row.plane_step + line.output * row.row_step + c;
          const int32_t number = plane.number * row.plane_number + line.number * row.row_number;
          for (int32_t k = row.column_begin[x]; k < row.column_begin[x + 1]; ++k) {
            const PoolSource& column = row.columns[k];
            const auto window =
                term.window(number + column.number, plane.divisor * line.divisor * column.divisor);
            const int64_t at = start + column.output * row.pixel;
            for (int v = 0; v < V; ++v) {
              sum[v] = term.template add<kFull>(sum[v], window, at + v * kWidth, lanes);
            }
          }
        }
      }
      if (row.addend != nullptr) {
        const float* addend = row.addend + x * row.addend_pixel + c;
        for (int v = 0; v < V; ++v) sum[v] = sum[v] + load_some<kFull>(addend + v * kWidth, lanes);
      }
      float* y = grad_input + x * row.pixel + c;
      for (int v = 0; v < V; ++v) store_some<kFull>(y + v * kWidth, sum[v], lanes);
    }
  }
};

template <class Term>
CNNCORE_INLINE void gather_row(const PoolGather& row, const Term& term, float* grad_input) {
  for_row(GatherRow<Term>{row, term, grad_input}, row.channels, row.width);
}

/// What passes from a vector of grad_output.
template <bool kFull>
CNNCORE_INLINE Vec passing(const ActivationGate& gate, const float* grad_output, int64_t at, int64_t lanes) {
  const Vec grad = load_some<kFull>(grad_output + at, lanes);
  if (gate.activation == Activation::none) return grad;
  const Vec output = load_some<kFull>(gate.saved + at, lanes);
  const Vec alpha = set1(gate.alpha);
  switch (gate.activation) {
    case Activation::relu:
      return Relu::gate(grad, output, alpha);
    case Activation::leaky_relu:
      return LeakyRelu::gate(grad, output, alpha);
    default:
      return Relu6::gate(grad, output, alpha);
  }
}

template <class Index>
struct MaxTerm {
  const float* grad_output;
  const Index* index;
  const ActivationGate& gate;

  CNNCORE_MEMBER IVec window(int32_t number, int32_t) const { return iset1(number); }
  template <bool kFull>
  CNNCORE_MEMBER Vec add(Vec sum, IVec number, int64_t at, int64_t lanes) const {
    const Mask chosen = equal_ints(load_some_ints<kFull>(index + at, lanes), number);
    return select(chosen, sum + passing<kFull>(gate, grad_output, at, lanes), sum);
  }
};

struct AverageTerm {
  const float* grad_output;

  CNNCORE_MEMBER Vec window(int32_t, int32_t divisor) const {
    return set1(1.0f / static_cast<float>(divisor));
  }
  template <bool kFull>
  CNNCORE_MEMBER Vec add(Vec sum, Vec factor, int64_t at, int64_t lanes) const {
    return fmadd(load_some<kFull>(grad_output + at, lanes), factor, sum);
  }
};

void max_gather_u8(const PoolGather& row, const float* grad_output, const uint8_t* index,
                   const ActivationGate& gate, float* grad_input) {
  gather_row(row, MaxTerm<uint8_t>{grad_output, index, gate}, grad_input);
}

void max_gather_i32(const PoolGather& row, const float* grad_output, const int32_t* index,
                    const ActivationGate& gate, float* grad_input) {
  gather_row(row, MaxTerm<int32_t>{grad_output, index, gate}, grad_input);
}

void average_gather(const PoolGather& row, const float* grad_output, float* grad_input) {
  gather_row(row, AverageTerm{grad_output}, grad_input);
}

/// Windows that do not overlap: each writes its own pixels of grad_input, one
/// line after the other. Where windows have kSize columns, their numbers of
/// taps stay in registers.
template <int kSize, bool kAdds>
struct ScatterRow {
  const PoolRow& row;
  const float* grad_output;
  const uint8_t* index;
  const ActivationGate& gate;
  float* grad_input;

  template <int V, bool kFull>
  CNNCORE_MEMBER void run(int64_t c, int64_t lanes, int64_t begin, int64_t end) const {
    for (int64_t j = 0; j < row.rows; ++j) line<V, kFull>(j, c, lanes, begin, end);
  }

  template <int V, bool kFull>
  CNNCORE_MEMBER void line(int64_t j, int64_t c, int64_t lanes, int64_t begin, int64_t end) const {
    const int64_t pixel = row.pixel, column_step = row.column_step;
    const PoolWindow* const columns = row.columns;
    const ActivationGate gate_of_row = gate;
    const int32_t first_number = row.first_number + static_cast<int32_t>(j) * row.row_number;
    const uint8_t* const chosen_from = index + c;
    float* const to = grad_input + j * row.row_step + c;
    const int64_t addend_pixel = row.addend_pixel;
    const float* const addends = kAdds ? row.addend + j * row.addend_row + c : nullptr;
    IVec number[kSize + 1];
    for (int k = 0; k < kSize; ++k) number[k] = iset1(k);
    for (int64_t x = begin; x < end; ++x) {
      const PoolWindow window = columns[x];
      const IVec first = iset1(first_number + window.number);
      Vec grad[V];
      IVec chosen[V];
      for (int v = 0; v < V; ++v) {
        grad[v] = passing<kFull>(gate_of_row, grad_output, x * pixel + c + v * kWidth, lanes);
        chosen[v] = isub(load_some_ints<kFull>(chosen_from + x * pixel + v * kWidth, lanes), first);
      }
      float* y = to + window.start * pixel;
      const float* addend = kAdds ? addends + window.start * addend_pixel : nullptr;
      if (window.taps == kSize) {
#pragma GCC unroll 3
        for (int k = 0; k < kSize; ++k) {
          put<V, kFull>(grad, chosen, number[k], addend + k * addend_pixel, y + k * column_step, lanes);
        }
      } else {
        for (int32_t k = 0; k < window.taps; ++k)
          put<V, kFull>(grad, chosen, iset1(k), addend + k * addend_pixel, y + k * column_step, lanes);
      }
    }
  }

  template <int V, bool kFull>
  static CNNCORE_MEMBER void put(const Vec (&grad)[V], const IVec (&chosen)[V], IVec number,
                                 const float* addend, float* y, int64_t lanes) {
    for (int v = 0; v < V; ++v) {
      Vec share = select(equal_ints(chosen[v], number), grad[v], zero());
      if constexpr (kAdds) share = share + load_some<kFull>(addend + v * kWidth, lanes);
      store_some<kFull>(y + v * kWidth, share, lanes);
    }
  }
};

template <bool kAdds>
void scatter_row(const PoolRow& row, const float* grad_output, const uint8_t* index,
                 const ActivationGate& gate, float* grad_input) {
  if (row.columns[0].taps == 2) {
    for_row(ScatterRow<2, kAdds>{row, grad_output, index, gate, grad_input}, row.channels, row.width);
  } else if (row.columns[0].taps == 3) {
    for_row(ScatterRow<3, kAdds>{row, grad_output, index, gate, grad_input}, row.channels, row.width);
  } else {
    for_row(ScatterRow<0, kAdds>{row, grad_output, index, gate, grad_input}, row.channels, row.width);
  }
}

void max_scatter_u8(const PoolRow& row, const float* grad_output, const uint8_t* index,
                    const ActivationGate& gate, float* grad_input) {
  prefetch_row(grad_input, row.rows * row.row_step);
  if (row.addend != nullptr) {
    scatter_row<true>(row, grad_output, index, gate, grad_input);
  } else {
    scatter_row<false>(row, grad_output, index, gate, grad_input);
  }
}

}  // namespace

PoolKernels pool_kernels() {
  return {max_values,    max_index_u8,   max_index_i32,  average,
          max_gather_u8, max_gather_i32, average_gather, max_scatter_u8};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
