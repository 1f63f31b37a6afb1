// SPDX-License-Identifier: Apache-2.0
// Direct convolution and the max pooling after it in one step: a band of the convolution's rows is computed
// into the thread's scratch and pooled while it is in the second cache.
#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/conv_algorithm.h"
#include "ops/conv_loop.h"
#include "ops/conv_pixels.h"
#include "ops/pool_geometry.h"

namespace cnncore {
namespace {

constexpr std::int64_t kBandPixels = 2048;  // of several images
constexpr std::int64_t kFewTasks = 8;       // are enough if
constexpr std::int64_t kEvenTasks = 4;      // threads share them evenly
constexpr std::int64_t kLeastRows = 16;     // of the map in a piece, for each that two pieces compute
constexpr std::int64_t kLeastLines = 4;     // of windows in a band

PoolGeometry geometry_of(const ConvProblem& p) {
  const auto images = [&](const Spatial& extents) {
    const std::array<std::int64_t, 4> shape{p.batch, p.out_channels, extents[1], extents[2]};
    return dense_desc(DType::f32, shape.data(), 4, true);
  };
  return pool_geometry(images(p.output), images(p.pooled()), *p.pool);
}

/// Rows of the map under a window.
std::int64_t reach_of(const ConvProblem& p) { return p.pool->reach(1); }

/// Rows of windows whose rows of the map fit a band.
std::int64_t lines_of_band(const ConvProblem& p) {
  const std::int64_t fit = machine().direct.pooled_map / (p.output[2] * p.out_channels);
  return fit < reach_of(p) ? 0 : (fit - reach_of(p)) / p.pool->stride[1] + 1;
}

/// Vector operations of a whole run.
double work_of(const ConvProblem& p) {
  const Spatial pooled = p.pooled();
  const auto windows = static_cast<double>(p.batch * pooled[1] * pooled[2]);
  const auto taps = static_cast<double>(p.pool->kernel[1] * p.pool->kernel[2]);
  return p.flops() / 2.0 / kernels().width +
         PoolTasks::kCyclesPerOperation * windows * pool_vectors(p.out_channels) * (1.0 + taps);
}

std::int64_t tasks_of(const ConvProblem& p) { return tasks_worth(work_of(p)); }

/// Rows of the map at a cut that the pieces on both sides compute.
std::int64_t rows_computed_twice(const ConvProblem& p) {
  return std::max<std::int64_t>(0, reach_of(p) - p.pool->stride[1]);
}

/// Into how many pieces, a task each, an image is cut when there are few images.
std::int64_t pieces_of(const ConvProblem& p) {
  const std::int64_t lines = p.pooled()[1];
  const auto enough = [&](std::int64_t tasks) {
    return tasks >= tasks_of(p) || (tasks >= kFewTasks && tasks % kEvenTasks == 0);
  };
  std::int64_t pieces = 1;
  while (!enough(pieces * p.batch) && 2 * pieces <= lines &&
         lines / (2 * pieces) * p.pool->stride[1] >= kLeastRows * rows_computed_twice(p)) {
    pieces *= 2;
  }
  return pieces;
}

class DirectPool : public Step {
 public:
  DirectPool(const ConvProblem& p, const ConvEpilogue& epilogue);
  void run(const StepArgs& args) const override;
  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(images_ * scratch_rows_ * pool_.line_size()) * sizeof(float);
  }
  std::size_t table_bytes() const override {
    std::size_t bytes = rows_.capacity() * sizeof(Rows) + pool_.table_bytes();
    for (const Rows& rows : rows_) bytes += rows.plan.table_bytes();
    for (const Piece& piece : pieces_) bytes += piece.capacity() * sizeof(Band);
    return bytes;
  }
  double flops() const override { return flops_; }

 private:
  /// Rows of windows, and the rows of the map below them.
  struct Band {
    std::int64_t line, end_line;
    std::int64_t first = 0;      // row of the map that scratch begins with
    std::int64_t kept = 0;       // rows that the band before has computed
    std::int64_t kept_from = 0;  // where these lie in its scratch
    std::int64_t rows = 0;       // computed after them
    std::size_t plan = 0;        // of the convolution, for as many images as a task has
    std::size_t rest = 0;        // for the last task
  };
  using Piece = std::vector<Band>;  // of an image, done by one task

  /// Convolution of some rows; bands that agree in the taps that meet the image share it.
  struct Rows {
    std::vector<std::int64_t> key;
    std::int64_t first;
    ConvLoopPlan plan;
  };

  void plan_pieces(const ConvProblem& p);
  Piece plan_piece(std::int64_t line, std::int64_t end, std::int64_t step);
  std::size_t plan_rows(std::int64_t images, std::int64_t first, std::int64_t rows);
  void convolve(const Band& band, std::int64_t image, std::int64_t images, const StepArgs& args,
                float* map) const;
  void pool(const Band& band, std::int64_t images, const float* map, float* output) const;

  ConvLoop loop_;
  PoolGeometry pool_;
  ConvEpilogue epilogue_;
  double flops_, work_;
  std::int64_t images_ = 1;  // of a task
  std::int64_t scratch_rows_ = 0;
  std::vector<Piece> pieces_;
  std::vector<Rows> rows_;
};

DirectPool::DirectPool(const ConvProblem& p, const ConvEpilogue& epilogue)
    : loop_(forward_loop(p)),
      pool_(geometry_of(p)),
      epilogue_(epilogue),
      flops_(p.flops()),
      work_(work_of(p)) {
  plan_pieces(p);
}

/// Small images are whole and several to a task; large ones are cut into bands, and, when they are few, into
/// pieces that are tasks.
void DirectPool::plan_pieces(const ConvProblem& p) {
  const std::int64_t lines = pool_.axes[1].output;
  const std::int64_t step = std::max<std::int64_t>(1, lines_of_band(p));
  if (step >= lines) {
    const std::int64_t pixels = p.output[1] * p.output[2];
    const std::int64_t fit = std::min(kBandPixels, machine().direct.pooled_map / p.out_channels) / pixels;
    images_ = std::clamp<std::int64_t>(std::min(fit, p.batch / tasks_of(p)), 1, p.batch);
  }
  const std::int64_t size = ceil_div(lines, pieces_of(p));
  for (std::int64_t line = 0; line < lines; line += size) {
    pieces_.push_back(plan_piece(line, std::min(line + size, lines), step));
  }
}

/// Dilated windows at the image's border may begin below those after them and end below those before them.
DirectPool::Piece DirectPool::plan_piece(std::int64_t line, std::int64_t end, std::int64_t step) {
  const PoolAxis& height = pool_.axes[1];
  const auto first_row = [&](std::int64_t from) {  // only windows cut at the border begin below later ones
    PoolWindow window = height.window(from);
    std::int64_t row = window.start;
    while (window.number > 0 && ++from < end) {
      window = height.window(from);
      row = std::min<std::int64_t>(row, window.start);
    }
    return row;
  };
  const auto end_of = [&height](const PoolWindow& window) {
    return window.start + (window.taps - 1) * height.dilation + 1;
  };
  step = even_part(end - line, step);
  Piece piece;
  std::int64_t done = 0;  // rows of the map above this one are computed, or not needed
  for (; line < end; line += step) {
    Band band{line, std::min(line + step, end)};
    band.first = first_row(line);
    std::int64_t below = done;
    for (std::int64_t i = line; i < band.end_line; ++i) below = std::max(below, end_of(height.window(i)));
    if (done > band.first) {
      band.kept = done - band.first;
      band.kept_from = band.first - piece.back().first;
    }
    const std::int64_t row = band.first + band.kept;
    band.rows = below - row;
    if (band.rows > 0) {
      const std::int64_t rest = pool_.batch % images_;
      band.plan = plan_rows(images_, row, band.rows);
      band.rest = rest > 0 ? plan_rows(rest, row, band.rows) : band.plan;
    }
    scratch_rows_ = std::max(scratch_rows_, band.kept + band.rows);
    done = below;
    piece.push_back(band);
  }
  return piece;
}

/// Returns the place in rows_ of the convolution of rows first ... first + rows - 1 of the map.
std::size_t DirectPool::plan_rows(std::int64_t images, std::int64_t first, std::int64_t rows) {
  ConvLoop part = loop_;
  part.batch = images;
  part.axis[1].count = part.axis[1].out_size = rows;
  part.axis[1].in_start += first * part.axis[1].in_step;
  std::vector<std::int64_t> key = axis_key(part.axis[1], 0, rows);
  key.push_back(images);
  std::size_t i = 0;
  while (i < rows_.size() && rows_[i].key != key) ++i;
  if (i == rows_.size()) rows_.push_back({key, first, ConvLoopPlan(part, 0, 1)});
  return i;
}

void DirectPool::run(const StepArgs& args) const {
  const auto pieces = static_cast<std::int64_t>(pieces_.size());
  parallel_for(ceil_div(pool_.batch, images_) * pieces, work_, [&](std::int64_t task, int thread) {
    float* map = args.scratch_of(thread);
    const std::int64_t line_size = pool_.line_size();
    const std::int64_t image = task / pieces * images_;
    const std::int64_t images = std::min(images_, pool_.batch - image);
    for (const Band& band : pieces_[static_cast<std::size_t>(task % pieces)]) {
      const auto kept = static_cast<std::size_t>(band.kept * line_size);
      std::memmove(map, map + band.kept_from * line_size, kept * sizeof(float));
      convolve(band, image, images, args, map + kept);
      pool(band, images, map, args.output(0) + image * pool_.output_pixels() * pool_.channels);
    }
  });
}

void DirectPool::convolve(const Band& band, std::int64_t image, std::int64_t images, const StepArgs& args,
                          float* map) const {
  if (band.rows == 0) return;
  const Rows& rows = rows_[images < images_ ? band.rest : band.plan];
  const ConvAxis& height = loop_.axis[1];
  const std::int64_t row = image * height.in_size + (band.first + band.kept - rows.first) * height.in_step;
  ConvLoopMemory memory;
  memory.input = args.input(0) + row * loop_.axis[2].in_size * loop_.in_channels * loop_.groups;
  memory.packed = args.input(1);
  if (epilogue_.bias) memory.bias = args.input(2);
  memory.output = map;
  ConvEpilogue epilogue;
  epilogue.one_order = epilogue_.one_order;
  for (std::int64_t task = 0; task < rows.plan.tasks(); ++task) {
    rows.plan.run_task(task, memory, epilogue, nullptr);
  }
}

void DirectPool::pool(const Band& band, std::int64_t images, const float* map, float* output) const {
  const std::int64_t image_size = (band.kept + band.rows) * pool_.line_size();
  const std::int64_t output_line = pool_.axes[2].output * pool_.channels;
  for (std::int64_t image = 0; image < images; ++image) {
    for (std::int64_t line = band.line; line < band.end_line; ++line) {
      const PoolWindow window = pool_.axes[1].window(line);
      PoolRow row = pool_.row(0, line);
      row.input = map + image * image_size + (window.start - band.first) * pool_.line_size();
      row.activation = epilogue_.activation;
      row.alpha = epilogue_.alpha;
      float* pooled = output + (image * pool_.axes[1].output + line) * output_line;
      pool_.axes[2].for_windows([&](std::int64_t first, std::int64_t count, const PoolWindow* columns) {
        row.columns = columns;
        row.width = count;
        kernels().pool.max(row, pooled + first * pool_.channels);
      });
    }
  }
}

}  // namespace

std::unique_ptr<Step> make_direct_pool(const ConvProblem& problem, const ConvEpilogue& epilogue) {
  return std::make_unique<DirectPool>(problem, epilogue);
}

std::string direct_pool_refuse(const ConvProblem& p) {
  const std::int64_t lines = lines_of_band(p);
  if (lines < std::min<std::int64_t>(kLeastLines, p.pooled()[1])) {
    return "too few rows of its map fit the second cache";
  }
  // Then only the start of a step is saved, which counts beside a single task.
  const bool stays = p.output_pixels() * p.out_channels < machine().direct.least_pooled_map;
  if (stays && tasks_of(p) > 1) return "its map stays in cache";
  return {};
}

}  // namespace cnncore
