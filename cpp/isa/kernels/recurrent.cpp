// SPDX-License-Identifier: Apache-2.0
#include "isa/recurrent.h"

#include "isa/kernels/lanes.h"
#include "isa/kernels/tiles.h"
#include "isa/kernels/vec_math.h"

namespace cnncore {
namespace CNNCORE_ISA {
namespace {

bool takes_part(const RecurrentRange& range, int64_t row) {
  return range.lengths == nullptr || range.time < range.lengths[row];
}

/// Null where there are none: their stride is zero.
const float* row_of(const RecurrentRows& rows, int64_t row) { return rows.data + row * rows.stride; }
float* row_of(const RecurrentTarget& rows, int64_t row) { return rows.data + row * rows.stride; }

/// Bytes from what is read to what is fetched meanwhile.
constexpr int64_t kAhead = 1024;

/// A panel of NV vectors; successive k get sums of their own, to hide the multiply-add's latency.
template <int NV, bool kFar>
void multiply_panel(const float* row, int64_t depth, const float* panel, float* sums) {
  constexpr int kSplit = 8 / NV;
  Vec sum[kSplit][NV];
#pragma GCC unroll 8
  for (int s = 0; s < kSplit; ++s) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) sum[s][j] = zero();
  }
  const auto step = [&](int64_t k, Vec(&part)[NV]) __attribute__((always_inline)) {
    const Vec x = set1(row[k]);
#pragma GCC unroll 4
    for (int j = 0; j < NV; ++j) {
      if (kFar && j * kWidth % kLineFloats == 0)
        __builtin_prefetch(reinterpret_cast<const char*>(panel + j * kWidth) + kAhead);
      part[j] = fmadd(x, load(panel + j * kWidth), part[j]);
    }
    panel += NV * kWidth;
  };
  int64_t k = 0;
  for (; k + kSplit <= depth; k += kSplit) {
#pragma GCC unroll 8
    for (int s = 0; s < kSplit; ++s) step(k + s, sum[s]);
  }
  for (; k < depth; ++k) step(k, sum[0]);
#pragma GCC unroll 4
  for (int j = 0; j < NV; ++j) {
    Vec total = sum[0][j];
#pragma GCC unroll 8
    for (int s = 1; s < kSplit; ++s) total = total + sum[s][j];
    store(sums + j * kWidth, total);
  }
}

void multiply(const float* row, int64_t depth, const float* panel, int64_t columns, bool far, float* sums) {
  using Function = void (*)(const float*, int64_t, const float*, float*);
  constexpr Function kNear[] = {multiply_panel<1, false>, multiply_panel<2, false>, multiply_panel<3, false>,
                                multiply_panel<4, false>};
  constexpr Function kFar[] = {multiply_panel<1, true>, multiply_panel<2, true>, multiply_panel<3, true>,
                               multiply_panel<4, true>};
  static_assert(kGemmVectors <= 4, "panels have up to four vectors");
  const Function* functions = far ? kFar : kNear;
  functions[columns / kWidth - 1](row, depth, panel, sums);
}

#if defined(__AVX512F__)
#define CNNCORE_RARE CNNCORE_MEMBER
#else
#define CNNCORE_RARE __attribute__((noinline))  // without masks, a part of a vector takes many instructions
#endif

/// The lanes of a vector that are units: the first `left`.
struct SomeLanes {
  int64_t left;
  CNNCORE_MEMBER Vec load(const float* p) const {
    return left >= kWidth ? CNNCORE_ISA::load(p) : load_few(p, left);
  }
  CNNCORE_MEMBER void store(float* p, Vec value) const {
    if (left >= kWidth) return CNNCORE_ISA::store(p, value);
    store_few(p, value, left);
  }
  static CNNCORE_RARE Vec load_few(const float* p, int64_t n) { return load_partial(p, n); }
  static CNNCORE_RARE void store_few(float* p, Vec value, int64_t n) { store_partial(p, value, n); }
};
struct AllLanes {
  explicit AllLanes(int64_t) {}
  static CNNCORE_MEMBER Vec load(const float* p) { return CNNCORE_ISA::load(p); }
  static CNNCORE_MEMBER void store(float* p, Vec value) { CNNCORE_ISA::store(p, value); }
};

/// Values of absent memory are zero, and nothing is written to it.
template <class Lanes>
CNNCORE_INLINE Vec read(const float* p, int64_t i, Lanes lanes) {
  return p == nullptr ? zero() : lanes.load(p + i);
}
template <class Lanes>
CNNCORE_INLINE void write(float* p, int64_t i, Vec value, Lanes lanes) {
  if (p != nullptr) lanes.store(p + i, value);
}

void copy_row(const float* from, float* to, int64_t units) {
  for (int64_t i = 0; i < units; i += kWidth) {
    const SomeLanes lanes = {units - i};
    write(to, i, read(from, i, lanes), lanes);
  }
}

CNNCORE_INLINE Vec sigmoid_gate(Vec grad, Vec y) { return grad * y * (set1(1.0f) - y); }
CNNCORE_INLINE Vec tanh_gate(Vec grad, Vec y) { return grad * fnmadd(y, y, set1(1.0f)); }

/// The memory of one row in a forward step.
struct ForwardRow {
  CNNCORE_MEMBER ForwardRow(const RecurrentForwardArgs& args, int64_t row)
      : sums(row_of(args.sums, row)),
        projected(row_of(args.projected, row)),
        bias(args.bias),
        before(row_of(args.before, row)),
        after(row_of(args.after, row)),
        output(row_of(args.output, row)),
        cell(row_of(args.cell, row)),
        gates(row_of(args.gates, row)),
        kept(row_of(args.kept, row)),
        gate(args.gate),
        sums_gate(args.sums_gate) {}

  template <class Lanes>
  CNNCORE_MEMBER Vec hidden(int g, int64_t i, Lanes lanes) const {
    return lanes.load(sums + g * sums_gate + i) + read(bias, g * gate + i, lanes);
  }
  template <class Lanes>
  CNNCORE_MEMBER Vec input(int g, int64_t i, Lanes lanes) const {
    return lanes.load(projected + g * gate + i);
  }
  template <class Lanes>
  CNNCORE_MEMBER Vec both_shares(int g, int64_t i, Lanes lanes) const {
    return input(g, i, lanes) + hidden(g, i, lanes);
  }
  template <class Lanes>
  CNNCORE_MEMBER void keep(const Vec* activated, int count, int64_t i, Lanes lanes) const {
    for (int g = 0; g < count && gates != nullptr; ++g) lanes.store(gates + g * gate + i, activated[g]);
  }

  const float *sums, *projected, *bias, *before;
  float *after, *output, *cell, *gates, *kept;
  int64_t gate, sums_gate;
};

/// The memory of one row in a backward step.
struct BackwardRow {
  BackwardRow(const RecurrentBackwardArgs& args, int64_t row)
      : sums(row_of(args.sums, row)),
        grad(row_of(args.grad, row)),
        gates(row_of(args.gates, row)),
        output(row_of(args.output, row)),
        kept(row_of(args.kept, row)),
        carry(row_of(args.carry, row)),
        carry_cell(row_of(args.carry_cell, row)),
        grad_gates(row_of(args.grad_gates, row)),
        grad_hidden(row_of(args.grad_hidden, row)),
        previous(row_of(args.previous, row)),
        gate(args.gate) {
    const RecurrentRange& range = args.range;
    const bool shorter = args.reverse && range.lengths != nullptr && range.time + 1 >= range.lengths[row];
    const bool first = args.is_first || shorter;
    before = row_of(first ? args.initial : args.before, row);
    before_cell = row_of(first ? args.initial_cell : args.before_cell, row);
  }

  /// The gradient by this step's state.
  CNNCORE_MEMBER Vec total(int64_t i, SomeLanes lanes) const {
    return read(carry, i, lanes) + read(sums, i, lanes) + read(grad, i, lanes);
  }
  CNNCORE_MEMBER Vec kept_gate(int g, int64_t i, SomeLanes lanes) const {
    return lanes.load(gates + g * gate + i);
  }
  CNNCORE_MEMBER void give(int g, int64_t i, Vec value, SomeLanes lanes) const {
    lanes.store(grad_gates + g * gate + i, value);
  }

  const float *sums, *grad, *gates, *output, *kept, *before, *before_cell;
  float *carry, *carry_cell, *grad_gates, *grad_hidden, *previous;
  int64_t gate;
};

struct Lstm {
  static constexpr int kGates = 4;

  template <class Lanes>
  static CNNCORE_MEMBER void activate(const RecurrentForwardArgs& args, int64_t first, int64_t end, int64_t i,
                                      Lanes lanes, Vec (*gate)[kGates]) {
    for (int g = 0; g < kGates; g += g == 1 ? 2 : 1) {
      for (int64_t r = first; r < end; ++r)
        gate[r - first][g] = sigmoid(ForwardRow(args, r).both_shares(g, i, lanes));
    }
    for (int64_t r = first; r < end; ++r)
      gate[r - first][2] = tanh(ForwardRow(args, r).both_shares(2, i, lanes));
  }

  template <class Lanes>
  static CNNCORE_MEMBER void forward(const ForwardRow& row, int64_t i, Lanes lanes, Vec (&gate)[kGates]) {
    const Vec cell = fmadd(gate[1], lanes.load(row.cell + i), gate[0] * gate[2]);
    const Vec state = gate[3] * tanh(cell);
    lanes.store(row.cell + i, cell);
    write(row.kept, i, cell, lanes);
    row.keep(gate, kGates, i, lanes);
    write(row.after, i, state, lanes);
    lanes.store(row.output + i, state);
  }

  static CNNCORE_MEMBER void backward(const BackwardRow& row, int64_t i, SomeLanes lanes) {
    const Vec in = row.kept_gate(0, i, lanes);
    const Vec forget = row.kept_gate(1, i, lanes);
    const Vec fresh = row.kept_gate(2, i, lanes);
    const Vec out = row.kept_gate(3, i, lanes);
    const Vec by_state = row.total(i, lanes);
    const Vec bounded = tanh(lanes.load(row.kept + i));
    const Vec by_cell = lanes.load(row.carry_cell + i) + tanh_gate(by_state * out, bounded);
    write(row.previous, i, read(row.before, i, lanes), lanes);
    row.give(0, i, sigmoid_gate(by_cell * fresh, in), lanes);
    row.give(1, i, sigmoid_gate(by_cell * read(row.before_cell, i, lanes), forget), lanes);
    row.give(2, i, tanh_gate(by_cell * in, fresh), lanes);
    row.give(3, i, sigmoid_gate(by_state * bounded, out), lanes);
    lanes.store(row.carry_cell + i, by_cell * forget);
    write(row.carry, i, zero(), lanes);
  }
};

/// h' = n + z (h - n), n = tanh(x_n + r s_n) with the state's share s.
struct Gru {
  static constexpr int kGates = 3;

  template <class Lanes>
  static CNNCORE_MEMBER void activate(const RecurrentForwardArgs& args, int64_t first, int64_t end, int64_t i,
                                      Lanes lanes, Vec (*gate)[kGates]) {
    for (int g = 0; g < 2; ++g) {
      for (int64_t r = first; r < end; ++r)
        gate[r - first][g] = sigmoid(ForwardRow(args, r).both_shares(g, i, lanes));
    }
  }

  template <class Lanes>
  static CNNCORE_MEMBER void forward(const ForwardRow& row, int64_t i, Lanes lanes, Vec (&gate)[kGates]) {
    const Vec share = row.hidden(2, i, lanes);
    const Vec fresh = gate[2] = tanh(fmadd(gate[0], share, row.input(2, i, lanes)));
    const Vec state = fmadd(gate[1], lanes.load(row.before + i) - fresh, fresh);
    write(row.kept, i, share, lanes);
    row.keep(gate, kGates, i, lanes);
    write(row.after, i, state, lanes);
    lanes.store(row.output + i, state);
  }

  static CNNCORE_MEMBER void backward(const BackwardRow& row, int64_t i, SomeLanes lanes) {
    const Vec reset = row.kept_gate(0, i, lanes);
    const Vec update = row.kept_gate(1, i, lanes);
    const Vec fresh = row.kept_gate(2, i, lanes);
    const Vec before = read(row.before, i, lanes);
    const Vec by_state = row.total(i, lanes);
    const Vec by_update = sigmoid_gate(by_state * (before - fresh), update);
    const Vec by_fresh = tanh_gate(by_state * (set1(1.0f) - update), fresh);
    const Vec by_reset = sigmoid_gate(by_fresh * lanes.load(row.kept + i), reset);
    write(row.previous, i, before, lanes);
    row.give(0, i, by_reset, lanes);
    row.give(1, i, by_update, lanes);
    row.give(2, i, by_fresh, lanes);
    lanes.store(row.grad_hidden + i, by_reset);
    lanes.store(row.grad_hidden + row.gate + i, by_update);
    lanes.store(row.grad_hidden + 2 * row.gate + i, by_fresh * reset);
    lanes.store(row.carry + i, by_state * update);
  }
};

template <bool kRelu>
struct Rnn {
  static constexpr int kGates = 1;

  template <class Lanes>
  static CNNCORE_MEMBER void activate(const RecurrentForwardArgs&, int64_t, int64_t, int64_t, Lanes,
                                      Vec (*)[kGates]) {}

  template <class Lanes>
  static CNNCORE_MEMBER void forward(const ForwardRow& row, int64_t i, Lanes lanes, Vec (&)[kGates]) {
    const Vec sum = row.both_shares(0, i, lanes);
    const Vec state = kRelu ? max(zero(), sum) : tanh(sum);
    write(row.after, i, state, lanes);
    lanes.store(row.output + i, state);
  }

  static CNNCORE_MEMBER void backward(const BackwardRow& row, int64_t i, SomeLanes lanes) {
    const Vec state = lanes.load(row.output + i);
    const Vec by_state = row.total(i, lanes);
    const Vec by_sum =
        kRelu ? select(greater_equal(zero(), state), zero(), by_state) : tanh_gate(by_state, state);
    write(row.previous, i, read(row.before, i, lanes), lanes);
    row.give(0, i, by_sum, lanes);
    lanes.store(row.carry + i, zero());
  }
};

template <class Cell, int kRows, class Lanes>
CNNCORE_INLINE void forward_lanes(const RecurrentForwardArgs& args, int64_t first, int64_t i, Lanes lanes) {
  Vec gate[kRows][Cell::kGates];
  const int64_t end = kRows == 1 ? first + 1 : min_of(first + kRows, args.range.rows);
  Cell::activate(args, first, end, i, lanes, gate);
  for (int64_t r = first; r < end; ++r) {
    const ForwardRow row(args, r);
    if (takes_part(args.range, r)) {
      Cell::forward(row, i, lanes, gate[r - first]);
    } else {
      write(row.after, i, lanes.load(row.before + i), lanes);
      lanes.store(row.output + i, zero());
    }
  }
}

template <class Cell, int kRows, class Lanes>
CNNCORE_INLINE void forward_units(const RecurrentForwardArgs& args, int64_t begin, int64_t end) {
  for (int64_t r = 0; r < args.range.rows; r += kRows) {
    for (int64_t i = begin; i < end; i += kWidth) forward_lanes<Cell, kRows>(args, r, i, Lanes{end - i});
  }
}

template <class Cell>
void forward(const RecurrentForwardArgs& args) {
  const int64_t units = args.range.units;
  int64_t whole = 0;
  if constexpr (kRecurrentRows > 1) {
    whole = units / kWidth * kWidth;
    if (Cell::kGates > 1 && args.range.rows > 1) {
      forward_units<Cell, kRecurrentRows, AllLanes>(args, 0, whole);
    } else {
      forward_units<Cell, 1, AllLanes>(args, 0, whole);
    }
  }
  if (whole < units) forward_units<Cell, 1, SomeLanes>(args, whole, units);
}

/// A row that takes no part hands on what arrives, and zeros to the sums over all steps.
void pass_by(const BackwardRow& row, int gates, int64_t units) {
  for (int64_t i = 0; i < units; i += kWidth) {
    const SomeLanes lanes = {units - i};
    write(row.carry, i, read(row.carry, i, lanes) + read(row.sums, i, lanes), lanes);
    write(row.previous, i, zero(), lanes);
    for (int g = 0; g < gates; ++g) {
      row.give(g, i, zero(), lanes);
      write(row.grad_hidden, g * row.gate + i, zero(), lanes);
    }
  }
}

template <class Cell>
void backward(const RecurrentBackwardArgs& args) {
  const int64_t units = args.range.units;
  for (int64_t r = 0; r < args.range.rows; ++r) {
    const BackwardRow row(args, r);
    if (takes_part(args.range, r)) {
      for (int64_t i = 0; i < units; i += kWidth) Cell::backward(row, i, SomeLanes{units - i});
    } else {
      pass_by(row, Cell::kGates, units);
    }
  }
}

struct Collect {
  static constexpr int kGates = 1;

  static CNNCORE_MEMBER void backward(const BackwardRow& row, int64_t i, SomeLanes lanes) {
    write(row.previous, i, read(row.before, i, lanes), lanes);
    row.give(0, i, row.total(i, lanes), lanes);
    lanes.store(row.carry + i, zero());
  }
};

void store_state(const RecurrentStoreArgs& args) {
  const int64_t units = args.range.units;
  for (int64_t r = 0; r < args.range.rows; ++r) {
    const bool part = takes_part(args.range, r);
    copy_row(part ? row_of(args.sums, r) : row_of(args.before, r), row_of(args.after, r), units);
    copy_row(part ? row_of(args.sums, r) : nullptr, row_of(args.output, r), units);
  }
}

void add(const RecurrentRange& range, const RecurrentRows& carry, const RecurrentRows& sums,
         const RecurrentTarget& target) {
  for (int64_t r = 0; r < range.rows; ++r) {
    const float *a = row_of(carry, r), *b = row_of(sums, r);
    float* to = row_of(target, r);
    for (int64_t i = 0; i < range.units; i += kWidth) {
      const SomeLanes lanes = {range.units - i};
      lanes.store(to + i, read(a, i, lanes) + read(b, i, lanes));
    }
  }
}

void fetch(const RecurrentRows& gates, int64_t rows, int64_t units, int64_t count, int64_t gate) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < count; ++g) {
      const float* line = row_of(gates, r) + g * gate;
      for (int64_t i = 0; i < units; i += kLineFloats) __builtin_prefetch(line + i);
    }
  }
}

}  // namespace

RecurrentKernels recurrent_kernels() {
  return {multiply,
          fetch,
          {forward<Lstm>, forward<Gru>, forward<Rnn<false>>, forward<Rnn<true>>},
          {backward<Lstm>, backward<Gru>, backward<Rnn<false>>, backward<Rnn<true>>},
          store_state,
          backward<Collect>,
          add};
}

}  // namespace CNNCORE_ISA
}  // namespace cnncore
