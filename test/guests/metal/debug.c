// Debug exceptions: where a trap comes and where it is held back, what DR6 says, in both rings.
// The rules and their sources: native/softcpu/CORNERS.md.
#include "metal.h"

enum { STAR = 0xc0000081, LSTAR, FMASK = 0xc0000084 };
enum { DR6_CLEAR = 0xffff0ff0, B0 = 1, B1 = 2, BD = 0x2000, BS = 0x4000, EXECUTE = 0, WRITES = 1, PORTS = 2,
       ACCESSES = 3, LONG_WORD = 0xc };
#define COUNT(list) (sizeof(list) / sizeof *(list))

u64 watched[2], plain_word;

// ---- what came ---------------------------------------------------------------------------------------
enum { STOPS_MAX = 16 };
static struct {
  u64 rip, dr6, rflags;
  u16 cs;
} stops[STOPS_MAX];
static u32 stop_count;
static bool keeps_dr6;  // a handler clears it, as the manuals advise, but where what stays is looked at

static bool note_stop(struct frame *f) {
  if (stop_count < STOPS_MAX) {
    stops[stop_count].rip = f->rip;
    stops[stop_count].dr6 = READ_DR(6) & 0xf00f;
    stops[stop_count].rflags = f->rflags;
    stops[stop_count].cs = f->cs;
  }
  if (!keeps_dr6) WRITE_DR(6, DR6_CLEAR);
  if (++stop_count > 50) {  // something stops for ever
    f->rflags &= ~(u64)FLAG_TF;
    WRITE_DR(7, 0x400);
  }
  return true;
}
// The same, but an instruction breakpoint is passed by RF, as a debugger does.
static bool note_and_pass(struct frame *f) {
  const bool hit = READ_DR(6) & 15;
  note_stop(f);
  if (hit) f->rflags |= FLAG_RF;
  return true;
}

static void breakpoint(u32 n, const volatile void *at, u32 control) {
  if (n == 0) WRITE_DR(0, at);
  else WRITE_DR(1, at);
  WRITE_DR(7, READ_DR(7) | 2ul << 2 * n | (u64)control << (16 + 4 * n));
}

static void no_breakpoints(void) {
  WRITE_DR(7, 0x400);
  WRITE_DR(6, DR6_CLEAR);
}

// Runs code in a ring, stepping or not, until its `int 0x80`; RDI is the selector in SS.
static u64 trace(void (*code)(u64), u32 ring, u64 flags) {
  const u64 ss = ring == 3 ? USERDATA : DATA;
  struct user u = {(u64)code, ring == 3 ? USER64 : CODE64, flags, USER_STACK, ss, ss, (u64)&plain_word};
  plain_word = ss;
  watched[0] = ss;  // may be watched already
  stop_count = 0;
  return run_user_as(&u);
}

// The stops were at these offsets of the code, all with this DR6.
static void stopped_at(void (*code)(u64), const u8 *offsets, u32 count, u64 dr6) {
  SAME(stop_count, count);
  for (u32 n = 0; n < count && n < stop_count; n++) {
    SAME(stops[n].rip - (u64)code, offsets[n]);
    SAME(stops[n].dr6, dr6);
  }
}
#define STOPPED(code, dr6, ...)                               \
  do {                                                        \
    static const u8 offsets_[] = {__VA_ARGS__};               \
    stopped_at(code, offsets_, COUNT(offsets_), dr6);         \
  } while (0)

// ---- stepping over loads of SS -------------------------------------------------------------------------
// NOP is one byte, MOV SS, EDI two.
SNIPPET(load_once, "nop\nmov ss, edi\nnop\nnop", "int 0x80");
SNIPPET(load_in_a_row, "nop\nmov ss, edi\nnop\nmov ss, edi\nmov ss, edi\nnop\nnop", "int 0x80");
SNIPPET(load_others, "mov ds, edi\nmov gs, edi\nnop", "int 0x80");
SNIPPET(load_and_leave, "nop\nmov ss, edi", "int 0x80");
SNIPPET(sti_step, "nop\nsti\nnop", "int 0x80");
// LSS takes its pointer from a stack of its own making.
SNIPPET(load_by_lss, "push rdi\nmov rax, rsp\npush rax", ".byte 0x48, 0x0f, 0xb2, 0x24, 0x24\nnop\nint 0x80");
// POP SS: 32-bit code.
asm(".pushsection .text\n.code32\n.globl pop_once, pop_in_a_row\n"
    "pop_once: push ss\npop ss\nnop\nnop\nint 0x80\n"
    "pop_in_a_row: push ss\npush ss\npop ss\npop ss\nnop\nnop\nint 0x80\n.code64\n.popsection\n");
void pop_once(u64), pop_in_a_row(u64);

static void held_back(void) {
  static const u32 rings[] = {0, 3};
  on_trap(DB, note_stop);
  for (u32 n = 0; n < 2; n++) {
    CASE("MOV SS holds back the step behind it; each of a row does") {
      SAME(trace(load_once, rings[n], 2 | FLAG_TF), LEAVE);
      STOPPED(load_once, BS, 1, 4, 5);
      SAME(trace(load_in_a_row, rings[n], 2 | FLAG_TF), LEAVE);
      STOPPED(load_in_a_row, BS, 1, 4, 9, 10);
      SAME(trace(load_and_leave, rings[n], 2 | FLAG_TF), LEAVE);
      STOPPED(load_and_leave, BS, 1);  // the INT clears TF
    }
    CASE("loads of other segments, LSS and STI hold back nothing") {
      SAME(trace(load_others, rings[n], 2 | FLAG_TF), LEAVE);
      STOPPED(load_others, BS, 2, 4, 5);
      SAME(trace(load_by_lss, rings[n], 2 | FLAG_TF), LEAVE);
      STOPPED(load_by_lss, BS, 1, 4, 5, 10, 11);
      SAME(trace(sti_step, rings[n], 2 | FLAG_TF | (rings[n] ? 0x3000 : 0)), LEAVE);
      STOPPED(sti_step, BS, 1, 2, 3);
      asm volatile("mov gs, %0" ::"r"((u32)DATA));
    }
  }
  CASE("POP SS does as MOV SS") {
    struct user u = {(u64)pop_once, USER32, 2 | FLAG_TF, USER_STACK, USERDATA, 0, 0};
    stop_count = 0;
    SAME(run_user_as(&u), LEAVE);
    STOPPED(pop_once, BS, 1, 3, 4);
    u.rip = (u64)pop_in_a_row;
    stop_count = 0;
    SAME(run_user_as(&u), LEAVE);
    STOPPED(pop_in_a_row, BS, 1, 2, 5, 6);
  }
}

// ---- breakpoints behind loads of SS --------------------------------------------------------------------
SNIPPET(load_watched, "mov ss, [watched]\nnop\nnop", "int 0x80");
SNIPPET(load_watched_and_int3, "mov ss, [watched]\nint3\nnop", "int 0x80");
SNIPPET(load_watched_and_int1, "mov ss, [watched]\n.byte 0xf1\nnop", "int 0x80");
SNIPPET(load_watched_and_fault, "mov ss, [watched]\nud2", "int 0x80");
SNIPPET(load_watched_and_syscall, "mov ss, [watched]\nsyscall", "int 0x80");
SNIPPET(load_watched_and_read, "mov ss, [watched]\nmov eax, [watched + 8]\nnop", "int 0x80");
SNIPPET(land, "nop\nnop", "int 0x80");

static void behind_loads(void) {
  no_breakpoints();
  for (u32 ring = 0; ring < 4; ring += 3) {
    CASE("an instruction breakpoint behind MOV SS is passed over") {
      breakpoint(0, (u8 *)load_once + 3, EXECUTE);
      SAME(trace(load_once, ring, 2), LEAVE);
      SAME(stop_count, 0);
      breakpoint(0, (u8 *)load_once + 4, EXECUTE);
      on_trap(DB, note_and_pass);
      SAME(trace(load_once, ring, 2), LEAVE);
      STOPPED(load_once, B0, 4);
      on_trap(DB, note_stop);
      no_breakpoints();
    }
    CASE("a data breakpoint that MOV SS meets is reported one instruction later") {
      breakpoint(0, &watched[0], ACCESSES);
      breakpoint(1, &watched[1], ACCESSES | LONG_WORD);
      SAME(trace(load_watched, ring, 2), LEAVE);
      STOPPED(load_watched, B0, 8);
      keeps_dr6 = true;
      SAME(trace(load_watched, ring, 2 | FLAG_TF), LEAVE);
      keeps_dr6 = false;
      SAME(stop_count, 2);
      SAME(stops[0].rip, (u64)load_watched + 8);
      SAME(stops[0].dr6, BS | B0);
      SAME(stops[1].dr6, BS);  // B0 does not stay
      WRITE_DR(6, DR6_CLEAR);
      SAME(trace(load_watched_and_read, ring, 2), LEAVE);
      STOPPED(load_watched_and_read, B0 | B1, 14);
    }
    CASE("a fault or INT1 drops it; INT3 takes it into the handler") {
      SAME(trace(load_watched_and_fault, ring, 2), UD);
      SAME(stop_count, 0);
      SAME(trace(load_watched_and_int1, ring, 2), LEAVE);
      SAME(stop_count, 1);
      SAME(stops[0].rip, (u64)load_watched_and_int1 + 8);
      SAME(trace(load_watched_and_int3, ring, 2), BP);
      SAME(stop_count, 1);
      SAME(stops[0].rip, (u64)trap_stubs + 16 * BP);
      SAME(stops[0].cs, CODE64);
      SAME(stops[0].dr6, B0);
      no_breakpoints();
    }
  }
  CASE("SYSCALL takes it into the kernel") {
    wrmsr(STAR, (u64)CODE64 << 32);
    wrmsr(LSTAR, (u64)land);
    breakpoint(0, &watched[0], ACCESSES);
    SAME(trace(load_watched_and_syscall, 3, 2), LEAVE);
    STOPPED(land, B0, 0);
    SAME(stops[0].cs, CODE64);
    no_breakpoints();
  }
}

// ---- DR6, DR7 ------------------------------------------------------------------------------------------
SNIPPET(touch_both, "mov eax, [watched]\nnop\nmov eax, [watched + 8]\nmov rax, [watched + 1]\nnop", "int 0x80");
SNIPPET(touch_ports, "in al, 0x80\nout 0x80, al\nin al, 0x84\nmov edx, 0x7f\nout dx, ax", "int 0x80");
SNIPPET(step_int1, "nop\n.byte 0xf1\nnop", "int 0x80");
SNIPPET(write_dr7, "mov rax, 0x2400\nmov dr7, rax", "mov rax, dr7\nnop\nint 0x80");

static void contents(void) {
  keeps_dr6 = true;
  CASE("DR6: the breakpoints of this exception, BS kept until the handler clears it") {
    breakpoint(0, &watched[0], ACCESSES | LONG_WORD);
    breakpoint(1, &watched[1], ACCESSES | LONG_WORD);
    SAME(trace(touch_both, 0, 2), LEAVE);
    SAME(stop_count, 3);
    SAME(stops[0].dr6, B0);
    SAME(stops[1].dr6, B1);
    SAME(stops[2].dr6, B0 | B1);  // eight bytes over both
    WRITE_DR(6, DR6_CLEAR | BS | B0);
    SAME(trace(touch_both, 3, 2), LEAVE);
    SAME(stops[1].dr6, BS | B1);
    no_breakpoints();
  }
  CASE("a length of four or eight bytes is aligned, whatever DR0 says") {
    WRITE_DR(6, DR6_CLEAR);
    breakpoint(0, (u8 *)&watched[0] + 3, ACCESSES | LONG_WORD);
    breakpoint(1, (u8 *)&watched[1] + 7, ACCESSES | 8);
    SAME(trace(touch_both, 3, 2), LEAVE);
    SAME(stop_count, 3);
    no_breakpoints();
  }
  CASE("INT1 leaves DR6 alone; the step over it comes first in its handler's frame") {
    WRITE_DR(6, DR6_CLEAR | B1);
    SAME(trace(step_int1, 3, 2), LEAVE);
    STOPPED(step_int1, B1, 2);
    WRITE_DR(6, DR6_CLEAR);
    SAME(trace(step_int1, 3, 2 | FLAG_TF), LEAVE);
    SAME(stop_count, 3);
    SAME(stops[0].dr6, BS);
    SAME(stops[1].rip, (u64)step_int1 + 2);
    SAME(stops[2].rip, (u64)step_int1 + 3);
    no_breakpoints();
  }
  CASE("DR7.GD: a fault at the access, with BD, and off for the handler") {
    WRITE_DR(6, DR6_CLEAR | B0);
    SAME(trace(write_dr7, 0, 2), LEAVE);
    SAME(stop_count, 1);
    SAME(stops[0].rip, (u64)write_dr7_at);
    SAME(stops[0].dr6, BD);
    no_breakpoints();
  }
  CASE("with CR4.DE, R/W = 2 watches ports: a trap behind IN and OUT, by width") {
    if (!on_test_machine()) continue;
    WRITE_CR(4, READ_CR(4) | 8);
    breakpoint(0, (void *)0x80ul, PORTS);
    SAME(trace(touch_ports, 3, 2 | 0x3000), LEAVE);
    STOPPED(touch_ports, B0, 2, 4, 13);
    no_breakpoints();
    WRITE_CR(4, READ_CR(4) & ~8ul);
    breakpoint(0, (void *)0x80ul, PORTS);
    SAME(trace(touch_ports, 0, 2), LEAVE);
    SAME(stop_count, 0);
    no_breakpoints();
  }
  keeps_dr6 = false;
}

// ---- repeated strings, RF --------------------------------------------------------------------------------
SNIPPET(move_some, "mov ecx, 3\nlea rsi, [pool]\nlea rdi, [pool + 64]", "rep movsb\nnop\nint 0x80");

static void strings(void) {
  for (u32 ring = 0; ring < 4; ring += 3) {
    CASE("REP: a data breakpoint stops behind its iteration, with RF but behind the last") {
      breakpoint(0, pool[0] + 65, WRITES);
      breakpoint(1, pool[0] + 66, WRITES);
      SAME(trace(move_some, ring, 2), LEAVE);
      SAME(stop_count, 2);
      SAME(stops[0].rip, (u64)move_some_at);
      SAME(stops[0].dr6, B0);
      SAME(stops[0].rflags & FLAG_RF, FLAG_RF);
      SAME(stops[1].rip, (u64)move_some_at + 2);
      SAME(stops[1].dr6, B1);
      SAME(stops[1].rflags & FLAG_RF, 0);
      no_breakpoints();
    }
    CASE("REP: an instruction breakpoint stops once, before the first iteration") {
      on_trap(DB, note_and_pass);
      breakpoint(0, move_some_at, EXECUTE);
      SAME(trace(move_some, ring, 2), LEAVE);
      SAME(stop_count, 1);
      SAME(stops[0].rip, (u64)move_some_at);
      SAME(stops[0].rflags & FLAG_RF, 0);
      breakpoint(1, pool[0] + 65, WRITES);  // the stop in between does not bring it back
      SAME(trace(move_some, ring, 2), LEAVE);
      SAME(stop_count, 2);
      SAME(stops[1].dr6, B1);
      on_trap(DB, note_stop);
      no_breakpoints();
    }
  }
}

// ---- what comes first ------------------------------------------------------------------------------------
SNIPPET(touch_and_fault, "mov rdi, 0x800000000000", "movsb\nint 0x80");
SNIPPET(broken, "nop", "ud2");

static void priorities(void) {
  for (u32 ring = 0; ring < 4; ring += 3) {
    CASE("a step comes before the next breakpoint, a breakpoint before its instruction's fault") {
      on_trap(DB, note_and_pass);
      breakpoint(0, broken_at, EXECUTE);
      SAME(trace(broken, ring, 2 | FLAG_TF), UD);
      SAME(stop_count, 2);
      SAME(stops[0].rip, (u64)broken_at);
      SAME(stops[0].dr6, BS);
      SAME(stops[1].rip, (u64)broken_at);
      SAME(stops[1].dr6, B0);
      SAME(caught.f.rip, (u64)broken_at);
      on_trap(DB, note_stop);
      no_breakpoints();
    }
    CASE("an instruction that faults reports no data breakpoint") {
      breakpoint(0, &plain_word, ACCESSES);
      SAME(trace(touch_and_fault, ring, 2), GP);  // RSI is at the word
      SAME(stop_count, 0);
      SAME(READ_DR(6) & 0xf, 0);
      no_breakpoints();
    }
  }
}

// ---- TF and changes of ring --------------------------------------------------------------------------------
SNIPPET(step_int, "nop", "int3\nnop\nint 0x80");
SNIPPET(step_syscall, "nop", "syscall\nint 0x80");
SNIPPET(step_popf, "pushfq\nand dword ptr [rsp], ~0x100\npopfq\nnop", "int 0x80");
SNIPPET(set_by_popf, "pushfq\nor dword ptr [rsp], 0x100\npopfq\nnop\nnop", "int 0x80");

static bool pass(struct frame *f) { return f->vector == BP; }

static void rings(void) {
  CASE("INT n clears TF for the handler and traps behind nothing; IRET brings it back") {
    on_trap(BP, pass);
    for (u32 ring = 0; ring < 4; ring += 3) {
      SAME(trace(step_int, ring, 2 | FLAG_TF), LEAVE);
      STOPPED(step_int, BS, 1, 3);
    }
    on_trap(BP, 0);
  }
  CASE("SYSCALL traps in the kernel unless FMASK holds TF") {
    wrmsr(STAR, (u64)CODE64 << 32);
    wrmsr(LSTAR, (u64)land);
    wrmsr(FMASK, FLAG_TF);
    SAME(trace(step_syscall, 3, 2 | FLAG_TF), LEAVE);
    STOPPED(step_syscall, BS, 1);
    wrmsr(FMASK, 0);
    SAME(trace(step_syscall, 3, 2 | FLAG_TF), LEAVE);
    SAME(stop_count, 4);
    SAME(stops[1].rip, (u64)land);
    SAME(stops[3].rip, (u64)land_at);
  }
  CASE("POPF: TF it sets counts from the next instruction, TF it clears for itself") {
    for (u32 ring = 0; ring < 4; ring += 3) {
      SAME(trace(set_by_popf, ring, 2), LEAVE);
      STOPPED(set_by_popf, BS, 10, 11);
      SAME(trace(step_popf, ring, 2 | FLAG_TF), LEAVE);
      STOPPED(step_popf, BS, 1, 8, 9);
    }
  }
}

void guest_main(void) {
  WRITE_DR(6, DR6_CLEAR);
  held_back();
  behind_loads();
  contents();
  strings();
  priorities();
  rings();
}
