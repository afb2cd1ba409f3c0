// Memory-mapped registers reached by every form of instruction: what the device sees (how many
// accesses, how wide, where) and what the registers hold after. Runs on the test machine only: its
// MMIO region remembers, and its log ports say what came last.
#include "metal.h"

enum { WRITTEN = 0x100 };
static u64 at = (u64)MMIO;
static u8 *const ram = pool[0];

static u32 accesses(void) { return in32(LOG_COUNT); }
// The last access: bytes | WRITTEN, and the offset.
static void last_was(u32 what, u32 offset, int line) {
  u32 log = in32(LOG_LAST);
  same(log & 0xffff, what, "width and direction", "mmio.c", line);
  same(log >> 16, offset, "offset", "mmio.c", line);
}
#define LAST(what, offset) last_was(what, offset, __LINE__)
static void put(u32 offset, u64 value) { *(volatile u64 *)(MMIO + offset) = value; }
static u64 get(u32 offset) { return *(volatile u64 *)(MMIO + offset); }

static void plain(void) {
  CASE("MOV in every width, one access each") {
    accesses();
    u64 v = 0x1122334455667788;
    asm volatile("mov [%0], %b1" ::"r"(at), "r"(v) : "memory");
    LAST(1 | WRITTEN, 0);
    asm volatile("mov [%0 + 2], %w1" ::"r"(at), "r"(v) : "memory");
    LAST(2 | WRITTEN, 2);
    asm volatile("mov [%0 + 4], %k1" ::"r"(at), "r"(v) : "memory");
    LAST(4 | WRITTEN, 4);
    asm volatile("mov [%0 + 8], %1" ::"r"(at), "r"(v) : "memory");
    LAST(8 | WRITTEN, 8);
    SAME(accesses(), 4);
    SAME(get(0), 0x5566778877880088);
    SAME(get(8), v);
    LAST(8, 8);
    accesses();
    u64 r = ~0ul;
    asm volatile("mov %b0, [%1]" : "+r"(r) : "r"(at));
    SAME(r, 0xffffffffffffff88);
    LAST(1, 0);
    asm volatile("mov %w0, [%1 + 2]" : "+r"(r) : "r"(at));
    SAME(r, 0xffffffffffff7788);
    asm volatile("mov %k0, [%1 + 4]" : "+r"(r) : "r"(at));
    SAME(r, 0x55667788);
    SAME(accesses(), 3);
  }
  CASE("MOVZX, MOVSX, MOVSXD, MOVBE-less BSWAP") {
    put(16, 0x80818283f4f5f6f7);
    u64 r;
    asm volatile("movzx %k0, byte ptr [%1 + 16]" : "=r"(r) : "r"(at));
    SAME(r, 0xf7);
    asm volatile("movsx %0, word ptr [%1 + 16]" : "=r"(r) : "r"(at));
    SAME(r, 0xfffffffffffff6f7);
    LAST(2, 16);
    asm volatile("movsxd %0, dword ptr [%1 + 16]" : "=r"(r) : "r"(at));
    SAME(r, 0xfffffffff4f5f6f7);
    LAST(4, 16);
  }
  CASE("immediates, accumulator moves") {
    asm volatile("mov byte ptr [%0 + 32], 0x5a\nmov dword ptr [%0 + 36], 0x12345678\n"
                 "mov qword ptr [%0 + 40], -2" ::"r"(at) : "memory");
    SAME(get(32), 0x123456780000005a);
    SAME(get(40), -2ul);
    u64 r;
    asm volatile("movabs rax, [0xe0000020]" : "=a"(r));
    SAME(r, 0x123456780000005a);
    asm volatile("movabs [0xe0000030], eax" ::"a"(0x777) : "memory");
    LAST(4 | WRITTEN, 0x30);
  }
}

static void arithmetic(void) {
  CASE("an operand that is only read is read once") {
    put(0, 10);
    accesses();
    u64 r = 5, flags;
    asm volatile("add %0, [%1]" : "+r"(r) : "r"(at) : "cc");
    SAME(r, 15);
    asm volatile("cmp qword ptr [%1], 10\npushfq\npop %0" : "=r"(flags) : "r"(at) : "cc");
    SAME(flags & FLAG_ZF, FLAG_ZF);
    asm volatile("test byte ptr [%1], 2\npushfq\npop %0" : "=r"(flags) : "r"(at) : "cc");
    SAME(flags & FLAG_ZF, 0);
    asm volatile("imul %0, [%1]" : "+r"(r) : "r"(at) : "cc");
    SAME(r, 150);
    SAME(accesses(), 4);
  }
  CASE("read-modify-write: one read, one write, the right result and flags") {
    put(0, 0xff);
    accesses();
    u64 flags;
    asm volatile("add byte ptr [%1], 1\npushfq\npop %0" : "=r"(flags) : "r"(at) : "cc", "memory");
    SAME(flags & (FLAG_CF | FLAG_ZF), FLAG_CF | FLAG_ZF);
    SAME(accesses(), 2);
    LAST(1 | WRITTEN, 0);
    asm volatile("inc dword ptr [%0]\nneg dword ptr [%0]\nnot word ptr [%0]\nshl dword ptr [%0], 4\n"
                 "or dword ptr [%0], 3\nlock dec dword ptr [%0]" ::"r"(at) : "cc", "memory");
    SAME(accesses(), 12);
    SAME((u32)get(0), 0xfff00002);
  }
  CASE("exchanges") {
    put(0, 111);
    accesses();
    u64 r = 222, expected = 222;
    asm volatile("xchg %0, [%1]" : "+r"(r) : "r"(at) : "memory");
    SAME(r, 111);
    SAME(accesses(), 2);
    asm volatile("lock xadd [%1], %0" : "+r"(r) : "r"(at) : "memory");
    SAME(r, 222);
    SAME(get(0), 333);
    asm volatile("lock cmpxchg [%1], %2" : "+a"(expected) : "r"(at), "r"(5ul) : "memory");
    SAME(expected, 333);
    asm volatile("lock cmpxchg [%1], %2" : "+a"(expected) : "r"(at), "r"(5ul) : "memory");
    SAME(get(0), 5);
  }
  CASE("CMPXCHG8B and CMPXCHG16B") {
    put(64, 0x1111111122222222);
    put(72, 0x33);
    u32 a = 0x22222222, d = 0x11111111;
    asm volatile("lock cmpxchg8b [%2]" : "+a"(a), "+d"(d) : "r"(at + 64), "b"(7), "c"(8) : "memory");
    SAME(get(64), 0x800000007);
    u64 low = 0x800000007, high = 0x33;
    asm volatile("lock cmpxchg16b [%2]" : "+a"(low), "+d"(high) : "r"(at + 64), "b"(1ul), "c"(2ul) : "memory");
    SAME(get(64), 1);
    SAME(get(72), 2);
  }
  CASE("bits") {
    put(0, 0);
    u64 flags;
    asm volatile("bts dword ptr [%1], 5\nbts qword ptr [%1], %2\nbt dword ptr [%1], 5\npushfq\npop %0"
                 : "=r"(flags) : "r"(at), "r"(64ul + 7) : "cc", "memory");
    SAME(flags & FLAG_CF, 1);
    SAME(get(0), 32);
    SAME(get(8) & 128, 128);
  }
  CASE("MUL, DIV, SETcc, CMOVcc, shifts by CL") {
    put(0, 6);
    u64 low = 7, high = 1, r = 9;
    asm volatile("mul qword ptr [%2]" : "+a"(low), "=d"(high) : "r"(at) : "cc");
    SAME(low, 42);
    asm volatile("div dword ptr [%2]" : "+a"(low), "+d"(high) : "r"(at) : "cc");
    SAME(low, 7);
    SAME(high, 0);
    accesses();
    asm volatile("cmp %0, %0\ncmove %0, [%1]\ncmovne %0, [%1 + 8]\nsete [%1 + 16]" : "+r"(r) : "r"(at) : "cc", "memory");
    SAME(r, 6);
    SAME(accesses(), 3);  // CMOV reads, whatever the condition
    SAME(get(16) & 0xff, 1);
  }
}

static void stack_and_flow(void) {
  CASE("PUSH and POP with memory operands") {
    put(0, 0x123456789);
    u64 r;
    asm volatile("push qword ptr [%1]\npop %0\npush 77\npop qword ptr [%1 + 8]" : "=&r"(r) : "r"(at) : "memory");
    SAME(r, 0x123456789);
    SAME(get(8), 77);
  }
  CASE("the stack itself lies there") {
    u64 r, saved;
    accesses();
    asm volatile("mov %1, rsp\nlea rsp, [%2 + 0x800]\npush 0x55\nmov rax, 0x66\npush rax\npop rcx\npop %0\n"
                 "call 1f\njmp 2f\n1: ret\n2: enter 16, 0\nleave\nmov rsp, %1"
                 : "=&r"(r), "=&r"(saved) : "r"(at) : "rax", "rcx", "memory");
    SAME(r, 0x55);
    SAME(accesses(), 4 + 2 + 2);
  }
  CASE("indirect jumps and calls") {
    u64 target, r = 0;
    asm volatile("lea %1, [rip + 3f]\nmov [%2], %1\ncall [%2]\njmp 4f\n3: mov %0, 99\nret\n4:"
                 : "+r"(r), "=&r"(target) : "r"(at) : "memory");
    SAME(r, 99);
    accesses();
    asm volatile("lea %1, [rip + 5f]\nmov [%2], %1\njmp [%2]\nmov %0, 1\n5:"
                 : "+r"(r), "=&r"(target) : "r"(at) : "memory");
    SAME(r, 99);
    SAME(accesses(), 2);
  }
  CASE("descriptor tables, control words") {
    struct { u16 limit; u64 base; } PACKED *pointer = (void *)(MMIO + 0x100);
    asm volatile("sgdt [%0]" ::"r"(pointer) : "memory");
    u64 base = *(volatile u64 *)(MMIO + 0x102);
    SAME(base, (u64)gdt);
    asm volatile("lgdt [%0]" ::"r"(pointer) : "memory");
    u32 mxcsr = 0x1f80;
    asm volatile("stmxcsr [%0]\nldmxcsr [%0]\nfnstcw [%0 + 8]\nfldcw [%0 + 8]" ::"r"(at), "m"(mxcsr) : "memory");
    SAME((u32)get(0), 0x1f80);
  }
}

static void strings(void) {
  CASE("REP MOVS to and from, one access an element") {
    for (u64 n = 0; n < 64; n++) ram[n] = (u8)(n * 5 + 1);
    accesses();
    copy((void *)at, ram, 64);
    SAME(accesses(), 64);
    fill(ram + 256, 0, 64);
    void *to = ram + 256;
    u64 from = at, count = 8;
    asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count)::"memory");
    SAME(accesses(), 8);
    for (u64 n = 0; n < 64; n++) SAME(ram[256 + n], ram[n]);
    to = (void *)(at + 512), from = at, count = 16;
    asm volatile("rep movsd" : "+D"(to), "+S"(from), "+c"(count)::"memory");
    SAME(accesses(), 32);
    SAME(get(512 + 56), get(56));
  }
  CASE("STOS, LODS, CMPS, SCAS") {
    void *to = (void *)at;
    u64 count = 10, from = at, flags, value = 0xabcd;
    accesses();
    asm volatile("rep stosw" : "+D"(to), "+c"(count) : "a"(0xabcd) : "memory");
    SAME(accesses(), 10);
    asm volatile("lodsd" : "+S"(from), "=a"(value));
    SAME(value, 0xabcdabcd);
    to = (void *)at, count = 100;
    asm volatile("repe scasw" : "+D"(to), "+c"(count) : "a"(0xabcd) : "cc");
    SAME(count, 100 - 11);
    to = (void *)at, from = at + 2, count = 100;
    asm volatile("repe cmpsb\npushfq\npop %3" : "+D"(to), "+S"(from), "+c"(count), "=r"(flags)::"cc");
    SAME(count, 100 - 19);
  }
}

static void vectors(void) {
  CASE("x87 and SSE operands") {
    double d = 2.5;
    float f;
    put(0, *(u64 *)&d);
    accesses();
    asm volatile("fninit\nfld qword ptr [%1]\nfadd qword ptr [%1]\nfstp qword ptr [%1 + 8]\n"
                 "fild dword ptr [%1 + 64]\nfistp qword ptr [%1 + 16]\nmovsd xmm1, [%1 + 8]\n"
                 "cvtsd2ss xmm1, xmm1\nmovss %0, xmm1" : "=m"(f) : "r"(at) : "memory");
    SAME(*(u32 *)&f, 0x40a00000);
    SAME(get(8), 0x4014000000000000);
    SAME(accesses(), 7);
  }
  CASE("16 bytes are two accesses of 8, low half first") {
    put(0, 0x1111);
    put(8, 0x2222);
    accesses();
    u64 out[2];
    asm volatile("movdqa xmm0, [%0]\nmovdqu %1, xmm0" ::"r"(at), "m"(out) : "memory");
    SAME(out[0], 0x1111);
    SAME(out[1], 0x2222);
    SAME(accesses(), 2);
    LAST(8, 8);
    asm volatile("movdqu [%0 + 20], xmm0" ::"r"(at) : "memory");
    SAME(accesses(), 2);
    LAST(8 | WRITTEN, 28);
    asm volatile("paddq xmm0, [%0]\nmovq [%0 + 64], xmm0\nmovhps [%0 + 72], xmm0" ::"r"(at) : "memory");
    SAME(get(64), 0x2222);
    SAME(get(72), 0x4444);
    asm volatile("fninit\nfld tbyte ptr [%0]\nfstp tbyte ptr [%0 + 128]" ::"r"(at) : "memory");
    SAME(get(128), 0x1111);
  }
  CASE("FXSAVE and FXRSTOR of a whole image") {
    u64 out;
    u64 v = 0xfeedface;
    asm volatile("movq xmm5, %1\nfxsave [%2]\npxor xmm5, xmm5\nfxrstor [%2]\nmovq %0, xmm5"
                 : "=r"(out) : "r"(v), "r"(at + 1024) : "memory");
    SAME(out, 0xfeedface);
  }
}

SNIPPET(store_byte, "", "mov byte ptr [rdi], 1");
// Reads a register and faults at the destination.
SNIPPET(move_to_absent, "mov rsi, rdi\nmov rdi, 0x8000005000", "movsq");

static void borders(void) {
  map_space();
  set_pte(&space_pt[0], (u64)pool[1] | P | W, page(0));
  set_pte(&space_pt[1], (u64)MMIO | P | W, page(1));
  set_pte(&space_pt[2], (u64)pool[2] | P | W, page(2));
  CASE("an access over the border between memory and registers") {
    put(0, 0);
    accesses();
    write64(page(1) - 4, 0x1122334455667788);
    SAME(accesses(), 1);
    LAST(4 | WRITTEN, 0);
    SAME(*(u32 *)(pool[1] + 4092), 0x55667788);
    SAME((u32)get(0), 0x11223344);
    SAME(read64(page(1) - 4), 0x1122334455667788);
    *(volatile u32 *)pool[2] = 0xaabbccdd;
    *(volatile u32 *)(MMIO + 4092) = 0x99;
    SAME(read64(page(2) - 4), 0xaabbccdd00000099);
  }
  CASE("odd widths are split into what a bus can do") {
    accesses();
    write64(page(1) - 1, 0x8877665544332211);
    SAME(accesses(), 3);  // 7 bytes: 4, 2, 1
    LAST(1 | WRITTEN, 6);
    SAME(get(0) & 0xffffffffffffff, 0x88776655443322);
    SAME(read64(page(1) - 1), 0x8877665544332211);
  }
  CASE("rights are checked before the device is asked") {
    set_pte(&space_pt[1], (u64)MMIO | P, page(1));
    accesses();
    TRAPS(store_byte, page(1), PF, 3);
    SAME(accesses(), 0);
  }
  CASE("a fault after the read: the device is asked again, nothing else happens") {
    accesses();
    TRAPS(move_to_absent, at, PF, 2);
    SAME(caught.f.rsi, at);
    CHECK(accesses() <= 1);
  }
  CASE("nothing there: reads are all ones, writes vanish") {
    u64 hole = 0xd0000000;
    SAME(read64(hole), ~0ul);
    write64(hole, 5);
    SAME(read64(hole), ~0ul);
    SAME(*(volatile u8 *)hole, 0xff);
  }
}

void guest_main(void) {
  plain();
  arithmetic();
  stack_and_flow();
  strings();
  vectors();
  borders();
}
