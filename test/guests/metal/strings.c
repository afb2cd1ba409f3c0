// String instructions: sizes, directions, REP conditions, address sizes, overlap, and faults in the
// middle, after which the registers must say exactly how far it got.
#include "metal.h"

struct regs {
  u64 ax, cx, di, si, flags;
};
// void NAME(struct regs *): loads the registers, runs one instruction, stores them.
#define STRING(name, insn)                                                                     \
  asm(".pushsection .text\n.globl " #name ", " #name "_at\n" #name ":\n"                       \
      "push rdi\nmov rax, [rdi]\nmov rcx, [rdi + 8]\nmov rsi, [rdi + 24]\n"                    \
      "push qword ptr [rdi + 32]\nmov rdi, [rdi + 16]\npopfq\n" #name "_at:\n" insn "\n"       \
      "pushfq\ncld\npush rdi\nmov rdi, [rsp + 16]\nmov [rdi], rax\nmov [rdi + 8], rcx\n"       \
      "mov [rdi + 24], rsi\npop qword ptr [rdi + 16]\npop qword ptr [rdi + 32]\npop rdi\nret\n" \
      ".popsection\n");                                                                        \
  void name(u64);                                                                              \
  extern u8 name##_at[]

STRING(rep_movsb, "rep movsb");
STRING(rep_movsw, "rep movsw");
STRING(rep_movsl, "rep movsd");
STRING(rep_movsq, "rep movsq");
STRING(rep_stosb, "rep stosb");
STRING(rep_stosw, "rep stosw");
STRING(rep_stosl, "rep stosd");
STRING(rep_stosq, "rep stosq");
STRING(rep_lodsb, "rep lodsb");
STRING(rep_lodsq, "rep lodsq");
STRING(repe_cmpsb, "repe cmpsb");
STRING(repne_cmpsw, "repne cmpsw");
STRING(repe_cmpsq, "repe cmpsq");
STRING(repne_scasb, "repne scasb");
STRING(repe_scasl, "repe scasd");
STRING(repne_scasq, "repne scasq");
STRING(movsb_once, "movsb");
STRING(stosq_once, "stosq");
STRING(lodsw_once, "lodsw");
STRING(lodsl_once, "lodsd");
STRING(rep_movsb_32, ".byte 0x67\nrep movsb");
STRING(rep_stosl_32, ".byte 0x67\nrep stosd");
STRING(rep_movsb_fs, ".byte 0x64\nrep movsb");
STRING(repe_cmpsb_none, "repe cmpsb");

static struct regs r;
static u8 *const a = pool[0], *const b = pool[4];

static void pattern(u64 bytes) {
  u64 value = 0x0123456789abcdef;
  for (u64 n = 0; n < bytes; n += 8) {
    value = value * 0x5851f42d4c957f2d + 0x14057b7ef767814f;
    write64((u64)a + n, value ^ value >> 29);
    write64((u64)b + n, 0xeeeeeeeeeeeeeeee);
  }
}
static bool equal(const u8 *x, const u8 *y, u64 n) {
  u64 i = 0;
  for (; i + 8 <= n; i += 8)
    if (*(const u64 *)(x + i) != *(const u64 *)(y + i)) return false;
  for (; i < n; i++)
    if (x[i] != y[i]) return false;
  return true;
}

static void moves(void) {
  void (*const rep_movs[])(u64) = {rep_movsb, rep_movsw, rep_movsl, rep_movsq};
  CASE("MOVS in all sizes, both directions, over page borders") {
    for (u32 size = 0; size < 4; size++) {
      for (u32 backward = 0; backward < 2; backward++) {
        u64 count = 700, step = 1ul << size, bytes = count * step, from = 4096 - 300, to = 4096 - 77;
        pattern(12288);
        u64 last = backward ? bytes - step : 0;
        r = (struct regs){5, count, (u64)b + to + last, (u64)a + from + last,
                          backward ? FLAG_DF | 2 : 2};
        rep_movs[size]((u64)&r);
        CHECK(equal(a + from, b + to, bytes));
        SAME(b[to - 1], 0xee);
        SAME(b[to + bytes], 0xee);
        SAME(r.cx, 0);
        i64 moved = backward ? -(i64)bytes : (i64)bytes;
        SAME(r.di, (u64)b + to + last + moved);
        SAME(r.si, (u64)a + from + last + moved);
        SAME(r.ax, 5);
      }
    }
  }
  CASE("overlap: forwards it repeats what it has written, element by element") {
    for (u32 size = 0; size < 4; size++) {
      for (u64 distance = 1; distance < 12; distance++) {
        pattern(512);
        copy(b, a, 512);
        u64 step = 1ul << size;
        for (u64 n = 0; n < 40; n++)  // the definition, one element at a time
          for (u64 k = 0; k < step; k++) {
            static u8 element[8];
            if (k == 0) copy(element, b + n * step, step);
            b[n * step + distance + k] = element[k];
          }
        r = (struct regs){0, 40, (u64)a + distance, (u64)a, 2};
        rep_movs[size]((u64)&r);
        CHECK(equal(a, b, 40 * step + distance));
      }
    }
  }
  CASE("once, without REP") {
    pattern(64);
    r = (struct regs){0, 9, (u64)b, (u64)a, 2};
    movsb_once((u64)&r);
    SAME(r.cx, 9);
    SAME(b[0], a[0]);
    SAME(b[1], 0xee);
    r = (struct regs){0x1122334455667788, 9, (u64)b + 8, 0, FLAG_DF | 2};
    stosq_once((u64)&r);
    SAME(r.di, (u64)b);
    SAME(read64((u64)b + 8), 0x1122334455667788);
  }
}

static void stores_and_loads(void) {
  CASE("STOS in all sizes") {
    void (*const rep_stos[])(u64) = {rep_stosb, rep_stosw, rep_stosl, rep_stosq};
    for (u32 size = 0; size < 4; size++) {
      pattern(8192);
      r = (struct regs){0x8877665544332211, 300, (u64)b + 3500, 0, 2};
      rep_stos[size]((u64)&r);
      u64 step = 1ul << size;
      for (u64 n = 0; n < 300 * step; n += 37) SAME(b[3500 + n], 0x11 * (1 + n % step));
      SAME(b[3499], 0xee);
      SAME(b[3500 + 300 * step], 0xee);
      SAME(r.di, (u64)b + 3500 + 300 * step);
    }
  }
  CASE("LODS keeps what it does not load, except that 32 bits clear the upper half") {
    pattern(1024);
    r = (struct regs){0x8877665544332211, 3, 0, (u64)a, 2};
    rep_lodsb((u64)&r);
    SAME(r.ax, 0x8877665544332200 | a[2]);
    r = (struct regs){0x8877665544332211, 3, 0, (u64)a, 2};
    lodsw_once((u64)&r);
    SAME(r.ax, 0x8877665544330000 | *(u16 *)a);
    r = (struct regs){0x8877665544332211, 3, 0, (u64)a, 2};
    lodsl_once((u64)&r);
    SAME(r.ax, *(u32 *)a);
    r = (struct regs){0, 3, 0, (u64)a, 2};
    rep_lodsq((u64)&r);
    SAME(r.ax, read64((u64)a + 16));
    SAME(r.si, (u64)a + 24);
  }
}

static void comparisons(void) {
  enum { STATUS = 0x8d5 };
  CASE("CMPS stops behind the first difference, with its flags") {
    pattern(4096);
    copy(b, a, 4096);
    b[1000] = (u8)(a[1000] + 1);
    r = (struct regs){0, 4000, (u64)b, (u64)a, 2};
    repe_cmpsb((u64)&r);
    SAME(r.cx, 4000 - 1001);
    SAME(r.si, (u64)a + 1001);
    SAME(r.flags & FLAG_ZF, 0);
    SAME(r.flags & FLAG_CF, a[1000] < b[1000]);
    r = (struct regs){0, 100, (u64)b, (u64)a, 2};
    repe_cmpsb((u64)&r);
    SAME(r.cx, 0);
    SAME(r.flags & FLAG_ZF, FLAG_ZF);
    r = (struct regs){0, 500, (u64)b, (u64)a, 2};
    repe_cmpsq((u64)&r);
    SAME(r.si, (u64)a + 1008);
    r = (struct regs){0, 100, (u64)b, (u64)a, 2};
    repne_cmpsw((u64)&r);
    SAME(r.cx, 99);
  }
  CASE("SCAS finds or runs out") {
    fill(b, 1, 4096);
    b[777] = 9;
    r = (struct regs){9, 4096, (u64)b, 0, 2};
    repne_scasb((u64)&r);
    SAME(r.di, (u64)b + 778);
    SAME(r.flags & FLAG_ZF, FLAG_ZF);
    r = (struct regs){0x01010101, 1000, (u64)b, 0, 2};
    repe_scasl((u64)&r);
    SAME(r.di, (u64)b + 780);
    SAME(r.flags & FLAG_ZF, 0);
    r = (struct regs){0x7777, 512, (u64)b, 0, 2};
    repne_scasq((u64)&r);
    SAME(r.cx, 0);
    SAME(r.flags & FLAG_ZF, 0);
    SAME(r.di, (u64)b + 4096);
  }
  CASE("a count of zero touches no memory and no flag") {
    r = (struct regs){0, 0, 1ul << 50, 1ul << 50, STATUS | 2};
    repe_cmpsb_none((u64)&r);
    SAME(r.flags & STATUS, STATUS);
    SAME(r.di, 1ul << 50);
    rep_movsb((u64)&r);
    SAME(r.si, 1ul << 50);
  }
}

static void addresses(void) {
  CASE("32-bit addresses: upper halves are cut, and written back as zero") {
    pattern(1024);
    u64 junk = 0xabcd000000000000;
    r = (struct regs){0, junk | 100, junk | (u64)b, junk | (u64)a, 2};
    rep_movsb_32((u64)&r);
    CHECK(equal(a, b, 100));
    SAME(b[100], 0xee);
    SAME(r.cx, 0);
    SAME(r.di, (u64)b + 100);
    SAME(r.si, (u64)a + 100);
    r = (struct regs){0x12345678, junk | 3, junk | (u64)b, 0, 2};
    rep_stosl_32((u64)&r);
    SAME(r.di, (u64)b + 12);
    SAME(*(u32 *)(b + 8), 0x12345678);
  }
  CASE("a segment override moves the source, never the destination") {
    pattern(8192);
    wrmsr(0xc0000100, 0x1000);
    r = (struct regs){0, 64, (u64)b, (u64)a, 2};
    rep_movsb_fs((u64)&r);
    CHECK(equal(a + 0x1000, b, 64));
    wrmsr(0xc0000100, 0);
  }
}

// The destination (or source) ends at an absent page after `room` bytes.
static void faults(void) {
  map_space();
  set_pte(&space_pt[0], (u64)pool[8] | P | W, page(0));
  set_pte(&space_pt[1], (u64)pool[9] | P | W, page(1));
  CASE("a fault in the middle: registers say how far, a restart completes") {
    for (u64 size = 0; size < 4; size++) {
      void (*const rep_movs[])(u64) = {rep_movsb, rep_movsw, rep_movsl, rep_movsq};
      u8 *const at[] = {rep_movsb_at, rep_movsw_at, rep_movsl_at, rep_movsq_at};
      u64 step = 1ul << size, count = 4096 / step, done = count / 2;
      u64 start = page(1) - 2048;
      pattern(4096);
      fill(pool[8], 0, 8192);
      set_pte(&space_pt[1], 0, page(1));
      r = (struct regs){0, count, start, (u64)a, 2};
      CHECK(attempt(rep_movs[size], (u64)&r));
      SAME(caught.f.vector, PF);
      SAME(caught.cr2, page(1));
      SAME(caught.f.error, 2);
      SAME(caught.f.rip, (u64)at[size]);
      SAME(caught.f.rcx, count - done);
      SAME(caught.f.rdi, page(1));
      SAME(caught.f.rsi, (u64)a + done * step);
      SAME(*(u8 *)(page(1) - 1), a[done * step - 1]);
      set_pte(&space_pt[1], (u64)pool[9] | P | W, page(1));
      r.cx = caught.f.rcx, r.di = caught.f.rdi, r.si = caught.f.rsi;
      rep_movs[size]((u64)&r);
      CHECK(equal(a, (u8 *)start, count * step));
    }
  }
  CASE("an element over the border faults whole") {
    set_pte(&space_pt[1], 0, page(1));
    r = (struct regs){0x1122334455667788, 10, page(1) - 20, 0, 2};
    fill(pool[8], 0, 4096);
    CHECK(attempt(rep_stosq, (u64)&r));
    SAME(caught.cr2, page(1));
    SAME(caught.f.rcx, 8);
    SAME(caught.f.rdi, page(1) - 4);
    SAME(*(u32 *)(pool[8] + 4092), 0);
  }
  CASE("a source that ends, backwards") {
    set_pte(&space_pt[1], (u64)pool[9] | P | W, page(1));
    set_pte(&space_pt[0], 0, page(0));
    r = (struct regs){0, 1000, (u64)b + 3000, page(1) + 99, FLAG_DF | 2};
    CHECK(attempt(rep_movsb, (u64)&r));
    SAME(caught.f.rcx, 900);
    SAME(caught.f.rsi, page(1) - 1);
    SAME(caught.cr2, page(1) - 1);
    SAME(caught.f.error, 0);
    SAME(caught.f.rflags & FLAG_DF, FLAG_DF);
  }
  CASE("CMPS and SCAS fault with the flags of the comparison before") {
    set_pte(&space_pt[0], (u64)pool[8] | P | W, page(0));
    set_pte(&space_pt[1], 0, page(1));
    fill(pool[8], 3, 4096);
    fill(b, 3, 4096);
    r = (struct regs){0, 200, page(1) - 100, (u64)b, 2};
    CHECK(attempt(repe_cmpsb, (u64)&r));
    SAME(caught.f.rcx, 100);
    SAME(caught.f.rflags & FLAG_ZF, FLAG_ZF);
    r = (struct regs){9, 200, page(1) - 100, 0, 2};
    CHECK(attempt(repne_scasb, (u64)&r));
    SAME(caught.f.rcx, 100);
    SAME(caught.f.rflags & FLAG_CF, 0);
  }
  CASE("a read-only destination is untouched") {
    set_pte(&space_pt[1], (u64)pool[9] | P, page(1));
    fill(pool[9], 0x44, 4096);
    r = (struct regs){0, 64, page(1), (u64)a, 2};
    CHECK(attempt(rep_movsb, (u64)&r));
    SAME(caught.f.error, 3);
    SAME(caught.f.rcx, 64);
    SAME(pool[9][0], 0x44);
  }
}

void guest_main(void) {
  moves();
  stores_and_loads();
  comparisons();
  addresses();
  faults();
}
