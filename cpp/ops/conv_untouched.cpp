// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_untouched.h"

#include <algorithm>

#include "core/parallel.h"
#include "isa/kernel_table.h"

namespace cnncore {
namespace {

constexpr std::int64_t kRun = 512;  // pixels that one call of the tile finishes

}  // namespace

UntouchedPixels::UntouchedPixels(const ConvProblem& p, std::int64_t out_pitch)
    : batch_(p.batch),
      channels_(p.in_channels),
      pitch_(out_pitch > 0 ? out_pitch : p.in_channels),
      size_(p.input),
      stride_(p.stride),
      none_(has_few_phases(p)) {
  if (none_) return;
  bool all = true;
  for (std::size_t a = 0; a < 3; ++a) {
    touched_[a] = touched_phases(p, a);
    all &= static_cast<std::int64_t>(touched_[a].size()) == std::min(stride_[a], size_[a]);
  }
  none_ = all;
  for (std::int64_t i = 0; !none_ && i < std::min(kRun, size_[2]); ++i) offset_.push_back(i * pitch_);
}

bool UntouchedPixels::touches(std::size_t axis, std::int64_t coordinate) const {
  return std::binary_search(touched_[axis].begin(), touched_[axis].end(), coordinate % stride_[axis]);
}

void UntouchedPixels::run(const ConvLoopMemory& memory, const ConvEpilogue& epilogue) const {
  if (none_) return;
  const std::int64_t rows = batch_ * size_[0] * size_[1];
  const double vectors = static_cast<double>(rows * size_[2] * channels_) / kernels().width;
  parallel_for(rows, vectors, [&](std::int64_t row, int) { finish_row(row, memory, epilogue); });
}

void UntouchedPixels::finish_row(std::int64_t row, const ConvLoopMemory& memory,
                                 const ConvEpilogue& epilogue) const {
  const std::int64_t first = row * size_[2];
  const bool reached = touches(0, row / size_[1] % size_[0]) && touches(1, row % size_[1]);
  if (!reached || touched_[2].empty()) return finish_run(first, size_[2], memory, epilogue);
  std::int64_t column = 0;
  for (std::int64_t start = 0; start < size_[2]; start += stride_[2]) {
    for (const auto phase : touched_[2]) {
      const std::int64_t end = std::min(start + phase, size_[2]);
      finish_run(first + column, end - column, memory, epilogue);
      column = std::min(end + 1, size_[2]);
    }
  }
  finish_run(first + column, size_[2] - column, memory, epilogue);
}

void UntouchedPixels::finish_run(std::int64_t pixel, std::int64_t count, const ConvLoopMemory& memory,
                                 const ConvEpilogue& epilogue) const {
  const auto& tile = kernels().gemm_tile;
  GemmTileArgs call;
  call.taps = 0;
  call.row_offset = call.output_offset = offset_.data();
  call.activation = epilogue.activation;
  call.alpha = epilogue.alpha;
  for (std::int64_t i = 0; i < count; i += kRun) {
    call.rows = std::min(kRun, count - i);
    for (std::int64_t column = 0; column < channels_; column += tile.nr) {
      const std::int64_t at = (pixel + i) * pitch_ + column;
      call.columns = std::min<std::int64_t>(tile.nr, channels_ - column);
      call.output = memory.output + at;
      call.bias = memory.bias != nullptr ? memory.bias + column : nullptr;
      call.residual = memory.residual != nullptr ? memory.residual + at : nullptr;
      tile.run(call);
    }
  }
}

}  // namespace cnncore
