#include "watchdog/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <cerrno>

namespace twinstep::watchdog {

Result forgo_core_dumps() {
  const rlimit none{0, 0};
  if (setrlimit(RLIMIT_CORE, &none) < 0) return {0, errno};
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return {0, errno};
  return {};
}

}  // namespace twinstep::watchdog
