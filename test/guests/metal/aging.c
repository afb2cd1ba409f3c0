// Ages its pages as an operating system does, for the PC the firmware emulates: clears accessed and dirty bits
// without a flush, touches some of the pages, and tells on COM1 what the bits are then. What a processor's or a
// KVM's remembered translations make of that must be the same on two boards, whatever happened to them on the way.
//
// Each round ages some pages of one table, or the entry of the table itself; leaves (a port is read), so that
// there is a place for something to happen; touches; folds all bits into a hash; tells a byte of it. Now and then
// it flushes one page or all. Bytes that come in go into the hash.
#include "metal.h"

// More tables than a KVM with a low limit of shadow pages keeps.
enum { COM1 = 0x3f8, TABLES = 80, PAGES = 16 };
static PAGE u64 tables[TABLES][512];
static u64 hash = 1;

static void mix(u64 value) { hash = (hash ^ value) * 0x9e3779b97f4a7c15ul + 1; }
static u64 pick(u64 below) {
  mix(hash >> 7);
  return (hash >> 33) % below;
}

static u64 address(u64 table, u64 n) { return SPACE + (table << 21) + n * 4096; }

static void map_tables(void) {
  map_space();
  for (u64 t = 0; t < TABLES; t++) {
    for (u64 n = 0; n < PAGES; n++) tables[t][n] = frame_of((t + n) % 16) | P | W;
    space_pd[t] = (u64)tables[t] | P | W;
  }
  flush();
}

// As Linux does it: one locked instruction a bit, no flush behind it.
static void clear_bit(volatile u64 *entry, u64 bit) {
  asm volatile("lock btr %0, %1" : "+m"(*entry) : "r"(bit) : "cc");
}

static void age(u64 t) {
  if (pick(4) == 0) clear_bit(&space_pd[t], 5);
  for (u64 left = 1 + pick(6); left > 0; left--) {
    u64 n = pick(PAGES);
    if (pick(3) == 0) clear_bit(&tables[t][n], 6);
    clear_bit(&tables[t][n], 5);
  }
  // All at once, and in one store: as a table that is written from end to end.
  if (pick(8) == 0) {
    for (u64 n = 0; n < PAGES; n++) *(volatile u64 *)&tables[t][n] &= ~(u64)(A | D);
  }
}

static void touch(u64 t) {
  for (u64 left = 1 + pick(8); left > 0; left--) {
    u64 at = address(t, pick(PAGES)) + pick(500) * 8;
    if (pick(2) == 0) write64(at, hash);
    else mix(read64(at));
  }
}

static void flush_some(u64 t) {
  if (pick(5) == 0) invlpg(address(t, pick(PAGES)));
  if (pick(9) == 0) flush();
}

static void fold(void) {
  for (u64 t = 0; t < TABLES; t++) {
    mix(space_pd[t] & (A | D));
    for (u64 n = 0; n < PAGES; n++) mix(tables[t][n] & (A | D));
  }
}

static void leave(void) {
  u8 state = in8(COM1 + 5);
  if (state & 1) mix(in8(COM1));
}

static void tell(void) {
  while (!(in8(COM1 + 5) & 0x20)) {}
  out8(COM1, (u8)('a' + hash % 26));
}

void guest_main(void) {
  map_tables();
  out8(COM1 + 3, 3);
  for (;;) {
    u64 t = pick(TABLES);
    age(t);
    leave();
    touch(t);
    for (u64 left = pick(8); left > 0; left--) touch(pick(TABLES));
    leave();
    touch(t);
    flush_some(t);
    fold();
    tell();
  }
}
