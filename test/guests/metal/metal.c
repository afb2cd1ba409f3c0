// The common part of every bare-metal guest; see metal.h.
#include "metal.h"

struct caught caught;
u64 attempt_rsp;
struct tss tss;
u64 space_pdpt[512] PAGE, space_pd[512] PAGE, space_pt[512] PAGE;
u8 pool[16][4096] PAGE;
extern u8 attempt_caught[];

static u64 idt[512] __attribute__((aligned(16)));
static handler handlers[256];
u8 stacks[4][8192] __attribute__((aligned(4096)));

static const char *case_name;
static u32 cases, failed_cases;
static u32 complaints;  // of the present case; only the first few are spelled out
enum { COMPLAINTS_MAX = 4 };

// ---- text and verdicts -----------------------------------------------------------------------
void say(const char *text) {
  for (; *text; text++) out8(TEXT_PORT, (u8)*text);
}

void say_hex(u64 value) {
  say("0x");
  bool started = false;
  for (int shift = 60; shift >= 0; shift -= 4) {
    u8 digit = value >> shift & 15;
    started |= digit || shift == 0;
    if (started) out8(TEXT_PORT, digit < 10 ? '0' + digit : 'a' + digit - 10);
  }
}

static void say_decimal(u32 value) {
  if (value >= 10) say_decimal(value / 10);
  out8(TEXT_PORT, '0' + value % 10);
}

static void end_case(void) {
  if (!case_name) return;
  if (complaints == 0) {
    say(case_name);
    say(": ok\n");
  }
  failed_cases += complaints != 0;
  case_name = 0;
}

void begin_case(const char *name) {
  end_case();
  case_name = name;
  complaints = 0;
  cases++;
}

static void complain(const char *what, const char *file, int line) {
  say(case_name ? case_name : "(no case)");
  say(": FAILED ");
  say(file);
  say(":");
  say_decimal((u32)line);
  say(": ");
  say(what);
}

void check(bool ok, const char *what, const char *file, int line) {
  if (ok || complaints++ >= COMPLAINTS_MAX) return;
  complain(what, file, line);
  say("\n");
}

void same(u64 actual, u64 expected, const char *what, const char *file, int line) {
  if (actual == expected || complaints++ >= COMPLAINTS_MAX) return;
  complain(what, file, line);
  say(" is ");
  say_hex(actual);
  say(", expected ");
  say_hex(expected);
  say("\n");
}

void finish(void) {
  end_case();
  say_decimal(cases);
  say(" cases, ");
  say_decimal(failed_cases);
  say(" failed\n");
  out8(EXIT_PORT, failed_cases || !cases ? 1 : 0);
  for (;;) asm volatile("cli; hlt");
}

bool on_test_machine(void) {
  u32 r[4];
  cpuid(0x40000000, 0, r);
  return r[1] == 0x6e697754 && r[2] == 0x70657473;  // "Twinstep"
}

// ---- traps -----------------------------------------------------------------------------------
void on_trap(u8 vector, handler h) { handlers[vector] = h; }

static void unexpected(struct frame *f) {
  complaints++;
  complain("unexpected trap", "vector", (int)f->vector);
  say(" error ");
  say_hex(f->error);
  say(" rip ");
  say_hex(f->rip);
  say(" cr2 ");
  say_hex(READ_CR(2));
  say("\n");
  finish();
}

void trap(struct frame *f) {
  if (handlers[f->vector] && handlers[f->vector](f)) return;
  if (!attempt_rsp) unexpected(f);
  caught.f = *f;
  caught.cr2 = READ_CR(2);
  caught.at = (u64)&f->error;
  f->rip = (u64)attempt_caught;
  f->cs = CODE64;
  f->ss = DATA;
  f->rflags = 2;
  f->rsp = attempt_rsp;
  attempt_rsp = 0;
}

void set_gate(u8 vector, u64 target, u8 type_dpl, u8 ist) {
  u64 low = (target & 0xffff) | (u64)CODE64 << 16 | (u64)ist << 32 | (u64)type_dpl << 40;
  idt[vector * 2] = low | (target >> 16 & 0xffff) << 48;
  idt[vector * 2 + 1] = target >> 32;
}

void reset_gates(void) {
  for (u32 v = 0; v < 256; v++) {
    u8 dpl = v == LEAVE || v == BP || v == OF ? 0x60 : 0;
    u8 ist = v == DF ? 1 : v == NMI ? 2 : 0;
    set_gate((u8)v, (u64)trap_stubs + v * 16, 0x8e | dpl, ist);
  }
}

u64 run_user_as(struct user *u) {
  if (!attempt(enter_user, (u64)u)) return 256;
  return caught.f.vector;
}

u64 run_user(void (*code)(u64), u64 arg) {
  struct user u = {(u64)code, USER64, 2, USER_STACK, USERDATA, arg, 0};
  return run_user_as(&u);
}

// ---- tables ----------------------------------------------------------------------------------
void map_space(void) {
  fill(space_pt, 0, sizeof space_pt);
  fill(space_pd, 0, sizeof space_pd);
  fill(space_pdpt, 0, sizeof space_pdpt);
  space_pd[0] = (u64)space_pt | P | W | U;
  space_pdpt[0] = (u64)space_pd | P | W | U;
  boot_pml4[1] = (u64)space_pdpt | P | W | U;
  flush();
}

static void load_tss(void) {
  u64 base = (u64)&tss, limit = sizeof tss - 1;
  tss.rsp[0] = KERNEL_STACK;
  tss.ist[0] = IST1_STACK;
  tss.ist[1] = IST2_STACK;
  tss.io_base = sizeof tss;  // beyond the limit: no ports for user mode
  gdt[TSS_SELECTOR / 8] = (limit & 0xffff) | (base & 0xffffff) << 16 | 0x89ul << 40 |
                          (limit >> 16 & 15) << 48 | (base >> 24 & 0xff) << 56;
  gdt[TSS_SELECTOR / 8 + 1] = base >> 32;
  asm volatile("ltr %0" ::"r"((u16)TSS_SELECTOR));
}

void metal_start(void) {
  reset_gates();
  struct {
    u16 limit;
    u64 base;
  } PACKED pointer = {sizeof idt - 1, (u64)idt};
  asm volatile("lidt %0" ::"m"(pointer));
  load_tss();
  map_space();
}
