// Hardware task switches in 32-bit protected mode: what links and marks the tasks, what each kind of switch
// refuses, and what comes before the first instruction of the new task. Rules: CORNERS.md.
#include "sys-rig.h"

namespace twinstep::soft::test {

namespace {

constexpr u64 kBt = 1u << 15;
constexpr u64 kNewStack = kStack - 0x800;

GUEST(t_jump, 32, ".byte 0xea\n.long 0\n.word 0x60\nhlt");
GUEST(t_call, 32, ".byte 0x9a\n.long 0\n.word 0x60\nhlt");
GUEST(t_call_gate, 32, ".byte 0x9a\n.long 0\n.word 0x50\nhlt");
GUEST(t_int, 32, "int 0x40\nhlt");
GUEST(t_bad_load, 32, "mov ecx, 0x84\nmov es, ecx\nhlt");
GUEST(t_iret, 32, "iretd\nhlt");
GUEST(t_stop, 32, "nop\nhlt");

// The running task has kTss, the other one kTss2: flat segments, at kUserCode.
void two_tasks(Rig& r, const u8* code, const u8* end) {
  r.protected32(kCode);
  r.load(kCode, code, end);
  r.load(kUserCode, guest_t_stop, guest_t_stop_end);
  r.put<u8>(kGdt + kTssSelector + 5, 0x8b);
  r.put<u32>(kTss2 + 0x20, u32(kUserCode));
  r.put<u32>(kTss2 + 0x24, 2);
  r.put<u32>(kTss2 + 0x28, 0x12345678);  // EAX
  r.put<u32>(kTss2 + 0x38, u32(kNewStack));
  const u16 segments[] = {kData0, kCode32, kData0, kData0, 0, 0};
  for (u32 n = 0; n < 6; ++n) r.put<u16>(kTss2 + 0x48 + 4 * n, segments[n]);
  r.put<u16>(kTss2, 0xeeee);
}

bool busy(const Rig& r, u16 selector) { return r.get<u8>(kGdt + selector + 5) & 2; }
void task_gate(Rig& r, u64 at, u16 tss) { r.put<u64>(at, u64{tss} << 16 | u64{0xe5} << 40); }

void jump() {
  Rig r;
  two_tasks(r, guest_t_jump, guest_t_jump_end);
  r.s.rflags |= NT | CF;
  r.s.dr7 = 0x400 | 0xff | 0x100;
  r.s.dr[0] = r.s.dr[1] = r.s.dr[2] = r.s.dr[3] = 0x700000;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.rip, kUserCode + 2);
  SAME(r.s.gpr[RAX], 0x12345678);
  SAME(r.s.tr.selector, kTss2Selector);
  SAME(busy(r, kTss2Selector), true);
  SAME(busy(r, kTssSelector), false);
  SAME(r.w(kTss2), 0xeeee);                       // a jump leaves no link
  SAME(r.s.rflags & NT, 0);                       // and takes NT as it finds it
  SAME(r.d(kTss + 0x24), 2 | NT | CF);            // the old task keeps its own
  SAME(r.d(kTss + 0x20), kCode + 7);
  SAME(r.s.cr0 & CR0_TS, CR0_TS);
  SAME(r.s.dr7, 0x400 | 0xaa);                    // local breakpoints and LE are off
}

void call_by_gate() {
  Rig r;
  two_tasks(r, guest_t_call_gate, guest_t_call_gate_end);
  task_gate(r, kGdt + kGate, kTss2Selector);
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.rip, kUserCode + 2);
  SAME(r.w(kTss2), kTssSelector);
  SAME(r.s.rflags & NT, NT);
  SAME(busy(r, kTssSelector) && busy(r, kTss2Selector), true);
}

void interrupt_by_gate() {
  Rig r;
  two_tasks(r, guest_t_int, guest_t_int_end);
  task_gate(r, kIdt + 8 * 0x40, kTss2Selector);
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.rip, kUserCode + 2);
  SAME(r.w(kTss2), kTssSelector);
  SAME(r.s.rflags & NT, NT);
  SAME(r.s.gpr[RSP], kNewStack);
  SAME(r.d(kTss + 0x20), kCode + 2);              // behind the INT

  Rig f;  // a fault brings its error code onto the new stack
  two_tasks(f, guest_t_bad_load, guest_t_bad_load_end);
  task_gate(f, kIdt + 8 * GP, kTss2Selector);
  CHECK(f.run() == Exit::Halt);
  SAME(f.s.rip, kUserCode + 2);
  SAME(f.s.gpr[RSP], kNewStack - 4);
  SAME(f.d(kNewStack - 4), 0x84);
  SAME(f.d(kTss + 0x20), kCode + 5);              // at the load
}

// What a switch refuses, seen from the old task.
void refusals() {
  const struct {
    const char* what;
    const u8* code;
    const u8* end;
    u8 type;
    u16 limit;
    int vector;
    u32 error;
  } rows[] = {
      {"JMP to a busy task", guest_t_jump, guest_t_jump_end, 0x8b, 0x67, GP, kTss2Selector},
      {"CALL to a busy task", guest_t_call, guest_t_call_end, 0x8b, 0x67, GP, kTss2Selector},
      {"JMP to an absent one", guest_t_jump, guest_t_jump_end, 0x09, 0x67, NP, kTss2Selector},
      {"JMP to a small one", guest_t_jump, guest_t_jump_end, 0x89, 0x66, TS, kTss2Selector},
      {"JMP to a small 16-bit one", guest_t_jump, guest_t_jump_end, 0x81, 0x2a, TS, kTss2Selector},
      {"JMP to an LDT", guest_t_jump, guest_t_jump_end, 0x82, 0x67, GP, kTss2Selector},
      {"gate to a busy task", guest_t_call_gate, guest_t_call_gate_end, 0x8b, 0x67, GP, kTss2Selector},
      {"gate to an absent one", guest_t_call_gate, guest_t_call_gate_end, 0x09, 0x67, NP, kTss2Selector},
      {"IRET to one that is not busy", guest_t_iret, guest_t_iret_end, 0x89, 0x67, TS, kTss2Selector},
      {"IRET to an absent one", guest_t_iret, guest_t_iret_end, 0x0b, 0x67, NP, kTss2Selector},
      {"interrupt gate to a busy task", guest_t_int, guest_t_int_end, 0x8b, 0x67, GP, kTss2Selector},
  };
  for (const auto& t : rows) {
    running = t.what;
    Rig r;
    two_tasks(r, t.code, t.end);
    r.put<u8>(kGdt + kTss2Selector + 5, t.type);
    r.put<u16>(kGdt + kTss2Selector, t.limit);
    task_gate(r, kGdt + kGate, kTss2Selector);
    task_gate(r, kIdt + 8 * 0x40, kTss2Selector);
    if (t.code == guest_t_iret) {
      r.s.rflags |= NT;
      r.put<u16>(kTss, kTss2Selector);
    }
    CHECK(r.run() == Exit::Halt);
    SAME(r.halted_in(), t.vector);
    SAME(r.d(kStack - 16), t.error);
    SAME(r.d(kStack - 12), kCode);
    SAME(r.s.tr.selector, kTssSelector);
  }
  running = "gates that lead to no GDT task";
  for (const u16 target : {u16{0}, u16{0x64}}) {  // null, in the LDT
    Rig r;
    two_tasks(r, guest_t_call_gate, guest_t_call_gate_end);
    task_gate(r, kGdt + kGate, target);
    CHECK(r.run() == Exit::Halt);
    SAME(r.halted_in(), GP);
    SAME(r.d(kStack - 16), target);
  }
}

// Once the new registers are in place, what its selectors do wrong is the new task's fault.
void faults_of_the_new_task() {
  const struct {
    u32 slot;  // in the TSS
    u16 selector;
    int vector;
  } rows[] = {{0x4c, kData0, TS}, {0x4c, kAbsent, TS}, {0x54, kCode32 + 0x80, TS}, {0x54, kAbsent, NP}};
  for (const auto& t : rows) {
    Rig r;
    two_tasks(r, guest_t_jump, guest_t_jump_end);
    r.put<u16>(kTss2 + t.slot, t.selector);
    CHECK(r.run() == Exit::Halt);
    SAME(r.halted_in(), t.vector);
    SAME(r.s.tr.selector, kTss2Selector);
    SAME(r.d(kNewStack - 16), t.selector);
    SAME(r.d(kNewStack - 12), kUserCode);
  }
  running = "an LDT that is none";  // before there is a stack: no handler can be reached
  Rig r;
  two_tasks(r, guest_t_jump, guest_t_jump_end);
  r.put<u16>(kTss2 + 0x60, kData0);
  CHECK(r.run() == Exit::Shutdown);
}

void small_task() {
  Rig r;
  two_tasks(r, guest_t_jump, guest_t_jump_end);
  r.put<u64>(kGdt + kTss2Selector, 0x0000810000000000 | (kTss2 & 0xffff) << 16 | 0x2b);
  memset(r.ram + kTss2, 0, 0x68);
  r.load(0x7000 + 0x800, guest_t_stop, guest_t_stop_end);
  r.put<u16>(kTss2 + 0x0e, 0x7800);  // IP
  r.put<u16>(kTss2 + 0x10, 2);
  r.put<u16>(kTss2 + 0x12, 0x1234);  // AX
  r.put<u16>(kTss2 + 0x1a, 0x6800);  // SP
  const u16 segments[] = {kData0, kCode32, kData0, kData0};
  for (u32 n = 0; n < 4; ++n) r.put<u16>(kTss2 + 0x22 + 2 * n, segments[n]);
  r.segment(FS, kData0, 0xc093);
  r.s.gpr[RSI] = 0x55667788;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.rip, 0x7802);
  SAME(r.s.gpr[RAX], 0xffff1234);  // what 16 bits do not name is all ones
  SAME(r.s.gpr[RCX], 0xffff0000);
  SAME(r.s.seg[FS].selector, 0);
  SAME(r.d(kTss + 0x40), 0x55667788);  // the old one saved all of it
}

// The T bit: #DB before the first instruction, before an interrupt that waits, with BT alone.
void trap_bit() {
  for (const u8* code : {guest_t_jump, guest_t_call}) {
    Rig r;
    two_tasks(r, code, code + 8);
    r.put<u16>(kTss2 + 0x64, 1);
    r.put<u32>(kTss2 + 0x24, 2 | IF);
    r.s.dr6 |= 5;
    r.engine.set_state(r.s);
    r.engine.set_interrupt_line(true);
    CHECK(r.go() == Exit::Halt);
    SAME(r.halted_in(), DB);
    SAME(r.d(kNewStack - 12), kUserCode);
    SAME(r.s.dr6 & 0xf00f, kBt);
    r.engine.set_interrupt_line(false);
  }
  Rig none;
  two_tasks(none, guest_t_jump, guest_t_jump_end);
  none.put<u16>(kTss2 + 0x64, 0xfffe);
  CHECK(none.run() == Exit::Halt);
  SAME(none.halted_in(), -1);
}

// A #DB whose task has the T bit goes round for ever on a real CPU; here it ends.
void trap_bit_for_ever() {
  if (slice.instructions != 0) return;
  Rig r;
  two_tasks(r, guest_t_jump, guest_t_jump_end);
  r.put<u16>(kTss2 + 0x64, 1);
  task_gate(r, kIdt + 8 * DB, kGate + 0x20);
  r.put<u64>(kGdt + kGate + 0x20, r.q(kGdt + kTssSelector) & ~(u64{2} << 40));
  r.put<u16>(kTss + 0x64, 1);
  const Exit e = r.run();
  CHECK(e == Exit::Shutdown || e == Exit::Halt);
}

void into_v86() {
  Rig r;
  two_tasks(r, guest_t_jump, guest_t_jump_end);
  r.put<u32>(kTss2 + 0x24, 2 | VM);
  r.put<u32>(kTss2 + 0x20, 0x10);
  const u16 segments[] = {0x11, 0x2000, 0x22, 0x33, 0x44, 0x55};
  for (u32 n = 0; n < 6; ++n) r.put<u16>(kTss2 + 0x48 + 4 * n, segments[n]);
  r.put<u32>(kTss2 + 4, u32(kRsp0));
  r.put<u32>(kTss2 + 8, kData0);
  r.put<u8>(0x20010, 0xf4);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), GP);  // HLT at CPL 3
  SAME(r.d(kRsp0 - 36), 0x10);
  SAME(r.w(kRsp0 - 32), 0x2000);
  SAME(r.d(kRsp0 - 28) & VM, VM);
  SAME(r.w(kRsp0 - 20), 0x22);
  SAME(r.w(kRsp0 - 4), 0x55);
}

}  // namespace

void task_tests() {
  run_tests({
      {"JMP to a task", jump},
      {"CALL through a task gate", call_by_gate},
      {"interrupts through a task gate", interrupt_by_gate},
      {"task switches that are refused", refusals},
      {"faults of the new task", faults_of_the_new_task},
      {"16-bit task", small_task},
      {"T bit of a task", trap_bit},
      {"T bit for ever", trap_bit_for_ever},
      {"virtual-8086 task", into_v86},
  });
}

}  // namespace twinstep::soft::test
