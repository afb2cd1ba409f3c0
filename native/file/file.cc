// See file.h.
#include "file/file.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/file.h>

#include <cerrno>

namespace twinstep::file {

LockOutcome lock(int fd, bool is_exclusive, int& error) {
  const int operation = (is_exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB;
  if (flock(fd, operation) == 0) return LockOutcome::locked;
  error = errno;
  return error == EWOULDBLOCK ? LockOutcome::busy : LockOutcome::failed;
}

HoleOutcome punch_hole(int fd, uint64_t offset, uint64_t bytes, int& error) {
  constexpr int kMode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  while (fallocate(fd, kMode, static_cast<off_t>(offset), static_cast<off_t>(bytes)) != 0) {
    error = errno;
    if (error == EINTR) continue;
    const bool is_unsupported = error == EOPNOTSUPP || error == ENOSYS;
    return is_unsupported ? HoleOutcome::unsupported : HoleOutcome::failed;
  }
  return HoleOutcome::punched;
}

}  // namespace twinstep::file
