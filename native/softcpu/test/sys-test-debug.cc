// Debug exceptions where they meet the engine's own contract: what is pending or held back belongs to the
// state, comes before interrupts, and is the same however a run is cut. What a guest sees in both rings
// stands in test/guests/metal/debug.c. Rules: CORNERS.md.
#include "sys-rig.h"

namespace twinstep::soft::test {

namespace {

constexpr u64 kB0 = 1, kBs = 1u << 14;

GUEST(d_load_ss, 64, "mov ss, [rdi]\nnop\nnop\nhlt");
GUEST(d_pop_ss, 16, "push ss\npop ss\nnop\nnop\npushf\npop ax\nand ah, 0xfe\npush ax\npopf\nhlt");
GUEST(d_repeat, 64, "rep stosb\nhlt");
GUEST(d_sysret, 64, "sysretq\nhlt");

// What is held back after MOV SS stands in the state, and is found there again.
void held_in_the_state() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_d_load_ss, guest_d_load_ss_end);
  r.put<u16>(kData, kData0);
  r.s.gpr[RDI] = kData;
  r.s.dr[0] = kData;
  r.s.dr7 = 0x400 | 2 | 0xf << 16;
  r.s.rflags |= TF;
  const u64 start = r.s.icount;
  CHECK(r.run(1) == Exit::Limit);
  SAME(r.s.shadow, kShadowInterrupts | kShadowDebug);
  SAME(r.s.debug_pending, 1);
  Rig other;  // goes on elsewhere
  memcpy(other.ram, r.ram, 0x40000);
  other.engine.memory_written(0, 0x40000);
  other.s = r.s;
  CHECK(other.run() == Exit::Halt);
  SAME(other.halted_in(), DB);
  SAME(other.s.dr6 & 0xf00f, kBs | kB0);
  SAME(other.engine.icount() - start, 3);  // MOV SS, NOP, the stub's HLT
  SAME(other.s.debug_pending, 0);
}

void states_that_cannot_be() {
  Rig r;
  r.long_mode(kCode);
  State s = r.s;
  s.shadow = 4;
  CHECK(r.engine.set_state(s) != nullptr);
  s = r.s;
  s.debug_pending = 0x10;
  CHECK(r.engine.set_state(s) != nullptr);
  s = r.s;
  s.shadow = kShadowDebug;
  s.debug_pending = kPendingTask | kPendingStep | 15;
  CHECK(r.engine.set_state(s) == nullptr);
}

// An interrupt that waits comes after the #DB, and not in between.
void before_interrupts() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_d_sysret, guest_d_sysret_end);
  r.s.star = u64{kUser32} << 48;
  r.s.gpr[RCX] = kUserCode;
  r.s.gpr[R11] = 2 | IF | TF;
  r.engine.set_state(r.s);
  r.engine.set_interrupt_line(true);
  CHECK(r.go() == Exit::Halt);
  SAME(r.halted_in(), DB);
  SAME(r.q(kRsp0 - 40), kUserCode);
  SAME(r.s.dr6 & 0xf00f, kBs);
  r.engine.set_interrupt_line(false);
}

void pop_ss_in_real_mode() {
  Rig r;
  r.segment(CS, 0, 0x9b, 0xffff);
  r.load(0x1000, guest_d_pop_ss, guest_d_pop_ss_end);
  r.put<u32>(4 * DB, 0x2000);
  const u8 count_and_return[] = {0x66, 0x43, 0xcf};  // inc ebx; iret
  r.load(0x2000, count_and_return, count_and_return + sizeof count_and_return);
  r.s.rip = 0x1000;
  r.s.gpr[RSP] = 0x8000;
  r.s.gpr[RBX] = 0;
  r.s.rflags = 2 | TF;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RBX], 8);  // ten instructions but POP SS and, TF being off again, HLT
}

// RF is set between the iterations of a REP instruction, in what an interrupt pushes and in the state.
void resume_between_iterations() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_d_repeat, guest_d_repeat_end);
  r.s.gpr[RCX] = 5;
  r.s.gpr[RDI] = kData;
  r.s.rflags |= IF;
  CHECK(r.run(2) == Exit::Limit);
  SAME(r.s.gpr[RCX], 3);
  SAME(r.s.rflags & RF, RF);
  r.engine.interrupt(0x20);
  CHECK(r.go() == Exit::Halt);
  SAME(r.q(r.s.gpr[RSP] + 16) & RF, RF);

  Rig last;
  last.long_mode(kCode);
  last.load(kCode, guest_d_repeat, guest_d_repeat_end);
  last.s.gpr[RCX] = 2;
  last.s.gpr[RDI] = kData;
  CHECK(last.run(2) == Exit::Limit);
  SAME(last.s.rip, kCode + 2);
  SAME(last.s.rflags & RF, 0);
}

// A breakpoint's address is linear: with a base, and round the end of 4 GiB.
void breakpoint_addresses() {
  const struct {
    u64 base, dr;
  } rows[] = {{0x100000, 0x100000 + kCode}, {0xfffff000, kCode - 0x1000}};
  for (const auto& t : rows) {
    Rig r;
    r.protected32(kCode);
    r.segment(CS, kCode32, 0xc09b, 0xffffffff, t.base);
    r.put<u8>(u32(t.base + kCode), 0xf4);
    r.s.dr[2] = t.dr;
    r.s.dr7 = 0x400 | 0x20;
    CHECK(r.run() == Exit::Halt);
    SAME(r.halted_in(), DB);
    SAME(r.s.dr6 & 0xf00f, 4);
    SAME(r.d(kStack - 12), kCode);
  }
}

}  // namespace

void debug_tests() {
  run_tests({
      {"held back by MOV SS, in the state", held_in_the_state},
      {"debug states that cannot be", states_that_cannot_be},
      {"#DB before interrupts", before_interrupts},
      {"POP SS in real mode, stepped", pop_ss_in_real_mode},
      {"RF between iterations", resume_between_iterations},
      {"breakpoint addresses", breakpoint_addresses},
  });
}

}  // namespace twinstep::soft::test
