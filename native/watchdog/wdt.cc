#include "watchdog/wdt.h"

#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <time.h>

#include <cerrno>
#include <cstring>

namespace twinstep::watchdog {
namespace {

Result call(int fd, unsigned long request, int argument) {
  int value = argument;
  // SAFETY: every request passed here reads or writes one int.
  if (ioctl(fd, request, &value) < 0) return {0, errno};
  return {value, 0};
}

}  // namespace

Support support(int fd) {
  watchdog_info info;
  std::memset(&info, 0, sizeof info);
  if (ioctl(fd, WDIOC_GETSUPPORT, &info) < 0) return {0, 0, "", errno};
  const auto* text = reinterpret_cast<const char*>(info.identity);
  return {info.options, info.firmware_version, std::string(text, strnlen(text, sizeof info.identity)),
          0};
}

Result boot_status(int fd) { return call(fd, WDIOC_GETBOOTSTATUS, 0); }
Result timeout_seconds(int fd) { return call(fd, WDIOC_GETTIMEOUT, 0); }
Result set_timeout_seconds(int fd, int seconds) { return call(fd, WDIOC_SETTIMEOUT, seconds); }
Result time_left_seconds(int fd) { return call(fd, WDIOC_GETTIMELEFT, 0); }
Result keep_alive(int fd) { return call(fd, WDIOC_KEEPALIVE, 0); }

double boot_clock_ms() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

}  // namespace twinstep::watchdog
