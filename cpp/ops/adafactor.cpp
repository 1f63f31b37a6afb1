// SPDX-License-Identifier: Apache-2.0
// Step `adafactor_update` [hyper, gradient_scale?, (parameter, gradient, row_var?, col_var?, variance?)...]
// ->
// [(parameter', row_var'?, col_var'?, variance'?)...]: Adafactor as torch.optim has it. Parameters of two or
// more axes are matrices (..., rows, columns) with means of squared gradients along the last axis
// (..., rows, 1) and the one before (..., 1, columns), others have `variance` of their own shape.
//   hyper (float64 bit patterns): share of new squares, step size, factor of the parameter, eps1, eps2, d
//   attribute maximize (0/1). Outputs may be the memory of the inputs of the same name.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/optimizer.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

constexpr std::size_t kInputs = 5, kOutputs = 4, kLeading = 2;
constexpr std::int64_t kBlock = 512;
constexpr std::int64_t kMostPieces = 32;  // of one matrix

struct Numbers {
  double share, rate, kept, eps1, eps2, d;
};

/// One parameter. What has fewer than two axes is one row whose squares are not summed.
struct Tensor {
  bool factored = false;
  std::int64_t matrices = 1, rows = 1, columns = 1;
  std::size_t first_matrix = 0;  // of all tensors' matrices

  std::int64_t numel() const { return matrices * rows * columns; }
};

/// Some rows of a tensor, counted through its matrices: whole matrices, or rows of one.
struct Piece {
  std::size_t tensor;
  std::int64_t begin, end;     // rows
  std::int64_t column, width;  // of the columns, where a single row is cut
  bool whole;
  std::size_t sums = 0;  // where the sums of its columns begin in the workspace
};

/// start + weight (end - start), as torch has it.
float lerp(float start, float end, float weight) {
  return weight < 0.5f ? start + weight * (end - start) : end - (end - start) * (1.0f - weight);
}

class AdafactorUpdate final : public Step {
 public:
  explicit AdafactorUpdate(const StepSpec& spec)
      : sign_(spec.attrs.integer("maximize", 0) != 0 ? -1.0f : 1.0f) {
    require(spec.has_input(0) && spec.input(0).dtype == DType::i64 && spec.input(0).numel() >= 6, spec.op,
            ": expected 6 float64 bit patterns in an int64 value");
    if (spec.has_input(1)) check_vector(spec.input(1), 1, spec.op + ": gradient_scale");
    require(spec.inputs.size() >= kLeading && (spec.inputs.size() - kLeading) % kInputs == 0, spec.op,
            ": expected ", kInputs, " inputs for each tensor");
    const std::size_t tensors = (spec.inputs.size() - kLeading) / kInputs;
    require(spec.outputs.size() == tensors * kOutputs, spec.op, ": expected ", kOutputs,
            " outputs for each tensor");
    for (std::size_t i = 0; i < tensors; ++i) add_tensor(spec, i);
  }

  std::size_t workspace_bytes() const override {
    return (sums_ + 2 * pieces_.size()) * sizeof(double) + (matrices_ + tensors_.size()) * sizeof(float);
  }
  double flops() const override { return 12.0 * static_cast<double>(numel_); }

  void run(const StepArgs& args) const override {
    std::array<double, 6> hyper;
    std::memcpy(hyper.data(), args.inputs[0], sizeof hyper);
    const Numbers numbers{hyper[0], hyper[1], hyper[2], hyper[3], hyper[4], hyper[5]};
    const Memory memory = memory_of(args);
    each_piece(4.0, [&](const Piece& piece, std::size_t i) {
      memory.parameter[i] = squares(parameter(args, piece), piece_size(piece));
      update_variances(args, memory, numbers, piece);
    });
    join_columns(args, memory, numbers);
    each_piece(8.0, [&](const Piece& piece, std::size_t i) {
      double sum = 0.0;
      directions(args, memory, numbers, piece,
                 [&](const float* u, std::int64_t, std::int64_t n) { sum += squares(u, n); });
      memory.direction[i] = sum;
    });
    find_steps(memory, numbers);
    const auto kept = static_cast<float>(numbers.kept);
    each_piece(9.0, [&](const Piece& piece, std::size_t) {
      const float* from = args.input(input(piece.tensor, 0));
      float* to = args.output(kOutputs * piece.tensor);
      const float step = memory.step[piece.tensor];
      directions(args, memory, numbers, piece, [&](const float* u, std::int64_t at, std::int64_t n) {
        for (std::int64_t k = 0; k < n; ++k) to[at + k] = from[at + k] * kept - step * u[k];
      });
    });
  }

 private:
  struct Memory {
    double* columns;    // sums of squares over rows
    double* parameter;  // sums of squares of each piece
    double* direction;
    float* mean;  // of each matrix's row variances
    float* step;  // of each tensor
  };

  Memory memory_of(const StepArgs& args) const {
    auto* doubles = reinterpret_cast<double*>(args.workspace);
    auto* floats = reinterpret_cast<float*>(doubles + sums_ + 2 * pieces_.size());
    return {doubles, doubles + sums_, doubles + sums_ + pieces_.size(), floats, floats + matrices_};
  }

  static std::size_t input(std::size_t tensor, std::size_t i) { return kLeading + tensor * kInputs + i; }

  void add_tensor(const StepSpec& spec, std::size_t i) {
    require(spec.has_input(input(i, 0)) && spec.has_input(input(i, 1)), spec.op, ": tensor ", i,
            " lacks its parameter or its gradient");
    const TensorDesc& p = spec.input(input(i, 0));
    check_vector(p, p.numel(), spec.op + ": parameter");
    check_vector(spec.input(input(i, 1)), p.numel(), spec.op + ": gradient");
    check_vector(spec.output(kOutputs * i), p.numel(), spec.op + ": result");
    Tensor tensor;
    tensor.factored = p.rank > 1;
    tensor.columns = p.rank == 0 ? 1 : p.dim(p.rank - 1);
    if (tensor.factored) {
      tensor.rows = p.dim(p.rank - 2);
      for (int axis = 0; axis < p.rank - 2; ++axis) tensor.matrices *= p.dim(axis);
    }
    const std::array<std::int64_t, 3> sizes{tensor.factored ? tensor.matrices * tensor.rows : 0,
                                            tensor.factored ? tensor.matrices * tensor.columns : 0,
                                            tensor.factored ? 0 : tensor.columns};
    for (std::size_t k = 0; k < sizes.size(); ++k) {
      if (sizes[k] == 0) continue;
      require(spec.has_input(input(i, 2 + k)) && spec.has_output(kOutputs * i + 1 + k), spec.op, ": tensor ",
              i, " lacks state");
      check_vector(spec.input(input(i, 2 + k)), sizes[k], spec.op + ": state");
      check_vector(spec.output(kOutputs * i + 1 + k), sizes[k], spec.op + ": new state");
    }
    tensor.first_matrix = matrices_;
    matrices_ += static_cast<std::size_t>(tensor.matrices);
    numel_ += tensor.numel();
    tensors_.push_back(tensor);
    if (tensor.numel() > 0) cut(i, tensor);
  }

  void cut(std::size_t i, const Tensor& tensor) {
    const std::int64_t task = machine().task_elements, size = tensor.rows * tensor.columns;
    if (!tensor.factored) {
      for (std::int64_t at = 0; at < tensor.columns; at += task) {
        pieces_.push_back({i, 0, 1, at, std::min(task, tensor.columns - at), true, 0});
      }
    } else if (size <= task) {
      const std::int64_t together = items_in_task(size);
      for (std::int64_t m = 0; m < tensor.matrices; m += together) {
        const std::int64_t end = std::min(tensor.matrices, m + together);
        add_piece({i, m * tensor.rows, end * tensor.rows, 0, tensor.columns, true, 0});
      }
    } else {
      const std::int64_t rows = std::max(items_in_task(tensor.columns), ceil_div(tensor.rows, kMostPieces));
      for (std::int64_t m = 0; m < tensor.matrices; ++m) {
        for (std::int64_t row = 0; row < tensor.rows; row += rows) {
          const std::int64_t end = std::min(tensor.rows, row + rows);
          add_piece({i, m * tensor.rows + row, m * tensor.rows + end, 0, tensor.columns, false, 0});
        }
      }
    }
  }

  void add_piece(Piece piece) {
    piece.sums = sums_;
    sums_ += static_cast<std::size_t>(piece.width);
    pieces_.push_back(piece);
  }

  template <class Body>
  void each_piece(double cost, const Body& body) const {
    const double work = cost * static_cast<double>(numel_) / kernels().width;
    parallel_for(static_cast<std::int64_t>(pieces_.size()), work, [&](std::int64_t i, int) {
      const auto number = static_cast<std::size_t>(i);
      body(pieces_[number], number);
    });
  }

  static double squares(const float* x, std::int64_t n) {
    double sum = 0.0;
    kernels().reduce.sum_squares.across_rows({1, n, x, 0, 1}, &sum);
    return sum;
  }

  std::int64_t start(const Piece& piece) const {
    return piece.begin * tensors_[piece.tensor].columns + piece.column;
  }
  static std::int64_t piece_size(const Piece& piece) { return (piece.end - piece.begin) * piece.width; }
  const float* parameter(const StepArgs& args, const Piece& piece) const {
    return args.input(input(piece.tensor, 0)) + start(piece);
  }
  float scale(const StepArgs& args) const {
    return args.inputs[1] == nullptr ? sign_ : sign_ * *args.input(1);
  }

  /// The running means of squared gradients; columns of a matrix in several pieces are only summed.
  void update_variances(const StepArgs& args, const Memory& memory, const Numbers& numbers,
                        const Piece& piece) const {
    const Tensor& tensor = tensors_[piece.tensor];
    const float* grad = args.input(input(piece.tensor, 1)) + start(piece);
    const auto share = static_cast<float>(numbers.share);
    if (!tensor.factored) {
      const float factor = scale(args);
      const float* before = args.input(input(piece.tensor, 4)) + piece.column;
      float* after = args.output(kOutputs * piece.tensor + 3) + piece.column;
      for (std::int64_t k = 0; k < piece.width; ++k) {
        const float g = factor * grad[k];
        after[k] = lerp(before[k], g * g, share);
      }
      return;
    }
    const double factor = static_cast<double>(scale(args)) * static_cast<double>(scale(args));
    const float* before = args.input(input(piece.tensor, 2));
    float* after = args.output(kOutputs * piece.tensor + 1);
    for (std::int64_t row = piece.begin; row < piece.end; ++row, grad += tensor.columns) {
      const double mean = factor * squares(grad, tensor.columns) / static_cast<double>(tensor.columns);
      after[row] = lerp(before[row], static_cast<float>(mean), share);
    }
    double* sums = memory.columns + piece.sums;
    const std::int64_t rows = piece.whole ? tensor.rows : piece.end - piece.begin;
    grad = args.input(input(piece.tensor, 1)) + start(piece);
    for (std::int64_t row = piece.begin; row < piece.end; row += rows, grad += rows * tensor.columns) {
      std::fill_n(sums, tensor.columns, 0.0);
      kernels().reduce.sum_squares.across_columns({rows, tensor.columns, grad, tensor.columns, 1}, sums);
      if (piece.whole) finish_matrix(args, memory, numbers, piece.tensor, row / tensor.rows, sums);
    }
  }

  /// From the sums of a matrix's columns and its new row variances.
  void finish_matrix(const StepArgs& args, const Memory& memory, const Numbers& numbers, std::size_t i,
                     std::int64_t matrix, const double* sums) const {
    const Tensor& tensor = tensors_[i];
    const double factor = static_cast<double>(scale(args)) * static_cast<double>(scale(args));
    const auto share = static_cast<float>(numbers.share);
    const float* before = args.input(input(i, 3)) + matrix * tensor.columns;
    float* after = args.output(kOutputs * i + 2) + matrix * tensor.columns;
    for (std::int64_t k = 0; k < tensor.columns; ++k) {
      const double mean = factor * sums[k] / static_cast<double>(tensor.rows);
      after[k] = lerp(before[k], static_cast<float>(mean), share);
    }
    const float* row = args.output(kOutputs * i + 1) + matrix * tensor.rows;
    double total = 0.0;
    for (std::int64_t r = 0; r < tensor.rows; ++r) total += static_cast<double>(row[r]);
    const auto mean = static_cast<float>(total / static_cast<double>(tensor.rows));
    const auto least = static_cast<float>(numbers.eps1);
    memory.mean[tensor.first_matrix + static_cast<std::size_t>(matrix)] = mean < least ? least : mean;
  }

  /// Matrices in several pieces, in the order of these.
  void join_columns(const StepArgs& args, const Memory& memory, const Numbers& numbers) const {
    for (std::size_t i = 0; i < pieces_.size();) {
      const Piece& first = pieces_[i];
      const Tensor& tensor = tensors_[first.tensor];
      ++i;
      if (first.whole) continue;
      double* sums = memory.columns + first.sums;
      const std::int64_t matrix = first.begin / tensor.rows;
      for (; i < pieces_.size() && pieces_[i].tensor == first.tensor &&
             pieces_[i].begin / tensor.rows == matrix;
           ++i) {
        const double* more = memory.columns + pieces_[i].sums;
        for (std::int64_t k = 0; k < tensor.columns; ++k) sums[k] += more[k];
      }
      finish_matrix(args, memory, numbers, first.tensor, matrix, sums);
    }
  }

  /// Calls body(directions, where they are in the tensor, how many) for all of a piece, block by block.
  template <class Body>
  void directions(const StepArgs& args, const Memory& memory, const Numbers& numbers, const Piece& piece,
                  const Body& body) const {
    const Tensor& tensor = tensors_[piece.tensor];
    const std::size_t i = piece.tensor;
    const float* grad = args.input(input(i, 1));
    const float least = static_cast<float>(numbers.eps1) * static_cast<float>(numbers.eps1);
    const float factor = scale(args);
    alignas(64) float u[kBlock];
    for (std::int64_t row = piece.begin; row < piece.end; ++row) {
      const std::int64_t matrix = row / tensor.rows;
      const float* along = tensor.factored ? args.output(kOutputs * i + 2) + matrix * tensor.columns
                                           : args.output(kOutputs * i + 3);
      float height = 1.0f;
      if (tensor.factored) {
        height = args.output(kOutputs * i + 1)[row] /
                 memory.mean[tensor.first_matrix + static_cast<std::size_t>(matrix)];
      }
      for (std::int64_t c = piece.column; c < piece.column + piece.width; c += kBlock) {
        const std::int64_t n = std::min(kBlock, piece.column + piece.width - c);
        const std::int64_t at = row * tensor.columns + c;
        for (std::int64_t k = 0; k < n; ++k) {
          const float variance = height * along[c + k];
          u[k] = factor * grad[at + k] / std::sqrt(variance < least ? least : variance);
        }
        body(u, at, n);
      }
    }
  }

  void find_steps(const Memory& memory, const Numbers& numbers) const {
    std::size_t piece = 0;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      double of_parameter = 0.0, of_direction = 0.0;
      for (; piece < pieces_.size() && pieces_[piece].tensor == i; ++piece) {
        of_parameter += memory.parameter[piece];
        of_direction += memory.direction[piece];
      }
      const double count = static_cast<double>(std::max<std::int64_t>(1, tensors_[i].numel()));
      const double rate = std::max(numbers.eps2, std::sqrt(of_parameter / count)) * numbers.rate;
      memory.step[i] = static_cast<float>(rate / std::max(1.0, std::sqrt(of_direction / count) / numbers.d));
    }
  }

  float sign_;
  std::vector<Tensor> tensors_;
  std::vector<Piece> pieces_;
  std::size_t sums_ = 0;  // doubles
  std::size_t matrices_ = 0;
  std::int64_t numel_ = 0;
};

}  // namespace

std::unique_ptr<Step> make_adafactor_update(const StepSpec& spec) {
  return std::make_unique<AdafactorUpdate>(spec);
}

}  // namespace cnncore
