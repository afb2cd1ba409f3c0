// A bad cable: carries frames between two interfaces of this network, and loses, repeats, holds back
// or blocks some. Decides by a seeded generator, so a run can be had again.
//   relay LEFT RIGHT SEED [right|left|both] LOSS_PPM REPEAT_PPM REORDER_PPM
// LEFT and RIGHT are interfaces; HEAR/SAY are two for one side: what comes in at HEAR is carried, what
// is for that side leaves at SAY. `right` carries from LEFT to RIGHT only. Says "up" when it carries; ends
// with its standard input.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kFrameBytes = 65536, kHeldMs = 3, kBurst = 64, kRoomBytes = 8 << 20 };

struct end {
  int hear, say;  // sockets
  int open;       // carries what comes in here
  // One frame may be held back, to leave after later ones.
  ssize_t held_bytes;
  int64_t held_until_ns;
  uint8_t held[kFrameBytes];
};

static struct end ends[2];
static uint64_t state;
static unsigned long loss_ppm, repeat_ppm, reorder_ppm;

static int64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled".
static int happens(unsigned long ppm) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (state * 0x2545f4914f6cdd1dULL >> 32) % 1000000 < ppm;
}

static void fail(const char *what) {
  fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int open_socket(const char *name, int protocol) {
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  if (fd < 0) fail("packet socket");
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol)};
  address.sll_ifindex = (int)if_nametoindex(name);
  // The head before each frame says which checksums are still to be made, and is passed on.
  const int room = kRoomBytes, yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
  // Straight to the driver: what is said here must not be diverted again by a rule for what leaves.
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof yes) != 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes) != 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes) != 0)
    fail(name);
  struct packet_mreq all = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
  if (address.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
      (protocol != 0 && setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) != 0))
    fail(name);
  return fd;
}

static void open_end(struct end *end, char *names) {
  char *slash = strchr(names, '/');
  if (slash != NULL) *slash = 0;
  end->hear = open_socket(names, ETH_P_ALL);
  end->say = open_socket(slash != NULL ? slash + 1 : names, 0);  // of no protocol: hears nothing
}

// A frame the far end cannot take is lost, as on a cable.
static void put(int to, const uint8_t *frame, ssize_t bytes) {
  if (send(ends[to].say, frame, (size_t)bytes, MSG_DONTWAIT) < 0) return;
}

static void release(int from) {
  struct end *end = &ends[from];
  if (end->held_bytes > 0) put(!from, end->held, end->held_bytes);
  end->held_bytes = 0;
}

static void carry(int from) {
  static uint8_t frame[kFrameBytes];
  for (int n = 0; n < kBurst; n++) {
    const ssize_t bytes = recv(ends[from].hear, frame, sizeof frame, MSG_DONTWAIT);
    if (bytes <= 0) return;
    if (!ends[from].open || happens(loss_ppm)) continue;
    if (ends[from].held_bytes == 0 && happens(reorder_ppm)) {
      memcpy(ends[from].held, frame, (size_t)bytes);
      ends[from].held_bytes = bytes;
      ends[from].held_until_ns = now_ns() + kHeldMs * 1000000LL;
      continue;
    }
    put(!from, frame, bytes);
    if (happens(repeat_ppm)) put(!from, frame, bytes);
    if (ends[from].held_bytes > 0 && happens(300000)) release(from);
  }
}

int main(int argc, char **argv) {
  if (argc != 8) return 2;
  for (int i = 0; i < 2; i++) open_end(&ends[i], argv[1 + i]);
  state = strtoull(argv[3], NULL, 10) * 2 + 1;
  ends[0].open = strcmp(argv[4], "left") != 0;
  ends[1].open = strcmp(argv[4], "right") != 0;
  loss_ppm = strtoul(argv[5], NULL, 10);
  repeat_ppm = strtoul(argv[6], NULL, 10);
  reorder_ppm = strtoul(argv[7], NULL, 10);
  puts("up");
  fflush(stdout);
  for (;;) {
    struct pollfd polled[3] = {
        {ends[0].hear, POLLIN, 0}, {ends[1].hear, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    const int holds = ends[0].held_bytes > 0 || ends[1].held_bytes > 0;
    if (poll(polled, 3, holds ? 1 : -1) < 0 && errno != EINTR) fail("poll");
    char byte;
    if (polled[2].revents != 0 && read(STDIN_FILENO, &byte, 1) <= 0) return 0;
    for (int i = 0; i < 2; i++) {
      if (polled[i].revents != 0) carry(i);
      if (ends[i].held_bytes > 0 && now_ns() >= ends[i].held_until_ns) release(i);
    }
  }
}
