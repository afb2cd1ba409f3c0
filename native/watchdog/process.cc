#include "watchdog/process.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>

namespace twinstep::watchdog {

Result go_first(int thread, int priority) {
  sched_param wanted{};
  wanted.sched_priority = priority;
  // Linux takes the id of a thread, not of a process.
  if (sched_setscheduler(thread, SCHED_RR | SCHED_RESET_ON_FORK, &wanted) < 0) return {0, errno};
  return {};
}

Result forgo_core_dumps() {
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) < 0) return {0, errno};
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return {0, errno};
  return {};
}

}  // namespace twinstep::watchdog
