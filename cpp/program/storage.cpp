// SPDX-License-Identifier: Apache-2.0
#include "program/storage.h"

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <shared_mutex>

namespace cnncore {
namespace {

/// Held by all who write storages or change what snapshots know, side by side, and by a thread that forks,
/// alone: the child finds neither half done. None of its holders waits for the interpreter, which the forking
/// thread keeps.
AccessLock changes;

using Change = std::shared_lock<AccessLock>;

const int fork_handlers = pthread_atfork([] { changes.lock(); }, [] { changes.unlock(); }, nullptr);

bool any_written(const std::vector<Access::Target>& targets) {
  return std::any_of(targets.begin(), targets.end(), [](const auto& target) { return target.write; });
}

}  // namespace

std::shared_ptr<Snapshot> Storage::snapshot() {
  const Change change(changes);
  const std::lock_guard<std::mutex> held(snapshot_mutex_);
  std::shared_ptr<Snapshot> known = snapshot_.lock();
  if (known == nullptr) {
    known = std::make_shared<Snapshot>(weak_from_this(), desc_, memory_);
    snapshot_ = known;
  }
  return known;
}

void Storage::detach() {
  const std::lock_guard<std::mutex> held(snapshot_mutex_);
  if (const std::shared_ptr<Snapshot> known = snapshot_.lock()) known->copy();
  snapshot_.reset();
}

void Storage::end(bool write) {
  if (write) {
    version_.fetch_add(1);
    lock_.unlock();
  } else {
    lock_.unlock_shared();
  }
}

std::vector<Access::Target> Access::ordered(std::vector<Target> targets) {
  std::sort(targets.begin(), targets.end(), [](const Target& a, const Target& b) {
    return a.storage != b.storage ? std::less<>()(a.storage, b.storage) : a.write && !b.write;
  });
  const auto same = [](const Target& a, const Target& b) { return a.storage == b.storage; };
  targets.erase(std::unique(targets.begin(), targets.end(), same), targets.end());
  return targets;
}

Access::Access(const std::vector<Target>& targets) : targets_(targets), writes_(any_written(targets)) {
  if (writes_) changes.lock_shared();
  for (const Target& target : targets_) target.storage->begin(target.write);
  try {
    for (const Target& target : targets_) {
      if (target.write) target.storage->detach();
    }
  } catch (...) {  // no memory for a copy
    release();
    throw;
  }
}

Access::~Access() { release(); }

void Access::release() {
  for (const Target& target : targets_) target.storage->end(target.write);
  if (writes_) changes.unlock_shared();
}

bool Snapshot::shared() const {
  const Change change(changes);
  const std::lock_guard<std::mutex> held(mutex_);
  return !copied_ && !origin_.expired();
}

void Snapshot::add_reader(Reader* reader, int value) {
  const Change change(changes);
  const std::lock_guard<std::mutex> held(mutex_);
  readers_.emplace_back(reader, value);
  reader->rebind(value, memory_->data());
}

void Snapshot::remove_reader(Reader* reader) {
  const Change change(changes);
  const std::lock_guard<std::mutex> held(mutex_);
  const auto own = [reader](const auto& entry) { return entry.first == reader; };
  readers_.erase(std::remove_if(readers_.begin(), readers_.end(), own), readers_.end());
}

void Snapshot::read(void* memory) const {
  const Change change(changes);
  const std::lock_guard<std::mutex> held(mutex_);
  std::memcpy(memory, memory_->data(), desc_.bytes());
}

void Snapshot::copy() {
  const std::lock_guard<std::mutex> held(mutex_);
  auto copied = std::make_shared<Buffer>(desc_.bytes());
  std::memcpy(copied->data(), memory_->data(), desc_.bytes());
  for (const auto& [reader, value] : readers_) reader->rebind(value, copied->data());
  memory_ = std::move(copied);
  copied_ = true;
}

}  // namespace cnncore
