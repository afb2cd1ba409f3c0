// Loaded into QEMU (LD_PRELOAD) when it runs COLO on its own emulator, which QEMU 7.2 else does not survive:
// at a checkpoint its COLO thread syncs the dirty pages and waits for the virtual CPU
// (qemu_savevm_live_state, memory_global_after_dirty_log_sync, do_run_on_cpu) on a condition whose mutex, the
// big lock, it does not hold. It returns owning a lock it does not know of, takes it again to start
// the guest, and waits for itself for ever. With KVM nothing waits there.
// Whoever waits without the mutex gets a spurious wake-up, which POSIX allows and QEMU expects: it
// looks again whether the CPU is done, and no lock changes hands.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <unistd.h>

enum { kPollMicroseconds = 50 };

typedef int wait_fn(pthread_cond_t *, pthread_mutex_t *);

int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
  static wait_fn *real;
  if (mutex->__data.__owner != gettid()) {
    usleep(kPollMicroseconds);
    return 0;
  }
  // The version with the present layout of a condition; without it the dynamic linker gives the first.
  if (real == NULL) real = (wait_fn *)dlvsym(RTLD_NEXT, "pthread_cond_wait", "GLIBC_2.3.2");
  return real(condition, mutex);
}
