// SPDX-License-Identifier: Apache-2.0
// Backward-data by scattering: grad_output pixels times the weight of all taps at once on the GEMM tile, then
// each product added to the pixels of grad_input that its tap reaches. Few input channels fill vectors only
// together with the taps, and no product with padding is made.
#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_geometry.h"

namespace cnncore {
namespace {

// Vector operations of storing a vector of products and adding it, which count like as many multiplications.
constexpr double kAddCost = 8.0;
constexpr double kPieceCost = 20.0;  // of storing a pixel of a group by itself
// Half a vector, which a panel of few columns takes, costs more than half: its loads do not shrink.
constexpr double kHalfCost = 0.7;
constexpr double kClearlyFewer = 0.9;

/// Rows and columns of an image, or of a plane of a volume.
struct Plane {
  std::int64_t images, height, width, out_height, out_width;
  std::int64_t kernel_height, kernel_width;
  std::int64_t stride_height, stride_width, dilation_height, dilation_width;
  std::int64_t top, left;  // padding

  explicit Plane(const ConvProblem& p) {
    images = p.batch * p.input[0];
    height = p.input[1], width = p.input[2];
    out_height = p.output[1], out_width = p.output[2];
    kernel_height = p.kernel[1], kernel_width = p.kernel[2];
    stride_height = p.stride[1], stride_width = p.stride[2];
    dilation_height = p.dilation[1], dilation_width = p.dilation[2];
    top = p.padding_begin[1], left = p.padding_begin[2];
  }
  std::int64_t reach() const { return (kernel_height - 1) * dilation_height + 1; }
};

/// Columns of the product: runs of contiguous floats of grad_input, one for each kernel row or, with gaps
/// between its taps, for each tap.
struct Runs {
  std::int64_t length, in_row, pitch;

  Runs(const ConvProblem& p, const Plane& plane) {
    const bool whole_row = plane.dilation_width == 1;
    length = p.group_in() * (whole_row ? plane.kernel_width : 1);
    in_row = whole_row ? 1 : plane.kernel_width;
    // Runs that start on a vector are read faster, where it costs no vector of products.
    const std::int64_t width = kernels().width;
    const std::int64_t count = plane.kernel_height * in_row;
    const std::int64_t aligned = round_up(length, width);
    pitch = count * aligned == round_up(count * length, width) ? aligned : length;
  }
  std::int64_t columns(const Plane& plane) const { return plane.kernel_height * in_row * pitch; }
};

/// Floats of one reduction step of all panels.
std::int64_t packed_columns(std::int64_t columns) {
  const auto& tile = kernels().gemm_tile;
  const std::int64_t full = (columns - 1) / tile.nr * tile.nr;
  return full + tile.panel_width(columns - full);
}

Packed packed(const ConvProblem& p) {
  const Plane plane(p);
  return {p.groups * p.group_out() * packed_columns(Runs(p, plane).columns(plane))};
}

/// Rows of grad_input that one task owns, and the rows of grad_output that reach them.
struct Band {
  std::int64_t begin, end, out_begin, out_end;
};

std::vector<Band> make_bands(const ConvProblem& p, const Plane& plane) {
  const std::int64_t row_floats = plane.width * p.group_in();
  const std::int64_t fit = std::max<std::int64_t>(1, machine().scatter.band / row_floats);
  // More bands than fit the cache only to have enough tasks, and not so low that most rows are made twice.
  const std::int64_t wanted = ceil_div(machine().tasks, plane.images * p.groups);
  const std::int64_t parallel = std::min(wanted, plane.height / (2 * plane.reach()));
  const std::int64_t count = std::max({std::int64_t{1}, parallel, ceil_div(plane.height, fit)});
  const std::int64_t size = ceil_div(plane.height, std::min(count, plane.height));
  std::vector<Band> bands;
  for (std::int64_t begin = 0; begin < plane.height; begin += size) {
    Band band{begin, std::min(begin + size, plane.height), 0, 0};
    const std::int64_t first = band.begin + plane.top - (plane.reach() - 1);
    const std::int64_t last = band.end - 1 + plane.top;
    band.out_begin = std::min(plane.out_height, first <= 0 ? 0 : ceil_div(first, plane.stride_height));
    band.out_end = std::clamp(last / plane.stride_height + 1, band.out_begin, plane.out_height);
    bands.push_back(band);
  }
  return bands;
}

/// Where the products of some rows of grad_output are added in a band; bands that agree in it share it.
struct Targets {
  std::vector<std::int64_t> target_offset, first_term, term_offset;
};

/// grad_output rows whose products are made together.
struct Chunk {
  std::int64_t out_begin, rows;
  std::size_t targets;
};

class ScatterPack : public Step {
 public:
  explicit ScatterPack(const ConvProblem& p) : problem_(p), plane_(p), runs_(p, plane_) {}

  void run(const StepArgs& args) const override {
    const std::int64_t nr = kernels().gemm_tile.nr;
    const std::int64_t columns = runs_.columns(plane_);
    const std::int64_t panels = ceil_div(columns, nr);
    const std::int64_t depth = problem_.group_out();
    const std::int64_t group_floats = depth * packed_columns(columns);
    const double work = static_cast<double>(problem_.groups * group_floats);
    parallel_for(problem_.groups * panels, work, [&](std::int64_t task, int) {
      const std::int64_t column = task % panels * nr;
      const std::int64_t group = task / panels;
      pack(args.input(0) + group * depth * problem_.group_in() * problem_.taps(), column,
           std::min(nr, columns - column), args.output(0) + group * group_floats + column * depth);
    });
  }

 private:
  void pack(const float* weight, std::int64_t column, std::int64_t columns, float* panel) const {
    const std::int64_t channels = problem_.group_in();
    const std::int64_t taps = problem_.taps();
    const std::int64_t width = kernels().gemm_tile.panel_width(columns);
    const std::int64_t taps_in_run = runs_.length / channels;
    for (std::int64_t c = 0; c < width; ++c) {
      const std::int64_t run = (column + c) / runs_.pitch;
      const std::int64_t inside = (column + c) % runs_.pitch;
      const bool padding = c >= columns || inside >= runs_.length;
      const float* from = weight + inside % channels * taps + run * taps_in_run + inside / channels;
      for (std::int64_t o = 0; o < problem_.group_out(); ++o)
        panel[o * width + c] = padding ? 0.0f : from[o * channels * taps];
    }
  }

  ConvProblem problem_;
  Plane plane_;
  Runs runs_;
};

class ScatterBackwardData : public Step {
 public:
  ScatterBackwardData(const ConvProblem& p, const ConvEpilogue& epilogue)
      : problem_(p), epilogue_(epilogue), plane_(p), runs_(p, plane_), bands_(make_bands(p, plane_)) {
    plan();
  }

  void run(const StepArgs& args) const override {
    const auto bands = static_cast<std::int64_t>(bands_.size());
    const double work = problem_.flops() / 2.0 / kernels().width;
    parallel_for(plane_.images * problem_.groups * bands, work, [&](std::int64_t task, int thread) {
      run_band(args, static_cast<std::size_t>(task % bands), task / bands % problem_.groups,
               task / bands / problem_.groups, args.scratch_of(thread));
    });
  }
  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(buffer_floats_ + product_floats_) * sizeof(float);
  }
  std::size_t table_bytes() const override;
  std::string algorithm() const override { return "scatter"; }
  double flops() const override { return problem_.flops(); }

 private:
  void plan();
  Targets make_targets(std::int64_t height, std::int64_t distance, std::int64_t rows) const;
  void run_band(const StepArgs& args, std::size_t index, std::int64_t group, std::int64_t image,
                float* scratch) const;
  void begin_rows(const StepArgs& args, std::int64_t rows, std::int64_t first_pixel, std::int64_t group,
                  float* buffer) const;
  void make_products(const float* grad_output, const float* packed, std::int64_t pixels,
                     float* products) const;
  void finish_rows(const float* buffer, std::int64_t rows, float* output, float* activated) const;

  ConvProblem problem_;
  ConvEpilogue epilogue_;
  Plane plane_;
  Runs runs_;
  std::vector<Band> bands_;
  std::vector<std::vector<Chunk>> chunks_;  // of each band
  std::vector<Targets> targets_;
  std::vector<std::int64_t> pixel_offset_, product_offset_;
  std::int64_t product_pitch_ = 0;
  std::int64_t row_floats_ = 0;   // of the buffer: rows with margins that hold what falls into padding
  std::int64_t left_floats_ = 0;  // of the left margin
  std::int64_t buffer_floats_ = 0, product_floats_ = 0;
};

void ScatterBackwardData::plan() {
  const std::int64_t channels = problem_.group_in();
  const std::int64_t taps_width = (plane_.kernel_width - 1) * plane_.dilation_width + 1;
  const std::int64_t reached = (plane_.out_width - 1) * plane_.stride_width + taps_width;
  row_floats_ = std::max(reached, plane_.left + plane_.width) * channels;
  left_floats_ = plane_.left * channels;
  std::int64_t highest = 0;
  for (const Band& band : bands_) highest = std::max(highest, band.end - band.begin);
  buffer_floats_ = round_up(highest * row_floats_ + kernels().width, 16);

  product_pitch_ = packed_columns(runs_.columns(plane_));
  if (product_pitch_ % 256 == 0)
    product_pitch_ += 16;  // rows 1 KiB apart meet in few sets of the first cache
  const std::int64_t row_products = plane_.out_width * product_pitch_;
  const std::int64_t rows =
      std::clamp<std::int64_t>(machine().scatter.products / row_products, 1, plane_.out_height);
  product_floats_ = round_up(rows * row_products, 16);
  for (std::int64_t pixel = 0; pixel < rows * plane_.out_width; ++pixel) {
    pixel_offset_.push_back(pixel * problem_.out_channels);
    product_offset_.push_back(pixel * product_pitch_);
  }
  std::map<std::array<std::int64_t, 3>, std::size_t> known;
  for (const Band& band : bands_) {
    const std::int64_t pieces = ceil_div(band.out_end - band.out_begin, rows);
    const std::int64_t size = pieces > 0 ? ceil_div(band.out_end - band.out_begin, pieces) : 1;
    chunks_.emplace_back();
    for (std::int64_t row = band.out_begin; row < band.out_end; row += size) {
      const std::int64_t count = std::min(size, band.out_end - row);
      const std::int64_t height = band.end - band.begin;
      const std::int64_t distance = band.begin + plane_.top - row * plane_.stride_height;
      const auto [found, is_new] = known.insert({{height, distance, count}, targets_.size()});
      if (is_new) targets_.push_back(make_targets(height, distance, count));
      chunks_.back().push_back({row, count, found->second});
    }
  }
}

/// `distance`: from the band's first row, padding included, back to the first of `rows` rows of grad_output.
Targets ScatterBackwardData::make_targets(std::int64_t height, std::int64_t distance,
                                          std::int64_t rows) const {
  Targets targets{{}, {0}, {}};
  const std::int64_t run_step = plane_.dilation_width * problem_.group_in();
  for (std::int64_t row = 0; row < height; ++row) {
    for (std::int64_t run = 0; run < runs_.in_row; ++run) {
      for (std::int64_t i = 0; i < rows; ++i) {
        const std::int64_t back = distance + row - i * plane_.stride_height;
        const std::int64_t tap = back / plane_.dilation_height;
        if (back < 0 || back % plane_.dilation_height != 0 || tap >= plane_.kernel_height) continue;
        targets.term_offset.push_back(i * plane_.out_width * product_pitch_ +
                                      (tap * runs_.in_row + run) * runs_.pitch);
      }
      const auto terms = static_cast<std::int64_t>(targets.term_offset.size());
      if (terms == targets.first_term.back()) continue;
      targets.target_offset.push_back(row * row_floats_ + run * run_step);
      targets.first_term.push_back(terms);
    }
  }
  return targets;
}

std::size_t ScatterBackwardData::table_bytes() const {
  std::size_t bytes = (pixel_offset_.capacity() + product_offset_.capacity()) * sizeof(std::int64_t) +
                      bands_.capacity() * sizeof(Band);
  for (const auto& chunks : chunks_) bytes += chunks.capacity() * sizeof(Chunk);
  for (const Targets& targets : targets_) {
    bytes +=
        (targets.target_offset.capacity() + targets.first_term.capacity() + targets.term_offset.capacity()) *
        sizeof(std::int64_t);
  }
  return bytes;
}

/// What products are added to: zero, or bias and residual.
void ScatterBackwardData::begin_rows(const StepArgs& args, std::int64_t rows, std::int64_t first_pixel,
                                     std::int64_t group, float* buffer) const {
  std::memset(buffer, 0, static_cast<std::size_t>(buffer_floats_) * sizeof(float));
  if (!epilogue_.bias && !epilogue_.residual) return;
  const std::int64_t channels = problem_.group_in();
  for (std::int64_t pixel = 0; pixel < rows * plane_.width; ++pixel) {
    float* to = buffer + pixel / plane_.width * row_floats_ + left_floats_ + pixel % plane_.width * channels;
    const std::int64_t at = (first_pixel + pixel) * problem_.in_channels + group * channels;
    for (std::int64_t c = 0; c < channels; ++c) {
      if (epilogue_.bias) to[c] = args.input(2)[group * channels + c];
      if (epilogue_.residual) to[c] += args.input(3)[at + c];
    }
  }
}

void ScatterBackwardData::make_products(const float* grad_output, const float* packed, std::int64_t pixels,
                                        float* products) const {
  const auto& tile = kernels().gemm_tile;
  const std::int64_t columns = runs_.columns(plane_);
  const std::int64_t depth = problem_.group_out();
  const std::int64_t no_offset = 0;
  GemmTileArgs call;
  call.row_offset = pixel_offset_.data();
  call.output_offset = product_offset_.data();
  call.rows = pixels;
  call.one_order = epilogue_.one_order;
  call.tap_offset = call.tap_row = &no_offset;
  for (std::int64_t k = 0; k < depth; k += machine().scatter.depth) {
    call.input = grad_output + k;
    call.depth = std::min(machine().scatter.depth, depth - k);
    call.accumulate = k > 0;
    for (std::int64_t column = 0; column < columns; column += tile.nr) {
      call.columns = std::min<std::int64_t>(tile.nr, columns - column);
      call.panel = packed + column * depth + k * tile.panel_width(call.columns);
      call.output = products + column;
      tile.run(call);
    }
  }
}

void ScatterBackwardData::finish_rows(const float* buffer, std::int64_t rows, float* output,
                                      float* activated) const {
  const std::int64_t channels = problem_.group_in();
  const std::int64_t pieces = problem_.groups == 1 ? 1 : plane_.width;
  const std::int64_t piece = plane_.width / pieces * channels;
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = buffer + row * row_floats_ + left_floats_;
    const std::int64_t at = row * plane_.width * problem_.in_channels;
    for (std::int64_t i = 0; i < pieces; ++i) {
      const std::int64_t to = at + i * problem_.in_channels;
      kernels().scatter.store_row(from + i * piece, piece, epilogue_.activation, epilogue_.alpha,
                                  activated == nullptr ? nullptr : activated + to, output + to);
    }
  }
}

void ScatterBackwardData::run_band(const StepArgs& args, std::size_t index, std::int64_t group,
                                   std::int64_t image, float* scratch) const {
  const Band& band = bands_[index];
  const std::int64_t rows = band.end - band.begin;
  const std::int64_t first_pixel = (image * plane_.height + band.begin) * plane_.width;
  const std::int64_t first_out = image * plane_.out_height * plane_.out_width;
  float* buffer = scratch;
  float* products = scratch + buffer_floats_;
  begin_rows(args, rows, first_pixel, group, buffer);

  AddRunsArgs add;
  add.source = products;
  add.source_step = product_pitch_;
  add.target = buffer;
  add.target_step = plane_.stride_width * problem_.group_in();
  add.positions = plane_.out_width;
  add.length = runs_.length;
  const float* packed = args.input(1) + group * problem_.group_out() * packed_columns(runs_.columns(plane_));
  for (const Chunk& chunk : chunks_[index]) {
    const std::int64_t pixel = first_out + chunk.out_begin * plane_.out_width;
    make_products(args.input(0) + pixel * problem_.out_channels + group * problem_.group_out(), packed,
                  chunk.rows * plane_.out_width, products);
    const Targets& targets = targets_[chunk.targets];
    add.runs = static_cast<std::int64_t>(targets.target_offset.size());
    add.target_offset = targets.target_offset.data();
    add.first_term = targets.first_term.data();
    add.term_offset = targets.term_offset.data();
    kernels().scatter.add_runs(add);
  }
  const std::int64_t first = first_pixel * problem_.in_channels + group * problem_.group_in();
  finish_rows(buffer, rows, epilogue_.sums(args) + first,
              epilogue_.argument ? args.output(0) + first : nullptr);
}

/// Pairs of a grad_output coordinate and a tap that meet inside the input.
double pairs(const ConvProblem& p, std::size_t a) {
  std::int64_t count = 0;
  for (std::int64_t tap = 0; tap < p.kernel[a]; ++tap) {
    const std::int64_t first = tap * p.dilation[a] - p.padding_begin[a];
    const std::int64_t below = first < 0 ? ceil_div(-first, p.stride[a]) : 0;
    const std::int64_t end = first < p.input[a] ? ceil_div(p.input[a] - first, p.stride[a]) : 0;
    count += std::max<std::int64_t>(0, std::min(end, p.output[a]) - below);
  }
  return static_cast<double>(count);
}

/// Vector operations of the direct algorithm, which keeps the group's input channels in vectors of their own
/// and meets no padding.
double direct_cost(const ConvProblem& p) {
  const auto& tile = kernels().gemm_tile;
  const std::int64_t full = (p.group_in() - 1) / tile.nr * tile.nr;
  const double vectors = static_cast<double>(full + tile.panel_width(p.group_in() - full)) / kernels().width;
  const double products = pairs(p, 0) * pairs(p, 1) * pairs(p, 2);
  return static_cast<double>(p.batch * p.groups * p.group_out()) * products * std::max(kHalfCost, vectors);
}

/// Those of this algorithm: every pixel of grad_output, twice where bands meet, with all taps side by side.
double scatter_cost(const ConvProblem& p) {
  const Plane plane(p);
  std::int64_t rows = 0;
  for (const Band& band : make_bands(p, plane)) rows += band.out_end - band.out_begin;
  const double pixels = static_cast<double>(plane.images * p.groups * rows * plane.out_width);
  const auto vectors = static_cast<double>(packed_columns(Runs(p, plane).columns(plane))) / kernels().width;
  const double pieces = p.groups > 1 ? static_cast<double>(p.groups * p.input_pixels()) : 0.0;
  return pixels * vectors * (static_cast<double>(p.group_out()) + kAddCost) + pieces * kPieceCost;
}

std::string cannot(const ConvProblem& p) {
  const bool flat = p.kernel[0] == 1 && p.stride[0] == 1 && p.padding_begin[0] == 0 && p.padding_end[0] == 0;
  return flat ? "" : "the kernel has depth";
}

std::string declines(const ConvProblem& p) {
  const Plane plane(p);
  if (plane.out_width * packed_columns(Runs(p, plane).columns(plane)) > machine().scatter.row_products)
    return "the products of a row do not fit the second cache";
  if (scatter_cost(p) > kClearlyFewer * direct_cost(p))
    return "not clearly fewer vector operations than direct";
  return {};
}

std::int64_t no_statistics(const ConvProblem&) { return 0; }
std::unique_ptr<Step> make_pack(const ConvProblem& p) { return std::make_unique<ScatterPack>(p); }
std::unique_ptr<Step> make(const ConvProblem& p, const ConvEpilogue& epilogue) {
  return std::make_unique<ScatterBackwardData>(p, epilogue);
}

}  // namespace

ConvAlgorithm scatter_backward_data() {
  return {"scatter", ConvDirection::backward_data, cannot, declines, packed, no_statistics, make_pack, make};
}

}  // namespace cnncore
