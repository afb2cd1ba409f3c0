// Long mode: gates, IST, faults with their error codes, fast calls, IRET, stepping, shadows.
#include "sys-rig.h"

namespace twinstep::soft::test {

namespace {

// ---- from reset to 64-bit code ------------------------------------------------------------------
GUEST(boot, 16, R"(
  cli
  xor ax, ax
  mov ds, ax
  lgdt [0xb000]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  .byte 0xea            # far jump to 32-bit code
  .word 0x7c00 + (boot32 - guest_boot), 0x18
boot32:
  .code32
  mov ax, 0x10
  mov ds, ax
  mov ss, ax
  mov esp, 0x3c000
  mov eax, 0x20         # PAE
  mov cr4, eax
  mov eax, 0x1000
  mov cr3, eax
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x100         # LME
  wrmsr
  mov eax, cr0
  or eax, 0x80000000
  mov cr0, eax
  .byte 0xea            # far jump to 64-bit code
  .long 0x7c00 + (boot64 - guest_boot)
  .word 0x08
boot64:
  .code64
  mov rax, 0x123456789abcdef0
  push rax
  hlt
)");

void boot_to_long() {
  Rig r;
  r.gdt();
  r.map();
  r.put<u16>(kData, 0x7f);
  r.put<u32>(kData + 2, kGdt);
  r.load(0x7c00, guest_boot, guest_boot_end);
  r.segment(CS, 0, 0x9b, 0xffff);
  r.s.rip = 0x7c00;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RAX], 0x123456789abcdef0);
  SAME(r.s.efer & (EFER_LMA | EFER_LME), EFER_LMA | EFER_LME);
  SAME(r.s.seg[CS].selector, kCode64);
  SAME(r.s.gpr[RSP], kStack - 8);
  SAME(r.q(kStack - 8), 0x123456789abcdef0);
  SAME(r.q(kGdt + kCode64) >> 40 & 1, 1);  // accessed
}

// ---- interrupts and privilege -------------------------------------------------------------------
GUEST(int80, 64, "mov eax, 7\nint 0x80\nmov ebx, 9\nhlt");
GUEST(iretq, 64, "add eax, 1\niretq");

void interrupt_inner_and_back() {
  Rig r;
  r.long_mode(kUserCode, 3);
  r.load(kUserCode, guest_int80, guest_int80_end);
  r.gate64(0x80, 0xee);
  CHECK(r.run() == Exit::Halt || r.s.halted);
  SAME(r.halted_in(), 0x80);
  SAME(r.s.seg[CS].selector, kCode64);
  SAME(r.s.seg[SS].selector, 0);
  SAME(r.s.gpr[RSP], kRsp0 - 40);
  SAME(r.q(kRsp0 - 8), kUserData | 3);
  SAME(r.q(kRsp0 - 16), kUserStack);
  SAME(r.q(kRsp0 - 24), 0x2);
  SAME(r.q(kRsp0 - 32), kUser64 | 3);
  SAME(r.q(kRsp0 - 40), kUserCode + 7);

  Rig b;
  b.long_mode(kUserCode, 3);
  b.load(kUserCode, guest_int80, guest_int80_end);
  b.gate64(0x80, 0xee);
  b.load(b.stub(0x80), guest_iretq, guest_iretq_end);
  CHECK(b.run() == Exit::Halt);
  SAME(b.halted_in(), GP);  // the user's HLT
  SAME(b.s.gpr[RAX], 8);
  SAME(b.s.gpr[RBX], 9);
  SAME(b.q(kRsp0 - 48), 0);
  SAME(b.q(kRsp0 - 16), kUserStack);
}

void gate_privilege() {
  Rig r;
  r.long_mode(kUserCode, 3);
  r.load(kUserCode, guest_int80, guest_int80_end);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), GP);
  SAME(r.q(kRsp0 - 48), 0x80 * 8 + 2);
  SAME(r.q(kRsp0 - 40), kUserCode + 5);  // the INT itself
}

GUEST(ud2_misaligned, 64, "sub rsp, 3\nud2");

void ist_and_alignment() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_ud2_misaligned, guest_ud2_misaligned_end);
  r.gate64(UD, 0x8e, 1);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), UD);
  SAME(r.s.gpr[RSP], kIst1 - 40);
  SAME(r.q(kIst1 - 16), kStack - 3);
  SAME(r.q(kIst1 - 8), kData0);  // no change of privilege: SS stays
  SAME(r.s.seg[SS].selector, kData0);
  SAME(r.q(kIst1 - 24) & RF, RF);

  Rig b;
  b.long_mode(kCode);
  b.load(kCode, guest_ud2_misaligned, guest_ud2_misaligned_end);
  CHECK(b.run() == Exit::Halt);
  SAME(b.s.gpr[RSP], kStack - 16 - 40);
}

// ---- error codes --------------------------------------------------------------------------------
GUEST(load_ds, 64, "mov ds, eax\nhlt");

void fault_of_load(u16 selector, int vector, u64 error) {
  Rig r;
  r.long_mode(kUserCode, 3);
  r.load(kUserCode, guest_load_ds, guest_load_ds_end);
  r.s.gpr[RAX] = selector;
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), vector);
  SAME(r.q(kRsp0 - 48), error);
  SAME(r.q(kRsp0 - 40), kUserCode);
  SAME(r.s.seg[DS].selector, kUserData | 3);
}

void segment_faults() {
  fault_of_load(0x83, GP, 0x80);            // beyond the table
  fault_of_load(0x0c, GP, 0x0c);            // no LDT
  fault_of_load(kData0 | 3, GP, kData0);    // privilege
  fault_of_load(kTssSelector, GP, kTssSelector);
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_load_ds, guest_load_ds_end);
  r.s.gpr[RAX] = kAbsent;
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), NP);
  SAME(r.q(kStack - 48), kAbsent);
}

GUEST(touch, 64, "mov [rdi], eax\nhlt");

void page_faults() {
  Rig r;
  r.long_mode(kUserCode, 3);
  r.load(kUserCode, guest_touch, guest_touch_end);
  r.put<u64>(kPt + 8 * 0x50, 0x50000 | 5);  // user, read-only
  r.s.gpr[RDI] = 0x50010;
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), PFV);
  SAME(r.q(kRsp0 - 48), 7);
  SAME(r.s.cr2, 0x50010);
  SAME(r.q(kRsp0 - 40), kUserCode);
}

// ---- double and triple faults -------------------------------------------------------------------
void double_fault() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_load_ds, guest_load_ds_end);
  r.s.gpr[RAX] = 0xf0;       // #GP ...
  r.gate64(GP, 0x0e);        // ... whose gate is absent: #NP, hence #DF
  r.gate64(DF_, 0x8e, 1);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), DF_);
  SAME(r.q(kIst1 - 48), 0);
  SAME(r.q(kIst1 - 40), kCode);
}

void serial_faults() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_ud2_misaligned, guest_ud2_misaligned_end);
  r.gate64(UD, 0x0e);  // #UD is benign: the #NP that follows is delivered, with EXT
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), NP);
  SAME(r.q(r.s.gpr[RSP]), UD * 8 + 3);
}

void triple_fault() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_ud2_misaligned, guest_ud2_misaligned_end);
  r.s.idt_limit = 0;
  CHECK(r.run() == Exit::Shutdown);
  CHECK(r.s.in_shutdown == 1);
  SAME(r.s.rip, kCode + 4);
  SAME(r.s.gpr[RSP], kStack - 3);
  CHECK(r.go() == Exit::Shutdown);  // for good
}

void stack_gone() {
  Rig r;
  r.long_mode(kUserCode, 3);
  r.load(kUserCode, guest_int80, guest_int80_end);
  r.gate64(0x80, 0xee);
  r.put<u64>(kTss + 4, u64{0x8000000000000000});  // RSP0 not canonical
  r.gate64(SSV, 0x8e, 1);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), SSV);
  SAME(r.q(kIst1 - 48), 0);
}

// ---- fast system calls --------------------------------------------------------------------------
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

// ---- IRET ---------------------------------------------------------------------------------------
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

// ---- far calls ----------------------------------------------------------------------------------
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

void long_tests() {
  run_tests({
      {"reset to long mode", boot_to_long},
      {"interrupt to CPL 0 and back", interrupt_inner_and_back},
      {"gate privilege", gate_privilege},
      {"IST and stack alignment", ist_and_alignment},
      {"segment load faults", segment_faults},
      {"page fault", page_faults},
      {"double fault", double_fault},
      {"serial faults", serial_faults},
      {"triple fault", triple_fault},
      {"stack not canonical", stack_gone},
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
