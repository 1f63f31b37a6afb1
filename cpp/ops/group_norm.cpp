// SPDX-License-Identifier: Apache-2.0
// Group normalisation and its gradient: the kernels of batch norm, image by image. Each pass over an image
// but the first finds it in a cache: several small images or one large image are a round.
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/norm.h"
#include "ops/registry.h"
#include "ops/tasks.h"

namespace cnncore {
namespace {

TensorDesc image_of(TensorDesc desc) {
  require(desc.rank >= 2, "group_norm: expected rank 2 or more, got ", desc.shape_text());
  desc.shape[0] = 1;
  return desc;
}

/// A batch as images, each cut into chunks, and the channels' groups.
struct GroupProblem {
  Given given;
  ChannelBlocks image;
  ActivationGate gate;
  std::int64_t images;
  std::int64_t groups;
  std::int64_t round;  // images of a round

  GroupProblem(const StepSpec& spec, const TensorDesc& x)
      : given(spec),
        image(image_of(x)),
        gate(activation_from_attrs(spec.attrs)),
        images(x.dim(0)),
        groups(spec.attrs.integer("groups")),
        round(items_in_task(image.floats(), machine().resident)) {
    require(x.is_channels_last(), spec.op, ": expected channels-last x, got ", x.shape_text());
    require(groups > 0 && image.channels % groups == 0, spec.op, ": expected channels in ", groups,
            " equal groups, got ", x.shape_text());
    round = std::min(round, std::max<std::int64_t>(1, images));
  }

  std::int64_t group_channels() const { return image.channels / groups; }
  double group_size() const { return static_cast<double>(group_channels() * image.pixels); }

  /// Calls body(image, its place in the round, chunk, thread) for all chunks of a round's images.
  template <class Body>
  void for_chunks(std::int64_t first, std::int64_t count, double per_float, const Body& body) const {
    const std::int64_t chunks = image.chunks();
    parallel_for(count * chunks, static_cast<double>(count) * image.work(per_float),
                 [&](std::int64_t task, int thread) {
                   body(first + task / chunks, task / chunks, task % chunks, thread);
                 });
  }

  /// Calls body(image, its place in the round) for a round's images, between two passes.
  template <class Body>
  void for_images(std::int64_t first, std::int64_t count, const Body& body) const {
    const auto rows = static_cast<double>((image.chunks() + 8) * image.channels);
    parallel_for(count, static_cast<double>(count) * rows,
                 [&](std::int64_t place, int) { body(first + place, place); });
  }

  std::int64_t at(std::int64_t index, std::int64_t chunk) const {
    return index * image.floats() + image.begin(chunk);
  }

  /// Results beyond the caches are made in a block of so many floats of scratch and written past them.
  std::int64_t scratch_floats() const {
    return exceeds_caches(images * image.floats()) ? std::max(kBlock, image.wide_channels()) : 0;
  }
  /// Calls body(first float, block, result) for a chunk's pixels.
  template <class Body>
  void for_results(std::int64_t index, std::int64_t chunk, float* scratch, float* output,
                   const Body& body) const {
    const std::int64_t room = scratch_floats();
    image.for_wide(chunk, [&](std::int64_t offset, PixelBlock all) {
      std::int64_t begin = at(index, chunk) + offset;
      if (room == 0) return body(begin, all, output + begin);
      const std::int64_t most = std::max<std::int64_t>(1, room / all.channels);
      for (std::int64_t pixel = 0; pixel < all.pixels; pixel += most) {
        const PixelBlock block{std::min(most, all.pixels - pixel), all.channels};
        body(begin, block, scratch);
        kernels().copy.past_cache(scratch, block.pixels * block.channels, output + begin);
        begin += block.pixels * block.channels;
      }
    });
    if (room != 0) kernels().copy.finish_streaming();
  }

 private:
  static constexpr std::int64_t kBlock = 4096;
};

/// What turns x into its normalised, scaled and shifted values, for an image's channels and their copies.
void fill_coefficients(const GroupProblem& problem, const float* mean, const float* invstd,
                       const float* weight, const float* bias, float* scale, float* shift) {
  const std::int64_t size = problem.group_channels();
  for (std::int64_t c = 0; c < problem.image.channels; ++c) {
    scale[c] = invstd[c / size] * (weight == nullptr ? 1.0f : weight[c]);
    shift[c] = (bias == nullptr ? 0.0f : bias[c]) - mean[c / size] * scale[c];
  }
  problem.image.repeat_values(scale);
  problem.image.repeat_values(shift);
}

void require_groups(const StepSpec& spec, const TensorDesc& desc, const GroupProblem& problem) {
  check_in_order(desc, 2, spec.op + ": mean and invstd");
  check_shape(desc, {problem.images, problem.groups}, spec.op + ": mean and invstd");
}

class GroupNorm final : public Step {
 public:
  explicit GroupNorm(const StepSpec& spec)
      : problem_(spec, spec.input(0)), eps_(spec.attrs.real("eps", 1e-5)) {
    check_input(spec, 1, problem_.image.channels, "weight");
    check_input(spec, 2, problem_.image.channels, "bias");
    check_output_like(spec, 0, spec.input(0), "output");
    require_groups(spec, spec.output(1), problem_);
    require_groups(spec, spec.output(2), problem_);
    const ChannelBlocks& image = problem_.image;
    lanes_ = image.pixels % image.repeat == 0 ? image.wide_channels() : image.channels;
  }

  std::size_t workspace_bytes() const override {
    return static_cast<std::size_t>(problem_.round) *
           (static_cast<std::size_t>(2 * lanes_) * sizeof(double) +
            static_cast<std::size_t>(row_floats()) * sizeof(float));
  }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(problem_.scratch_floats()) * sizeof(float);
  }

  void run(const StepArgs& args) const override {
    for (std::int64_t first = 0; first < problem_.images; first += problem_.round) {
      run_round(args, first, std::min(problem_.round, problem_.images - first));
    }
  }
  double flops() const override {
    return 6.0 * static_cast<double>(problem_.images * problem_.image.floats());
  }

 private:
  /// Statistics of each chunk, scale and shift, for one image.
  std::int64_t row_floats() const {
    return problem_.image.chunks() * 3 * lanes_ + 2 * problem_.image.wide_channels();
  }

  void run_round(const StepArgs& args, std::int64_t first, std::int64_t count) const {
    const ChannelBlocks& image = problem_.image;
    auto* totals = reinterpret_cast<double*>(args.workspace);
    auto* rows = reinterpret_cast<float*>(totals + problem_.round * 2 * lanes_);
    const std::int64_t coefficients = image.chunks() * 3 * lanes_;
    problem_.for_chunks(
        first, count, 3.0, [&](std::int64_t index, std::int64_t place, std::int64_t chunk, int) {
          const PixelBlock plain = image.block(chunk);
          kernels().norm.statistics(args.input(0) + problem_.at(index, chunk),
                                    PixelBlock{plain.pixels * plain.channels / lanes_, lanes_},
                                    rows + place * row_floats() + chunk * 3 * lanes_);
        });
    problem_.for_images(first, count, [&](std::int64_t index, std::int64_t place) {
      float* row = rows + place * row_floats();
      float* mean = args.output(1) + index * problem_.groups;
      float* invstd = args.output(2) + index * problem_.groups;
      merge(row, totals + place * 2 * lanes_, mean, invstd);
      float* scale = row + coefficients;
      fill_coefficients(problem_, mean, invstd, problem_.given.input(args, 1), problem_.given.input(args, 2),
                        scale, scale + image.wide_channels());
    });
    problem_.for_chunks(
        first, count, 2.0, [&](std::int64_t index, std::int64_t place, std::int64_t chunk, int thread) {
          const float* scale = rows + place * row_floats() + coefficients;
          problem_.for_results(index, chunk, args.scratch_of(thread), args.output(0),
                               [&](std::int64_t at, PixelBlock block, float* output) {
                                 kernels().norm.apply(args.input(0) + at, block.channels, scale,
                                                      scale + image.wide_channels(), nullptr, block,
                                                      problem_.gate.activation, problem_.gate.alpha, output,
                                                      block.channels);
                               });
        });
  }

  /// Joins the statistics of chunks, then those of a group's lanes, which are of equal counts.
  void merge(const float* statistics, double* mean, float* group_mean, float* invstd) const {
    const std::int64_t size = problem_.group_channels();
    double* squares = mean + lanes_;
    kernels().norm.merge_statistics(statistics, problem_.image.chunks(), lanes_, 0, lanes_, mean, squares);
    const double lanes = static_cast<double>(lanes_ / problem_.groups);
    for (std::int64_t g = 0; g < problem_.groups; ++g) {
      double center = 0.0, total = 0.0;
      for_lanes(g * size, size, [&](std::int64_t lane) { center += mean[lane]; });
      center /= lanes;
      for_lanes(g * size, size, [&](std::int64_t lane) {
        const double distance = mean[lane] - center;
        total += squares[lane] + problem_.group_size() / lanes * distance * distance;
      });
      group_mean[g] = static_cast<float>(center);
      invstd[g] = static_cast<float>(1.0 / std::sqrt(total / problem_.group_size() + eps_));
    }
  }

  template <class Body>
  void for_lanes(std::int64_t channel, std::int64_t count, const Body& body) const {
    for (std::int64_t first = channel; first < lanes_; first += problem_.image.channels) {
      for (std::int64_t lane = first; lane < first + count; ++lane) body(lane);
    }
  }

  GroupProblem problem_;
  double eps_;
  std::int64_t lanes_;  // channels of the pixels, wide ones where they divide the image, of the statistics
};

/// [grad_output, x, mean, invstd, weight?, bias?] -> [grad_input, grad_weight?, grad_bias?]. With the sums
/// over a group of w g and of w g (x - mean), the gradient is a g + b x + c with numbers for each channel.
class GroupNormBackward final : public Step {
 public:
  explicit GroupNormBackward(const StepSpec& spec) : problem_(spec, spec.input(1)) {
    const std::int64_t channels = problem_.image.channels;
    check_input_like(spec, 0, spec.input(1), "grad_output");
    require_groups(spec, spec.input(2), problem_);
    require_groups(spec, spec.input(3), problem_);
    check_input(spec, 4, channels, "weight");
    check_input(spec, 5, channels, "bias");
    check_output_like(spec, 0, spec.input(1), "grad_input");
    check_output(spec, 1, channels, "grad_weight");
    check_output(spec, 2, channels, "grad_bias");
  }

  std::size_t workspace_bytes() const override {
    const std::int64_t channels = problem_.image.channels;
    return static_cast<std::size_t>((problem_.round + 1) * 2 * channels) * sizeof(double) +
           static_cast<std::size_t>(problem_.round * row_floats()) * sizeof(float);
  }
  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(2 * problem_.image.wide_channels()) * sizeof(float);
  }

  void run(const StepArgs& args) const override {
    const std::int64_t channels = problem_.image.channels;
    auto* totals = reinterpret_cast<double*>(args.workspace);
    std::fill_n(totals, 2 * channels, 0.0);
    for (std::int64_t first = 0; first < problem_.images; first += problem_.round) {
      const std::int64_t count = std::min(problem_.round, problem_.images - first);
      const Round round(args, problem_, row_floats(), first);
      sum(args, round, count);
      problem_.for_images(first, count, [&](std::int64_t index, std::int64_t place) {
        join(args, index, round.sums(place), round.row(place));
      });
      apply(args, round, count);
      add_up(args, round, count, totals);
    }
    for (std::size_t k = 0; k < 2; ++k) {
      float* grad = problem_.given.output(args, k + 1);
      const double* total = totals + (k == 0 ? channels : 0);
      for (std::int64_t c = 0; grad != nullptr && c < channels; ++c) grad[c] = static_cast<float>(total[c]);
    }
  }
  double flops() const override {
    return 10.0 * static_cast<double>(problem_.images * problem_.image.floats());
  }

 private:
  static constexpr std::int64_t kArrays = 5;  // scale, shift, mean, b, c: of wide_channels() floats

  /// The arrays of an image, then the sums of each chunk.
  std::int64_t row_floats() const {
    return kArrays * problem_.image.wide_channels() + problem_.image.chunks() * 2 * problem_.image.channels;
  }

  struct Round {
    std::int64_t first;
    std::int64_t channels;
    std::int64_t row_floats;
    double* all_sums;
    float* rows;

    Round(const StepArgs& args, const GroupProblem& problem, std::int64_t floats, std::int64_t begin)
        : first(begin), channels(problem.image.channels), row_floats(floats) {
      all_sums = reinterpret_cast<double*>(args.workspace) + 2 * channels;
      rows = reinterpret_cast<float*>(all_sums + problem.round * 2 * channels);
    }
    double* sums(std::int64_t place) const { return all_sums + place * 2 * channels; }
    float* row(std::int64_t place) const { return rows + place * row_floats; }
  };

  ActivationGate gate_of(const float* row) const {
    ActivationGate gate = problem_.gate;
    gate.scale = row;
    gate.shift = row + problem_.image.wide_channels();
    return gate;
  }

  void sum(const StepArgs& args, const Round& round, std::int64_t count) const {
    const ChannelBlocks& image = problem_.image;
    const std::int64_t wide = image.wide_channels();
    problem_.for_images(round.first, count, [&](std::int64_t index, std::int64_t place) {
      float* row = round.row(place);
      const float* mean = args.input(2) + index * problem_.groups;
      fill_coefficients(problem_, mean, args.input(3) + index * problem_.groups,
                        problem_.given.input(args, 4), problem_.given.input(args, 5), row, row + wide);
      for (std::int64_t c = 0; c < image.channels; ++c)
        row[2 * wide + c] = mean[c / problem_.group_channels()];
      image.repeat_values(row + 2 * wide);
    });
    problem_.for_chunks(
        round.first, count, 4.0, [&](std::int64_t index, std::int64_t place, std::int64_t chunk, int thread) {
          float* row = round.row(place);
          float* sums = args.scratch_of(thread);
          float* partial = row + kArrays * wide + chunk * 2 * image.channels;
          std::fill_n(partial, 2 * image.channels, 0.0f);
          image.for_runs(chunk, [&](std::int64_t offset, PixelBlock block) {
            const std::int64_t at = index * image.floats() + offset;
            kernels().norm.backward_sums(args.input(0) + at, args.input(1) + at, row + 2 * wide, gate_of(row),
                                         block, sums, nullptr);
            for (std::int64_t k = 0; k < 2; ++k) {
              image.fold_sums(sums + k * block.channels, block.channels, partial + k * image.channels);
            }
          });
        });
  }

  /// Turns an image's sums into the numbers b and c of its channels, and leaves what it adds to the
  /// gradients of bias and weight.
  void join(const StepArgs& args, std::int64_t index, double* sums, float* row) const {
    const ChannelBlocks& image = problem_.image;
    const std::int64_t channels = image.channels, wide = image.wide_channels();
    const std::int64_t size = problem_.group_channels();
    const float* weight = problem_.given.input(args, 4);
    kernels().norm.sum_rows(row + kArrays * wide, image.chunks(), 2 * channels, 0, 2 * channels, sums);
    float *slopes = row + 3 * wide, *offsets = row + 4 * wide;
    for (std::int64_t g = 0; g < problem_.groups; ++g) {
      const auto invstd = static_cast<double>(args.input(3)[index * problem_.groups + g]);
      const auto mean = static_cast<double>(args.input(2)[index * problem_.groups + g]);
      double grads = 0.0, products = 0.0;
      for (std::int64_t c = g * size; c < (g + 1) * size; ++c) {
        const double scale = weight == nullptr ? 1.0 : static_cast<double>(weight[c]);
        grads += scale * sums[c];
        products += scale * sums[channels + c];
        sums[channels + c] *= invstd;
      }
      const double slope = -invstd * invstd * invstd * products / problem_.group_size();
      const double offset = -invstd * grads / problem_.group_size() - slope * mean;
      std::fill_n(slopes + g * size, size, static_cast<float>(slope));
      std::fill_n(offsets + g * size, size, static_cast<float>(offset));
    }
    image.repeat_values(slopes);
    image.repeat_values(offsets);
  }

  void apply(const StepArgs& args, const Round& round, std::int64_t count) const {
    const ChannelBlocks& image = problem_.image;
    const std::int64_t wide = image.wide_channels();
    problem_.for_chunks(
        round.first, count, 4.0, [&](std::int64_t index, std::int64_t place, std::int64_t chunk, int) {
          const float* row = round.row(place);
          image.for_wide(chunk, [&](std::int64_t offset, PixelBlock block) {
            const std::int64_t at = problem_.at(index, chunk) + offset;
            kernels().norm.backward_apply(args.input(0) + at, args.input(1) + at, row, row + 3 * wide,
                                          row + 4 * wide, gate_of(row), block, args.output(0) + at, nullptr);
          });
        });
  }

  /// Adds the images' shares of the gradients of bias and weight, in their order.
  void add_up(const StepArgs& args, const Round& round, std::int64_t count, double* totals) const {
    if (problem_.given.output(args, 1) == nullptr && problem_.given.output(args, 2) == nullptr) return;
    for_channel_blocks(2 * round.channels, count, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t place = 0; place < count; ++place) {
        const double* sums = round.sums(place);
        for (std::int64_t c = begin; c < end; ++c) totals[c] += sums[c];
      }
    });
  }

  GroupProblem problem_;
};

template <class StepType>
std::unique_ptr<Step> make(const StepSpec& spec) {
  return std::make_unique<StepType>(spec);
}

}  // namespace

void register_group_norm(StepRegistry& registry) {
  registry.add("group_norm", make<GroupNorm>);
  registry.add("group_norm_backward", make<GroupNormBackward>);
}

}  // namespace cnncore
