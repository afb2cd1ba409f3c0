// What runs in the plant's Linux guest: a line server on TCP port 7 (and a UDP echo beside it), a
// journal on a raw disk, the same journal in a file of a file system with files coming and going, and
// a talker on the second serial line. Everything numbered and summed, so that from outside every byte
// can be held against what it must be.
//   plant serve                         the servers
//   plant write DISK FOLDER SERIAL      the writers, one process a task; `-` for what is not there
//
// TCP: each line `TEXT\n` is answered `N SUM JOURNAL\n`: the line's number in this connection, FNV-1a
// over all bytes received up to here, and the last record that is durable on the disk. A datagram that
// begins with `clock?` comes back with the guest's CLOCK_MONOTONIC in bytes 8 to 15. A
// line beginning with `!` is a command for the shell; its output follows, then `@status N`.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { kPort = 7, kClientsMax = 16, kLineMax = 8192, kRecordBytes = 512, kFiles = 16 };
enum { kJournalMs = 20, kFileMs = 150, kTalkMs = 100, kFileJournalRecords = 2048 };

static struct shared {
  volatile uint64_t durable;  // last record of the disk journal that is on the disk
  volatile uint64_t file_durable;
} *shared;

static void fail(const char *what) {
  printf("@plant-failed %s: %s\n", what, strerror(errno));
  fflush(stdout);
  exit(1);
}

static uint64_t sum_of(uint64_t sum, const void *bytes, size_t count) {
  for (const uint8_t *at = bytes; count > 0; count--) sum = (sum ^ *at++) * 0x100000001b3ULL;
  return sum;
}
static const uint64_t kSumStart = 0xcbf29ce484222325ULL;

static void pass_ms(long ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

// The journal: record SEQ at slot SEQ modulo the number of slots.
struct record {
  char magic[8];
  uint64_t seq;
  uint8_t payload[kRecordBytes - 24];
  uint64_t sum;  // over all before it
};
_Static_assert(sizeof(struct record) == kRecordBytes, "one sector");
static const char kMagic[8] = "TWINJRNL";

static void make_record(struct record *record, uint64_t seq) {
  memcpy(record->magic, kMagic, sizeof kMagic);
  record->seq = seq;
  uint64_t state = seq * 0x9e3779b97f4a7c15ULL + 1;
  for (size_t i = 0; i < sizeof record->payload; i++) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    record->payload[i] = (uint8_t)state;
  }
  record->sum = sum_of(kSumStart, record, offsetof(struct record, sum));
}

static int is_whole(const struct record *record) {
  struct record wanted;
  make_record(&wanted, record->seq);
  return memcmp(record, &wanted, sizeof wanted) == 0;
}

static uint64_t last_record(int fd, uint64_t slots) {
  uint64_t last = 0;
  struct record block[64];
  for (uint64_t slot = 0; slot < slots; slot += 64) {
    const ssize_t got = pread(fd, block, sizeof block, (off_t)(slot * kRecordBytes));
    if (got <= 0) break;
    for (ssize_t i = 0; i < got / kRecordBytes; i++)
      if (block[i].seq > last && memcmp(block[i].magic, kMagic, sizeof kMagic) == 0 && is_whole(&block[i]))
        last = block[i].seq;
  }
  return last;
}

static void keep_journal(const char *path, uint64_t slots, volatile uint64_t *durable) {
  const int fd = open(path, O_RDWR | O_CREAT, 0644);
  if (fd < 0) fail(path);
  struct stat about;
  if (fstat(fd, &about) != 0) fail(path);
  if (S_ISREG(about.st_mode)) {
    if (about.st_size < (off_t)(slots * kRecordBytes)) {
      static const uint8_t zeroes[kRecordBytes];
      for (uint64_t slot = 0; slot < slots; slot++)
        if (write(fd, zeroes, sizeof zeroes) != kRecordBytes) fail(path);
    }
  } else {
    uint64_t bytes = 0;
    if (ioctl(fd, BLKGETSIZE64, &bytes) != 0) fail(path);
    slots = bytes / kRecordBytes;
  }
  *durable = last_record(fd, slots);
  printf("@journal %s continues after %llu\n", path, (unsigned long long)*durable);
  fflush(stdout);
  for (uint64_t seq = *durable + 1;; seq++) {
    struct record record;
    make_record(&record, seq);
    if (pwrite(fd, &record, sizeof record, (off_t)(seq % slots * kRecordBytes)) != sizeof record)
      fail(path);
    if (fdatasync(fd) != 0) fail(path);
    *durable = seq;
    pass_ms(kJournalMs);
  }
}

// Files that come, change their name and go. Each is one seq-dependent block repeated, then its sum.
static void keep_files(const char *folder) {
  for (uint64_t seq = 1;; seq++) {
    char part[256], name[256];
    snprintf(part, sizeof part, "%s/part", folder);
    snprintf(name, sizeof name, "%s/file%llu", folder, (unsigned long long)(seq % kFiles));
    FILE *file = fopen(part, "w");
    if (file == NULL) fail(part);
    uint64_t sum = kSumStart;
    struct record record;
    for (uint64_t i = 0; i < seq * 7 % 24 + 1; i++) {
      make_record(&record, seq * 1000 + i);
      sum = sum_of(sum, &record, sizeof record);
      if (fwrite(&record, sizeof record, 1, file) != 1) fail(part);
    }
    if (fwrite(&sum, sizeof sum, 1, file) != 1 || fflush(file) != 0) fail(part);
    if (fsync(fileno(file)) != 0 || fclose(file) != 0) fail(part);
    if (rename(part, name) != 0) fail(name);
    pass_ms(kFileMs);
  }
}

static void talk(const char *path) {
  const int fd = open(path, O_RDWR | O_NOCTTY);
  struct termios raw;
  if (fd < 0 || tcgetattr(fd, &raw) != 0) fail(path);
  cfmakeraw(&raw);
  cfsetspeed(&raw, B115200);
  tcsetattr(fd, TCSANOW, &raw);
  for (uint64_t n = 1;; n++) {
    char line[64];
    const int head = snprintf(line, sizeof line, "%llu ", (unsigned long long)n);
    const uint64_t sum = sum_of(kSumStart, line, (size_t)head);
    const int all = head + snprintf(line + head, sizeof line - (size_t)head, "%016llx\n", (unsigned long long)sum);
    if (write(fd, line, (size_t)all) != all) fail(path);
    pass_ms(kTalkMs);
  }
}

struct client {
  int fd;
  uint64_t lines, sum;
  size_t have;
  char line[kLineMax];
};

static void say(int fd, const char *text, size_t bytes) {
  while (bytes > 0) {
    const ssize_t sent = send(fd, text, bytes, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN) return;
      struct pollfd wait = {fd, POLLOUT, 0};
      poll(&wait, 1, -1);
      continue;
    }
    text += sent;
    bytes -= (size_t)sent;
  }
}

// In a child: the server goes on meanwhile.
static void order(int fd, const char *command) {
  if (fork() != 0) return;
  signal(SIGCHLD, SIG_DFL);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, 0), dup2(fd, 1), dup2(fd, 2);
  const int status = system(command);
  char text[32];
  const int bytes = snprintf(text, sizeof text, "@status %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : 255);
  say(fd, text, (size_t)bytes);
  _exit(0);
}

static void answer(struct client *client, char *line, size_t bytes) {
  client->sum = sum_of(client->sum, line, bytes);
  client->lines++;
  if (line[0] == '!') {
    line[bytes - 1] = 0;
    order(client->fd, line + 1);
    return;
  }
  char text[96];
  const int all = snprintf(text, sizeof text, "%llu %016llx %llu\n", (unsigned long long)client->lines,
                           (unsigned long long)client->sum, (unsigned long long)shared->durable);
  say(client->fd, text, (size_t)all);
}

// False when the client has gone.
static int hear(struct client *client) {
  const ssize_t got = recv(client->fd, client->line + client->have, kLineMax - client->have, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return 1;
  if (got <= 0) return 0;
  client->have += (size_t)got;
  char *start = client->line, *end;
  while ((end = memchr(start, '\n', client->have)) != NULL) {
    const size_t bytes = (size_t)(end - start) + 1;
    answer(client, start, bytes);
    start += bytes;
    client->have -= bytes;
  }
  memmove(client->line, start, client->have);
  return client->have < kLineMax;
}

static int bound(int type) {
  const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(kPort)};
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("port");
  return fd;
}

static void echo(int fd) {
  char bytes[2048];
  struct sockaddr_in from;
  socklen_t size = sizeof from;
  const ssize_t got = recvfrom(fd, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
  if (got >= 16 && memcmp(bytes, "clock?", 6) == 0) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const uint64_t ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    memcpy(bytes + 8, &ns, sizeof ns);
  }
  if (got >= 0) sendto(fd, bytes, (size_t)got, MSG_DONTWAIT, (struct sockaddr *)&from, size);
}

static void serve(void) {
  const int listener = bound(SOCK_STREAM), udp = bound(SOCK_DGRAM), yes = 1;
  if (listen(listener, kClientsMax) != 0) fail("listen");
  static struct client clients[kClientsMax];
  int count = 0;
  puts("@serving");
  fflush(stdout);
  for (;;) {
    struct pollfd polled[kClientsMax + 2];
    for (int i = 0; i < count; i++) polled[i] = (struct pollfd){clients[i].fd, POLLIN, 0};
    polled[count] = (struct pollfd){udp, POLLIN, 0};
    polled[count + 1] = (struct pollfd){listener, count < kClientsMax ? POLLIN : 0, 0};
    if (poll(polled, (nfds_t)count + 2, -1) < 0) continue;
    if (polled[count].revents) echo(udp);
    const int welcome = polled[count + 1].revents != 0;
    for (int i = count - 1; i >= 0; i--) {
      if (polled[i].revents == 0 || hear(&clients[i])) continue;
      close(clients[i].fd);
      clients[i] = clients[--count];
    }
    if (!welcome) continue;
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    clients[count++] = (struct client){.fd = fd, .sum = kSumStart};
  }
}

static int task(void) {
  fflush(stdout);
  return fork() == 0;
}

// All tasks in one process group, which `kill -- -PID` ends.
static void write_all(char **at) {
  setpgid(0, 0);
  if (strcmp(at[0], "-") != 0 && task()) keep_journal(at[0], 0, &shared->durable);
  if (strcmp(at[1], "-") != 0) {
    char path[256];
    snprintf(path, sizeof path, "%s/journal", at[1]);
    if (task()) keep_journal(path, kFileJournalRecords, &shared->file_durable);
    if (task()) keep_files(at[1]);
  }
  if (strcmp(at[2], "-") != 0 && task()) talk(at[2]);
  for (;;) pause();
}

int main(int argc, char **argv) {
  const int fd = open("/tmp/plant-shared", O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate(fd, 4096) != 0) fail("shared page");
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  signal(SIGCHLD, SIG_IGN);
  if (argc == 2 && strcmp(argv[1], "serve") == 0) serve();
  if (argc == 5 && strcmp(argv[1], "write") == 0) write_all(argv + 2);
  return 2;
}
