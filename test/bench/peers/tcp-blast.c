// TCP one way between two processes: what the kernel's own reliable transport does on this link.
//   tcp-blast receive PORT            accepts one connection, reads to its end, prints JSON
//   tcp-blast ADDRESS PORT MIB        sends so many mebibytes, prints JSON
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  static char buffer[1 << 16];
  const int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
  double bytes = 0, start, cpu;
  if (strcmp(argv[1], "receive") == 0) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 1) != 0) return 1;
    fprintf(stderr, "ready\n");
    const int peer = accept(fd, NULL, NULL);
    start = now_us(), cpu = cpu_us();
    for (ssize_t got; (got = read(peer, buffer, sizeof(buffer))) > 0;) bytes += got;
  } else {
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) return 1;
    start = now_us(), cpu = cpu_us();
    const double total = atof(argv[3]) * (1 << 20);
    for (ssize_t put; bytes < total; bytes += put) {
      put = write(fd, buffer, sizeof(buffer));
      if (put <= 0) return 1;
    }
    close(fd);
  }
  printf("{\"bytes\":%.0f,\"us\":%.0f,\"cpuUs\":%.0f}\n", bytes, now_us() - start, cpu_us() - cpu);
  return 0;
}
