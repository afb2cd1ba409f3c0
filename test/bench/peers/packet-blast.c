// Raw Ethernet frames one way, as fast as they go, nothing repeated and nothing encrypted.
//   packet-blast IFACE receive        counts until a frame says it was the last, prints JSON
//   packet-blast IFACE MIB BYTES      sends so many mebibytes in frames of so many bytes
// The receiver reads a mapped ring; what finds it full is lost and not counted.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TYPE 0x88b6
#define BLOCK (1 << 18)
#define RING (32 << 20)

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static double cpu_us(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

static int open_on(const char *name, int receive) {
  const int fd = socket(AF_PACKET, SOCK_RAW, 0);
  const int version = TPACKET_V2;
  setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version));
  struct tpacket_req ring = {.tp_block_size = BLOCK,
                             .tp_block_nr = RING / BLOCK,
                             .tp_frame_size = 16384,
                             .tp_frame_nr = RING / 16384};
  if (receive && setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) != 0) return -1;
  struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                .sll_protocol = htons(TYPE),
                                .sll_ifindex = (int)if_nametoindex(name)};
  return bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? fd : -1;
}

static void receive_all(int fd) {
  unsigned char *ring = mmap(NULL, RING, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  double first = 0, cpu = 0, bytes = 0;
  for (unsigned at = 0;; at = (at + 1) % (RING / 16384)) {
    struct tpacket2_hdr *slot = (struct tpacket2_hdr *)(ring + (size_t)at * 16384);
    while ((__atomic_load_n(&slot->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) == 0) {
      struct pollfd wait = {.fd = fd, .events = POLLIN};
      poll(&wait, 1, -1);
    }
    const unsigned char *frame = (unsigned char *)slot + slot->tp_mac;
    const int last = frame[14] == 1;
    if (first == 0) first = now_us(), cpu = cpu_us();
    if (!last) bytes += slot->tp_snaplen - ETH_HLEN;
    __atomic_store_n(&slot->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    if (!last) continue;
    const double took = now_us() - first;
    printf("{\"bytes\":%.0f,\"us\":%.0f,\"cpuUs\":%.0f}\n", bytes, took, cpu_us() - cpu);
    return;
  }
}

static void send_all(int fd, double bytes_total, size_t frame_bytes) {
  static unsigned char frame[16384] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  frame[12] = TYPE >> 8;
  frame[13] = TYPE & 0xff;
  const double cpu = cpu_us();
  for (double sent = 0; sent < bytes_total; sent += frame_bytes) {
    send(fd, frame, frame_bytes + ETH_HLEN, 0);
  }
  printf("{\"cpuUs\":%.0f}\n", cpu_us() - cpu);
  frame[14] = 1;
  for (int i = 0; i < 20; i++) {
    usleep(5000);
    send(fd, frame, 60, 0);
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const int receive = strcmp(argv[2], "receive") == 0;
  const int fd = open_on(argv[1], receive);
  if (fd < 0) {
    perror("packet-blast");
    return 1;
  }
  if (receive) {
    fprintf(stderr, "ready\n");
    receive_all(fd);
  } else {
    send_all(fd, atof(argv[2]) * (1 << 20), (size_t)atoi(argv[3]));
  }
  return 0;
}
