// Changes of privilege in long mode: fast system calls, IRET and its many faults, call gates.
#include "sys-rig.h"

namespace twinstep::soft::test {

namespace {

// ---- fast system calls -------------------------------------------------------------------------
GUEST(syscall, 64, "syscall\nmov ebx, 3\nhlt");
GUEST(sysretq, 64, "mov r15, r11\n mov r14, rcx\nor r11, 0x10000\nsysretq");
GUEST(bare_hlt, 64, "hlt");

void syscall_and_back() {
  Rig r;
  r.long_mode(kUserCode, 3);
  r.load(kUserCode, guest_syscall, guest_syscall_end);
  r.load(kCode, guest_sysretq, guest_sysretq_end);
  r.s.star = u64{kUser32} << 48 | u64{kCode64} << 32;
  r.s.lstar = kCode;
  r.s.sfmask = IF | DF | CF;
  r.s.rflags = 2 | DF | CF | ZF;
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), GP);
  SAME(r.s.gpr[R14], kUserCode + 2);
  SAME(r.s.gpr[R15], 2 | DF | CF | ZF);
  SAME(r.s.gpr[RBX], 3);
  SAME(r.q(kRsp0 - 32), kUser64 | 3);
  SAME(r.q(kRsp0 - 8), kUserData | 3);
  SAME(r.q(kRsp0 - 24) & ~u64{RF}, 2 | DF | CF | ZF);

  Rig k;
  k.long_mode(kUserCode, 3);
  k.load(kUserCode, guest_syscall, guest_syscall_end);
  k.load(kCode, guest_bare_hlt, guest_bare_hlt_end);
  k.s.star = r.s.star;
  k.s.lstar = kCode;
  k.s.sfmask = DF | CF;
  k.s.rflags = 2 | DF | CF | ZF;
  CHECK(k.run() == Exit::Halt);
  SAME(k.s.rip, kCode + 1);
  SAME(k.s.rflags & ~u64{RF}, 2 | ZF);
  SAME(k.s.seg[CS].selector, kCode64);
  SAME(k.s.seg[SS].selector, kData0);
  SAME(k.s.gpr[RSP], kUserStack);

  Rig off;
  off.long_mode(kUserCode, 3);
  off.load(kUserCode, guest_syscall, guest_syscall_end);
  off.s.efer &= ~u64{EFER_SCE};
  CHECK(off.run() == Exit::Halt);
  SAME(off.halted_in(), UD);
}

GUEST(sysret_bad, 64, "movabs rcx, 0x800000000000\nsysretq");

void sysret_not_canonical() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_sysret_bad, guest_sysret_bad_end);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), GP);
  SAME(r.s.seg[CS].selector, kCode64);
  SAME(r.q(kStack - 40), kCode + 10);
}

GUEST(swapgs, 64, "swapgs\nrdgsbase rax\nwrgsbase rbx\nswapgs\nrdgsbase rcx\nhlt");

void swap_bases() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_swapgs, guest_swapgs_end);
  r.s.cr4 |= CR4_FSGSBASE;
  r.s.seg[GS].base = 0x1111;
  r.s.kernel_gs_base = 0xffff888000000000;
  r.s.gpr[RBX] = 0x3333;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RAX], 0xffff888000000000);
  SAME(r.s.gpr[RCX], 0x1111);
  SAME(r.s.kernel_gs_base, 0x3333);

  Rig u;
  u.long_mode(kUserCode, 3);
  u.load(kUserCode, guest_swapgs, guest_swapgs_end);
  CHECK(u.run() == Exit::Halt);
  SAME(u.halted_in(), GP);
}

GUEST(sysenter, 64, "sysenter");
GUEST(sysexitq, 64, "mov edx, 0x20010\nmov ecx, 0x38000\nrex.w sysexit");

void sysenter_and_back() {
  Rig r;
  r.long_mode(kUserCode, 3);
  r.load(kUserCode, guest_sysenter, guest_sysenter_end);
  r.load(kUserCode + 16, guest_bare_hlt, guest_bare_hlt_end);
  r.load(kCode, guest_sysexitq, guest_sysexitq_end);
  r.s.sysenter_cs = kCode64;
  r.s.sysenter_esp = kStack;
  r.s.sysenter_eip = kCode;
  r.s.rflags = 2 | IF;
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), GP);
  SAME(r.q(kRsp0 - 40), kUserCode + 16);
  SAME(r.q(kRsp0 - 32), (kCode64 + 32) | 3);
  SAME(r.q(kRsp0 - 24) & IF, 0);

  Rig none;
  none.long_mode(kUserCode, 3);
  none.load(kUserCode, guest_sysenter, guest_sysenter_end);
  CHECK(none.run() == Exit::Halt);
  SAME(none.halted_in(), GP);
}

// ---- IRET --------------------------------------------------------------------------------------
GUEST(bare_iretq, 64, "iretq");

struct Frame {
  u64 rip, cs, flags, rsp, ss;
};

void iret_fault(const Frame& f, int vector, u64 error) {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_bare_iretq, guest_bare_iretq_end);
  r.s.gpr[RSP] = kStack - 64;
  r.put<Frame>(kStack - 64, f);
  r.s.nmi_blocked = 1;
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), vector);
  SAME(r.q(r.s.gpr[RSP]), error);
  SAME(r.q(r.s.gpr[RSP] + 8), kCode);
  SAME(r.q(r.s.gpr[RSP] + 32), kStack - 64);
  SAME(r.s.nmi_blocked, 0);
}

void iret_edges() {
  const u64 user = kUser64 | 3, data = kUserData | 3;
  iret_fault({0x800000000000, user, 2, 0, data}, GP, 0);
  iret_fault({0, 0, 2, 0, data}, GP, 0);
  iret_fault({0, kAbsent, 2, 0, data}, GP, kAbsent);
  iret_fault({0, user, 2, 0, 0}, GP, 0);                    // null SS at CPL 3
  iret_fault({0, user, 2, 0, kData0}, GP, kData0);          // SS of the wrong level
  iret_fault({0, kCode64, 2 | NT, 0, kAbsent}, SSV, kAbsent);
  iret_fault({0, kUser64 | 2, 2, 0, data}, GP, kUser64);    // RPL and DPL differ

  Rig r;  // to CPL 3, with segments of the kernel dropped and flags as allowed
  r.long_mode(kCode);
  r.load(kCode, guest_bare_iretq, guest_bare_iretq_end);
  r.load(kUserCode, guest_bare_hlt, guest_bare_hlt_end);
  r.s.gpr[RSP] = kStack - 64;
  r.segment(DS, kUserData | 3, 0xc0f3);
  r.put<Frame>(kStack - 64, {kUserCode, user, 2 | IOPL | AC | ID | CF, kUserStack, data});
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), GP);
  SAME(r.q(kRsp0 - 24), u64{2} | IOPL | AC | ID | CF | RF);
  SAME(r.s.seg[ES].selector, 0);
  SAME(r.s.seg[DS].selector, data);

  Rig n;  // to 64-bit CPL 0 with a null SS
  n.long_mode(kCode);
  n.load(kCode, guest_bare_iretq, guest_bare_iretq_end);
  n.load(kCode + 0x100, guest_bare_hlt, guest_bare_hlt_end);
  n.s.gpr[RSP] = kStack - 64;
  n.put<Frame>(kStack - 64, {kCode + 0x100, kCode64, 2, kStack, 0});
  CHECK(n.run() == Exit::Halt);
  SAME(n.s.rip, kCode + 0x101);
  SAME(n.s.gpr[RSP], kStack);
}

GUEST(compat, 32, "mov eax, 0x11223344\npush eax\nmov ebx, esp\nud2");

void iret_to_compatibility() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_bare_iretq, guest_bare_iretq_end);
  r.load(kUserCode, guest_compat, guest_compat_end);
  r.s.gpr[RSP] = kStack - 64;
  r.put<Frame>(kStack - 64, {kUserCode, kUser32 | 3, 2, kUserStack, kUserData | 3});
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), UD);
  SAME(r.s.gpr[RBX], kUserStack - 4);
  SAME(r.d(kUserStack - 4), 0x11223344);
  SAME(r.q(kRsp0 - 32), kUser32 | 3);
}

// ---- far calls ---------------------------------------------------------------------------------
GUEST(call_far, 64, "call fword ptr [rdi]\nmov ebx, 5\nhlt");
GUEST(retfq, 64, "mov r12, rsp\nmov r13, [rsp]\nmov r14d, ss\n rex.w retf");

void call_gate_inner() {
  Rig r;
  r.long_mode(kUserCode, 3);
  r.load(kUserCode, guest_call_far, guest_call_far_end);
  r.load(kCode, guest_retfq, guest_retfq_end);
  r.put<u64>(kGdt + kGate, (kCode & 0xffff) | u64{kCode64} << 16 | u64{0xec} << 40 |
                               (kCode >> 16) << 48);
  r.put<u64>(kGdt + kGate + 8, 0);
  r.put<u32>(kData, 0);
  r.put<u16>(kData + 4, kGate | 3);
  r.s.gpr[RDI] = kData;
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), GP);  // the user's HLT
  SAME(r.s.gpr[RBX], 5);
  SAME(r.s.gpr[R12], kRsp0 - 32);
  SAME(r.s.gpr[R13], kUserCode + 2);
  SAME(r.s.gpr[R14], 0);
  SAME(r.q(kRsp0 - 16), kUserStack);

  Rig bad;  // upper half with a type: #GP(selector)
  bad.long_mode(kUserCode, 3);
  bad.load(kUserCode, guest_call_far, guest_call_far_end);
  bad.put<u64>(kGdt + kGate, r.q(kGdt + kGate));
  bad.put<u64>(kGdt + kGate + 8, u64{1} << 40);
  bad.put<u16>(kData + 4, kGate | 3);
  bad.s.gpr[RDI] = kData;
  CHECK(bad.run() == Exit::Halt);
  SAME(bad.halted_in(), GP);
  SAME(bad.q(kRsp0 - 48), kGate);
}

}  // namespace

void call_tests() {
  run_tests({
      {"SYSCALL, SYSRET", syscall_and_back},
      {"SYSRET to a bad address", sysret_not_canonical},
      {"SWAPGS", swap_bases},
      {"SYSENTER, SYSEXIT", sysenter_and_back},
      {"IRET edges", iret_edges},
      {"IRET to compatibility mode", iret_to_compatibility},
      {"64-bit call gate", call_gate_inner},
  });
}

}  // namespace twinstep::soft::test
