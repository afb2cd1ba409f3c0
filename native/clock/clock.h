// The kernel's own idea of how right its wall clock is.
#pragma once

#include <cstdint>

namespace twinstep::clock {

struct KernelClock {
  int error = 0;  // an errno, and then nothing else counts
  // Grows by 500 us a second until a daemon says better; at 16 s it is nobody's any more.
  int64_t max_error_us = 0;
  int64_t estimated_error_us = 0;
  // What the kernel still has to add, slowly.
  int64_t offset_us = 0;
  bool is_unsynchronised = false;  // STA_UNSYNC
};

KernelClock kernel_clock();

}  // namespace twinstep::clock
