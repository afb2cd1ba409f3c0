// How a board process lives: its deciding threads go first, and it leaves no core dump. That of a
// gigabyte of guest would hold up its death, and the guest's memory is nobody else's to read.
#pragma once

#include "watchdog/wdt.h"

namespace twinstep::watchdog {

// This thread of this process (0: the calling one) goes before all ordinary threads of the machine
// (SCHED_RR); threads and processes it starts do not inherit that. Needs CAP_SYS_NICE.
Result go_first(int thread, int priority);

// No core files, no ptrace by others (PR_SET_DUMPABLE 0, RLIMIT_CORE 0).
Result forgo_core_dumps();

}  // namespace twinstep::watchdog
