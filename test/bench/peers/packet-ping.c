// Round trip of one raw Ethernet frame between two processes: the floor of any commit latency.
//   packet-ping IFACE echo            sends back what comes, for ever
//   packet-ping IFACE COUNT BYTES     prints {"p50":us,"p99":us}
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TYPE 0x88b6

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const int fd = socket(AF_PACKET, SOCK_RAW, htons(TYPE));
  struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                .sll_protocol = htons(TYPE),
                                .sll_ifindex = (int)if_nametoindex(argv[1])};
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
    perror("packet-ping");
    return 1;
  }
  unsigned char frame[16384] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  frame[6] = 2;  // a bridge on the way takes no frame from nobody
  frame[12] = TYPE >> 8;
  frame[13] = TYPE & 0xff;
  if (strcmp(argv[2], "echo") == 0) {
    fprintf(stderr, "ready\n");
    for (;;) {
      const ssize_t bytes = recv(fd, frame, sizeof(frame), 0);
      if (bytes <= 0) return 1;
      if (send(fd, frame, (size_t)bytes, 0) < 0) return 1;
    }
  }
  const int count = atoi(argv[2]), warm_up = count / 10;
  const size_t bytes = (size_t)atoi(argv[3]) + ETH_HLEN;
  double *took = malloc(sizeof(double) * (size_t)count);
  for (int i = -warm_up; i < count; i++) {
    const double start = now_us();
    if (send(fd, frame, bytes, 0) < 0 || recv(fd, frame, sizeof(frame), 0) < 0) return 1;
    if (i >= 0) took[i] = now_us() - start;
  }
  qsort(took, (size_t)count, sizeof(double), ascending);
  printf("{\"p50\":%.2f,\"p99\":%.2f}\n", took[count / 2], took[count * 99 / 100]);
  return 0;
}
