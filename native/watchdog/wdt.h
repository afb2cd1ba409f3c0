// /dev/watchdog by ioctl: what a plain write cannot do (identity, timeout read back, boot status).
#pragma once

#include <cstdint>
#include <string>

namespace twinstep::watchdog {

// What a call gave: `error` is an errno or 0, and then `value` counts.
struct Result {
  int64_t value = 0;
  int error = 0;
};

struct Support {
  uint32_t options = 0;  // WDIOF_*
  uint32_t firmware_version = 0;
  std::string identity;
  int error = 0;
};

Support support(int fd);
Result boot_status(int fd);
Result timeout_seconds(int fd);
// The driver may round: the value is what it really took.
Result set_timeout_seconds(int fd, int seconds);
Result time_left_seconds(int fd);
Result keep_alive(int fd);

// Milliseconds since boot, suspension included (CLOCK_BOOTTIME).
double boot_clock_ms();

}  // namespace twinstep::watchdog
