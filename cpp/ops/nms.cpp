// SPDX-License-Identifier: Apache-2.0
// Step `nms` [boxes (N, 4), scores (N), number int64 (), groups int64 (N) or none] -> [indices int64 (most)]:
// non-maximum suppression. Of the first `number` boxes, by falling score and among equal ones in their order,
// those stay whose share (intersection over union) with each one of their group that stays is at most
// attribute `iou_threshold`; what is left of the indices is -1.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/error.h"
#include "core/parallel.h"
#include "isa/kernel_table.h"
#include "ops/checks.h"
#include "ops/registry.h"

namespace cnncore {
namespace {

constexpr std::int64_t kPadding = 16;

class Nms final : public Step {
 public:
  explicit Nms(const StepSpec& spec) : most_(spec.output(0).numel()) {
    const TensorDesc& boxes = spec.input(0);
    boxes_ = boxes.dim(0);
    require(boxes.rank == 2 && boxes.dim(1) == 4, spec.op, ": expected boxes (N, 4), got ",
            boxes.shape_text());
    check_vector(boxes, 4 * boxes_, spec.op + ": boxes");
    check_vector(spec.input(1), boxes_, spec.op + ": scores");
    check_vector(spec.input(2), 1, spec.op + ": count", DType::i64);
    grouped_ = spec.has_input(3);
    if (grouped_) check_vector(spec.input(3), boxes_, spec.op + ": groups", DType::i64);
    check_vector(spec.output(0), most_, spec.op + ": indices", DType::i64);
    // The largest float up to the threshold: floats exceed both or neither.
    const double threshold = spec.attrs.real("iou_threshold");
    threshold_ = static_cast<float>(threshold);
    if (static_cast<double>(threshold_) > threshold) {
      threshold_ = std::nextafter(threshold_, -std::numeric_limits<float>::infinity());
    }
  }

  std::size_t workspace_bytes() const override {
    return static_cast<std::size_t>(boxes_ + kPadding) * (2 * sizeof(std::int64_t) + 6 * sizeof(float));
  }

  void run(const StepArgs& args) const override {
    Work work(args.workspace, boxes_ + kPadding);
    const std::int64_t count = std::clamp<std::int64_t>(*args.input<std::int64_t>(2), 0, boxes_);
    sort(args, work, count);
    load(args, work, count);
    std::int64_t begin = 0;
    while (begin < count) {
      std::int64_t end = count;
      if (grouped_) {
        const auto* groups = args.input<std::int64_t>(3);
        end = begin + 1;
        while (end < count && groups[work.order[end]] == groups[work.order[begin]]) ++end;
      }
      thin_out(work, begin, end);
      begin = end;
    }
    collect(args, work, count);
  }

 private:
  struct Work {
    Work(std::byte* memory, std::int64_t room) {
      order = reinterpret_cast<std::int64_t*>(memory);
      ranked = order + room;
      columns.left = reinterpret_cast<float*>(ranked + room);
      columns.top = columns.left + room;
      columns.right = columns.top + room;
      columns.bottom = columns.right + room;
      columns.area = columns.bottom + room;
      gone = columns.area + room;
    }
    std::int64_t* order;   // boxes by group, then by score
    std::int64_t* ranked;  // places in `order` by score
    BoxColumns columns;    // in that order
    float* gone;
  };

  /// NaN comes first, as in sorting.
  static bool before(const float* scores, std::int64_t a, std::int64_t b) {
    const bool lost_a = std::isnan(scores[a]), lost_b = std::isnan(scores[b]);
    if (lost_a != lost_b) return lost_a;
    return scores[a] > scores[b] || (!(scores[b] > scores[a]) && a < b);
  }

  void sort(const StepArgs& args, const Work& work, std::int64_t count) const {
    const float* scores = args.input(1);
    const auto* groups = grouped_ ? args.input<std::int64_t>(3) : nullptr;
    for (std::int64_t i = 0; i < count; ++i) work.order[i] = work.ranked[i] = i;
    std::sort(work.order, work.order + count, [&](std::int64_t a, std::int64_t b) {
      if (groups != nullptr && groups[a] != groups[b]) return groups[a] < groups[b];
      return before(scores, a, b);
    });
    if (!grouped_) return;
    std::sort(work.ranked, work.ranked + count,
              [&](std::int64_t a, std::int64_t b) { return before(scores, work.order[a], work.order[b]); });
  }

  static void load(const StepArgs& args, const Work& work, std::int64_t count) {
    const BoxColumns& c = work.columns;
    for (std::int64_t i = 0; i < count + kPadding; ++i) {
      const float* box = args.input(0) + 4 * (i < count ? work.order[i] : 0);
      c.left[i] = box[0];
      c.top[i] = box[1];
      c.right[i] = box[2];
      c.bottom[i] = box[3];
      c.area[i] = (box[2] - box[0]) * (box[3] - box[1]);
      work.gone[i] = 0.0f;
    }
  }

  void thin_out(const Work& work, std::int64_t begin, std::int64_t end) const {
    for (std::int64_t i = begin; i + 1 < end; ++i) {
      if (work.gone[i] != 0.0f) continue;
      kernels().boxes.suppress(work.columns, i, i + 1, end, threshold_, work.gone);
      // Flags beyond the end belong to the next group.
      std::fill_n(work.gone + end, kPadding, 0.0f);
    }
  }

  void collect(const StepArgs& args, const Work& work, std::int64_t count) const {
    auto* kept = args.output<std::int64_t>(0);
    std::int64_t found = 0;
    for (std::int64_t i = 0; i < count && found < most_; ++i) {
      const std::int64_t place = work.ranked[i];
      if (work.gone[place] == 0.0f) kept[found++] = work.order[place];
    }
    std::fill(kept + found, kept + most_, -1);
  }

  std::int64_t most_;
  std::int64_t boxes_ = 0;
  bool grouped_ = false;
  float threshold_ = 0.0f;
};

std::unique_ptr<Step> make_nms(const StepSpec& spec) { return std::make_unique<Nms>(spec); }

}  // namespace

void register_nms(StepRegistry& registry) { registry.add("nms", make_nms); }

}  // namespace cnncore
