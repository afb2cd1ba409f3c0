#include "watchdog/sentinel.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <future>
#include <system_error>
#include <thread>

namespace twinstep::watchdog {
namespace {

// Leaves the shared file table and keeps `fd` alone. Returns an errno.
int keep_only(int fd) {
  if (unshare(CLONE_FILES) < 0) return errno;
  if (fd > 0) syscall(SYS_close_range, 0u, static_cast<unsigned>(fd - 1), 0u);
  syscall(SYS_close_range, static_cast<unsigned>(fd + 1), ~0u, 0u);
  return write(fd, "S", 1) == 1 ? 0 : errno;
}

void watch(int fd, std::promise<int> ready) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  const int error = keep_only(fd);
  ready.set_value(error);
  if (error != 0) return;
  // Nothing wakes it but the end of the process.
  for (;;) pause();
}

}  // namespace

Result start_sentinel(int fd) {
  std::promise<int> ready;
  auto answer = ready.get_future();
  try {
    std::thread(watch, fd, std::move(ready)).detach();
  } catch (const std::system_error& error) {
    return {0, error.code().value()};
  }
  const int error = answer.get();
  if (error != 0) return {0, error};
  close(fd);
  return {0, 0};
}

}  // namespace twinstep::watchdog
