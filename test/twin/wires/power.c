// Takes from a board what it loses with its power, one thing right behind the other, as no two commands
// could. In the order of its command line:
//   power [kill PID | down INTERFACE | wait MS]...
// Interfaces are of this network. Everything is looked up first; a process that has ended already is no
// fault. Says how many microseconds the first to the last step took.
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kStepsMax = 256 };

struct step {
  enum { kKill, kDown, kWait } kind;
  long number;  // process, or milliseconds
  struct ifreq interface;
};

static struct step steps[kStepsMax];
static int sock;

static void fail(const char *what) {
  fprintf(stderr, "power: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void look_up(struct step *step, const char *name) {
  step->kind = kDown;
  strncpy(step->interface.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(sock, SIOCGIFFLAGS, &step->interface) != 0) fail(name);
  step->interface.ifr_flags &= ~IFF_UP;
}

static void take(const struct step *step) {
  const struct timespec pause = {step->number / 1000, step->number % 1000 * 1000000};
  struct ifreq down = step->interface;
  switch (step->kind) {
    case kKill:
      if (kill((pid_t)step->number, SIGKILL) != 0 && errno != ESRCH) fail("kill");
      return;
    case kDown:
      if (ioctl(sock, SIOCSIFFLAGS, &down) != 0) fail(down.ifr_name);
      return;
    case kWait:
      nanosleep(&pause, NULL);
      return;
  }
}

int main(int argc, char **argv) {
  if (argc % 2 == 0 || argc / 2 > kStepsMax) return 2;
  sock = socket(AF_INET, SOCK_DGRAM, 0);
  if (sock < 0) fail("socket");
  for (int i = 0; i < argc / 2; i++) {
    const char *what = argv[1 + 2 * i], *which = argv[2 + 2 * i];
    steps[i].number = strtol(which, NULL, 10);
    if (strcmp(what, "kill") == 0 && steps[i].number > 0) steps[i].kind = kKill;
    else if (strcmp(what, "wait") == 0) steps[i].kind = kWait;
    else if (strcmp(what, "down") == 0) look_up(&steps[i], which);
    else return 2;
  }
  struct timespec begun, ended;
  clock_gettime(CLOCK_MONOTONIC, &begun);
  for (int i = 0; i < argc / 2; i++) take(&steps[i]);
  clock_gettime(CLOCK_MONOTONIC, &ended);
  const long us = (ended.tv_sec - begun.tv_sec) * 1000000 + (ended.tv_nsec - begun.tv_nsec) / 1000;
  printf("%ld us\n", us);
  return 0;
}
