// x87, MMX and SSE as an operating system sees them: state images, switching between tasks, lazy
// switching, exceptions that wait. Arithmetic itself is proven against the host CPU elsewhere.
#include "metal.h"

static u8 image[1024] __attribute__((aligned(64)));
static u8 other[1024] __attribute__((aligned(64)));
static u16 *const words = (u16 *)image;
static u32 *const dwords = (u32 *)image;
static u64 *const quads = (u64 *)image;

#define KNOWN(n) (0x0123456789abcdefu + 0x1111111111111111u * (n))
static void load_known(void) {
  static const double numbers[8] = {1.5, -2.25, 3e10, -4e-5, 5, 6, 7, 8.125};
  asm volatile("fninit");
  for (u32 n = 0; n < 8; n++) asm volatile("fld qword ptr [%0]" ::"r"(&numbers[n]));
  for (u32 n = 0; n < 16; n++) quads[n] = KNOWN(n);
  asm volatile("movdqu xmm0, [%0]\nmovdqu xmm1, [%0 + 16]\nmovdqu xmm7, [%0 + 32]\n"
               "movdqu xmm8, [%0 + 48]\nmovdqu xmm15, [%0 + 64]" ::"r"(image));
}

static void fxsave_image(void) {
  CASE("FXSAVE: where everything lies") {
    u32 mxcsr = 0x9fc0;  // FTZ, DAZ, all masked
    load_known();
    asm volatile("ldmxcsr %0" ::"m"(mxcsr));
    fill(image, 0xa5, sizeof image);
    asm volatile("rex.w fxsave [%0]" ::"r"(image) : "memory");
    SAME(words[0], 0x37f);
    SAME(words[1] >> 11 & 7, 0);
    SAME(image[4], 0xff);  // abridged tags: all in use
    SAME(dwords[6], 0x9fc0);
    SAME(dwords[7], 0xffff);
    SAME(quads[4], 0x8200000000000000);  // ST0 = 8.125
    SAME(words[20], 0x4002);
    SAME(words[16 + 7 * 8 + 4], 0x3fff);  // ST7 = 1.5
    SAME(quads[20], KNOWN(0));  // XMM0
    SAME(quads[34], KNOWN(4));
    SAME(quads[36], KNOWN(6));  // XMM8
    SAME(quads[50], KNOWN(8));  // XMM15
    SAME(image[464], 0xa5);  // the rest is software's
    SAME(image[511], 0xa5);
    mxcsr = 0x1f80;
    asm volatile("ldmxcsr %0" ::"m"(mxcsr));
  }
  CASE("FXRSTOR brings it all back") {
    asm volatile("fninit\npxor xmm0, xmm0\npxor xmm8, xmm8\npxor xmm15, xmm15");
    asm volatile("rex.w fxrstor [%0]" ::"r"(image));
    asm volatile("rex.w fxsave [%0]" ::"r"(other) : "memory");
    for (u32 n = 0; n < 416; n++)
      if (image[n] != other[n]) SAME(n, 416);
    double top;
    asm volatile("fstp qword ptr %0" : "=m"(top));
    SAME(*(u64 *)&top, 0x4020400000000000);
    u32 mxcsr = 0x1f80;
    asm volatile("ldmxcsr %0" ::"m"(mxcsr));
  }
  CASE("empty registers: FFREE, FINCSTP, EMMS in the abridged tags") {
    load_known();
    asm volatile("ffree st(3)\nfincstp\nrex.w fxsave [%0]" ::"r"(image) : "memory");
    SAME(words[1] >> 11 & 7, 1);
    SAME(image[4], 0xff & ~(1 << 3));
    asm volatile("emms\nrex.w fxsave [%0]" ::"r"(image) : "memory");
    SAME(image[4], 0);
  }
  CASE("MMX registers are the x87 mantissas") {
    u64 value = 0x8899aabbccddeeff;
    asm volatile("fninit\nmovq mm2, %0\nrex.w fxsave [%1]" ::"m"(value), "r"(image) : "memory");
    SAME(image[4], 0xff);
    SAME(words[1] >> 11 & 7, 0);
    SAME(quads[4 + 2 * 2], value);
    SAME(words[16 + 2 * 8 + 4], 0xffff);
    asm volatile("emms");
  }
}

SNIPPET(fxsave_at, "", "fxsave [rdi]");
SNIPPET(fxrstor_at, "", "fxrstor [rdi]");
SNIPPET(xsave_at, "xor edx, edx\nmov eax, 3", "xsave [rdi]");
SNIPPET(xrstor_at, "xor edx, edx\nmov eax, 3", "xrstor [rdi]");
SNIPPET(xsetbv_bad, "xor edx, edx\nxor ecx, ecx\nmov eax, edi", "xsetbv");

static void bad_images(void) {
  CASE("images that are refused: misaligned, reserved MXCSR bits") {
    TRAPS(fxsave_at, image + 8, GP, 0);
    asm volatile("fninit\nfxsave [%0]" ::"r"(image) : "memory");
    TRAPS(fxrstor_at, image + 8, GP, 0);
    dwords[6] |= 1u << 16;
    TRAPS(fxrstor_at, image, GP, 0);
    dwords[6] = 0x1f80;
    RUNS(fxrstor_at, image);
  }
  CASE("FXSAVE into an absent page writes nothing") {
    map_space();
    set_pte(&space_pt[0], (u64)pool[0] | P | W, page(0));
    fill(pool[0], 0x33, 4096);
    CHECK(attempt(fxsave_at, page(1) - 256));
    SAME(caught.f.vector, PF);
    SAME(caught.cr2, page(1));
    SAME(pool[0][4095], 0x33);
    SAME(pool[0][4096 - 256], 0x33);
  }
}

static void xsave_state(void) {
  u32 shown[4];
  cpuid(1, 0, shown);
  if (!(shown[2] >> 26 & 1)) return;  // hidden in free runs of the hardware engine
  u32 cr4 = (u32)READ_CR(4);
  CASE("XSAVE needs CR4.OSXSAVE; XCR0 holds x87 and SSE only") {
    TRAPS(xsave_at, image, UD, 0);
    WRITE_CR(4, cr4 | 1ul << 18);
    RUNS(xsetbv_bad, 3);
    u32 low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    SAME(low, 3);
    SAME(high, 0);
    TRAPS(xsetbv_bad, 2, GP, 0);  // x87 cannot be off
    if (on_test_machine()) TRAPS(xsetbv_bad, 7, GP, 0);
    u32 r[4];
    cpuid(0xd, 0, r);
    if (on_test_machine()) SAME(r[1], 576);
    cpuid(1, 0, r);
    SAME(r[2] >> 27 & 1, 1);
  }
  CASE("XSAVE writes what is asked for and says so in the header") {
    load_known();
    fill(image, 0, sizeof image);
    asm volatile("xsave [%0]" ::"r"(image), "a"(3), "d"(0) : "memory");
    SAME(quads[64], 3);
    SAME(words[0], 0x37f);
    SAME(quads[20], KNOWN(0));
    fill(other, 0, sizeof other);
    asm volatile("xsave [%0]" ::"r"(other), "a"(2), "d"(0) : "memory");
    SAME(*(u64 *)(other + 512), 2);
    SAME(*(u64 *)(other + 160), KNOWN(0));
    SAME(*(u16 *)other, 0);  // the x87 part was left alone
  }
  CASE("XRSTOR: a clear bit in the header means the initial state") {
    quads[64] = 1;
    asm volatile("xrstor [%0]" ::"r"(image), "a"(3), "d"(0));
    asm volatile("fxsave [%0]" ::"r"(other) : "memory");
    SAME(*(u64 *)(other + 160), 0);
    SAME(other[4], 0xff);
    quads[64] = 2;
    asm volatile("xrstor [%0]" ::"r"(image), "a"(3), "d"(0));
    asm volatile("fxsave [%0]" ::"r"(other) : "memory");
    SAME(*(u64 *)(other + 160), KNOWN(0));
    SAME(other[4], 0);
    SAME(*(u16 *)other, 0x37f);
  }
  CASE("XRSTOR refuses headers it does not know") {
    quads[64] = 7;
    if (on_test_machine()) TRAPS(xrstor_at, image, GP, 0);
    quads[64] = 3;
    quads[66] = 1;
    TRAPS(xrstor_at, image, GP, 0);
    quads[66] = 0;
    TRAPS(xrstor_at, image + 16, GP, 0);
    RUNS(xrstor_at, image);
  }
  WRITE_CR(4, cr4);
}

// ---- two tasks, interleaved ----------------------------------------------------------------------
// Each computes a series with x87 and SSE; their states take turns in the registers.
static u8 task_state[2][512] __attribute__((aligned(64)));
static void step_task(u32 which) {
  u64 factor = which + 2;
  asm volatile("push %0\nfild qword ptr [rsp]\nfaddp\nfld st(0)\nfsqrt\nfxch\n"
               "cvtsi2sd xmm3, %0\naddsd xmm2, xmm3\nmulsd xmm4, xmm2\naddsd xmm4, xmm2\nfstp st(1)\npop %0"
               : "+r"(factor)::"memory");
}
static void results(u32 which, u64 out[3]) {
  asm volatile("fxrstor [%0]" ::"r"(task_state[which]));
  asm volatile("fst qword ptr [%0]\nmovsd [%0 + 8], xmm2\nmovsd [%0 + 16], xmm4" ::"r"(out) : "memory");
}
static void start_task(u32 which) {
  asm volatile("fninit\nfldz\nxorpd xmm2, xmm2\nxorpd xmm4, xmm4\nfxsave [%0]" ::"r"(task_state[which])
               : "memory");
}
static u32 current;
static u64 lazy_switches;
static bool switch_lazily(struct frame *f) {
  (void)f;
  asm volatile("clts");
  asm volatile("fxsave [%0]\nfxrstor [%1]" ::"r"(task_state[1 - current]), "r"(task_state[current])
               : "memory");
  lazy_switches++;
  return true;
}

static void tasks(void) {
  u64 alone[2][3], mixed[3];
  CASE("two tasks that take turns compute what each computes alone") {
    for (u32 t = 0; t < 2; t++) {
      start_task(t);
      for (u32 n = 0; n < 20; n++) step_task(t);
      asm volatile("fxsave [%0]" ::"r"(task_state[t]) : "memory");
      results(t, alone[t]);
    }
    SAME(*(u64 *)&alone[0][1], 0x4044000000000000);  // 20 * 2.0
    start_task(0);
    start_task(1);
    for (u32 n = 0; n < 20; n++) {
      for (u32 t = 0; t < 2; t++) {
        asm volatile("fxrstor [%0]" ::"r"(task_state[t]));
        step_task(t);
        asm volatile("fxsave [%0]" ::"r"(task_state[t]) : "memory");
      }
    }
    for (u32 t = 0; t < 2; t++) {
      results(t, mixed);
      for (u32 k = 0; k < 3; k++) SAME(mixed[k], alone[t][k]);
    }
  }
  CASE("the same, switched lazily by CR0.TS") {
    on_trap(NM, switch_lazily);
    start_task(0);
    start_task(1);
    asm volatile("fxrstor [%0]" ::"r"(task_state[1]));
    lazy_switches = 0;
    for (u32 n = 0; n < 20; n++) {
      for (u32 t = 0; t < 2; t++) {
        current = t;
        WRITE_CR(0, READ_CR(0) | 8);
        step_task(t);
      }
    }
    asm volatile("clts\nfxsave [%0]" ::"r"(task_state[1]) : "memory");
    SAME(lazy_switches, 40);
    for (u32 t = 0; t < 2; t++) {
      results(t, mixed);
      for (u32 k = 0; k < 3; k++) SAME(mixed[k], alone[t][k]);
    }
    on_trap(NM, 0);
  }
}

// ---- exceptions that wait ------------------------------------------------------------------------
SNIPPET(pending_then_load, "fninit\npush 0x37e\nfldcw [rsp]\npop rax\nfld qword ptr [rdi]\n"
        "fld qword ptr [rdi]\nfsubp\nnop", "fld1");
SNIPPET(pending_then_mmx, "fninit\npush 0x37b\nfldcw [rsp]\npop rax\nfld1\nfldz\nfdivp", "movd mm0, eax");
SNIPPET(pending_no_wait, "fninit\npush 0x37b\nfldcw [rsp]\npop rax\nfld1\nfldz\nfdivp",
        "fnstsw ax\nfnclex\nfwait");

static void waiting(void) {
  static const u64 infinity = 0x7ff0000000000000;
  CASE("an unmasked x87 exception is reported by the next waiting instruction") {
    TRAPS(pending_then_load, &infinity, MF, 0);
    asm volatile("fnclex");
    TRAPS(pending_then_mmx, 0, MF, 0);
    asm volatile("fnclex");
    RUNS(pending_no_wait, 0);
  }
  CASE("FNSAVE and FRSTOR, 108 bytes, pending exception and all") {
    asm volatile("fninit\nfld1\nfldpi\nfnsave [%0]" ::"r"(image) : "memory");
    SAME(words[0], 0x37f);
    SAME(words[2] >> 11 & 7, 6);
    SAME(words[4], 0x0fff);  // full tags: 6 and 7 valid
    u16 control, status;
    asm volatile("fnstcw %0\nfnstsw %1" : "=m"(control), "=m"(status));
    SAME(control, 0x37f);
    SAME(status, 0);
    asm volatile("frstor [%0]\nfnstsw %1" ::"r"(image), "m"(status) : "memory");
    SAME(status >> 11 & 7, 6);
    double pi;
    asm volatile("fstp qword ptr %0\nfstp st(0)" : "=m"(pi));
    SAME(*(u64 *)&pi, 0x400921fb54442d18);
  }
  CASE("stack overflow and underflow, masked: the indefinite and C1") {
    u16 status;
    asm volatile("fninit\nfld st(0)\nfnstsw %0\nfstp qword ptr %1" : "=m"(status), "=m"(quads[0]));
    SAME(status & 0x243, 0x41);
    SAME(quads[0], 0xfff8000000000000);
    asm volatile("fninit\n.rept 9\nfld1\n.endr\nfnstsw %0\nfninit" : "=m"(status));
    SAME(status & 0x243, 0x241);
  }
  CASE("DAZ and FTZ") {
    u32 mxcsr = 0x1f80;
    u64 tiny = 1, out;
    double half = 0.5, least = 2.2250738585072014e-308;
    asm volatile("ldmxcsr %1\nmovsd xmm0, %2\naddsd xmm0, xmm0\nmovsd %0, xmm0" : "=m"(out) : "m"(mxcsr), "m"(tiny));
    SAME(out, 2);
    mxcsr = 0x1fc0;
    asm volatile("ldmxcsr %1\nmovsd xmm0, %2\naddsd xmm0, xmm0\nmovsd %0, xmm0" : "=m"(out) : "m"(mxcsr), "m"(tiny));
    SAME(out, 0);
    mxcsr = 0x9f80;
    asm volatile("ldmxcsr %1\nmovsd xmm0, %2\nmulsd xmm0, %3\nmovsd %0, xmm0\nstmxcsr %1"
                 : "=m"(out), "+m"(mxcsr)
                 : "m"(least), "m"(half));
    SAME(out, 0);
    SAME(mxcsr & 0x3f, 0x30);
    mxcsr = 0x1f80;
    asm volatile("ldmxcsr %0" ::"m"(mxcsr));
  }
}

void guest_main(void) {
  fxsave_image();
  bad_images();
  xsave_state();
  tasks();
  waiting();
}
