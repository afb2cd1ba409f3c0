// A plant controller in small, for the PC the firmware emulates (not the test machine): a timer at
// 1 kHz, a serial line, a network card and a disk, all by interrupts, and memory that depends on
// everything that ever came in. It checks its disk; it answers frames with a running number.
//
// HZ=50 makes one with a slower timer, for hosts that are slow. Commands on COM1: b compute all the time, i compute only on a tick, R reset, T triple fault, Q end.
// All other bytes come back plus one. An answer has the guest's TSC where the frame has room for it; TIMELESS=1 makes
// one that never reads it, for a KVM that has no exit for that.
#include "metal.h"

#ifndef HZ
#define HZ 1000
#endif

enum { COM1 = 0x3f8, PIC1 = 0x20, PIC2 = 0xa0, FIRST_VECTOR = 0x20 };
enum { NIC_SLOT = 4, DISK_SLOT = 8, TIMER_IRQ = 0, COM1_IRQ = 4, NIC_IRQ = 10, DISK_IRQ = 11 };
enum { QUEUE = 8, FRAME_MAX = 1518, HEADER = 12, BLOCK = 4096, BLOCKS = 64 };

// ---- virtio ----------------------------------------------------------------------------------
struct descriptor {
  u64 address;
  u32 bytes;
  u16 flags, next;
};
struct queue {
  struct descriptor table[QUEUE];
  u16 available_flags, available_index, available[QUEUE];
  u16 used_flags, used_index;
  struct {
    u32 id, bytes;
  } used[QUEUE];
} __attribute__((aligned(64)));
struct device {
  volatile u8 *memory;
  u16 port;
};
static struct device nic, disk;
static volatile struct queue rx, tx, blk;
static u16 rx_seen, tx_seen, blk_seen;
enum { NEXT = 1, WRITE = 2 };

static u32 config(u32 slot, u32 at) {
  out32(0xcf8, 0x80000000 | slot << 11 | at);
  return in32(0xcfc);
}

static void configure(u32 slot, u32 at, u32 value) {
  out32(0xcf8, 0x80000000 | slot << 11 | at);
  out32(0xcfc, value);
}

static void set32(struct device *d, u32 at, u32 value) { *(volatile u32 *)(d->memory + at) = value; }
static void set16(struct device *d, u32 at, u16 value) { *(volatile u16 *)(d->memory + at) = value; }

static void begin(struct device *d, u32 slot) {
  configure(slot, 4, 7);
  d->memory = (volatile u8 *)(u64)(config(slot, 0x10) & ~15u);
  d->port = (u16)(config(slot, 0x14) & ~3u);
  d->memory[0x14] = 0;
  d->memory[0x14] = 3;
  set32(d, 0x08, 0);
  set32(d, 0x0c, 0);
  set32(d, 0x08, 1);
  set32(d, 0x0c, 1);  // VERSION_1
  d->memory[0x14] = 11;
}

static void add_queue(struct device *d, u16 index, volatile struct queue *q) {
  set16(d, 0x16, index);
  set16(d, 0x18, QUEUE);
  set32(d, 0x20, (u32)(u64)q->table);
  set32(d, 0x28, (u32)(u64)&q->available_flags);
  set32(d, 0x30, (u32)(u64)&q->used_flags);
  set16(d, 0x1c, 1);
}

static void offer(struct device *d, u16 index, volatile struct queue *q, u16 head) {
  q->available[q->available_index % QUEUE] = head;
  q->available_index++;
  out16(d->port, index);
}

// ---- what it computes ------------------------------------------------------------------------
enum { WORDS = 1 << 16 };
static u64 field[WORDS], hash;
static volatile u64 ticks;
static bool is_busy;

static void mix(u64 value) { hash = (hash ^ value) * 0x9e3779b97f4a7c15ul + 1; }

static void compute(u32 steps) {
  for (u32 i = 0; i < steps; i++) {
    u64 at = (hash >> 20) % WORDS;
    mix(field[at] + i);
    field[at] = hash;
  }
}

// ---- serial ----------------------------------------------------------------------------------
static void put(u8 byte) {
  while (!(in8(COM1 + 5) & 0x20)) {}
  out8(COM1, byte);
}

static u8 received[256];
static volatile u8 received_in;
static u8 received_out;

static void command(u8 byte) {
  mix(byte);
  if (byte == 'b' || byte == 'i') is_busy = byte == 'b';
  else if (byte == 'R') out8(0x64, 0xfe);
  else if (byte == 'Q') out8(EXIT_PORT, 7);
  else if (byte == 'T') {
    struct {
      u16 limit;
      u64 base;
    } PACKED none = {0, 0};
    asm volatile("lidt %0\nud2" ::"m"(none));
  } else put(byte + 1);
}

// ---- frames ----------------------------------------------------------------------------------
static u8 rx_buffers[QUEUE][2048], tx_buffer[2048];
static u64 frames;

static u64 clock_now(void) {
#ifdef TIMELESS
  return 0;
#endif
  u32 low, high;
  asm volatile("rdtsc" : "=a"(low), "=d"(high));
  return (u64)high << 32 | low;
}

static void answer(const u8 *frame, u32 bytes) {
  if (bytes < 60 || frame[12] != 0x88 || frame[13] != 0xb6) return;
  for (u32 i = 14; i < bytes; i++) mix(frame[i]);
  frames++;
  while ((u16)(tx.available_index - tx_seen) != 0 && tx.used_index == tx_seen) {}
  tx_seen = tx.used_index;
  fill(tx_buffer, 0, HEADER);
  copy(tx_buffer + HEADER, frame + 6, 6);
  copy(tx_buffer + HEADER + 6, frame, 6);
  copy(tx_buffer + HEADER + 12, frame + 12, bytes - 12);
  copy(tx_buffer + HEADER + 44, &frames, 8);
  copy(tx_buffer + HEADER + 52, &hash, 8);
  u64 now = clock_now();
  if (bytes >= 68) copy(tx_buffer + HEADER + 60, &now, 8);
  tx.table[0] = (struct descriptor){(u64)tx_buffer, HEADER + bytes, 0, 0};
  offer(&nic, 1, &tx, 0);
}

static bool take_frames(void) {
  bool any = false;
  for (; rx_seen != rx.used_index; rx_seen++, any = true) {
    u32 id = rx.used[rx_seen % QUEUE].id;
    answer(rx_buffers[id] + HEADER, rx.used[rx_seen % QUEUE].bytes - HEADER);
    offer(&nic, 0, &rx, (u16)id);
  }
  return any;
}

// ---- disk ------------------------------------------------------------------------------------
static struct {
  u32 type, reserved;
  u64 sector;
} request;
static u8 status, block[BLOCK];
static u64 seeds[BLOCKS];
static u64 turn, disk_tick;
static bool is_waiting;

static void pattern(u64 seed, bool is_check) {
  u64 *words = (u64 *)block;
  for (u32 i = 0; i < BLOCK / 8; i++) {
    seed = seed * 6364136223846793005ul + 1442695040888963407ul;
    if (is_check && words[i] != seed) out8(EXIT_PORT, 3);
    words[i] = seed;
  }
}

static void start_request(void) {
  u64 at = turn * 7 % BLOCKS;
  request.type = turn % 16 == 15 ? 4 : turn % 2;  // flush, write, read
  request.sector = request.type == 4 ? 0 : at * (BLOCK / 512);
  if (request.type == 1) pattern(seeds[at] = hash | 1, false);
  blk.table[0] = (struct descriptor){(u64)&request, 16, NEXT, request.type == 4 ? 2 : 1};
  blk.table[1] = (struct descriptor){(u64)block, BLOCK, NEXT | (request.type == 0 ? WRITE : 0), 2};
  blk.table[2] = (struct descriptor){(u64)&status, 1, WRITE, 0};
  is_waiting = true;
  offer(&disk, 0, &blk, 0);
}

static bool take_disk(void) {
  if (!is_waiting) {
    if (ticks - disk_tick < 2) return false;
    disk_tick = ticks;
    start_request();
    return true;
  }
  if (blk_seen == blk.used_index) return false;
  blk_seen++;
  is_waiting = false;
  if (status != 0) out8(EXIT_PORT, 4);
  u64 at = turn * 7 % BLOCKS;
  if (request.type == 0 && seeds[at]) pattern(seeds[at], true);
  if (request.type == 0) mix(*(u64 *)block);
  turn++;
  return true;
}

// ---- interrupts ------------------------------------------------------------------------------
static bool interrupt(struct frame *f) {
  u8 irq = (u8)(f->vector - FIRST_VECTOR);
  if (irq == TIMER_IRQ) ticks++;
  if (irq == COM1_IRQ)
    while (in8(COM1 + 5) & 1) received[received_in++] = in8(COM1);
  if (irq == NIC_IRQ) in8(nic.port + 4);
  if (irq == DISK_IRQ) in8(disk.port + 4);
  if (irq >= 8) out8(PIC2, 0x20);
  out8(PIC1, 0x20);
  return true;
}

static void start_interrupts(void) {
  for (u8 irq = 0; irq < 16; irq++) on_trap(FIRST_VECTOR + irq, interrupt);
  out8(PIC1, 0x11);
  out8(PIC1 + 1, FIRST_VECTOR);
  out8(PIC1 + 1, 4);
  out8(PIC1 + 1, 1);
  out8(PIC2, 0x11);
  out8(PIC2 + 1, FIRST_VECTOR + 8);
  out8(PIC2 + 1, 2);
  out8(PIC2 + 1, 1);
  out8(PIC1 + 1, (u8) ~(1 << TIMER_IRQ | 1 << COM1_IRQ | 1 << 2));
  out8(PIC2 + 1, (u8) ~(1 << (NIC_IRQ - 8) | 1 << (DISK_IRQ - 8)));
  u32 count = 1193182 / HZ;
  out8(0x43, 0x34);
  out8(0x40, (u8)count);
  out8(0x40, (u8)(count >> 8));
  out8(COM1 + 3, 0x83);  // 115200 8N1
  out8(COM1, 1);
  out8(COM1 + 1, 0);
  out8(COM1 + 3, 3);
  out8(COM1 + 2, 7);
  out8(COM1 + 1, 1);
  out8(COM1 + 4, 11);
}

void guest_main(void) {
  start_interrupts();
  begin(&nic, NIC_SLOT);
  add_queue(&nic, 0, &rx);
  add_queue(&nic, 1, &tx);
  nic.memory[0x14] = 15;
  for (u16 i = 0; i < QUEUE; i++) {
    rx.table[i] = (struct descriptor){(u64)rx_buffers[i], sizeof rx_buffers[i], WRITE, 0};
    offer(&nic, 0, &rx, i);
  }
  begin(&disk, DISK_SLOT);
  add_queue(&disk, 0, &blk);
  disk.memory[0x14] = 15;
  put('!');
  u64 said = 0;
  for (;;) {
    asm volatile("cli");
    bool any = take_frames() | take_disk();
    bool has_bytes = received_out != received_in;
    if (!any && !has_bytes && !is_busy) asm volatile("sti\nhlt");
    asm volatile("sti\nnop");
    if (received_out != received_in) command(received[received_out++]);
    compute(is_busy ? 2000 : 50);
    mix(ticks);
    if (ticks - said < 100) continue;
    said = ticks;
    put('.');
  }
}
