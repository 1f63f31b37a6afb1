// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution (one input and one output channel a group), and convolution in small groups: vectors
// run along channels, and each output row is a sum over the rows of the input under it. The packed weight is
// [phase][tap][channel], of groups [phase][vector of channels][tap][channel of the group][channel].
#include <algorithm>
#include <cstring>
#include <optional>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"
#include "ops/conv_untouched.h"
#include "ops/depthwise_row.h"

namespace cnncore {
namespace {

constexpr std::int64_t kMaxRows = 256;  // vertical taps (depth x height) of a kernel

std::string cannot(const ConvProblem& p) {
  if (p.groups != p.in_channels) {
    return "groups " + std::to_string(p.groups) + " != input channels " + std::to_string(p.in_channels);
  }
  if (p.groups != p.out_channels) {
    return "groups " + std::to_string(p.groups) + " != output channels " + std::to_string(p.out_channels);
  }
  if (p.groups == 1) return "a single channel has nothing to vectorise along";
  if (p.kernel[0] * p.kernel[1] > kMaxRows)
    return "the kernel has more than " + std::to_string(kMaxRows) + " rows";
  return {};
}

std::vector<ConvLoop> loops_of(const ConvProblem& p, ConvDirection direction) {
  if (direction == ConvDirection::backward_data) return backward_data_loops(p);
  return {forward_loop(p)};
}

using Reason = std::string(const ConvProblem&);

template <ConvDirection kDirection>
std::string grouped_cannot(const ConvProblem& p) {
  const std::int64_t depth = p.group_in();
  if (kernels().grouped.forward == nullptr) return "vectors are too short";
  if (p.groups == 1) return "there is one group";
  if (depth != p.group_out()) return "groups have other channels in than out";
  if (depth != 4 && depth != 8 && depth != 16)
    return "groups of " + std::to_string(depth) + " channels, not 4, 8 or 16";
  // Of vectors of eight floats, the kernel knows groups of four: with groups of eight it took up to 1.6 times
  // direct's time (Zen 3).
  if (kernels().width < 16 && depth > 4)
    return "groups of " + std::to_string(depth) + " channels fill direct's vectors";
  if (p.kernel[0] * p.kernel[1] > kMaxRows)
    return "the kernel has more than " + std::to_string(kMaxRows) + " rows";
  for (const auto& loop : loops_of(p, kDirection)) {
    const ConvAxis& width = loop.axis[2];
    if (width.taps != 3 || width.tap_step != 1 || width.in_step > 2)
      return "rows of the kernel are not three neighbours in steps of 1 or 2";
  }
  return {};
}

/// Where groups fill vectors, Winograd multiplies less; its weights, four times as large, come from far away
/// for few pixels.
std::string grouped_declines(const ConvProblem& p) {
  constexpr std::int64_t kPixels = 256;
  if (p.group_in() < 16 || p.output_pixels() <= kPixels || p.stride != Spatial{1, 1, 1}) return {};
  return "more than " + std::to_string(kPixels) + " pixels of 16 channels a group";
}

/// Sums are loaded and stored for each row of pixels.
std::string grouped_sums_decline(const ConvProblem& p) {
  constexpr std::int64_t kRow = 14;
  if (p.group_in() == 16) return "16 channels a group";
  return p.output[2] >= kRow ? "" : "rows of less than " + std::to_string(kRow) + " pixels";
}

const char* name_of(const ConvProblem& p) { return p.group_in() == 1 ? "depthwise" : "grouped"; }

/// Rows of output pixels: (image, plane, row) of a loop, numbered in that order.
struct Rows {
  explicit Rows(const ConvLoop& l)
      : loop(l),
        total(l.batch * l.axis[0].count * l.axis[1].count),
        pitch(l.groups * l.out_channels),
        depth(l.in_channels),
        input_size(l.batch * l.axis[0].in_size * l.axis[1].in_size * l.axis[2].in_size * pitch),
        output_size(l.batch * l.axis[0].out_size * l.axis[1].out_size * l.axis[2].out_size * pitch) {}

  /// Lists the input rows under output row `index` and their vertical taps; returns how many.
  std::int64_t under(std::int64_t index, const float* input, const float** row, std::int64_t* tap) const {
    const auto& [depth, height, width] = loop.axis;
    const std::int64_t y = index % height.count;
    const std::int64_t z = index / height.count % depth.count;
    const std::int64_t image = index / height.count / depth.count;
    if (width.taps == 0) return 0;
    std::int64_t rows = 0;
    for (std::int64_t a = 0; a < depth.taps; ++a) {
      const std::int64_t iz = depth.in_start + z * depth.in_step + a * depth.tap_step;
      if (iz < 0 || iz >= depth.in_size) continue;
      for (std::int64_t b = 0; b < height.taps; ++b) {
        const std::int64_t iy = height.in_start + y * height.in_step + b * height.tap_step;
        if (iy < 0 || iy >= height.in_size) continue;
        row[rows] = input + ((image * depth.in_size + iz) * height.in_size + iy) * width.in_size * pitch;
        tap[rows++] = a * height.taps + b;
      }
    }
    return rows;
  }

  /// Lists all input rows under output rows `index` and the next, which pairs_rows() allows, of each plane
  /// under them, null those outside, and the planes' taps; returns how many planes.
  std::int64_t under_pair(std::int64_t index, const float* input, const float** row,
                          std::int64_t* tap) const {
    const auto& [depth, height, width] = loop.axis;
    const std::int64_t first = height.in_start + index % height.count * height.in_step;
    const std::int64_t z = depth.in_start + index / height.count % depth.count * depth.in_step;
    const std::int64_t image = index / height.count / depth.count;
    std::int64_t planes = 0;
    for (std::int64_t a = 0; a < depth.taps; ++a) {
      const std::int64_t iz = z + a * depth.tap_step;
      if (iz < 0 || iz >= depth.in_size) continue;
      for (std::int64_t r = 0; r < 3 + height.in_step; ++r) {
        const std::int64_t iy = first + r;
        const std::int64_t at = (image * depth.in_size + iz) * height.in_size + iy;
        *row++ = iy >= 0 && iy < height.in_size ? input + at * width.in_size * pitch : nullptr;
      }
      tap[planes++] = a;
    }
    return planes;
  }

  /// Lets a call whose last output row is `index` fetch the input rows below its own, which the next one of
  /// `count` rows adds: of an image, or of the last plane under it. From the caches they come in time.
  void set_next(std::int64_t index, std::int64_t count, const float* input, DepthwiseRow& call) const {
    const auto& [depth, height, width] = loop.axis;
    const std::int64_t y = height.in_start + index % height.count * height.in_step;
    const std::int64_t next = y + (height.taps - 1) * height.tap_step + 1;
    const std::int64_t z = depth.in_start + index / height.count % depth.count * depth.in_step;
    const std::int64_t plane = z + (depth.taps - 1) * depth.tap_step;
    const std::int64_t image = index / height.count / depth.count;
    if (plane < 0 || plane >= depth.in_size || input_size + output_size <= machine().depthwise.cached) return;
    call.next = input + ((image * depth.in_size + plane) * height.in_size + next) * width.in_size * pitch;
    call.next_rows = std::min(count * height.in_step, height.in_size - next);
  }

  /// Offset of the row's first pixel in the output tensor.
  std::int64_t output_offset(std::int64_t index) const {
    const auto& [depth, height, width] = loop.axis;
    const std::int64_t y = height.out_start + index % height.count * height.out_step;
    const std::int64_t z = depth.out_start + index / height.count % depth.count * depth.out_step;
    const std::int64_t image = index / height.count / depth.count;
    return (((image * depth.out_size + z) * height.out_size + y) * width.out_size + width.out_start) * pitch;
  }

  DepthwiseRow geometry() const {
    DepthwiseRow row = depthwise_row(loop.axis[2]);
    row.channels = row.pitch = pitch;
    row.weight_step = depth == 1 ? pitch : depth * kernels().width;
    row.far = std::max(input_size, output_size) > machine().depthwise.near;
    return row;
  }

  /// Weights of a vector of channels, all taps of them.
  std::int64_t block() const { return loop.taps() * depth * kernels().width; }
  std::int64_t weights() const {
    if (depth == 1) return loop.taps() * pitch;
    return ceil_div(pitch, static_cast<std::int64_t>(kernels().width)) * block();
  }
  /// Where the weight of a tap, a channel of its group's input and a channel of the output lies.
  std::int64_t place(std::int64_t tap, std::int64_t k, std::int64_t channel) const {
    if (depth == 1) return tap * pitch + channel;
    const std::int64_t width = kernels().width;
    return channel / width * block() + (tap * depth + k) * width + channel % width;
  }

  /// Cost of all rows in vector operations.
  double work() const {
    return static_cast<double>(loop.pixels() * (loop.taps() * depth + 1) * pitch) / kernels().width;
  }

  ConvLoop loop;
  std::int64_t total;
  std::int64_t pitch;                    // channels of a pixel
  std::int64_t depth;                    // channels of a group
  std::int64_t input_size, output_size;  // floats
};

class DepthwisePack : public Step {
 public:
  DepthwisePack(const ConvProblem& p, ConvDirection direction)
      : problem_(p), turned_(direction == ConvDirection::backward_data), loops_(loops_of(p, direction)) {}

  void run(const StepArgs& args) const override {
    const float* weight = args.input(0);
    float* packed = args.output(0);
    for (const auto& loop : loops_) {
      const auto& [depth, height, width] = loop.axis;
      const Rows rows(loop);
      std::fill_n(packed, rows.weights(), 0.0f);  // of lanes without a channel
      std::int64_t tap = 0;
      for (std::int64_t a = 0; a < depth.taps; ++a) {
        for (std::int64_t b = 0; b < height.taps; ++b) {
          for (std::int64_t c = 0; c < width.taps; ++c) {
            const std::int64_t kd = depth.kernel_start + a * depth.kernel_step;
            const std::int64_t kh = height.kernel_start + b * height.kernel_step;
            const std::int64_t kw = width.kernel_start + c * width.kernel_step;
            pack_tap(rows, tap++, weight + (kd * problem_.kernel[1] + kh) * problem_.kernel[2] + kw, packed);
          }
        }
      }
      packed += rows.weights();
    }
  }

 private:
  /// The weight is [channel of the output][channel of the group's input]: those of backward-data change
  /// roles.
  void pack_tap(const Rows& rows, std::int64_t tap, const float* weight, float* packed) const {
    const std::int64_t depth = rows.depth;
    for (std::int64_t c = 0; c < rows.pitch; ++c) {
      const std::int64_t first = c - c % depth;
      for (std::int64_t k = 0; k < depth; ++k) {
        const std::int64_t filter = turned_ ? (first + k) * depth + c % depth : c * depth + k;
        packed[rows.place(tap, k, c)] = weight[filter * problem_.taps()];
      }
    }
  }

  ConvProblem problem_;
  bool turned_;
  std::vector<ConvLoop> loops_;
};

std::int64_t rows_of_task(const Rows& rows) {
  return ceil_div(rows.total, std::min(rows.total, machine().depthwise.tasks));
}
std::int64_t task_count(const Rows& rows) { return ceil_div(rows.total, rows_of_task(rows)); }

class DepthwiseConv : public Step {
 public:
  DepthwiseConv(const ConvProblem& p, ConvDirection direction, const ConvEpilogue& epilogue)
      : epilogue_(epilogue), flops_(p.flops()), name_(name_of(p)) {
    require(!epilogue.statistics || epilogue.activation == Activation::none,
            "statistics of a depthwise convolution need activation 'none'");
    std::int64_t packed = 0;
    for (const auto& loop : loops_of(p, direction)) {
      phases_.push_back({Rows(loop), packed});
      packed += phases_.back().rows.weights();
      work_ += phases_.back().rows.work();
    }
    if (direction == ConvDirection::backward_data) untouched_.emplace(p);
  }

  void run(const StepArgs& args) const override {
    if (!phases_.empty()) run_phases(args);
    if (!untouched_) return;
    ConvLoopMemory memory;
    if (epilogue_.bias) memory.bias = args.input(2);
    if (epilogue_.residual) memory.residual = args.input(3);
    memory.output = args.output(0);
    untouched_->run(memory, epilogue_);
  }
  std::size_t table_bytes() const override {
    return phases_.capacity() * sizeof(Phase) + (untouched_ ? untouched_->table_bytes() : 0);
  }
  double flops() const override { return flops_; }
  std::string algorithm() const override { return name_; }

 private:
  struct Phase {
    Rows rows;
    std::int64_t packed;  // where its weight starts
  };

  void run_phases(const StepArgs& args) const {
    const Rows& first = phases_.front().rows;  // no phase has more rows
    const std::int64_t step = rows_of_task(first);
    parallel_for(task_count(first), work_, [&](std::int64_t task, int) {
      const std::int64_t end = std::min(first.total, (task + 1) * step);
      std::int64_t begin = task * step;
      // Row by row, the phases fill the same rows of the result.
      for (std::int64_t row = begin; row < end;) {
        const std::int64_t done = row + 1 < end && is_pair(row) ? 2 : 1;
        for (const auto& phase : phases_) {
          if (row < phase.rows.total) run_rows(phase, row, done, args);
        }
        row += done;
        if (epilogue_.statistics &&
            ((row - begin) * first.loop.axis[2].count >= machine().depthwise.statistics_pixels ||
             row == end)) {
          add_statistics(task, begin, row, args);
          begin = row;
        }
      }
      kernels().copy.finish_streaming();
    });
  }

  /// Adds rows begin ... end - 1 of the result, while they are in cache, to the statistics of their task.
  void add_statistics(std::int64_t task, std::int64_t begin, std::int64_t end, const StepArgs& args) const {
    const Rows& rows = phases_.front().rows;
    const auto& kernel = kernels().depthwise;
    const std::int64_t width = rows.loop.axis[2].count;
    const std::int64_t first = task * rows_of_task(rows);
    float* sums = args.output(1) + task * 3 * rows.pitch;
    kernel.add_statistics(args.output(0) + rows.output_offset(begin), (end - begin) * width, rows.pitch,
                          begin == first, sums);
    if (end == std::min(rows.total, first + rows_of_task(rows)))
      kernel.finish_statistics((end - first) * width, rows.pitch, sums);
  }

  /// Whether this row and the next are computed at once.
  bool is_pair(std::int64_t row) const {
    const auto& [depth, height, width] = phases_.front().rows.loop.axis;
    const bool planes = phases_.size() == 1 && depth.taps <= DepthwiseKernels::kMostPlanes;
    return phases_.front().rows.depth == 1 && planes && pairs_rows(height, width) &&
           row % height.count + 1 < height.count;
  }

  /// One row of a phase, or two.
  void run_rows(const Phase& phase, std::int64_t index, std::int64_t count, const StepArgs& args) const {
    const Rows& rows = phase.rows;
    const float* packed = args.input(1) + phase.packed;
    const float* row[kMaxRows];
    const float* weight[kMaxRows];
    std::int64_t tap[kMaxRows];
    DepthwiseRow call = rows.geometry();
    if (count == 2) {
      call.rows = rows.under_pair(index, args.input(0), row, tap);
      for (std::int64_t r = 0; r < 3 * call.rows; ++r)
        weight[r] = packed + (tap[r / 3] * 3 + r % 3) * 3 * rows.pitch;
    } else {
      call.rows = rows.under(index, args.input(0), row, tap);
      for (std::int64_t r = 0; r < call.rows; ++r) weight[r] = packed + tap[r] * call.taps * call.weight_step;
    }
    call.row = row;
    call.weight = weight;
    rows.set_next(index + count - 1, count, args.input(0), call);
    const std::int64_t offset = rows.output_offset(index);
    DepthwiseOutput out;
    out.output = epilogue_.sums(args) + offset;
    if (epilogue_.argument) out.activated = args.output(0) + offset;
    out.step = rows.loop.axis[2].out_step * rows.pitch;
    if (epilogue_.residual) out.residual = args.input(3) + offset;
    if (epilogue_.bias) out.bias = args.input(2);
    out.activation = epilogue_.activation;
    out.alpha = epilogue_.alpha;
    out.stream = streams(rows, out);
    if (rows.depth > 1) {
      kernels().grouped.forward(call, out, rows.depth, rows.block());
    } else if (count == 2) {
      kernels().depthwise.forward_pair(call, out, rows.output_offset(index + 1) - offset);
    } else {
      kernels().depthwise.forward(call, out);
    }
  }

  /// As for ConvLoopPlan: whole lines, and no pass over them to come.
  bool streams(const Rows& rows, const DepthwiseOutput& out) const {
    const auto& limits = machine().depthwise;
    const bool large = rows.output_size > limits.streamed && rows.pitch <= limits.streamed_channels;
    const bool whole = rows.depth == 1 && whole_lines(out.output, rows.pitch);
    return large && whole && out.residual != out.output && is_clamp(epilogue_.activation) &&
           !epilogue_.statistics;
  }

  ConvEpilogue epilogue_;
  double flops_;
  const char* name_;
  double work_ = 0.0;
  std::vector<Phase> phases_;
  std::optional<UntouchedPixels> untouched_;
};

class DepthwiseWeightGradient : public Step {
 public:
  DepthwiseWeightGradient(const ConvProblem& p, const ConvEpilogue& epilogue)
      : problem_(p), has_bias_(epilogue.bias), rows_(forward_loop(p)) {}

  void run(const StepArgs& args) const override {
    auto* partial = reinterpret_cast<float*>(args.workspace);
    const float* grad_output = args.input(1);
    const std::int64_t step = rows_of_task(rows_);
    const std::int64_t tasks = task_count(rows_);
    parallel_for(tasks, rows_.work(), [&](std::int64_t task, int) {
      float* sums = partial + task * sum_floats();
      std::memset(sums, 0, static_cast<std::size_t>(sum_floats()) * sizeof(float));
      const std::int64_t end = std::min(rows_.total, (task + 1) * step);
      for (std::int64_t row = task * step; row < end; ++row) add_row(row, args.input(0), grad_output, sums);
    });
    const auto& tile = kernels().outer_tile;
    tile.column_sums(partial + sum_floats(), tasks - 1, sum_floats(), sum_floats(), partial);
    float* grad_weight = args.output(0);
    for (std::int64_t c = 0; c < rows_.pitch; ++c) {
      for (std::int64_t k = 0; k < rows_.depth; ++k) {
        for (std::int64_t t = 0; t < problem_.taps(); ++t) *grad_weight++ = partial[rows_.place(t, k, c)];
      }
    }
    if (has_bias_) conv_bias_gradient(problem_, grad_output, partial, args.output(1));
  }

  std::size_t workspace_bytes() const override {
    const std::int64_t bias = has_bias_ ? conv_bias_gradient_floats(problem_) : 0;
    return sizeof(float) * static_cast<std::size_t>(std::max(task_count(rows_) * sum_floats(), bias));
  }
  double flops() const override { return problem_.flops(); }
  std::string algorithm() const override { return name_of(problem_); }

 private:
  std::int64_t sum_floats() const { return rows_.weights(); }

  void add_row(std::int64_t index, const float* input, const float* grad_output, float* sums) const {
    const float* row[kMaxRows];
    float* sum[kMaxRows];
    std::int64_t tap[kMaxRows];
    DepthwiseRow call = rows_.geometry();
    call.rows = rows_.under(index, input, row, tap);
    for (std::int64_t r = 0; r < call.rows; ++r) sum[r] = sums + tap[r] * call.taps * call.weight_step;
    call.row = row;
    rows_.set_next(index, 1, input, call);
    const float* grad = grad_output + rows_.output_offset(index);
    if (rows_.depth > 1) {
      kernels().grouped.backward_weight(call, grad, sum, rows_.depth, rows_.block());
    } else {
      kernels().depthwise.backward_weight(call, grad, sum);
    }
  }

  ConvProblem problem_;
  bool has_bias_;
  Rows rows_;
};

/// At least 1: where stride and padding keep all taps off the input, backward-data has none.
template <ConvDirection kDirection>
Packed packed(const ConvProblem& p) {
  std::int64_t floats = 0;
  for (const auto& loop : loops_of(p, kDirection)) floats += Rows(loop).weights();
  return {std::max<std::int64_t>(1, floats)};
}

std::int64_t nothing(const ConvProblem&) { return 0; }
std::int64_t statistics_rows(const ConvProblem& p) { return task_count(Rows(forward_loop(p))); }

template <ConvDirection kDirection>
std::unique_ptr<Step> make_pack(const ConvProblem& p) {
  return std::make_unique<DepthwisePack>(p, kDirection);
}

template <ConvDirection kDirection>
std::unique_ptr<Step> make_conv(const ConvProblem& p, const ConvEpilogue& epilogue) {
  return std::make_unique<DepthwiseConv>(p, kDirection, epilogue);
}

std::unique_ptr<Step> make_weight_gradient(const ConvProblem& p, const ConvEpilogue& epilogue) {
  return std::make_unique<DepthwiseWeightGradient>(p, epilogue);
}

template <ConvDirection kDirection>
ConvAlgorithm by_rows(const char* name, Reason* cannot_do, Reason* declines) {
  constexpr bool kForward = kDirection == ConvDirection::forward;
  return {name,
          kDirection,
          cannot_do,
          declines,
          packed<kDirection>,
          kForward ? statistics_rows : nothing,
          make_pack<kDirection>,
          make_conv<kDirection>};
}

ConvAlgorithm weight_gradient(const char* name, Reason* cannot_do, Reason* declines) {
  return {name,      ConvDirection::backward_weight,
          cannot_do, declines,
          nullptr,   nothing,
          nullptr,   make_weight_gradient};
}

}  // namespace

ConvAlgorithm depthwise_forward() { return by_rows<ConvDirection::forward>("depthwise", cannot, nullptr); }
ConvAlgorithm depthwise_backward_data() {
  return by_rows<ConvDirection::backward_data>("depthwise", cannot, nullptr);
}
ConvAlgorithm depthwise_backward_weight() { return weight_gradient("depthwise", cannot, nullptr); }

ConvAlgorithm grouped_forward() {
  constexpr auto kDirection = ConvDirection::forward;
  return by_rows<kDirection>("grouped", grouped_cannot<kDirection>, grouped_declines);
}
ConvAlgorithm grouped_backward_data() {
  constexpr auto kDirection = ConvDirection::backward_data;
  return by_rows<kDirection>("grouped", grouped_cannot<kDirection>, grouped_declines);
}
ConvAlgorithm grouped_backward_weight() {
  return weight_gradient("grouped", grouped_cannot<ConvDirection::backward_weight>, grouped_sums_decline);
}

}  // namespace cnncore
