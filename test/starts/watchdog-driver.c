// A watchdog's driver for a board under test, at the border of the kernel (LD_PRELOAD): the plain file
// that TWINSTEP_TEST_WATCHDOG names opens and answers like /dev/watchdog, and never bites. While FILE.held
// is there another process holds it. Everything else passes.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *device(void) { return getenv("TWINSTEP_TEST_WATCHDOG"); }

static int is_held(const char *path) {
  char held[4096];
  snprintf(held, sizeof held, "%s.held", path);
  return access(held, F_OK) == 0;
}

static int open_by(const char *symbol, const char *path, int flags, mode_t mode) {
  int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, symbol);
  if (device() != NULL && strcmp(path, device()) == 0 && is_held(path)) {
    errno = EBUSY;
    return -1;
  }
  return next(path, flags, mode);
}

static mode_t mode_of(int flags, va_list rest) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(rest, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return open_by("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return open_by("open64", path, flags, mode);
}

static int is_device(int fd) {
  struct stat opened, named;
  if (device() == NULL || fstat(fd, &opened) != 0 || stat(device(), &named) != 0) return 0;
  return opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

static int timeout_seconds = 60;

static int answer(unsigned long request, void *argument) {
  switch (request) {
    case WDIOC_GETSUPPORT: {
      struct watchdog_info *info = argument;
      memset(info, 0, sizeof *info);
      info->options = WDIOF_SETTIMEOUT | WDIOF_MAGICCLOSE | WDIOF_KEEPALIVEPING;
      strcpy((char *)info->identity, "test driver");
      return 0;
    }
    case WDIOC_GETSTATUS:
    case WDIOC_GETBOOTSTATUS:
      *(int *)argument = 0;
      return 0;
    case WDIOC_SETTIMEOUT:
      timeout_seconds = *(int *)argument;
      return 0;
    case WDIOC_GETTIMEOUT:
      *(int *)argument = timeout_seconds;
      return 0;
    case WDIOC_KEEPALIVE:
      return 0;
    default:
      errno = ENOTTY;
      return -1;
  }
}

int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  if (_IOC_TYPE(request) == WATCHDOG_IOCTL_BASE && is_device(fd)) return answer(request, argument);
  int (*next)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
  return next(fd, request, argument);
}
