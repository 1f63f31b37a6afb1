// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "core/access_lock.h"
#include "core/buffer.h"
#include "core/tensor.h"

namespace cnncore {

class Snapshot;

/// Memory of a parameter, buffer or optimiser's state: with an identity, read and written in place by
/// programs. Whoever reads or writes it holds an `Access`; `version` grows with each of those that write.
class Storage : public std::enable_shared_from_this<Storage> {
 public:
  explicit Storage(const TensorDesc& desc) : desc_(desc), memory_(std::make_shared<Buffer>(desc.bytes())) {}

  const TensorDesc& desc() const { return desc_; }
  std::byte* data() const { return memory_->data(); }
  std::uint64_t version() const { return version_.load(); }

  /// The contents of now; the caller may read them.
  std::shared_ptr<Snapshot> snapshot();

 private:
  friend class Access;
  void begin(bool write) { write ? lock_.lock() : lock_.lock_shared(); }
  void end(bool write);
  /// Lets a snapshot take a copy: the contents are about to change.
  void detach();

  TensorDesc desc_;
  std::shared_ptr<Buffer> memory_;
  std::atomic<std::uint64_t> version_{0};
  AccessLock lock_;
  std::mutex snapshot_mutex_;
  std::weak_ptr<Snapshot> snapshot_;
};

/// The right to read some storages and to write others, while nobody else writes the former or uses the
/// latter. Snapshots of what may be written have taken their copies then.
class Access {
 public:
  struct Target {
    Storage* storage;
    bool write;
  };

  /// Each storage once, in the order in which an Access takes them; with `write` where one of several asks
  /// for it.
  static std::vector<Target> ordered(std::vector<Target> targets);

  /// `targets`: ordered, alive and unchanged as long as this is.
  explicit Access(const std::vector<Target>& targets);
  ~Access();
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;

 private:
  void release();

  const std::vector<Target>& targets_;
  const bool writes_;
};

/// The contents that a storage had when this was taken: its memory until that is written, a copy from then
/// on.
class Snapshot {
 public:
  /// A program whose runs read a snapshot's memory.
  class Reader {
   public:
    virtual ~Reader() = default;
    /// Lets `value` be this memory; returns when no run reads the old any more.
    virtual void rebind(int value, void* memory) = 0;
  };

  Snapshot(const std::weak_ptr<Storage>& origin, const TensorDesc& desc, std::shared_ptr<Buffer> memory)
      : origin_(origin), desc_(desc), memory_(std::move(memory)) {}

  const TensorDesc& desc() const { return desc_; }
  /// Whether the memory is that of a living parameter, and so costs nothing.
  bool shared() const;
  /// Binds the memory to the reader's value, and again whenever it moves.
  void add_reader(Reader* reader, int value);
  void remove_reader(Reader* reader);
  /// Copies the contents to `memory`.
  void read(void* memory) const;

 private:
  friend class Storage;
  void copy();

  std::weak_ptr<Storage> origin_;
  TensorDesc desc_;
  mutable std::mutex mutex_;
  std::shared_ptr<Buffer> memory_;
  bool copied_ = false;
  std::vector<std::pair<Reader*, int>> readers_;
};

}  // namespace cnncore
