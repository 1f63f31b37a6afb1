// SPDX-License-Identifier: Apache-2.0
// Inverted residual block (Sandler et al., 2018): 1x1 expansion, depthwise convolution and 1x1 projection in
// one step. The expanded activation, several times as large as the block's input and output, exists only as
// a ring of rows in the thread's scratch. Without the expansion it is a depthwise separable convolution.
// "row strips": a task takes some rows of an image through all three; the ring has all channels and stays in
// the second cache. "channel panels", for few images: a task takes the whole image through the first two for
// the channels of a panel, whose ring nearly fits the first cache; the projection follows.
#include <algorithm>
#include <array>
#include <optional>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"
#include "ops/conv_loop.h"
#include "ops/conv_pack.h"
#include "ops/depthwise_row.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

constexpr std::int64_t kMaxKernelRows = 16;
constexpr std::int64_t kStripPixels = 64;  // enough rows for the tiles that one load of a weight panel serves
constexpr std::int64_t kPanelPixels = 256;  // with one panel at a time
constexpr std::int64_t kFewTasks = 6;       // of panels: from here on three or four threads gain, too
constexpr char kRowStrips[] = "row strips";
constexpr char kChannelPanels[] = "channel panels";

// Positions of the step's inputs.
constexpr std::size_t kInput = 0, kExpandWeight = 1, kExpandBias = 2, kDepthwiseWeight = 3;
constexpr std::size_t kDepthwiseBias = 4, kProjectWeight = 5, kProjectBias = 6, kResidual = 7;

/// What follows one of the three convolutions.
struct Stage {
  bool bias = false;
  Activation activation = Activation::none;
  float alpha = 0.0f;

  const float* bias_at(const StepArgs& args, std::size_t input, std::int64_t channel) const {
    return bias ? args.input(input) + channel : nullptr;
  }
};

/// Channels of the expanded activation that are computed together, and where their rows lie in the ring.
struct Panel {
  std::int64_t channel, columns;
  std::int64_t offset, pitch;  // in floats
};

/// Pixels an odd number of cache lines apart fall into all sets of the first cache.
std::int64_t odd_lines(std::int64_t floats) { return (ceil_div(floats, kLineFloats) | 1) * kLineFloats; }

std::vector<std::int64_t> multiples(std::int64_t step, std::int64_t count) {
  std::vector<std::int64_t> result;
  for (std::int64_t i = 0; i < count; ++i) result.push_back(i * step);
  return result;
}

/// Input rows under an output row.
std::int64_t span(const ConvAxis& height) { return (height.taps - 1) * height.tap_step + 1; }

/// Into how many pieces, a task each, an image is cut when there are few images; at most a seventh of the
/// expanded rows is computed twice.
std::int64_t pieces_of_image(std::int64_t batch, const ConvAxis& height, bool expands) {
  const std::int64_t twice = expands ? std::max<std::int64_t>(0, span(height) - height.in_step) : 0;
  std::int64_t pieces = 1;
  while (pieces * batch < machine().tasks && 2 * pieces <= height.count &&
         height.count / (2 * pieces) * height.in_step >= 7 * twice) {
    pieces *= 2;
  }
  return pieces;
}

class InvertedResidual : public Step {
 public:
  explicit InvertedResidual(const StepSpec& spec);
  void run(const StepArgs& args) const override;
  std::size_t scratch_bytes() const override {
    const std::int64_t middle = by_panels_ ? 0 : strip_rows_ * width_.count * middle_pitch_;
    return static_cast<std::size_t>(ring_floats_ + middle) * sizeof(float);
  }
  std::size_t workspace_bytes() const override {
    const std::int64_t middle = by_panels_ ? batch_ * height_.count * width_.count * middle_pitch_ : 0;
    return static_cast<std::size_t>(middle) * sizeof(float);
  }
  std::string algorithm() const override { return by_panels_ ? kChannelPanels : kRowStrips; }
  double flops() const override { return flops_; }

 private:
  struct Task {
    const StepArgs& args;
    std::int64_t image;
    float* ring;
    float* middle;  // results of the depthwise convolution
  };
  void check(const StepSpec& spec) const;
  void plan_panels();
  void plan_strips();
  void run_strips(const StepArgs& args) const;
  void run_panels(const StepArgs& args) const;
  std::int64_t expanded_end(std::int64_t y, std::int64_t rows) const;
  std::int64_t first_row(std::int64_t y) const { return height_.in_start + y * height_.in_step; }
  float* ring_row(const Task& task, const Panel& panel, std::int64_t row) const {
    return task.ring + panel.offset + row % ring_rows_ * width_.in_size * panel.pitch;
  }
  void expand(const Task& task, const Panel& panel, std::int64_t begin, std::int64_t end) const;
  void filter(const Task& task, const Panel& panel, std::int64_t y, std::int64_t rows, float* output) const;
  const float* filter_input(const Task& task, const Panel& panel, std::int64_t row) const;
  void filter_one(const Task& task, const Panel& panel, std::int64_t y, DepthwiseRow& call,
                  const DepthwiseOutput& out) const;
  void filter_two(const Task& task, const Panel& panel, std::int64_t y, DepthwiseRow& call,
                  const DepthwiseOutput& out) const;
  void project(const Task& task, std::int64_t y, std::int64_t rows) const;

  bool expands_, residual_, by_panels_;
  bool pairs_ = false;  // of output rows are filtered at once
  std::int64_t in_channels_, hidden_, out_channels_, batch_;
  ConvAxis height_, width_;
  Stage expand_, filter_, project_;
  std::vector<Panel> panels_;
  PanelCut project_panels_;
  std::optional<ConvLoopPlan> project_loop_;  // of channel panels
  bool one_order_ = false;                    // of the 1x1 convolutions' sums, see ConvEpilogue
  std::int64_t ring_rows_ = 0, ring_floats_ = 0, strip_rows_ = 0, middle_pitch_ = 0;
  std::int64_t pieces_ = 1;  // of an image
  double flops_ = 0.0;
  std::vector<std::int64_t> input_offset_, panel_offset_, middle_offset_, output_offset_;
};

Stage stage_of(const StepSpec& spec, const std::string& prefix, std::size_t bias, std::int64_t channels) {
  Stage stage;
  stage.activation = activation_named(spec.attrs.text(prefix + "activation", "none"));
  stage.alpha = static_cast<float>(spec.attrs.real(prefix + "alpha", 0.0));
  stage.bias = spec.has_input(bias);
  if (stage.bias) check_vector(spec.input(bias), channels, "bias");
  return stage;
}

/// A 1x1 convolution.
ConvLoop pointwise(std::int64_t inputs, std::int64_t outputs, std::int64_t pixels = 1) {
  ConvLoop loop;
  loop.axis[1].count = loop.axis[1].out_size = loop.axis[1].in_size = pixels;
  loop.in_channels = inputs;
  loop.out_channels = outputs;
  return loop;
}

InvertedResidual::InvertedResidual(const StepSpec& spec)
    : expands_(spec.has_input(kExpandWeight)),
      residual_(spec.has_input(kResidual)),
      by_panels_(spec.attrs.text("algorithm") == kChannelPanels) {
  check_activation(spec.input(kInput), "input");
  check_activation(spec.output(0), "output");
  require(spec.input(kInput).rank == 4, "inverted_residual: expected images of rank 4, got ",
          spec.input(kInput).shape_text());
  const auto& shape = spec.input(kInput).shape;
  const auto& kernel = spec.attrs.integers("kernel");
  require(kernel.size() == 2, "kernel: expected 2 numbers, got ", kernel.size());
  batch_ = shape[0];
  in_channels_ = shape[1];
  hidden_ = spec.attrs.integer("groups");
  one_order_ = spec.attrs.integer("one_order", 0) != 0;
  out_channels_ = spec.output(0).shape[1];
  const ConvProblem problem =
      conv_problem({batch_, hidden_, shape[2], shape[3]}, {hidden_, 1, kernel[0], kernel[1]}, spec.attrs);
  const ConvLoop loop = forward_loop(problem);
  height_ = loop.axis[1];
  width_ = loop.axis[2];
  pairs_ = pairs_rows(height_, width_);
  check(spec);
  expand_ = stage_of(spec, "expand_", kExpandBias, hidden_);
  filter_ = stage_of(spec, "depthwise_", kDepthwiseBias, hidden_);
  project_ = stage_of(spec, "", kProjectBias, out_channels_);
  plan_strips();
  plan_panels();
  project_panels_ = PanelCut(out_channels_);
  if (by_panels_)
    project_loop_.emplace(pointwise(hidden_, out_channels_, batch_ * height_.count * width_.count));
  flops_ = problem.flops() + 2.0 * static_cast<double>(problem.output_pixels() * hidden_ * out_channels_);
  if (expands_) flops_ += 2.0 * static_cast<double>(problem.input_pixels() * in_channels_ * hidden_);
  input_offset_ = multiples(in_channels_, ring_rows_ * width_.in_size);
  panel_offset_ = multiples(panels_.front().pitch, ring_rows_ * width_.in_size);
  middle_offset_ = multiples(middle_pitch_, strip_rows_ * width_.count);
  output_offset_ = multiples(out_channels_, strip_rows_ * width_.count);
}

void InvertedResidual::check(const StepSpec& spec) const {
  const TensorDesc& output = spec.output(0);
  require(output.rank == 4 && output.shape[0] == batch_ && output.shape[2] == height_.count &&
              output.shape[3] == width_.count,
          "output: expected shape (", batch_, ", channels, ", height_.count, ", ", width_.count, "), got ",
          output.shape_text());
  require(height_.taps <= kMaxKernelRows, "kernel: expected at most ", kMaxKernelRows, " rows, got ",
          height_.taps);
  const std::string& algorithm = spec.attrs.text("algorithm");
  require(by_panels_ || algorithm == kRowStrips, "expected algorithm '", kRowStrips, "' or '", kChannelPanels,
          "', got '", algorithm, "'");
  require(expands_ || !by_panels_, "channel panels: expected an expansion");
  require(expands_ || in_channels_ == hidden_, "without expansion: expected ", hidden_,
          " input channels, got ", in_channels_);
  if (expands_) {
    check_vector(spec.input(kExpandWeight), packed_group_floats(pointwise(in_channels_, hidden_)),
                 "packed expand weight");
  }
  check_vector(spec.input(kDepthwiseWeight), height_.taps * width_.taps * hidden_, "packed depthwise weight");
  check_vector(spec.input(kProjectWeight), packed_group_floats(pointwise(hidden_, out_channels_)),
               "packed project weight");
  if (residual_) {
    check_activation(spec.input(kResidual), "residual");
    require(spec.input(kResidual).same_shape(output), "residual: expected shape ", output.shape_text(),
            ", got ", spec.input(kResidual).shape_text());
  }
}

/// Strips of rows that lie next to each other in the ring.
void InvertedResidual::plan_strips() {
  pieces_ = by_panels_ ? 1 : pieces_of_image(batch_, height_, expands_);
  const std::int64_t pixels = by_panels_ ? kPanelPixels : kStripPixels;
  strip_rows_ = std::clamp<std::int64_t>(pixels / width_.count, pairs_ ? 2 : 1,
                                         std::max<std::int64_t>(2, ceil_div(height_.count, pieces_)));
  ring_rows_ = (strip_rows_ - 1) * height_.in_step + span(height_);
}

void InvertedResidual::plan_panels() {
  middle_pitch_ = by_panels_ ? hidden_ : odd_lines(hidden_);
  if (!expands_) {
    panels_.push_back({0, hidden_, 0, hidden_});
    return;
  }
  const PanelCut cut(hidden_);
  std::int64_t pitch = 0;
  for (std::int64_t i = 0; i < cut.count(); ++i) pitch = std::max(pitch, odd_lines(cut.columns(i)));
  for (std::int64_t i = 0; i < cut.count(); ++i) {
    panels_.push_back({cut.begin(i), cut.columns(i), by_panels_ ? 0 : ring_floats_, pitch});
    ring_floats_ = panels_.back().offset + ring_rows_ * width_.in_size * pitch;
  }
}

void InvertedResidual::run(const StepArgs& args) const {
  if (by_panels_) {
    run_panels(args);
  } else {
    run_strips(args);
  }
}

/// Rows of the expanded activation above this one are what `rows` rows of the result from y on need.
std::int64_t InvertedResidual::expanded_end(std::int64_t y, std::int64_t rows) const {
  return std::min(height_.in_size, first_row(y + rows - 1) + span(height_));
}

void InvertedResidual::run_panels(const StepArgs& args) const {
  const auto panels = static_cast<std::int64_t>(panels_.size());
  auto* middle = reinterpret_cast<float*>(args.workspace);
  const double work = flops_ / 2.0 / kernels().width - project_loop_->work();
  parallel_for(batch_ * panels, work, [&](std::int64_t index, int thread) {
    const std::int64_t image = index / panels;
    const Task task{args, image, args.scratch_of(thread), nullptr};
    const Panel& panel = panels_[static_cast<std::size_t>(index % panels)];
    float* output = middle + image * height_.count * width_.count * middle_pitch_;
    std::int64_t done = 0;
    for (std::int64_t y = 0; y < height_.count; y += strip_rows_) {
      const std::int64_t rows = std::min(strip_rows_, height_.count - y);
      const std::int64_t last = expanded_end(y, rows);
      done = std::max(done, first_row(y));
      expand(task, panel, done, last);
      done = std::max(done, last);
      filter(task, panel, y, rows, output + y * width_.count * middle_pitch_);
    }
  });
  ConvLoopMemory memory;
  memory.input = middle;
  memory.packed = args.input(kProjectWeight);
  memory.bias = project_.bias_at(args, kProjectBias, 0);
  if (residual_) memory.residual = args.input(kResidual);
  memory.output = args.output(0);
  ConvEpilogue epilogue{project_.activation, project_.alpha};
  epilogue.one_order = one_order_;
  parallel_for(project_loop_->tasks(), project_loop_->work(),
               [&](std::int64_t task, int) { project_loop_->run_task(task, memory, epilogue, nullptr); });
}

void InvertedResidual::run_strips(const StepArgs& args) const {
  const double work = flops_ / 2.0 / kernels().width;
  const std::int64_t size = ceil_div(height_.count, pieces_);
  parallel_for(batch_ * pieces_, work, [&](std::int64_t index, int thread) {
    float* scratch = args.scratch_of(thread);
    const Task task{args, index / pieces_, scratch, scratch + ring_floats_};
    const std::int64_t begin = index % pieces_ * size;
    const std::int64_t end = std::min(begin + size, height_.count);
    std::int64_t done = 0;  // rows above this one are in the ring, or not needed
    for (std::int64_t y = begin; y < end; y += strip_rows_) {
      const std::int64_t rows = std::min(strip_rows_, end - y);
      const std::int64_t last = expanded_end(y, rows);
      done = std::max(done, first_row(y));
      for (const Panel& panel : panels_) {
        if (expands_) expand(task, panel, done, last);
        filter(task, panel, y, rows, task.middle);
      }
      done = std::max(done, last);
      project(task, y, rows);
    }
  });
}

/// Rows begin ... end - 1 of the expanded activation, into the ring.
void InvertedResidual::expand(const Task& task, const Panel& panel, std::int64_t begin,
                              std::int64_t end) const {
  const std::int64_t zero = 0;
  GemmTileArgs call;
  call.row_offset = input_offset_.data();
  call.tap_offset = call.tap_row = &zero;
  call.depth = in_channels_;
  call.one_order = one_order_;
  call.panel = task.args.input(kExpandWeight) + panel.channel * in_channels_;
  call.columns = panel.columns;
  call.output_offset = panel_offset_.data();
  call.bias = expand_.bias_at(task.args, kExpandBias, panel.channel);
  call.activation = expand_.activation;
  call.alpha = expand_.alpha;
  call.prefetch = by_panels_ || panel.channel == 0;
  for (std::int64_t row = begin; row < end;) {
    const std::int64_t rows = std::min(end - row, ring_rows_ - row % ring_rows_);
    call.input =
        task.args.input(kInput) + (task.image * height_.in_size + row) * width_.in_size * in_channels_;
    call.rows = rows * width_.in_size;
    call.output = ring_row(task, panel, row);
    kernels().gemm_tile.run(call);
    row += rows;
  }
}

/// Rows y ... y + rows - 1 of the depthwise convolution's result.
void InvertedResidual::filter(const Task& task, const Panel& panel, std::int64_t y, std::int64_t rows,
                              float* output) const {
  DepthwiseRow call = depthwise_row(width_);
  call.channels = panel.columns;
  call.pitch = panel.pitch;
  call.weight_step = hidden_;
  DepthwiseOutput out;
  out.output = output + panel.channel;
  out.step = middle_pitch_;
  out.bias = filter_.bias_at(task.args, kDepthwiseBias, panel.channel);
  out.activation = filter_.activation;
  out.alpha = filter_.alpha;
  for (std::int64_t k = 0; k < rows;) {
    const std::int64_t done = pairs_ && k + 2 <= rows ? 2 : 1;
    if (!expands_) {
      const std::int64_t next = first_row(y + k + done - 1) + span(height_);
      call.next = filter_input(task, panel, next);
      call.next_rows = std::min(done * height_.in_step, height_.in_size - next);
    }
    if (done == 2) {
      filter_two(task, panel, y + k, call, out);
    } else {
      filter_one(task, panel, y + k, call, out);
    }
    out.output += done * width_.count * middle_pitch_;
    k += done;
  }
}

const float* InvertedResidual::filter_input(const Task& task, const Panel& panel, std::int64_t row) const {
  if (expands_) return ring_row(task, panel, row);
  return task.args.input(kInput) + (task.image * height_.in_size + row) * width_.in_size * hidden_;
}

void InvertedResidual::filter_one(const Task& task, const Panel& panel, std::int64_t y, DepthwiseRow& call,
                                  const DepthwiseOutput& out) const {
  std::array<const float*, kMaxKernelRows> row;
  std::array<const float*, kMaxKernelRows> weight;
  call.rows = 0;
  for (std::int64_t t = 0; t < height_.taps; ++t) {
    const std::int64_t from = first_row(y) + t * height_.tap_step;
    if (from < 0 || from >= height_.in_size) continue;
    const auto r = static_cast<std::size_t>(call.rows++);
    row[r] = filter_input(task, panel, from);
    weight[r] = task.args.input(kDepthwiseWeight) + t * width_.taps * hidden_ + panel.channel;
  }
  call.row = row.data();
  call.weight = weight.data();
  kernels().depthwise.forward(call, out);
}

void InvertedResidual::filter_two(const Task& task, const Panel& panel, std::int64_t y, DepthwiseRow& call,
                                  const DepthwiseOutput& out) const {
  std::array<const float*, 5> row;
  std::array<const float*, 3> weight;
  for (std::int64_t r = 0; r < 3 + height_.in_step; ++r) {
    const std::int64_t from = first_row(y) + r;
    const bool inside = from >= 0 && from < height_.in_size;
    row[static_cast<std::size_t>(r)] = inside ? filter_input(task, panel, from) : nullptr;
  }
  for (std::int64_t t = 0; t < 3; ++t)
    weight[static_cast<std::size_t>(t)] = task.args.input(kDepthwiseWeight) + t * 3 * hidden_ + panel.channel;
  call.rows = 1;
  call.row = row.data();
  call.weight = weight.data();
  kernels().depthwise.forward_pair(call, out, width_.count * middle_pitch_);
}

/// Rows y ... y + rows - 1 of the block's result.
void InvertedResidual::project(const Task& task, std::int64_t y, std::int64_t rows) const {
  const std::int64_t zero = 0;
  const std::int64_t at = (task.image * height_.count + y) * width_.count * out_channels_;
  GemmTileArgs call;
  call.input = task.middle;
  call.row_offset = middle_offset_.data();
  call.rows = rows * width_.count;
  call.tap_offset = call.tap_row = &zero;
  call.depth = hidden_;
  call.one_order = one_order_;
  call.output_offset = output_offset_.data();
  call.activation = project_.activation;
  call.alpha = project_.alpha;
  for (std::int64_t i = 0; i < project_panels_.count(); ++i) {
    const std::int64_t column = project_panels_.begin(i);
    call.panel = task.args.input(kProjectWeight) + column * hidden_;
    call.columns = project_panels_.columns(i);
    call.output = task.args.output(0) + at + column;
    if (residual_) call.residual = task.args.input(kResidual) + at + column;
    call.bias = project_.bias_at(task.args, kProjectBias, column);
    kernels().gemm_tile.run(call);
  }
}

std::unique_ptr<Step> make_inverted_residual(const StepSpec& spec) {
  return std::make_unique<InvertedResidual>(spec);
}

}  // namespace

std::string inverted_residual_refuse(const ConvProblem& p, bool expands, const std::string& algorithm) {
  const ConvLoop loop = forward_loop(p);
  const ConvAxis& height = loop.axis[1];
  if (height.taps > kMaxKernelRows)
    return "the kernel has more than " + std::to_string(kMaxKernelRows) + " rows";
  const bool stays =
      p.in_channels * (p.input_pixels() + p.output_pixels()) < machine().direct.least_expanded_map;
  const bool by_panels = algorithm == kChannelPanels;
  if (by_panels && !expands) return "there is no expansion";
  if (by_panels && !stays) return "the activations between the steps exceed the caches";
  if (!by_panels && stays) return "the activations between the steps stay in cache";
  const std::int64_t parts =
      by_panels ? PanelCut(p.in_channels).count() : pieces_of_image(p.batch, height, expands);
  const std::int64_t tasks = p.batch * parts;
  const std::int64_t sharing = by_panels && tasks >= kFewTasks ? 2 : 4;  // threads that must find equal work
  if (tasks < machine().tasks && tasks % sharing != 0) {
    return std::to_string(tasks) + " tasks are shared unevenly among threads";
  }
  return {};
}

void register_inverted_residual(StepRegistry& registry) {
  registry.add("inverted_residual", make_inverted_residual);
}

}  // namespace cnncore
