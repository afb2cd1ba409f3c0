// See pty.h.
#include "pty/pty.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>

namespace twinstep::pty {
namespace {

bool open_both(bool is_raw, Pair& pair) {
  pair.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (pair.master < 0 || grantpt(pair.master) != 0 || unlockpt(pair.master) != 0) return false;
  char path[64];
  errno = ptsname_r(pair.master, path, sizeof path);
  if (errno != 0) return false;
  pair.path = path;
  pair.slave = ::open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (pair.slave < 0) return false;
  termios before{};
  int error = 0;
  if (!is_raw || make_raw(pair.slave, before, error)) return true;
  errno = error;
  return false;
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

bool make_raw(int fd, termios& before, int& error) {
  if (tcgetattr(fd, &before) == 0) {
    termios raw = before;
    cfmakeraw(&raw);
    if (tcsetattr(fd, TCSADRAIN, &raw) == 0) return true;
  }
  error = errno;
  return false;
}

bool restore(int fd, const termios& before, int& error) {
  if (tcsetattr(fd, TCSADRAIN, &before) == 0) return true;
  error = errno;
  return false;
}

}  // namespace twinstep::pty
