// SPDX-License-Identifier: Apache-2.0
#include "core/buffer.h"

#include <cstdlib>
#include <new>
#include <string>
#include <utility>

#include "core/result_memory.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace cnncore {
namespace {

/// Python sees a MemoryError with this text.
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::size_t bytes)
      : text_("cannot get " + std::to_string(bytes) + " bytes for values and workspaces") {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};
}  // namespace

Buffer::Buffer(std::size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  const std::size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kAlignment;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  do {
    data_ = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
  } while (data_ == nullptr && drop_result_memory());
  if (data_ == nullptr) throw OutOfMemory(bytes);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  // The rest after the last whole page stays small: a huge page is all there once a byte of it is touched.
  if (alignment == kHugePage) madvise(data_, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
}

Buffer::~Buffer() { std::free(data_); }

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace cnncore
