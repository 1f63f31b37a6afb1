// SPDX-License-Identifier: Apache-2.0
#include "core/fork.h"

#include <pthread.h>

#include <mutex>

namespace cnncore {
namespace {

std::mutex list_mutex;  // held while the process forks, so that the child finds the list whole
ForkListener* first = nullptr;

}  // namespace

ForkListener::ForkListener() : previous_(nullptr) {
  const std::lock_guard<std::mutex> lock(list_mutex);
  next_ = first;
  if (next_ != nullptr) next_->previous_ = this;
  first = this;
}

ForkListener::~ForkListener() {
  const std::lock_guard<std::mutex> lock(list_mutex);
  (previous_ != nullptr ? previous_->next_ : first) = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
}

void renew_listeners() {
  for (ForkListener* listener = first; listener != nullptr; listener = listener->next_)
    listener->after_fork_in_child();
  list_mutex.unlock();
}

namespace {

const int fork_handlers =
    pthread_atfork([] { list_mutex.lock(); }, [] { list_mutex.unlock(); }, renew_listeners);

}  // namespace
}  // namespace cnncore
