// A mixed load that runs with interrupts on: whatever comes in between must not change what it
// computes. Handlers note in `trace` where they were called, so that two runs can be compared.
#include "metal.h"

u64 trace = 14695981039346656037u, interrupts;

static bool note(struct frame *f) {
  u64 facts[] = {f->vector, f->rip, f->rflags, f->rcx, f->rsp};
  for (u32 n = 0; n < 5; n++) trace = (trace ^ facts[n]) * 1099511628211u;
  interrupts++;
  return true;
}

static u64 seed = 88172645463325252u;
static u64 next(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  return seed ^= seed << 17;
}

static u32 *const numbers = (u32 *)pool[0];

static void sort(u32 *at, u64 count) {
  if (count < 2) return;
  u32 pivot = at[count / 2];
  i64 low = 0, high = (i64)count - 1;
  while (low <= high) {
    while (at[low] < pivot) low++;
    while (at[high] > pivot) high--;
    if (low > high) break;
    u32 t = at[low];
    at[low++] = at[high];
    at[high--] = t;
  }
  sort(at, (u64)high + 1);
  sort(at + low, count - (u64)low);
}

static u64 checksum(const u8 *from, u64 count) {
  u64 a = 1, b = 0;
  for (u64 n = 0; n < count; n++) {
    a = (a + from[n]) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

static void integers(void) {
  CASE("sorting") {
    u64 sum = 0, again = 0;
    for (u32 n = 0; n < 2048; n++) sum += numbers[n] = (u32)next();
    sort(numbers, 2048);
    for (u32 n = 0; n < 2048; n++) again += numbers[n];
    for (u32 n = 1; n < 2048; n++) CHECK(numbers[n - 1] <= numbers[n]);
    SAME(again, sum);
  }
  CASE("copies and checksums") {
    u64 sum = checksum((u8 *)numbers, 2048);
    for (u32 n = 0; n < 8; n++) {
      copy(pool[4] + n, numbers, 8192);
      SAME(checksum(pool[4] + n, 2048), sum);
    }
  }
  CASE("multiplication and division") {
    for (u32 n = 0; n < 300; n++) {
      u64 a = next(), b = next() | 1, high, low, quotient, rest;
      b >>= next() & 31;
      if (!b) b = 1;
      asm volatile("mul %3" : "=a"(low), "=d"(high) : "a"(a % b), "r"(b) : "cc");
      asm volatile("div %4" : "=a"(quotient), "=d"(rest) : "a"(low), "d"(high), "r"(b) : "cc");
      SAME(quotient, a % b);
      SAME(rest, 0);
    }
  }
}

static void flags(void) {
  CASE("flags across boundaries: a long addition, CLI and STI, MOV SS, HLT") {
    for (u32 round = 0; round < 50; round++) {
      u64 carry;
      asm volatile("mov r8, -1\nxor r9d, r9d\nadd r8, 1\nadc r9, 0\nadc r9, 0\nmov %0, r9"
                   : "=r"(carry)::"r8", "r9", "cc");
      SAME(carry, 1);
      asm volatile("cli\nnop\nsti\nmov eax, ss\nmov ss, eax\nnop\ncli\nsti\nnop" ::: "rax");
    }
  }
}

static void floats(void) {
  CASE("x87 and SSE") {
    double x87 = 0, sse = 0, one = 1;
    asm volatile("fninit\nfldz\nfld1\nfld1\nmov ecx, 200\n1: fadd st(2), st\nfld1\nfdiv st, st(1)\n"
                 "fstp st(3)\nfadd st, st(1)\ndec ecx\njnz 1b\nfstp qword ptr %0\nfninit"
                 : "=m"(x87)::"rcx", "cc");
    asm volatile("movsd xmm0, %1\nxorpd xmm1, xmm1\nmov ecx, 200\n1: addsd xmm1, xmm0\ndec ecx\njnz 1b\n"
                 "movsd %0, xmm1"
                 : "=m"(sse)
                 : "m"(one)
                 : "rcx", "cc");
    SAME(*(u64 *)&x87, 0x4069200000000000);  // 201
    SAME(*(u64 *)&sse, 0x4069000000000000);  // 200
  }
}

SNIPPET(user_work, "xor eax, eax", "1: add rax, rdi\ndec rdi\njnz 1b\nint 0x80");

static void rings(void) {
  CASE("user mode, with interrupts") {
    for (u64 n = 1; n < 60; n += 3) {
      struct user u = {(u64)user_work, USER64, 2 | FLAG_IF, USER_STACK, USERDATA, n, 0};
      SAME(run_user_as(&u), LEAVE);
      asm volatile("sti");
      SAME(caught.f.rax, n * (n + 1) / 2);
    }
  }
}

static void mappings(void) {
  CASE("pages that move") {
    map_space();
    for (u64 round = 0; round < 12; round++) {
      for (u64 n = 0; n < 8; n++) set_pte(&space_pt[n], frame_of(8 + (n + round) % 8) | P | W, page(n));
      for (u64 n = 0; n < 8; n++) write64(page(n) + round * 8, n + round * 100);
      for (u64 n = 0; n < 8; n++) SAME(read64(frame_of(8 + (n + round) % 8) + round * 8), n + round * 100);
    }
  }
}

void guest_main(void) {
  for (u32 v = 0x40; v < 0x50; v++) on_trap((u8)v, note);
  asm volatile("sti");
  integers();
  flags();
  floats();
  rings();
  mappings();
  asm volatile("cli");
}
