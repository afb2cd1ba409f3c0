// Rate and frame of a serial port that is open. serialport opens it anew for another frame and flushes it for another
// rate: what a device said just then is lost. Here nothing is.
//
// Sources: termios(3), ioctl_tty(2), Documentation/driver-api/serial of the kernel; any rate by BOTHER of termios2.
#pragma once

#include <cstdint>

namespace twinstep::serial {

enum class Parity : uint8_t { None, Odd, Even, Mark, Space };

struct Frame {
  uint32_t baud;
  uint8_t data_bits;  // 5 to 8
  Parity parity;
  uint8_t stop_bits;  // 1 or 2
};

// In force for what is sent and received from now on. 0, or errno.
int set_frame(int fd, const Frame& frame);

}  // namespace twinstep::serial
