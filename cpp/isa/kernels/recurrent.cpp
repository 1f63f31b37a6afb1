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

const float* row_of(const RecurrentRows& rows, int64_t row) {
  return rows.data == nullptr ? nullptr : rows.data + row * rows.stride;
}
float* row_of(const RecurrentTarget& rows, int64_t row) {
  return rows.data == nullptr ? nullptr : rows.data + row * rows.stride;
}

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

/// Values of absent memory are zero, and nothing is written to it.
CNNCORE_INLINE Vec read(const float* p, int64_t i, int64_t left) {
  return p == nullptr ? zero() : load_upto(p + i, left);
}
CNNCORE_INLINE void write(float* p, int64_t i, Vec value, int64_t left) {
  if (p != nullptr) store_upto(p + i, value, left);
}

void copy_row(const float* from, float* to, int64_t units) {
  for (int64_t i = 0; i < units; i += kWidth) write(to, i, read(from, i, units - i), units - i);
}

CNNCORE_INLINE Vec sigmoid_gate(Vec grad, Vec y) { return grad * y * (set1(1.0f) - y); }
CNNCORE_INLINE Vec tanh_gate(Vec grad, Vec y) { return grad * fnmadd(y, y, set1(1.0f)); }

/// The memory of one row in a forward step.
struct ForwardRow {
  ForwardRow(const RecurrentForwardArgs& args, int64_t row)
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

  CNNCORE_MEMBER Vec hidden(int g, int64_t i, int64_t left) const {
    return load_upto(sums + g * sums_gate + i, left) + read(bias, g * gate + i, left);
  }
  CNNCORE_MEMBER Vec input(int g, int64_t i, int64_t left) const {
    return load_upto(projected + g * gate + i, left);
  }
  CNNCORE_MEMBER Vec both_shares(int g, int64_t i, int64_t left) const {
    return input(g, i, left) + hidden(g, i, left);
  }
  CNNCORE_MEMBER void keep(int g, int64_t i, Vec value, int64_t left) const {
    write(gates, g * gate + i, value, left);
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
  CNNCORE_MEMBER Vec total(int64_t i, int64_t left) const {
    return read(carry, i, left) + read(sums, i, left) + read(grad, i, left);
  }
  CNNCORE_MEMBER Vec kept_gate(int g, int64_t i, int64_t left) const {
    return load_upto(gates + g * gate + i, left);
  }
  CNNCORE_MEMBER void give(int g, int64_t i, Vec value, int64_t left) const {
    store_upto(grad_gates + g * gate + i, value, left);
  }

  const float *sums, *grad, *gates, *output, *kept, *before, *before_cell;
  float *carry, *carry_cell, *grad_gates, *grad_hidden, *previous;
  int64_t gate;
};

struct Lstm {
  static constexpr int kGates = 4;

  static CNNCORE_MEMBER void forward(const ForwardRow& row, int64_t i, int64_t left) {
    const Vec in = sigmoid(row.both_shares(0, i, left));
    const Vec forget = sigmoid(row.both_shares(1, i, left));
    const Vec fresh = tanh(row.both_shares(2, i, left));
    const Vec out = sigmoid(row.both_shares(3, i, left));
    const Vec cell = fmadd(forget, load_upto(row.cell + i, left), in * fresh);
    const Vec state = out * tanh(cell);
    store_upto(row.cell + i, cell, left);
    write(row.kept, i, cell, left);
    row.keep(0, i, in, left);
    row.keep(1, i, forget, left);
    row.keep(2, i, fresh, left);
    row.keep(3, i, out, left);
    write(row.after, i, state, left);
    store_upto(row.output + i, state, left);
  }

  static CNNCORE_MEMBER void backward(const BackwardRow& row, int64_t i, int64_t left) {
    const Vec in = row.kept_gate(0, i, left);
    const Vec forget = row.kept_gate(1, i, left);
    const Vec fresh = row.kept_gate(2, i, left);
    const Vec out = row.kept_gate(3, i, left);
    const Vec by_state = row.total(i, left);
    const Vec bounded = tanh(load_upto(row.kept + i, left));
    const Vec by_cell = load_upto(row.carry_cell + i, left) + tanh_gate(by_state * out, bounded);
    write(row.previous, i, read(row.before, i, left), left);
    row.give(0, i, sigmoid_gate(by_cell * fresh, in), left);
    row.give(1, i, sigmoid_gate(by_cell * read(row.before_cell, i, left), forget), left);
    row.give(2, i, tanh_gate(by_cell * in, fresh), left);
    row.give(3, i, sigmoid_gate(by_state * bounded, out), left);
    store_upto(row.carry_cell + i, by_cell * forget, left);
    write(row.carry, i, zero(), left);
  }
};

/// h' = n + z (h - n), n = tanh(x_n + r s_n) with the state's share s.
struct Gru {
  static constexpr int kGates = 3;

  static CNNCORE_MEMBER void forward(const ForwardRow& row, int64_t i, int64_t left) {
    const Vec reset = sigmoid(row.both_shares(0, i, left));
    const Vec update = sigmoid(row.both_shares(1, i, left));
    const Vec share = row.hidden(2, i, left);
    const Vec fresh = tanh(fmadd(reset, share, row.input(2, i, left)));
    const Vec state = fmadd(update, load_upto(row.before + i, left) - fresh, fresh);
    write(row.kept, i, share, left);
    row.keep(0, i, reset, left);
    row.keep(1, i, update, left);
    row.keep(2, i, fresh, left);
    write(row.after, i, state, left);
    store_upto(row.output + i, state, left);
  }

  static CNNCORE_MEMBER void backward(const BackwardRow& row, int64_t i, int64_t left) {
    const Vec reset = row.kept_gate(0, i, left);
    const Vec update = row.kept_gate(1, i, left);
    const Vec fresh = row.kept_gate(2, i, left);
    const Vec before = read(row.before, i, left);
    const Vec by_state = row.total(i, left);
    const Vec by_update = sigmoid_gate(by_state * (before - fresh), update);
    const Vec by_fresh = tanh_gate(by_state * (set1(1.0f) - update), fresh);
    const Vec by_reset = sigmoid_gate(by_fresh * load_upto(row.kept + i, left), reset);
    write(row.previous, i, before, left);
    row.give(0, i, by_reset, left);
    row.give(1, i, by_update, left);
    row.give(2, i, by_fresh, left);
    store_upto(row.grad_hidden + i, by_reset, left);
    store_upto(row.grad_hidden + row.gate + i, by_update, left);
    store_upto(row.grad_hidden + 2 * row.gate + i, by_fresh * reset, left);
    store_upto(row.carry + i, by_state * update, left);
  }
};

template <bool kRelu>
struct Rnn {
  static constexpr int kGates = 1;

  static CNNCORE_MEMBER void forward(const ForwardRow& row, int64_t i, int64_t left) {
    const Vec sum = row.both_shares(0, i, left);
    const Vec state = kRelu ? max(zero(), sum) : tanh(sum);
    write(row.after, i, state, left);
    store_upto(row.output + i, state, left);
  }

  static CNNCORE_MEMBER void backward(const BackwardRow& row, int64_t i, int64_t left) {
    const Vec state = load_upto(row.output + i, left);
    const Vec by_state = row.total(i, left);
    const Vec by_sum =
        kRelu ? select(greater_equal(zero(), state), zero(), by_state) : tanh_gate(by_state, state);
    write(row.previous, i, read(row.before, i, left), left);
    row.give(0, i, by_sum, left);
    store_upto(row.carry + i, zero(), left);
  }
};

template <class Cell>
void forward(const RecurrentForwardArgs& args) {
  const int64_t units = args.range.units;
  for (int64_t r = 0; r < args.range.rows; ++r) {
    const ForwardRow row(args, r);
    if (takes_part(args.range, r)) {
      for (int64_t i = 0; i < units; i += kWidth) Cell::forward(row, i, units - i);
    } else {
      if (row.after != nullptr) copy_row(row.before, row.after, units);
      copy_row(nullptr, row.output, units);
    }
  }
}

/// A row that takes no part hands on what arrives, and zeros to the sums over all steps.
void pass_by(const BackwardRow& row, int gates, int64_t units) {
  for (int64_t i = 0; i < units; i += kWidth) {
    const int64_t left = units - i;
    write(row.carry, i, read(row.carry, i, left) + read(row.sums, i, left), left);
    write(row.previous, i, zero(), left);
    for (int g = 0; g < gates; ++g) {
      row.give(g, i, zero(), left);
      write(row.grad_hidden, g * row.gate + i, zero(), left);
    }
  }
}

template <class Cell>
void backward(const RecurrentBackwardArgs& args) {
  const int64_t units = args.range.units;
  for (int64_t r = 0; r < args.range.rows; ++r) {
    const BackwardRow row(args, r);
    if (takes_part(args.range, r)) {
      for (int64_t i = 0; i < units; i += kWidth) Cell::backward(row, i, units - i);
    } else {
      pass_by(row, Cell::kGates, units);
    }
  }
}

struct Collect {
  static constexpr int kGates = 1;

  static CNNCORE_MEMBER void backward(const BackwardRow& row, int64_t i, int64_t left) {
    write(row.previous, i, read(row.before, i, left), left);
    row.give(0, i, row.total(i, left), left);
    store_upto(row.carry + i, zero(), left);
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
      const int64_t left = range.units - i;
      store_upto(to + i, read(a, i, left) + read(b, i, left), left);
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
