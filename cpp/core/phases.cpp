// SPDX-License-Identifier: Apache-2.0
#include "core/phases.h"

#include <thread>

#include "core/pause.h"

namespace cnncore::detail {

PhaseTeam::PhaseTeam(std::int64_t phases, std::int64_t tasks, std::int64_t members)
    : phases_(phases), tasks_(tasks), members_(members) {
  for (std::int64_t i = 0; i < members; ++i) {
    share(i).begin = tasks * i / members;
    share(i).size = tasks * (i + 1) / members - share(i).begin;
  }
}

void PhaseTeam::wait_a_little(int looks) {
  if (looks < 2 * kPatience) {
    pause_core();
  } else {
    std::this_thread::yield();  // who has the last task may need this core
  }
}

}  // namespace cnncore::detail
