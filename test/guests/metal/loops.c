// Integer loops for the bench; LOOP says which. Each runs a known work, checks its result and ends.
#include "metal.h"

#ifndef LOOP
#define LOOP nested
#endif
#define NAME_(x) loop_##x
#define NAME(x) NAME_(x)

// Nothing: what starting and ending costs.
__attribute__((unused)) static u64 loop_empty(void) { return 1; }

// Counters in registers: three loops, one in the other.
__attribute__((unused)) static u64 loop_nested(void) {
  u64 sum;
  asm volatile("xor eax, eax\nmov r8d, 100\n1: mov ecx, 500\n2: mov edx, 1000\n"
               "3: add rax, rdx\ndec edx\njnz 3b\ndec ecx\njnz 2b\ndec r8d\njnz 1b"
               : "=a"(sum)::"rcx", "rdx", "r8", "cc");
  return sum == 100ul * 500 * 500500;
}

// A walk over memory: load, add, store, for 16 KiB again and again.
__attribute__((unused)) static u64 loop_memory(void) {
  u64 *words = (u64 *)pool;
  fill(words, 0, 16384);
  for (u64 round = 1; round <= 8000; round++)
    for (u64 n = 0; n < 2048; n++) {
      words[n] += n ^ round;
      asm volatile("" ::: "memory");
    }
  u64 sum = 0;
  for (u64 n = 0; n < 2048; n++) sum += words[n];
  return sum == 65905295360;
}

__attribute__((noinline)) static u64 fibonacci(u64 n) {
  asm volatile("");
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}
// Calls, returns, the stack.
__attribute__((unused)) static u64 loop_calls(void) { return fibonacci(32) == 2178309; }

// Shifts, multiplications, unpredictable branches, table look-ups.
__attribute__((unused)) static u64 loop_mixed(void) {
  u64 x = 88172645463325252u, odd = 0;
  u32 *table = (u32 *)pool;
  fill(table, 0, 4096);
  for (u64 n = 0; n < 8000000; n++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    if ((x & 3) == 0) odd++;
    else if (x & 4) odd += x * n >> 60;
    table[x & 1023]++;
  }
  u64 sum = 0;
  for (u32 n = 0; n < 1024; n++) sum += table[n];
  return sum == 8000000 && odd > 0;
}

void guest_main(void) {
  CASE("loop") { CHECK(NAME(LOOP)()); }
}
