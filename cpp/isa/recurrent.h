// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cnncore {

enum class RecurrentCell { lstm, gru, rnn_tanh, rnn_relu };
inline constexpr int kRecurrentCells = 4;

/// Rows (samples) of some memory, `stride` floats apart; `data` may be null.
struct RecurrentRows {
  const float* data = nullptr;
  std::int64_t stride = 0;
};
struct RecurrentTarget {
  float* data = nullptr;
  std::int64_t stride = 0;
};

/// Which rows take part in a step: those longer than `time`, all without lengths.
struct RecurrentRange {
  std::int64_t rows = 0;
  std::int64_t units = 0;
  const std::int64_t* lengths = nullptr;
  std::int64_t time = 0;
};

/// One step of some units of a cell, from pre-activations to the new state. Gates lie `gate` floats apart, in
/// PyTorch's order: input, forget, cell, output; reset, update, new. A row that takes no part keeps its state
/// and gives zeros.
struct RecurrentForwardArgs {
  RecurrentRange range;
  RecurrentRows sums;  // of the state's share, gates `sums_gate` apart
  std::int64_t sums_gate = 0;
  RecurrentRows projected;      // of the input's share
  std::int64_t gate = 0;        // in `projected`, `bias` and `gates`
  const float* bias = nullptr;  // of the state's share, may be null
  RecurrentRows before;         // state
  RecurrentTarget after;        // state; null where a projection follows
  RecurrentTarget output;
  RecurrentTarget cell;   // LSTM: in place
  RecurrentTarget gates;  // null, or where activated gates are kept; may be `projected`
  RecurrentTarget kept;   // null, or LSTM: cell state; GRU: the state's share of the new gate
};

/// The gradient of such a step. `carry` arrives with what later steps say of this step's state, apart from
/// the products `sums`, and leaves with what this step says of the one before, apart from them.
struct RecurrentBackwardArgs {
  RecurrentRange range;
  RecurrentRows sums;     // may be null
  RecurrentTarget carry;  // may be null
  RecurrentTarget carry_cell;
  RecurrentRows grad;  // of the output, may be null
  RecurrentRows gates;
  std::int64_t gate = 0;
  RecurrentRows output;
  RecurrentRows kept;
  /// State and cell state before the step: those of the step's neighbour, or where a row's first step is, the
  /// initial ones, which are zero where null. With `reverse` that is the last step within a row's length.
  RecurrentRows before, before_cell, initial, initial_cell;
  bool reverse = false;
  bool is_first = false;        // of all rows, but for shorter ones with `reverse`
  RecurrentTarget grad_gates;   // by the input's share; may be `gates`
  RecurrentTarget grad_hidden;  // GRU: by the state's share
  RecurrentTarget previous;     // null, or where the state before the step is written
};

/// output = sums where a row takes part, as in a projected state.
struct RecurrentStoreArgs {
  RecurrentRange range;
  RecurrentRows sums;
  RecurrentRows before;
  RecurrentTarget after;
  RecurrentTarget output;
};

struct RecurrentKernels {
  /// sums[column] = sum over k of row[k] * panel[k][column] for up to a full panel of whole vectors of the
  /// GEMM tile. Panels that come from `far` are fetched ahead.
  void (*multiply)(const float* row, std::int64_t depth, const float* panel, std::int64_t columns, bool far,
                   float* sums);
  /// Brings `units` floats of every gate of each row into the first cache, for what follows the products.
  void (*fetch)(const RecurrentRows& gates, std::int64_t rows, std::int64_t units, std::int64_t count,
                std::int64_t gate);
  void (*forward[kRecurrentCells])(const RecurrentForwardArgs& args);
  void (*backward[kRecurrentCells])(const RecurrentBackwardArgs& args);
  void (*store)(const RecurrentStoreArgs& args);
  /// The first part of `backward` alone: grad_gates = carry + sums + grad, and `previous`.
  void (*collect)(const RecurrentBackwardArgs& args);
  /// target = carry + sums.
  void (*add)(const RecurrentRange& range, const RecurrentRows& carry, const RecurrentRows& sums,
              const RecurrentTarget& target);
};

}  // namespace cnncore
