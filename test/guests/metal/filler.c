// A guest with its memory full of unlike pages, so that sync-up has something to carry. It fills MIB
// (a define) mebibytes from 16 MiB on, says "!" and answers every byte on COM1 with the next one; WRITES
// (a define) of its pages are written anew all the time.
#include "metal.h"

#ifndef MIB
#define MIB 64
#endif
#ifndef WRITES
#define WRITES 1
#endif
enum { COM1 = 0x3f8, FIRST_PAGE = 4096, PAGES = MIB * 256 };

static void put(u8 byte) {
  while (!(in8(COM1 + 5) & 0x20)) {}
  out8(COM1, byte);
}

static void fill_page(u64 n, u64 salt) {
  u64 *words = (u64 *)((FIRST_PAGE + n) * 4096);
  fill(words, (u8)(n * 7 + salt) | 1, 4096);
  words[0] = n * 0x9e3779b97f4a7c15ul + salt;
}

void guest_main(void) {
  out8(COM1 + 3, 3);
  for (u64 n = 0; n < PAGES; n++) fill_page(n, 0);
  put('!');
  for (u64 salt = 1;; salt++) {
    if (in8(COM1 + 5) & 1) put(in8(COM1) + 1);
    fill_page(salt * 17 % WRITES, salt);
  }
}
