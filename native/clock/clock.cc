// adjtimex with nothing to change.
#include "clock/clock.h"

#include <sys/timex.h>

#include <cerrno>

namespace twinstep::clock {

KernelClock kernel_clock() {
  timex state{};
  KernelClock clock;
  if (adjtimex(&state) < 0) {
    clock.error = errno;
    return clock;
  }
  clock.max_error_us = state.maxerror;
  clock.estimated_error_us = state.esterror;
  clock.offset_us = (state.status & STA_NANO) != 0 ? state.offset / 1000 : state.offset;
  clock.is_unsynchronised = (state.status & STA_UNSYNC) != 0;
  return clock;
}

}  // namespace twinstep::clock
