// What a board process forgoes: a core dump of a gigabyte of guest would hold up its death, and the
// guest's memory is nobody else's to read.
#pragma once

#include "watchdog/wdt.h"

namespace twinstep::watchdog {

// No core files, no ptrace by others (PR_SET_DUMPABLE 0, RLIMIT_CORE 0).
Result forgo_core_dumps();

}  // namespace twinstep::watchdog
