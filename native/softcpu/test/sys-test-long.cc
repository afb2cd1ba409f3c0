// Long mode: how it is entered, gates, IST, faults with their error codes, double and triple.
#include "sys-rig.h"

namespace twinstep::soft::test {

namespace {

// ---- from reset to 64-bit code -----------------------------------------------------------------
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

// ---- interrupts and privilege ------------------------------------------------------------------
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

// ---- error codes -------------------------------------------------------------------------------
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

// ---- double and triple faults ------------------------------------------------------------------
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
  });
}

}  // namespace twinstep::soft::test
