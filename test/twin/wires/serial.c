// A serial cable between two pseudo-terminals, one a board. Says their paths, then obeys its standard
// input: `=` carries both ways, `>` from the first to the second only, `<` back only, `|` neither.
// What meets a cut or a full receiver is lost, as on a line without handshake. Ends with its input. Boards run in the
// real-time class; a cable waits for none of them, so it goes before them.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static int masters[2], open_ways[2] = {1, 1};

static void fail(const char *what) {
  fprintf(stderr, "serial: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void open_terminal(int i) {
  masters[i] = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (masters[i] < 0 || grantpt(masters[i]) != 0 || unlockpt(masters[i]) != 0) fail("terminal");
  // Held open here too: a board that comes and goes must not hang up the line of the other.
  const int slave = open(ptsname(masters[i]), O_RDWR | O_NOCTTY);
  struct termios raw;
  if (slave < 0 || tcgetattr(slave, &raw) != 0) fail("terminal");
  cfmakeraw(&raw);
  if (tcsetattr(slave, TCSANOW, &raw) != 0) fail("terminal");
  printf("%s\n", ptsname(masters[i]));
}

static void carry(int from) {
  char bytes[4096];
  const ssize_t got = read(masters[from], bytes, sizeof bytes);
  if (got > 0 && open_ways[from] && write(masters[!from], bytes, (size_t)got) < 0 && errno != EAGAIN)
    fail("write");
}

static void obey(void) {
  char orders[64];
  const ssize_t got = read(STDIN_FILENO, orders, sizeof orders);
  if (got <= 0) exit(0);
  for (ssize_t i = 0; i < got; i++) {
    open_ways[0] = orders[i] == '=' || orders[i] == '>';
    open_ways[1] = orders[i] == '=' || orders[i] == '<';
    putchar(orders[i]);
  }
  putchar('\n');
  fflush(stdout);
}

int main(void) {
  const struct sched_param first = {.sched_priority = 20};
  // Who may not raise itself has boards that may not either.
  if (sched_setscheduler(0, SCHED_FIFO, &first) != 0 && errno != EPERM) fail("priority");
  for (int i = 0; i < 2; i++) open_terminal(i);
  fflush(stdout);
  for (;;) {
    struct pollfd polled[3] = {
        {masters[0], POLLIN, 0}, {masters[1], POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (poll(polled, 3, -1) < 0 && errno != EINTR) fail("poll");
    if (polled[2].revents != 0) obey();
    for (int i = 0; i < 2; i++)
      if (polled[i].revents & POLLIN) carry(i);
  }
}
