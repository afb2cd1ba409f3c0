#include "pty/pty.h"

#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

namespace twinstep::pty {

Pair open_pair() {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  if (master < 0) return {-1, "", errno};
  char path[64];
  if (grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, path, sizeof path) != 0) {
    const int error = errno;
    close(master);
    return {-1, "", error};
  }
  termios line;
  // The settings belong to the pair: set through the master, before anyone opens the other side.
  if (tcgetattr(master, &line) == 0) {
    cfmakeraw(&line);
    tcsetattr(master, TCSANOW, &line);
  }
  return {master, path, 0};
}

}  // namespace twinstep::pty
