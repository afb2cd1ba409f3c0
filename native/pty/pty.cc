// See pty.h.
#include "pty/pty.h"

#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

namespace twinstep::pty {
namespace {

bool make_raw(int fd) {
  termios settings{};
  if (tcgetattr(fd, &settings) != 0) return false;
  cfmakeraw(&settings);
  return tcsetattr(fd, TCSANOW, &settings) == 0;
}

bool open_both(bool is_raw, Pair& pair) {
  pair.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (pair.master < 0 || grantpt(pair.master) != 0 || unlockpt(pair.master) != 0) return false;
  char path[64];
  errno = ptsname_r(pair.master, path, sizeof path);
  if (errno != 0) return false;
  pair.path = path;
  pair.slave = ::open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  return pair.slave >= 0 && (!is_raw || make_raw(pair.slave));
}

}  // namespace

bool open(bool is_raw, Pair& pair, int& error) {
  if (open_both(is_raw, pair)) return true;
  error = errno;
  if (pair.slave >= 0) close(pair.slave);
  if (pair.master >= 0) close(pair.master);
  pair = {};
  return false;
}

}  // namespace twinstep::pty
