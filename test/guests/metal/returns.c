// Ways to an outer ring and what they leave behind: IRET and RETF of every width, SYSRET, SYSEXIT; flags by
// ring; segment loads, LAR LSL VERR VERW and call gates as a table of descriptors, asked from both rings.
// The rules and their sources: native/softcpu/CORNERS.md.
#include "metal.h"

enum { FS_BASE = 0xc0000100, GS_BASE, STAR = 0xc0000081, LSTAR, FMASK = 0xc0000084 };
enum { SYSENTER_CS = 0x174, SYSENTER_ESP, SYSENTER_EIP };
enum { CONFORMING = 0x70, GATE = 0x80, SECOND = 0x90 };  // free slots of the GDT
enum { IOPL3 = 0x3000, VIF = 0x80000, VIP = 0x100000, ID = 0x200000 };
static u64 *slot(u32 selector) { return &gdt[selector / 8]; }

// ---- ways out --------------------------------------------------------------------------------------
// Each takes a struct user and goes there; the narrow ones build their frame of doublewords first.
#define NARROW_FRAME                                                                          \
  "sub rsp, 24\nmov eax, [rdi]\nmov [rsp], eax\nmov eax, [rdi + 8]\nmov [rsp + 4], eax\n"       \
  "mov eax, [rdi + 16]\nmov [rsp + 8], eax\nmov eax, [rdi + 24]\nmov [rsp + 12], eax\n"         \
  "mov eax, [rdi + 32]\nmov [rsp + 16], eax\nmov rdi, [rdi + 40]\n"
SNIPPET(by_iretq, "push [rdi + 32]\npush [rdi + 24]\npush [rdi + 16]\npush [rdi + 8]\npush [rdi]", "iretq");
SNIPPET(by_iretd, NARROW_FRAME, "iretd");
SNIPPET(by_retfq, "push [rdi + 32]\npush [rdi + 24]\npush [rdi + 8]\npush [rdi]", "retfq");
SNIPPET(by_retfd, NARROW_FRAME "mov eax, [rsp + 4]\nmov [rsp + 8], eax\nmov eax, [rsp]\nmov [rsp + 4], eax",
        "add rsp, 4\n.byte 0xcb");  // RETF of 32 bits
SNIPPET(by_sysretq, "mov rcx, [rdi]\nmov r11, [rdi + 16]\nmov rsp, [rdi + 24]", "sysretq");
SNIPPET(by_sysexitq, "mov rdx, [rdi]\nmov rcx, [rdi + 24]", "sysexitq");
// The same from compatibility mode.
SNIPPET(by_compatibility_iret, NARROW_FRAME "push 8\nlea rax, [rip + 1f]\npush rax\nretfq\n.code32\n1:",
        "iretd\n.code64\n");
SNIPPET(by_compatibility_retf,
        NARROW_FRAME "mov eax, [rsp + 4]\nmov [rsp + 8], eax\nmov eax, [rsp]\nmov [rsp + 4], eax\n"
        "add rsp, 4\npush 8\nlea rax, [rip + 1f]\npush rax\nretfq\n.code32\n1:", "retf\n.code64\n");

// The same bytes in 32- and 64-bit code.
SNIPPET(tell_selectors, "mov eax, ds\nmov ecx, es\nmov edx, fs\nmov ebx, gs", "int 0x80");
SNIPPET(tell_gs_word, "mov rax, gs:[0]\nmov rcx, fs:[0]", "int 0x80");
SNIPPET(tell_flags, "", "pushfq\npop rax\nint 0x80");

static u64 fs_word = 0xf5f5, gs_word = 0x6565;
static void set_segments(u32 ds, u32 es, u32 fs, u32 gs) {
  asm volatile("mov ds, %0\nmov es, %1\nmov fs, %2\nmov gs, %3" ::"r"(ds), "r"(es), "r"(fs), "r"(gs));
  wrmsr(FS_BASE, (u64)&fs_word);
  wrmsr(GS_BASE, (u64)&gs_word);
}

struct way {
  void (*go)(u64);
  bool is_wide;  // reaches 64-bit code only
};
static const struct way closing[] = {{by_iretq, false}, {by_iretd, false}, {by_retfq, false},
                                     {by_retfd, false}, {by_compatibility_iret, false},
                                     {by_compatibility_retf, false}};
static const struct way plain[] = {{by_sysretq, true}, {by_sysexitq, true}};
#define COUNT(list) (sizeof(list) / sizeof *(list))

static void leave_by(void (*go)(u64), void (*code)(u64), u64 cs) {
  struct user u = {(u64)code, cs, 2, USER_STACK, cs & 3 ? USERDATA : DATA, 0, 0};
  CHECK(attempt(go, (u64)&u));
  SAME(caught.f.vector, LEAVE);
  SAME(caught.f.cs, cs);
}

static void selectors_are(u16 ds, u16 es, u16 fs, u16 gs) {
  SAME(caught.f.rax, ds);
  SAME(caught.f.rcx, es);
  SAME(caught.f.rdx, fs);
  SAME(caught.f.rbx, gs);
  SAME(rdmsr(FS_BASE), (u64)&fs_word);
  SAME(rdmsr(GS_BASE), (u64)&gs_word);
}

static void outer_data(void) {
  *slot(CONFORMING) = 0x00af9f000000ffff;  // readable, DPL 0
  CASE("to ring 3: selectors of ring 0 become null, the bases of FS and GS stay") {
    for (u32 n = 0; n < COUNT(closing); n++) {
      for (u32 narrow = 0; narrow < 2; narrow++) {
        set_segments(DATA, DATA, DATA, DATA);
        leave_by(closing[n].go, tell_selectors, narrow ? USER32 : USER64);
        selectors_are(0, 0, 0, 0);
      }
      set_segments(DATA, DATA, DATA, DATA);
      leave_by(closing[n].go, tell_gs_word, USER64);
      SAME(caught.f.rax, gs_word);
      SAME(caught.f.rcx, fs_word);
    }
  }
  CASE("to ring 3: data of DPL 3 and conforming code stay") {
    for (u32 n = 0; n < COUNT(closing); n++) {
      set_segments(USERDATA, CONFORMING, CONFORMING, USERDATA);
      leave_by(closing[n].go, tell_selectors, USER64);
      selectors_are(USERDATA, CONFORMING, CONFORMING, USERDATA);
    }
  }
  CASE("to ring 3: a null selector loses its RPL") {
    for (u32 n = 0; n < COUNT(closing); n++) {
      set_segments(1, 2, 3, 3);
      leave_by(closing[n].go, tell_selectors, USER32);
      selectors_are(0, 0, 0, 0);
    }
  }
  CASE("SYSRET and SYSEXIT leave them alone") {
    wrmsr(STAR, (u64)(USER32 - 3) << 48 | (u64)CODE64 << 32);
    wrmsr(SYSENTER_CS, CODE64);
    for (u32 n = 0; n < COUNT(plain); n++) {
      set_segments(DATA, 3, DATA, 2);
      leave_by(plain[n].go, tell_selectors, USER64);
      selectors_are(DATA, 3, DATA, 2);
    }
  }
  CASE("so does IRET within a ring, and the trap that comes back") {
    set_segments(DATA, 3, DATA, 2);
    leave_by(by_iretq, tell_selectors, CODE64);
    selectors_are(DATA, 3, DATA, 2);
    set_segments(DATA, DATA, DATA, DATA);
  }
}

// ---- frames that are refused -----------------------------------------------------------------------
static void bad_frames(void) {
  static const struct {
    u64 rip, cs, ss;
    u32 vector, error;
  } rows[] = {
      {1ul << 47, USER64, USERDATA, GP, 0},
      {0x100000000, USER32, USERDATA, GP, 0},         // beyond a 32-bit segment
      {0, 0, USERDATA, GP, 0},
      {0, 3, USERDATA, GP, 0},
      {0, DATA, USERDATA, GP, DATA},
      {0, TSS_SELECTOR, USERDATA, GP, TSS_SELECTOR},
      {0, USER64 & ~1, USERDATA, GP, USER64 & ~3},    // RPL 2, DPL 3
      {0, CODE64 | 3, USERDATA, GP, CODE64},
      {0, USER64, DATA, GP, DATA},
      {0, USER64, USERDATA & ~3, GP, USERDATA & ~3},  // RPL of SS
      {0, USER64, USER64, GP, USER64 & ~3},           // code as a stack
      {0, USER64, 0, GP, 0},
      {0, USER64, 3, GP, 0},
      {0, CODE32, 0, GP, 0},                          // null is for 64-bit code only
      {0, CODE64, 3, GP, 0},                          // and its RPL must be that of the code
      {0, CODE64, 1, GP, 0},
      {0, CODE64, USERDATA, GP, USERDATA & ~3},
      {0, USER64, TEST_SELECTOR | 3, SS, TEST_SELECTOR},
      {0, SECOND | 3, USERDATA, NP, SECOND},
      {0, GATE, USERDATA, GP, GATE},                  // L and D
  };
  *slot(TEST_SELECTOR) = 0x00cf73000000ffff;  // data of DPL 3, absent
  *slot(SECOND) = 0x00af7b000000ffff;         // code of DPL 3, absent
  *slot(GATE) = 0x00ef9b000000ffff;
  CASE("IRET and RETF check the whole frame before anything changes") {
    for (u32 n = 0; n < COUNT(rows); n++) {
      struct user u = {rows[n].rip, rows[n].cs, 2, USER_STACK, rows[n].ss, 0, 0};
      TRAPS(by_iretq, &u, rows[n].vector, rows[n].error);
      SAME(caught.f.cs, CODE64);
      if (!(rows[n].cs & 3)) continue;  // RETF within a ring takes no stack
      TRAPS(by_retfq, &u, rows[n].vector, rows[n].error);
    }
  }
  CASE("IRET with NT is #GP(0) in long mode, in either ring") {
    struct user u = {(u64)tell_flags, USER64, 2 | FLAG_NT, USER_STACK, USERDATA, 0, 0};
    SAME(run_user_as(&u), LEAVE);
    SAME(caught.f.rax & FLAG_NT, FLAG_NT);
    u.rip = (u64)by_iretq_at;
    SAME(run_user_as(&u), GP);
    SAME(caught.f.error, 0);
  }
}

// ---- far pointers ------------------------------------------------------------------------------------
// LSS R8, LFS EAX, LGS RAX, each from [RDI].
SNIPPET(lss_64, "mov rbx, rsp\nmov r8, 77", ".byte 0x4c, 0x0f, 0xb2, 0x07\nmov rsp, rbx\nint 0x80");
SNIPPET(lfs_32, "mov eax, 77", ".byte 0x0f, 0xb4, 0x07\nint 0x80");
SNIPPET(lgs_64, "mov eax, 77", ".byte 0x48, 0x0f, 0xb5, 0x07\nint 0x80");

static void far_pointers(void) {
  static struct {
    u64 offset;
    u16 selector;
  } PACKED pointer = {0x1122334455667788, USERDATA};
  static struct {
    u32 offset;
    u16 selector;
  } PACKED narrow = {0x11223344, TEST_SELECTOR | 3};
  *slot(TEST_SELECTOR) = 0x00cf73000000ffff;  // absent
  CASE("LSS LFS LGS: in 64-bit mode of any width; the register changes with the segment or not at all") {
    SAME(run_user(lss_64, (u64)&pointer), LEAVE);
    SAME(caught.f.r8, pointer.offset);
    SAME(caught.f.ss, USERDATA);
    SAME(run_user(lgs_64, (u64)&pointer), LEAVE);
    SAME(caught.f.rax, pointer.offset);
    SAME(run_user(lfs_32, (u64)&narrow), NP);
    SAME(caught.f.error, TEST_SELECTOR);
    SAME(caught.f.rax, 77);
    pointer.selector = DATA;
    SAME(run_user(lss_64, (u64)&pointer), GP);
    SAME(caught.f.error, DATA);
    SAME(caught.f.r8, 77);
    pointer.selector = 0;
    SAME(run_user(lss_64, (u64)&pointer), GP);  // null is for ring 0
    SAME(caught.f.error, 0);
    pointer.selector = USERDATA;
  }
}

// ---- flags -----------------------------------------------------------------------------------------
SNIPPET(iretq_here, "mov eax, ss\npush rax\nlea rcx, [rsp + 8]\npush rcx\npush rdi\nmov eax, cs\npush rax\n"
        "lea rax, [rip + 1f]\npush rax", "iretq\n1: pushfq\npop rax\nint 0x80");
SNIPPET(popfq_here, "push rdi", "popfq\npushfq\npop rax\nint 0x80");
SNIPPET(popfw_here, "push di", "popfw\npushfq\npop rax\nint 0x80");

SNIPPET(iretw_down, "mov rbp, rsp\nmov esp, 0x9000\npush word ptr [rdi + 32]\npush word ptr [rdi + 24]\n"
        "push word ptr [rdi + 16]\npush word ptr [rdi + 8]\npush word ptr [rdi]", "iretw");

static void flags(void) {
  enum { ALWAYS = 0x4cd5 | FLAG_AC | ID };
  static const struct {
    void (*code)(u64);
    u32 ring, iopl, image, expected;
  } rows[] = {
      {iretq_here, 0, 0, 0x3d7ed5 & ~FLAG_TF, 2 | ALWAYS | FLAG_IF | IOPL3 | VIF | VIP},
      {iretq_here, 3, 0, 0x3d7ed5 & ~FLAG_TF, 2 | ALWAYS},
      {iretq_here, 3, IOPL3, 0x3d4ed5 & ~FLAG_TF, 2 | ALWAYS | FLAG_IF | IOPL3},
      {popfq_here, 0, 0, 0x3d7ed5 & ~FLAG_TF, 2 | ALWAYS | FLAG_IF | IOPL3},
      {popfq_here, 3, 0, 0x3d7ed5 & ~FLAG_TF, 2 | ALWAYS},
      {popfq_here, 3, IOPL3, 0x3d4ed5 & ~FLAG_TF, 2 | ALWAYS | FLAG_IF | IOPL3},
      {popfw_here, 0, 0, 0x7ed5 & ~FLAG_TF, 2 | 0x4cd5 | FLAG_IF | IOPL3},
      {popfw_here, 3, 0, 0x7ed5 & ~FLAG_TF, 2 | 0x4cd5},
  };
  CASE("IRET and POPF: who may change which flag") {
    for (u32 n = 0; n < COUNT(rows); n++) {
      const bool user = rows[n].ring == 3;
      struct user u = {(u64)rows[n].code, user ? USER64 : CODE64, 2 | rows[n].iopl, USER_STACK,
                       user ? USERDATA : DATA, rows[n].image, 0};
      SAME(run_user_as(&u), LEAVE);
      SAME(caught.f.rax, rows[n].expected);
    }
  }
  CASE("IRET of 16 bits in 64-bit mode: five words, the upper flags as they were") {
    copy((void *)0x8000ul, tell_flags, 16);
    struct user u = {0x8000, USER64, 0xffff & ~(FLAG_TF | FLAG_NT), 0x8ffe, USERDATA, 0, 0};
    SAME(attempt(iretw_down, (u64)&u) ? caught.f.vector : 256, LEAVE);
    SAME(caught.f.rip, 0x8000 + 4);
    SAME(caught.f.rsp, 0x8ffe);
    SAME(caught.f.rax, 0x3ed7);
  }
}

// ---- fast calls ------------------------------------------------------------------------------------
SNIPPET(land, "mov eax, cs\nmov ecx, ss", "pushfq\npop rdx\nint 0x80");
SNIPPET(call_by_syscall, "mov rsp, rdi", "syscall");

static void fast_calls(void) {
  CASE("SYSCALL: FMASK of all ones leaves bit 1; the RPL of STAR reaches SS, not CS") {
    wrmsr(LSTAR, (u64)land);
    wrmsr(FMASK, 0xffffffff);
    wrmsr(STAR, (u64)(CODE64 | 3) << 32);
    SAME(run_user(call_by_syscall, KERNEL_STACK), LEAVE);
    SAME(caught.f.rax, CODE64);
    SAME(caught.f.rcx, (CODE64 | 3) + 8);
    SAME(caught.f.rdx, 2);
    wrmsr(FMASK, 0);
  }
  CASE("SYSEXIT to an address or a stack that is not canonical") {
    struct user bad_rip = {1ul << 47, 0, 0, USER_STACK, 0, 0, 0}, bad_rsp = {0, 0, 0, 1ul << 47, 0, 0, 0};
    TRAPS(by_sysexitq, &bad_rip, GP, 0);
    TRAPS(by_sysexitq, &bad_rsp, GP, 0);
  }
}

// ---- descriptors: who may load them, who may ask about them ------------------------------------------
SNIPPET(load_ds, "", "mov ds, edi\nint 0x80");
SNIPPET(ask, "mov eax, 0x5a5a5a5a\nmov ecx, eax\nlar eax, edi\nsetz bl\nlsl ecx, edi\nsetz bh\nverr di\n"
        "setz dl\nverw di\nsetz dh", "int 0x80");

static u64 run_in(u32 ring, void (*code)(u64), u64 arg) {
  if (ring == 3) return run_user(code, arg);
  return attempt(code, arg) ? caught.f.vector : 256;
}

// One question to the descriptor in TEST_SELECTOR: what the manual answers, worked out anew.
static void ask_about(u32 type, u32 dpl, u32 ring, u32 rpl) {
  enum { LIMIT = 0x1234 };
  *slot(TEST_SELECTOR) = LIMIT | (u64)(type | dpl << 5 | 0x80) << 40;
  const u32 lar_types = 1u << 2 | 1u << 9 | 1u << 11 | 1u << 12, lsl_types = lar_types & ~(1u << 12);
  const bool is_system = !(type & 16), is_code = (type & 0x18) == 0x18;
  const bool visible = (type & 0x1c) == 0x1c || (ring <= dpl && rpl <= dpl);
  const bool lar = visible && (!is_system || (lar_types >> type & 1));
  const bool lsl = visible && (!is_system || (lsl_types >> type & 1));
  const bool readable = visible && !is_system && (!is_code || (type & 2));
  const bool writable = visible && !is_system && !is_code && (type & 2);
  SAME(run_in(ring, ask, TEST_SELECTOR | rpl), LEAVE);
  SAME(caught.f.rax, lar ? (type | dpl << 5 | 0x80) << 8 : 0x5a5a5a5a);
  SAME(caught.f.rcx, lsl ? LIMIT : 0x5a5a5a5a);
  SAME(caught.f.rbx & 0xffff, lar | lsl << 8);
  SAME(caught.f.rdx & 0xffff, readable | writable << 8);

  const bool allowed = is_code && (type & 4) ? true : ring <= dpl && rpl <= dpl;
  const bool loads = !is_system && (!is_code || (type & 2)) && allowed;
  SAME(run_in(ring, load_ds, TEST_SELECTOR | rpl), loads ? LEAVE : GP);
  if (!loads) SAME(caught.f.error, TEST_SELECTOR);
}

static void descriptors(void) {
  CASE("LAR LSL VERR VERW and a load of DS: every type, DPL, ring and RPL") {
    for (u32 type = 0; type < 32; type++) {
      for (u32 n = 0; n < 8; n++) ask_about(type, n & 1 ? 3 : 0, n & 2 ? 3 : 0, n & 4 ? 3 : 0);
    }
  }
  CASE("they look at the null selector and beyond the table without a fault") {
    static const u16 nowhere[] = {0, 3, 0xfff8, TEST_SELECTOR | 4};
    for (u32 n = 0; n < COUNT(nowhere); n++) {
      SAME(run_in(n & 1 ? 3 : 0, ask, nowhere[n]), LEAVE);
      SAME((caught.f.rbx | caught.f.rdx) & 0xffff, 0);
    }
  }
}

// ---- call gates ------------------------------------------------------------------------------------
SNIPPET(call_far, "sub rsp, 16\nmov dword ptr [rsp], 0\nmov [rsp + 4], di", "call fword ptr [rsp]");
SNIPPET(jump_far, "sub rsp, 16\nmov dword ptr [rsp], 0\nmov [rsp + 4], di", "jmp fword ptr [rsp]");
SNIPPET(arrive, "mov eax, cs\nmov ecx, ss\nmov rdx, [rsp]\nmov rbx, [rsp + 8]\nmov r8, [rsp + 16]", "int 0x80");

static void gate(u8 dpl_type, u16 selector, u64 target) {
  *slot(GATE) = (target & 0xffff) | (u64)selector << 16 | (u64)dpl_type << 40 | (target >> 16 & 0xffff) << 48;
  *slot(GATE + 8) = target >> 32;
}

static void gates(void) {
  static const struct {
    u8 type;
    u16 target, selector;
    u32 vector, error;
  } rows[] = {
      {0x8c, CODE64, GATE | 3, GP, GATE},          // the gate's DPL
      {0xec, CODE64, 0, GP, 0},
      {0x6c, CODE64, GATE | 3, NP, GATE},
      {0xe4, CODE64, GATE | 3, GP, GATE},          // a 16-bit gate, a task gate
      {0xe5, CODE64, GATE | 3, GP, GATE},
      {0xec, 0, GATE | 3, GP, 0},
      {0xec, DATA, GATE | 3, GP, DATA},
      {0xec, CODE32, GATE | 3, GP, CODE32},        // not 64-bit code
      {0xec, SECOND, GATE | 3, NP, SECOND},
      {0xec, 0xfff8, GATE | 3, GP, 0xfff8},
  };
  *slot(SECOND) = 0x00af1b000000ffff;
  CASE("call gates: the checks, in their order") {
    for (u32 n = 0; n < COUNT(rows); n++) {
      gate(rows[n].type, rows[n].target, (u64)arrive);
      SAME(run_user(call_far, rows[n].selector), rows[n].vector);
      SAME(caught.f.error, rows[n].error);
      SAME(caught.f.rip, (u64)call_far_at);
    }
    gate(0xec, CODE64, 1ul << 47);
    SAME(run_user(call_far, GATE | 3), GP);
    SAME(caught.f.error, 0);
  }
  CASE("a call inwards switches the stack and makes SS null; a jump cannot go inwards") {
    gate(0xec, CODE64, (u64)arrive);
    SAME(run_user(call_far, GATE | 3), LEAVE);
    SAME(caught.f.rax, CODE64);
    SAME(caught.f.rcx, 0);
    SAME(caught.f.rdx, (u64)call_far_at + 3);
    SAME(caught.f.rbx, USER64);
    SAME(caught.f.r8, USER_STACK - 16);
    SAME(run_user(jump_far, GATE | 3), GP);
    SAME(caught.f.error, CODE64);
  }
  CASE("conforming code runs with the caller's privilege, by gate or directly") {
    gate(0xec, CONFORMING, (u64)arrive);
    SAME(run_user(jump_far, GATE | 3), LEAVE);
    SAME(caught.f.cs, CONFORMING | 3);
    SAME(caught.f.ss, USERDATA);
    SAME(run_user(call_far, GATE | 3), LEAVE);
    SAME(caught.f.rdx, (u64)call_far_at + 3);
    SAME(caught.f.rcx, USERDATA);
    SAME(run_user(jump_far, CODE64), GP);
    SAME(caught.f.error, CODE64);
  }
}

void guest_main(void) {
  outer_data();
  bad_frames();
  far_pointers();
  flags();
  fast_calls();
  descriptors();
  gates();
}
