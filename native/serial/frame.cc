// See frame.h.
#include "serial/frame.h"

// The kernel's termios2, which the C library's header would hide.
#include <asm/termbits.h>
#include <sys/ioctl.h>

#include <cerrno>

namespace twinstep::serial {
namespace {

constexpr tcflag_t kSizes[] = {CS5, CS6, CS7, CS8};

// A rate that has a name is set by it: older programs (stty) read no other.
struct Named {
  uint32_t baud;
  tcflag_t name;
};
constexpr Named kNamed[] = {
    {50, B50},           {75, B75},           {110, B110},         {134, B134},
    {150, B150},         {200, B200},         {300, B300},         {600, B600},
    {1200, B1200},       {1800, B1800},       {2400, B2400},       {4800, B4800},
    {9600, B9600},       {19200, B19200},     {38400, B38400},     {57600, B57600},
    {115200, B115200},   {230400, B230400},   {460800, B460800},   {500000, B500000},
    {576000, B576000},   {921600, B921600},   {1000000, B1000000}, {1152000, B1152000},
    {1500000, B1500000}, {2000000, B2000000}, {2500000, B2500000}, {3000000, B3000000},
    {3500000, B3500000}, {4000000, B4000000},
};

tcflag_t rate_of(uint32_t baud) {
  for (const Named& rate : kNamed) {
    if (rate.baud == baud) return rate.name;
  }
  return BOTHER;
}

tcflag_t control_of(const Frame& frame) {
  const tcflag_t rate = rate_of(frame.baud);
  tcflag_t flags = rate | (rate << IBSHIFT) | kSizes[frame.data_bits - 5];
  if (frame.stop_bits == 2) flags |= CSTOPB;
  if (frame.parity != Parity::None) flags |= PARENB;
  if (frame.parity == Parity::Odd || frame.parity == Parity::Mark) flags |= PARODD;
  if (frame.parity == Parity::Mark || frame.parity == Parity::Space) flags |= CMSPAR;
  return flags;
}

constexpr tcflag_t kOfFrame =
    CBAUD | (CBAUD << IBSHIFT) | CSIZE | CSTOPB | PARENB | PARODD | CMSPAR;

}  // namespace

int set_frame(int fd, const Frame& frame) {
  if (frame.baud == 0 || frame.data_bits < 5 || frame.data_bits > 8) return EINVAL;
  if (frame.stop_bits < 1 || frame.stop_bits > 2) return EINVAL;
  termios2 settings{};
  if (ioctl(fd, TCGETS2, &settings) != 0) return errno;
  settings.c_cflag = (settings.c_cflag & ~kOfFrame) | control_of(frame);
  settings.c_ispeed = settings.c_ospeed = frame.baud;
  return ioctl(fd, TCSETS2, &settings) == 0 ? 0 : errno;
}

}  // namespace twinstep::serial
