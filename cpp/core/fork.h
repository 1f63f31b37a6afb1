// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <new>

namespace cnncore {

/// Something that a forked child must make anew: there only the thread that forked is left, and what others
/// held stays held for good. Listeners may be made and destroyed in any thread.
class ForkListener {
 public:
  ForkListener(const ForkListener&) = delete;
  ForkListener& operator=(const ForkListener&) = delete;

  /// Called in the child, before `fork` returns there.
  virtual void after_fork_in_child() noexcept = 0;

 protected:
  ForkListener();
  virtual ~ForkListener();

 private:
  friend void renew_listeners();
  ForkListener* previous_;
  ForkListener* next_;
};

/// In a forked child: makes `mutex` anew if a thread that is not here holds it. Returns whether one did.
template <class Mutex>
bool renew_if_held(Mutex& mutex) noexcept {
  if (mutex.try_lock()) {
    mutex.unlock();
    return false;
  }
  new (&mutex) Mutex;
  return true;
}

}  // namespace cnncore
