// A guest with RTS/CTS on COM2 that sleeps, for the PC the firmware emulates (not the test machine).
//
// It takes TOTAL bytes by interrupts into a small ring, drops RTS when that fills up, and sleeps now and then.
// What comes in while the ring is full is lost, as in a driver. SENDS=1: afterwards it sends as much.
#include "metal.h"

#ifndef TOTAL
#define TOTAL 0x200000
#endif

enum { COM1 = 0x3f8, COM2 = 0x2f8, PIC1 = 0x20, FIRST_VECTOR = 0x20 };
enum { TIMER_IRQ = 0, COM2_IRQ = 3, RING = 4096, HIGH = 3072, LOW = 256 };
enum { DTR = 1, RTS = 2, OUT2 = 8, CTS = 0x10 };
enum { SLEEP_EVERY = 0x10000, SLEEP_TICKS = 5 };

static volatile u64 ticks;
static u8 ring[RING];
static volatile u32 in, out;
static volatile u64 lost;
static volatile bool is_held;

static void put(const char *text) {
  for (; *text; text++) out8(COM1, (u8)*text);
}

static void put_hex(u64 value) {
  for (int shift = 60; shift >= 0; shift -= 4) out8(COM1, (u8)"0123456789abcdef"[value >> shift & 15]);
}

static void hold(bool is_on) {
  is_held = is_on;
  out8(COM2 + 4, OUT2 | DTR | (is_on ? 0 : RTS));
}

static void take(void) {
  while (in8(COM2 + 5) & 1) {
    u8 byte = in8(COM2);
    if (in - out == RING) lost++;
    else ring[in++ % RING] = byte;
    if (!is_held && in - out > HIGH) hold(true);
  }
}

static bool interrupt(struct frame *f) {
  u8 irq = (u8)(f->vector - FIRST_VECTOR);
  if (irq == TIMER_IRQ) ticks++;
  if (irq == COM2_IRQ) take();
  out8(PIC1, 0x20);
  return true;
}

static void start_interrupts(void) {
  for (u8 irq = 0; irq < 16; irq++) on_trap(FIRST_VECTOR + irq, interrupt);
  out8(PIC1, 0x11);
  out8(PIC1 + 1, FIRST_VECTOR);
  out8(PIC1 + 1, 4);
  out8(PIC1 + 1, 1);
  out8(PIC1 + 1, (u8) ~(1 << TIMER_IRQ | 1 << COM2_IRQ));
  u32 count = 1193182 / 1000;
  out8(0x43, 0x34);
  out8(0x40, (u8)count);
  out8(0x40, (u8)(count >> 8));
  out8(COM1 + 3, 3);
  out8(COM2 + 3, 0x83);  // 115200 8N1
  out8(COM2, 1);
  out8(COM2 + 1, 0);
  out8(COM2 + 3, 3);
  out8(COM2 + 2, 0x87);
  out8(COM2 + 4, OUT2);
  hold(false);
  out8(COM2 + 1, 1);
}

static void nap(u64 until) {
  while (ticks < until) asm volatile("sti\nhlt");
}

/** FNV-1a over all that came. */
static u64 hash = 0xcbf29ce484222325ul;

static void receive_all(void) {
  u64 count = 0;
  while (count + lost < TOTAL) {
    asm volatile("cli");
    if (in == out) asm volatile("sti\nhlt");
    asm volatile("sti");
    for (; out != in; count++) {
      hash = (hash ^ ring[out++ % RING]) * 0x100000001b3ul;
      if (count % SLEEP_EVERY == 0) nap(ticks + SLEEP_TICKS);
    }
    asm volatile("cli");
    if (is_held && in - out < LOW) hold(false);
    asm volatile("sti");
  }
}

/** As long as the other side says by CTS that it may. */
static void send_all(void) {
  bool has_waited = false;
  for (u64 sent = 0; sent < TOTAL; sent++) {
    while (!(in8(COM2 + 6) & CTS)) {
      if (!has_waited) put("held\n");
      has_waited = true;
      nap(ticks + 1);
    }
    out8(COM2, (u8)(sent * 31 + (sent >> 8)));
  }
}

void guest_main(void) {
  start_interrupts();
  put("go\n");
  receive_all();
  put("lost ");
  put_hex(lost);
  put(" hash ");
  put_hex(hash);
  put("\n");
#ifdef SENDS
  send_all();
#else
  (void)send_all;
#endif
  put("done\n");
  for (;;) asm volatile("sti\nhlt");
}
