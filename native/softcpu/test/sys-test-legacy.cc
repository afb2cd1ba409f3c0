// Real, virtual-8086 and 32-bit protected mode: IVT, unreal limits, gates with parameters, tasks.
#include "sys-rig.h"

namespace twinstep::soft::test {

namespace {

// ---- real mode ---------------------------------------------------------------------------------
GUEST(real_int, 16, "stc\nsti\nint 0x21\nhlt");
GUEST(real_handler, 16, "mov bp, sp\nmov ax, [bp]\nmov bx, [bp+4]\npushf\npop cx\niret");

void real_interrupt() {
  Rig r;
  r.segment(CS, 0x100, 0x9b, 0xffff, 0x1000);
  r.load(0x1000, guest_real_int, guest_real_int_end);
  r.load(0x2000, guest_real_handler, guest_real_handler_end);
  r.put<u16>(0x21 * 4, 0x0);
  r.put<u16>(0x21 * 4 + 2, 0x200);
  r.s.rip = 0;
  r.s.gpr[RSP] = 0xabcd0100;
  r.s.rflags = 2;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RAX], 4);                        // return IP
  SAME(r.s.gpr[RBX] & 0xffff, 2 | IF | CF);     // pushed flags
  SAME(r.s.gpr[RCX] & (IF | TF), 0);
  SAME(r.s.rflags & (IF | CF), IF | CF);
  SAME(r.s.gpr[RSP], 0xabcd0100);
  SAME(r.s.seg[CS].selector, 0x100);
}

GUEST(real_limit, 16, ".byte 0x67\nmov al, [ebx]\nhlt");

void unreal_limit() {
  Rig r;
  r.segment(CS, 0, 0x9b, 0xffff);
  r.load(0x1000, guest_real_limit, guest_real_limit_end);
  r.put<u16>(GP * 4, 0x3000);
  r.put<u8>(0x3000, 0xf4);
  r.s.rip = 0x1000;
  r.s.gpr[RSP] = 0x800;
  r.s.gpr[RBX] = 0x100000;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.rip, 0x3001);  // #GP through the IVT, no error code
  SAME(r.s.gpr[RSP], 0x800 - 6);
  SAME(r.w(0x800 - 6), 0x1000);

  Rig big;
  big.segment(CS, 0, 0x9b, 0xffff);
  big.segment(DS, 0, 0xc093);
  big.load(0x1000, guest_real_limit, guest_real_limit_end);
  big.put<u8>(0x100000, 0x5a);
  big.s.rip = 0x1000;
  big.s.gpr[RBX] = 0x100000;
  CHECK(big.run() == Exit::Halt);
  SAME(big.s.gpr[RAX] & 0xff, 0x5a);
}

GUEST(unreal_keep, 16, "mov ax, 0x10\nmov ds, ax\nmov al, [si]\n.byte 0x67\nmov ah, [ebx]\nhlt");

void unreal_survives_load() {
  Rig r;
  r.segment(CS, 0, 0x9b, 0xffff);
  r.segment(DS, 0, 0xc093);
  r.load(0x1000, guest_unreal_keep, guest_unreal_keep_end);
  r.put<u8>(0x103, 0x77);
  r.put<u8>(0x100100, 0x66);
  r.s.rip = 0x1000;
  r.s.gpr[RSI] = 3;
  r.s.gpr[RBX] = 0x100000;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RAX] & 0xffff, 0x6677);
  SAME(r.s.seg[DS].base, 0x100);
}

void real_triple() {
  Rig r;
  r.segment(CS, 0, 0x9b, 0xffff);
  r.load(0x1000, guest_real_int, guest_real_int_end);
  r.s.rip = 0x1000;
  r.s.idt_limit = 0;
  CHECK(r.run() == Exit::Shutdown);
}

// ---- 32-bit protected mode ---------------------------------------------------------------------
GUEST(int80_32, 32, "int 0x80\nmov ebx, 9\nhlt");
GUEST(iretd, 32, "mov edx, [esp+12]\niretd");

void interrupt_32() {
  Rig r;
  r.protected32(kUserCode, 3);
  r.load(kUserCode, guest_int80_32, guest_int80_32_end);
  r.gate32(0x80, 0xee);
  r.load(r.stub(0x80), guest_iretd, guest_iretd_end);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), GP);
  SAME(r.s.gpr[RBX], 9);
  SAME(r.s.gpr[RDX], kUserStack);
  SAME(r.d(kRsp0 - 4), kUserData | 3);
  SAME(r.d(kRsp0 - 12) & 0xffff, 2);
  SAME(r.d(kRsp0 - 16), kUser32 | 3);
  SAME(r.d(kRsp0 - 20), kUserCode + 7);
  SAME(r.d(kRsp0 - 24), 0);
  SAME(r.s.seg[SS].selector, kData0);
}

GUEST(limit_32, 32, "mov eax, [0x2000]\nhlt");

void limits_32() {
  Rig r;
  r.protected32(kCode);
  r.load(kCode, guest_limit_32, guest_limit_32_end);
  r.segment(DS, kData0, 0x4093, 0x1fff);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), GP);
  SAME(r.d(kStack - 16), 0);
  SAME(r.d(kStack - 12), kCode);

  Rig down;  // expand-down: valid above the limit
  down.protected32(kCode);
  down.load(kCode, guest_limit_32, guest_limit_32_end);
  down.segment(DS, kData0, 0x4097, 0x1fff);
  CHECK(down.run() == Exit::Halt);
  SAME(down.s.rip, kCode + 6);
}

void stack_fault_32() {
  Rig r;  // the inner stack is too small for any frame: #SS on #SS, then #DF, then nothing left
  r.protected32(kUserCode, 3);
  r.load(kUserCode, guest_int80_32, guest_int80_32_end);
  r.gate32(0x80, 0xee);
  r.put<u64>(kGdt + kAbsent, 0x00409300000000ff);  // 256 bytes
  r.put<u32>(kTss + 4, 0x110);
  r.put<u32>(kTss + 8, kAbsent);
  CHECK(r.run() == Exit::Shutdown);  // #SS, #SS -> #DF, #SS -> shutdown
}

GUEST(params_32, 32, R"(
  push 0x33333333
  push 0x22222222
  .byte 0x9a
  .long 0
  .word 0x53
  mov ebx, esp
  hlt
)");
GUEST(retf_8, 32, "mov esi, [esp+8]\nmov edi, [esp+12]\nmov ecx, [esp+16]\nretf 8");

void call_gate_32() {
  Rig r;
  r.protected32(kUserCode, 3);
  r.load(kUserCode, guest_params_32, guest_params_32_end);
  r.load(kCode, guest_retf_8, guest_retf_8_end);
  r.put<u64>(kGdt + kGate, (kCode & 0xffff) | u64{kCode32} << 16 | u64{2} << 32 |
                               u64{0xec} << 40 | (kCode >> 16) << 48);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), GP);
  SAME(r.s.gpr[RSI], 0x22222222);
  SAME(r.s.gpr[RDI], 0x33333333);
  SAME(r.s.gpr[RCX], kUserStack - 8);
  SAME(r.s.gpr[RBX], kUserStack);  // parameters released on both stacks
}

GUEST(not_present, 32, "mov es, eax\nhlt");

void loads_32() {
  const struct {
    u16 selector;
    int vector;
    u32 error;
  } cases[] = {{kAbsent, NP, kAbsent}, {0x80, GP, 0x80}, {0x0c, GP, 0x0c}, {0, -1, 0},
               {kTssSelector, GP, kTssSelector}};
  for (const auto& t : cases) {
    Rig r;
    r.protected32(kCode);
    r.load(kCode, guest_not_present, guest_not_present_end);
    r.s.gpr[RAX] = t.selector;
    CHECK(r.run() == Exit::Halt);
    SAME(r.halted_in(), t.vector);
    if (t.vector >= 0) SAME(r.d(kStack - 16), t.error);
  }
}

GUEST(ask, 32, R"(
  lar eax, ecx
  setz bl
  lsl edx, ecx
  setz bh
  verr cx
  setz ch
  verw si
  setz cl
  arpl di, bp
  hlt
)");

void questions() {
  Rig r;
  r.protected32(kCode);
  r.load(kCode, guest_ask, guest_ask_end);
  r.s.gpr[RCX] = kTssSelector;
  r.s.gpr[RSI] = kData0;
  r.s.gpr[RDI] = 0x10;
  r.s.gpr[RBP] = 3;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RAX], 0x8900);
  SAME(r.s.gpr[RBX] & 0xffff, 0x0101);
  SAME(r.s.gpr[RDX], 0x1ff);
  SAME(r.s.gpr[RCX] & 0xffff, 0x0001);  // a TSS is not readable, data is writable
  SAME(r.s.gpr[RDI], 0x13);
}

// ---- virtual-8086 mode -------------------------------------------------------------------------
GUEST(v86_code, 16, "mov ax, ds\nint 0x30\nhlt");
GUEST(bare_iretd, 32, "iretd");

void v86_round(u64 flags_iopl, int vector) {
  Rig r;
  r.protected32(kCode);
  r.load(kCode, guest_bare_iretd, guest_bare_iretd_end);
  r.load(0x20010, guest_v86_code, guest_v86_code_end);
  r.gate32(0x30, 0xee);
  r.s.gpr[RSP] = kStack - 36;
  const u32 frame[] = {0x10, 0x2000, u32(2 | VM | flags_iopl), 0x100, 0x300,
                       0x11, 0x22, 0x33, 0x44};
  for (u32 n = 0; n < 9; ++n) r.put<u32>(kStack - 36 + 4 * n, frame[n]);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), vector);
  SAME(r.s.gpr[RAX], 0x22);
  SAME(r.d(kRsp0 - 4), 0x44);    // GS
  SAME(r.d(kRsp0 - 16), 0x11);   // ES
  SAME(r.d(kRsp0 - 20), 0x300);  // SS
  SAME(r.d(kRsp0 - 24), 0x100);
  SAME(r.d(kRsp0 - 28) & VM, VM);
  SAME(r.d(kRsp0 - 32), 0x2000);
  SAME(r.d(kRsp0 - 36), vector == 0x30 ? 0x14 : 0x12);
  SAME(r.s.seg[DS].selector, 0);
  SAME(r.s.rflags & VM, 0);
}

void v86() {
  v86_round(IOPL, 0x30);
  v86_round(0, GP);
}

// ---- tasks -------------------------------------------------------------------------------------
GUEST(jump_task, 32, ".byte 0x9a\n.long 0\n.word 0x60\nmov ebx, 4\nhlt");
GUEST(other_task, 32, "mov eax, [0xa000]\npushfd\npop edx\niretd");

void task_switches() {
  Rig r;
  r.protected32(kCode);
  r.load(kCode, guest_jump_task, guest_jump_task_end);
  r.load(kUserCode, guest_other_task, guest_other_task_end);
  r.put<u32>(kTss2 + 0x20, u32(kUserCode));
  r.put<u32>(kTss2 + 0x24, 2);
  r.put<u32>(kTss2 + 0x38, u32(kStack - 0x800));
  const u16 segments[] = {kData0, kCode32, kData0, kData0, 0, 0};
  for (u32 n = 0; n < 6; ++n) r.put<u16>(kTss2 + 0x48 + 4 * n, segments[n]);
  r.put<u8>(kGdt + kTssSelector + 5, 0x8b);
  r.s.gpr[RSI] = 0x5151;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.rip, kCode + 7 + 6);
  SAME(r.s.gpr[RBX], 4);
  SAME(r.s.gpr[RSI], 0x5151);
  SAME(r.w(kTss2), kTssSelector);                       // link back
  SAME(r.d(kTss2 + 0x28), kTssSelector);                // EAX the task had read
  SAME(r.d(kTss2 + 0x30) & NT, NT);                     // EDX: it ran nested
  SAME(r.d(kTss2 + 0x24) & NT, 0);                      // left by IRET
  SAME(r.get<u8>(kGdt + kTss2Selector + 5), 0x89);      // free again
  SAME(r.get<u8>(kGdt + kTssSelector + 5), 0x8b);
  SAME(r.s.tr.selector, kTssSelector);
  SAME(r.s.cr0 & CR0_TS, CR0_TS);
}

}  // namespace

void legacy_tests() {
  run_tests({
      {"real-mode interrupt", real_interrupt},
      {"real-mode limit", unreal_limit},
      {"unreal mode survives a load", unreal_survives_load},
      {"real-mode triple fault", real_triple},
      {"32-bit interrupt to CPL 0 and back", interrupt_32},
      {"32-bit limits", limits_32},
      {"32-bit inner stack too small", stack_fault_32},
      {"32-bit call gate with parameters", call_gate_32},
      {"32-bit segment loads", loads_32},
      {"LAR LSL VERR VERW ARPL", questions},
      {"virtual-8086 mode", v86},
      {"task switch", task_switches},
  });
}

}  // namespace twinstep::soft::test
