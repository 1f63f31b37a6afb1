// SPDX-License-Identifier: Apache-2.0
#include "core/result_memory.h"

#include <mutex>
#include <new>
#include <utility>

#include "core/fork.h"

namespace cnncore {
namespace {

constexpr std::size_t kMostKept = std::size_t{256} << 20;
constexpr std::size_t kMostBlocks = 8;

class ResultMemory final : public ForkListener {
 public:
  /// The smallest that fits and wastes at most an eighth, the latest kept of several, which may be in the
  /// caches yet; empty if there is none.
  Buffer take(std::size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::size_t best = count_;
    for (std::size_t i = 0; i < count_; ++i) {
      const std::size_t size = blocks_[i].size();
      const bool fits = size >= bytes && size - bytes <= bytes / 8;
      if (fits && (best == count_ || size <= blocks_[best].size())) best = i;
    }
    return best == count_ ? Buffer() : remove(best);
  }

  void keep(Buffer memory) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const std::size_t bytes = memory.size();
    if (bytes > kMostKept) return;
    while (count_ == kMostBlocks || kept_ + bytes > kMostKept) remove(0);  // the oldest
    kept_ += bytes;
    blocks_[count_++] = std::move(memory);
  }

  bool drop() {
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool any = count_ > 0;
    while (count_ > 0) remove(count_ - 1);
    return any;
  }

  void after_fork_in_child() noexcept override {
    if (!renew_if_held(mutex_)) return;
    // The other thread may have been half-way: what it kept is lost to the child.
    for (Buffer& block : blocks_) new (&block) Buffer;
    count_ = kept_ = 0;
  }

 private:
  Buffer remove(std::size_t i) {
    Buffer memory = std::move(blocks_[i]);
    for (--count_; i < count_; ++i) blocks_[i] = std::move(blocks_[i + 1]);
    kept_ -= memory.size();
    return memory;
  }

  std::mutex mutex_;
  Buffer blocks_[kMostBlocks];
  std::size_t count_ = 0;
  std::size_t kept_ = 0;
};

/// Never destroyed: results may outlive the interpreter's end.
ResultMemory& kept() {
  static auto* memory = new ResultMemory;
  return *memory;
}

}  // namespace

Buffer take_result_memory(std::size_t bytes) {
  Buffer memory = kept().take(bytes);
  if (memory.data() != nullptr) return memory;
  kept().drop();
  return Buffer(bytes);
}

void keep_result_memory(Buffer memory) noexcept { kept().keep(std::move(memory)); }

bool drop_result_memory() noexcept { return kept().drop(); }

}  // namespace cnncore
