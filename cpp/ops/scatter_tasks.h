// SPDX-License-Identifier: Apache-2.0
// Gradients that samples of images add to them at places known only at run time: each task owns some channels
// of some rows of an image and takes all samples in their order.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/tasks.h"

namespace cnncore {

/// Rows of an image, from `begin` to `end` - 1.
struct RowRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  bool meets(const RowRange& other) const { return begin < other.end && other.begin < end; }
};

struct ScatterTask {
  std::int64_t image = 0;
  std::int64_t channel = 0;  // the first one
  std::int64_t channels = 0;
  RowRange rows;

  /// Makes what the task owns zero; `image` is at its first channel, pixels are `pitch` floats apart.
  void clear(float* image, std::int64_t width, std::int64_t pitch) const {
    if (channels == pitch) {
      std::fill(image + rows.begin * width * pitch, image + rows.end * width * pitch, 0.0f);
      return;
    }
    for (std::int64_t pixel = rows.begin * width; pixel < rows.end * width; ++pixel) {
      std::fill_n(image + pixel * pitch, channels, 0.0f);
    }
  }
};

/// Images are cut where there are few of them: by channels, as long as these fill cache lines well, then by
/// rows, for each of which all samples are looked at.
class ScatterTasks {
 public:
  ScatterTasks() = default;
  ScatterTasks(std::int64_t images, std::int64_t channels, std::int64_t rows)
      : images_(images), channels_(channels), rows_(rows) {
    constexpr std::int64_t kLeastChannels = 64, kMostBands = 8;
    const std::int64_t wanted = ceil_div(machine().tasks, std::max<std::int64_t>(images, 1));
    block_ = round_up(ceil_div(channels, std::clamp<std::int64_t>(channels / kLeastChannels, 1, wanted)), 16);
    block_ = std::max<std::int64_t>(1, std::min(block_, channels));
    blocks_ = ceil_div(channels, block_);
    const std::int64_t bands =
        std::min({ceil_div(wanted, std::max<std::int64_t>(blocks_, 1)), kMostBands, rows});
    band_ = ceil_div(rows, std::max<std::int64_t>(bands, 1));
    bands_ = ceil_div(rows, std::max<std::int64_t>(band_, 1));
  }

  std::int64_t count() const { return images_ * blocks_ * bands_; }
  ScatterTask task(std::int64_t number) const {
    ScatterTask task;
    const std::int64_t band = number % bands_;
    task.image = number / (bands_ * blocks_);
    task.channel = number / bands_ % blocks_ * block_;
    task.channels = std::min(block_, channels_ - task.channel);
    task.rows = {band * band_, std::min(rows_, (band + 1) * band_)};
    return task;
  }

 private:
  std::int64_t images_ = 0;
  std::int64_t channels_ = 0;
  std::int64_t rows_ = 0;
  std::int64_t block_ = 1;  // channels
  std::int64_t blocks_ = 0;
  std::int64_t band_ = 1;  // rows
  std::int64_t bands_ = 0;
};

}  // namespace cnncore
