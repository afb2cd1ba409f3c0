// What a host may do to the memory of a guest behind KVM's back, as an addon for Node: provoke(kind, buffer).
// The few names of Node-API are declared here, so that no headers are needed.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void *value;
extern int napi_get_cb_info(value, value, size_t *, value *, value *, void **);
extern int napi_get_value_string_utf8(value, value, char *, size_t, size_t *);
extern int napi_get_arraybuffer_info(value, value, void **, size_t *);
extern int napi_create_int32(value, int, value *);
extern int napi_create_function(value, const char *, size_t, value (*)(value, value), void *, value *);
extern int napi_set_named_property(value, value, const char *, value);

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

// Every virtual machine of this process: as few shadow pages as KVM accepts.
static int limit(void) {
  DIR *all = opendir("/proc/self/fd");
  int failed = ENOENT;
  for (struct dirent *each; all && (each = readdir(all));) {
    char path[300], target[64] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%s", each->d_name);
    if (readlink(path, target, sizeof target - 1) < 0 || !strstr(target, "kvm-vm")) continue;
    failed = ioctl(atoi(each->d_name), KVM_SET_NR_MMU_PAGES, 64) < 0 ? errno : 0;
  }
  if (all) closedir(all);
  return failed;
}

// 0, or why the kernel did not do it.
static value provoke(value env, value info) {
  size_t count = 2, length, bytes;
  value arguments[2], result;
  char kind[16];
  void *at;
  napi_get_cb_info(env, info, &count, arguments, NULL, NULL);
  napi_get_value_string_utf8(env, arguments[0], kind, sizeof kind, &length);
  napi_get_arraybuffer_info(env, arguments[1], &at, &bytes);
  int failed = 0;
  if (!strcmp(kind, "protect")) {
    failed = mprotect(at, bytes, PROT_READ) || mprotect(at, bytes, PROT_READ | PROT_WRITE);
  } else if (!strcmp(kind, "pageout")) {
    failed = madvise(at, bytes, MADV_PAGEOUT);
  } else if (!strcmp(kind, "collapse")) {
    failed = madvise(at, bytes, MADV_COLLAPSE);
  } else if (!strcmp(kind, "limit")) {
    failed = limit();
    errno = failed;
  }
  napi_create_int32(env, failed ? errno : 0, &result);
  return result;
}

value napi_register_module_v1(value env, value exports) {
  value made;
  napi_create_function(env, "provoke", (size_t)-1, provoke, NULL, &made);
  napi_set_named_property(env, exports, "provoke", made);
  return exports;
}
