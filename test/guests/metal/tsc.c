// The time stamp counter and the random numbers: functions of the position and of nothing else. On
// the test machine one instruction is one tick.
#include "metal.h"

static inline u64 rdtsc(void) {
  u32 low, high;
  asm volatile("rdtsc" : "=a"(low), "=d"(high));
  return low | (u64)high << 32;
}

// Ticks between two RDTSC with TEXT in between.
#define TICKS(text)                                                                         \
  ({                                                                                        \
    u64 r_;                                                                                 \
    asm volatile("rdtsc\nmov r8d, eax\n" text "\nrdtsc\nsub eax, r8d\nmov %k0, eax"         \
                 : "=r"(r_)::"rax", "rcx", "rdx", "rsi", "rdi", "r8", "memory", "cc");      \
    r_;                                                                                     \
  })

SNIPPET(user_rdtsc, "", "rdtsc\nint 0x80");
SNIPPET(user_rdtscp, "", "rdtscp\nint 0x80");

static void counting(void) {
  CASE("monotonic, also across traps and interrupts") {
    u64 before = rdtsc();
    for (u32 n = 0; n < 100; n++) {
      SAME(run_user(user_rdtsc, 0), LEAVE);
      u64 now = caught.f.rax | caught.f.rdx << 32;
      CHECK(now > before);
      before = now;
    }
  }
  if (!on_test_machine()) return;
  CASE("one tick an instruction") {
    SAME(TICKS(""), 2);
    SAME(TICKS("nop"), 3);
    SAME(TICKS(".rept 100\nnop\n.endr"), 102);
    SAME(TICKS("mov ecx, 1000\n1: dec ecx\njnz 1b"), 2 + 1 + 2000);
    SAME(TICKS("lea rsi, [pool]\nlea rdi, [pool + 512]\nmov ecx, 50\nrep movsb"), 2 + 3 + 50);
    SAME(TICKS("xor ecx, ecx\nlea rdi, [pool]\nrep stosb"), 2 + 3);
  }
  CASE("RDTSCP: the same counter, with TSC_AUX") {
    wrmsr(0xc0000103, 0x12345678);
    u32 low, high, aux;
    u64 before = rdtsc();
    asm volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
    SAME(aux, 0x12345678);
    CHECK((low | (u64)high << 32) - before < 20);
  }
  CASE("the guest can set it") {
    wrmsr(0x10, 0x1000000000);
    u64 now = rdtsc();
    CHECK(now >= 0x1000000000 && now < 0x1000000020);
    SAME(rdmsr(0x10) - now < 20, 1);
  }
}

static void rights(void) {
  CASE("CR4.TSD closes both to the user") {
    WRITE_CR(4, READ_CR(4) | 4);
    SAME(run_user(user_rdtsc, 0), GP);
    SAME(run_user(user_rdtscp, 0), GP);
    rdtsc();
    WRITE_CR(4, READ_CR(4) & ~4ul);
    SAME(run_user(user_rdtsc, 0), LEAVE);
  }
}

static void randomness(void) {
  CASE("RDRAND and RDSEED always have something, in every width") {
    u64 seen[64];
    u32 ones = 0;
    for (u32 n = 0; n < 64; n++) {
      u8 carry, zero;
      asm volatile("rdrand %0\nsetc %1\nsetz %2" : "=r"(seen[n]), "=r"(carry), "=r"(zero)::"cc");
      SAME(carry, 1);
      SAME(zero, 0);
      for (u32 k = 0; k < n; k++) CHECK(seen[k] != seen[n]);
      for (u32 bit = 0; bit < 64; bit++) ones += seen[n] >> bit & 1;
    }
    CHECK(ones > 1800 && ones < 2300);
    u64 wide = ~0ul;
    asm volatile("rdrand %k0" : "+r"(wide)::"cc");
    SAME(wide >> 32, 0);
    wide = ~0ul;
    asm volatile("rdrand %w0" : "+r"(wide)::"cc");
    SAME(wide >> 16, 0xffffffffffff);
    u8 carry;
    asm volatile("rdseed %0\nsetc %1" : "=r"(wide), "=r"(carry)::"cc");
    SAME(carry, 1);
  }
}

void guest_main(void) {
  counting();
  rights();
  randomness();
}
