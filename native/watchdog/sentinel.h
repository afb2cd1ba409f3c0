// A thread whose death is seen at once. When a process is killed its memory goes first and its parent
// hears last: a second later for a gigabyte of guest. A thread with a file table of its own closes its
// files as it dies, before that: whoever reads the other end of its pipe knows within a fraction of a
// millisecond.
#pragma once

#include "watchdog/wdt.h"

namespace twinstep::watchdog {

// Takes over `fd`, the write end of a pipe: writes one byte when in place, and holds it until the
// process dies. The descriptor is gone from the caller's table afterwards.
Result start_sentinel(int fd);

}  // namespace twinstep::watchdog
