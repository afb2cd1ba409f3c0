// Writes down every frame that comes in at some interfaces of this network, through one socket: so
// their order in the file is the order in which the kernel saw them, with one clock for all.
//   capture FILE LONGEST SOURCE INTERFACE...
// keeps at most LONGEST bytes of each frame; SOURCE: only frames from this address, `-`: all.
// A record is: number of the interface on the command line (u16), bytes kept (u16), frame length (u32),
// nanoseconds of CLOCK_REALTIME (u64), the bytes; little-endian. Says "up" when it captures; a
// line on its standard input makes it write out what it has and say "N frames, M lost".
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
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { kInterfacesMax = 16, kFrameBytes = 65536, kRoomBytes = 64 << 20, kBurst = 256 };

struct __attribute__((packed)) head {
  uint16_t interface;
  uint16_t kept;
  uint32_t bytes;
  uint64_t ns;
};

static int indexes[kInterfacesMax], count, sock;
static FILE *out;
static unsigned long frames, lost;
static size_t longest;
static uint8_t source[6];
static int is_choosy;

static void fail(const char *what) {
  fprintf(stderr, "capture: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void keep(const struct sockaddr_ll *from, struct msghdr *message, size_t bytes, uint8_t *frame) {
  int number = 0;
  while (number < count && indexes[number] != from->sll_ifindex) number++;
  if (number == count || from->sll_pkttype == PACKET_OUTGOING || bytes < 14) return;
  if (is_choosy && memcmp(frame + 6, source, sizeof source) != 0) return;
  struct timespec time = {0, 0};
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c))
    if (c->cmsg_type == SO_TIMESTAMPNS) memcpy(&time, CMSG_DATA(c), sizeof time);
  struct head head = {.interface = (uint16_t)number, .bytes = (uint32_t)bytes};
  head.kept = (uint16_t)(bytes < longest ? bytes : longest);
  head.ns = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
  if (fwrite(&head, sizeof head, 1, out) != 1 || fwrite(frame, head.kept, 1, out) != 1) fail("write");
  frames++;
}

static void take(void) {
  static uint8_t frame[kFrameBytes];
  for (int n = 0; n < kBurst; n++) {
    struct sockaddr_ll from;
    uint8_t control[128];
    struct iovec vector = {frame, sizeof frame};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector,
                             .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    const ssize_t bytes = recvmsg(sock, &message, MSG_DONTWAIT);
    if (bytes <= 0) return;
    keep(&from, &message, (size_t)bytes, frame);
  }
}

static void report(void) {
  struct tpacket_stats stats;
  socklen_t size = sizeof stats;
  if (getsockopt(sock, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0) lost += stats.tp_drops;
  if (fflush(out) != 0) fail("write");
  printf("%lu frames, %lu lost\n", frames, lost);
  fflush(stdout);
}

int main(int argc, char **argv) {
  if (argc < 5 || argc - 4 > kInterfacesMax) return 2;
  out = fopen(argv[1], "wb");
  if (out == NULL) fail(argv[1]);
  longest = strtoul(argv[2], NULL, 10);
  if (longest > 65535) longest = 65535;
  is_choosy = strcmp(argv[3], "-") != 0;
  if (is_choosy && sscanf(argv[3], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", source, source + 1, source + 2, source + 3,
                          source + 4, source + 5) != 6)
    return 2;
  for (int i = 4; i < argc; i++) {
    indexes[count] = (int)if_nametoindex(argv[i]);
    if (indexes[count++] == 0) fail(argv[i]);
  }
  sock = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  if (sock < 0) fail("packet socket");
  const int room = kRoomBytes, yes = 1;
  setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  setsockopt(sock, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof yes);
  setsockopt(sock, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes);
  puts("up");
  fflush(stdout);
  for (;;) {
    struct pollfd polled[2] = {{sock, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (poll(polled, 2, -1) < 0 && errno != EINTR) fail("poll");
    if (polled[0].revents != 0) take();
    if (polled[1].revents == 0) continue;
    char line[64];
    if (read(STDIN_FILENO, line, sizeof line) <= 0) return fclose(out) == 0 ? 0 : 1;
    take();
    report();
  }
}
