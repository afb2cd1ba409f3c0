// Table registers, leaving long mode, 32-bit fast calls, external events with bad gates.
#include "sys-rig.h"

namespace twinstep::soft::test {

namespace {

constexpr u64 kLdtAt = 0xc000;

GUEST(lldt, 64, "lldt ax\nsldt ebx\nmov ds, ecx\nhlt");
GUEST(ltr, 64, "ltr ax\nstr ebx\nhlt");
GUEST(lgdt, 64, "lgdt [rdi]\nsgdt [rsi]\nhlt");
GUEST(bare_hlt2, 64, "nop\nhlt");

int outcome(Rig& r, const u8* code, const u8* end, u16 selector) {
  r.long_mode(kCode);
  r.load(kCode, code, end);
  r.s.gpr[RAX] = selector;
  r.put<u64>(kLdtAt + 8, 0x00cf93000000ffff);
  r.s.gpr[RCX] = 0x0c;
  return r.run() == Exit::Halt ? r.halted_in() : -2;
}

void load_ldt() {
  {
    Rig r;
    r.put<u64>(kGdt + kGate, 0x0000820000000000 | kLdtAt << 16 | 0x17);
    SAME(outcome(r, guest_lldt, guest_lldt_end, kGate), -1);
    SAME(r.s.gpr[RBX], kGate);
    SAME(r.s.seg[DS].selector, 0x0c);
    SAME(r.s.ldtr.base, kLdtAt);
    SAME(r.q(kLdtAt + 8) >> 40 & 0xff, 0x93);
  }
  {
    Rig r;  // null: usable by no one
    SAME(outcome(r, guest_lldt, guest_lldt_end, 0), GP);
    SAME(r.q(kStack - 48), 0x0c);
  }
  {
    Rig r;  // not an LDT
    SAME(outcome(r, guest_lldt, guest_lldt_end, kData0), GP);
    SAME(r.q(kStack - 48), kData0);
  }
  {
    Rig r;  // absent
    r.put<u64>(kGdt + kGate, 0x0000020000000000 | kLdtAt << 16 | 0x17);
    SAME(outcome(r, guest_lldt, guest_lldt_end, kGate), NP);
  }
}

void load_task_register() {
  {
    Rig r;
    SAME(outcome(r, guest_ltr, guest_ltr_end, kTssSelector), -1);
    SAME(r.s.gpr[RBX], kTssSelector);
    SAME(r.get<u8>(kGdt + kTssSelector + 5), 0x8b);
    SAME(r.s.tr.attr & 0xff, 0x8b);
    r.s.halted = 0;
    r.s.rip = kCode;
    r.s.gpr[RSP] = kStack;
    CHECK(r.run() == Exit::Halt);  // busy now
    SAME(r.halted_in(), GP);
    SAME(r.q(kStack - 48), kTssSelector);
  }
  {
    Rig r;
    SAME(outcome(r, guest_ltr, guest_ltr_end, 0), GP);
    SAME(r.q(kStack - 48), 0);
  }
}

void table_registers() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_lgdt, guest_lgdt_end);
  r.put<u16>(kData, 0x7f);
  r.put<u64>(kData + 2, 0xffff888000005000);
  r.s.gpr[RDI] = kData;
  r.s.gpr[RSI] = kData + 32;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gdt_base, 0xffff888000005000);
  SAME(r.q(kData + 34), 0xffff888000005000);
  SAME(r.w(kData + 32), 0x7f);

  Rig bad;
  bad.long_mode(kCode);
  bad.load(kCode, guest_lgdt, guest_lgdt_end);
  bad.put<u64>(kData + 2, 0x800000000000);
  bad.s.gpr[RDI] = kData;
  CHECK(bad.run() == Exit::Halt);
  SAME(bad.halted_in(), GP);
  SAME(bad.s.gdt_base, kGdt);
}

// ---- out of long mode --------------------------------------------------------------------------
GUEST(leave_long, 32, R"(
  mov eax, cr0
  and eax, 0x7fffffff
  mov cr0, eax
  mov ecx, 0xc0000080
  rdmsr
  mov ebx, eax
  mov eax, cr0
  and al, 0xfe
  mov cr0, eax
  .byte 0xea
  .long real_again - guest_leave_long
  .word 0x1000
real_again:
  smsw esi
  lmsw si
  hlt
)");

void leave_long_mode() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_leave_long, guest_leave_long_end);
  r.segment(CS, kCode32, 0xc09b);
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.efer & EFER_LMA, 0);
  SAME(r.s.gpr[RBX] & 0xd00, EFER_LME | EFER_NXE);
  SAME(r.s.cr0 & (CR0_PE | CR0_PG), 0);
  SAME(r.s.seg[CS].selector, 0x1000);
  SAME(r.s.seg[CS].base, 0x10000);
  SAME(r.s.gpr[RSI] & 1, 0);
}

GUEST(lmsw, 32, "mov ax, 8\nlmsw ax\nsmsw ebx\nmov ax, 1\nlmsw ax\nsmsw ecx\nhlt");

void machine_status_word() {
  Rig r;
  r.protected32(kCode);
  r.load(kCode, guest_lmsw, guest_lmsw_end);
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RBX] & 0xf, CR0_PE | CR0_TS);  // PE stays
  SAME(r.s.gpr[RCX] & 0xf, CR0_PE);
}

// ---- 32-bit fast calls -------------------------------------------------------------------------
GUEST(sysenter_32, 32, "sysenter");
GUEST(sysexit_32, 32, "mov edx, 0x20010\nmov ecx, 0x38000\nsysexit");
GUEST(mark_32, 32, "mov ebx, 0x77\nhlt");

void fast_calls_32() {
  Rig r;
  r.protected32(kUserCode, 3);
  r.load(kUserCode, guest_sysenter_32, guest_sysenter_32_end);
  r.load(kUserCode + 16, guest_mark_32, guest_mark_32_end);
  r.load(kCode, guest_sysexit_32, guest_sysexit_32_end);
  r.s.sysenter_cs = kCode32;
  r.s.sysenter_esp = u64{1} << 32 | kStack;
  r.s.sysenter_eip = kCode;
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), GP);
  SAME(r.s.gpr[RBX], 0x77);
  SAME(r.d(kRsp0 - 16), (kCode32 + 16) | 3);
  SAME(r.d(kRsp0 - 8), kUserStack);
}

// ---- external events ---------------------------------------------------------------------------
void external_error_code() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_bare_hlt2, guest_bare_hlt2_end);
  r.gate64(0x30, 0x0e);  // absent
  r.s.rflags |= IF;
  r.engine.set_state(r.s);
  r.engine.interrupt(0x30);
  CHECK(r.go() == Exit::Halt);
  SAME(r.halted_in(), NP);
  SAME(r.q(r.s.gpr[RSP]), 0x30 * 8 + 3);
  SAME(r.q(r.s.gpr[RSP] + 8), kCode);
}

GUEST(nmi_return, 64, "iretq");

void nmi_return() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_bare_hlt2, guest_bare_hlt2_end);
  r.load(r.stub(NMI), guest_nmi_return, guest_nmi_return_end);
  r.engine.set_state(r.s);
  r.engine.nmi();
  CHECK(r.go() == Exit::Halt);
  SAME(r.s.rip, kCode + 2);
  SAME(r.s.nmi_blocked, 0);
}

// From compatibility mode the frame is the 64-bit one, on the aligned RSP0.
GUEST(compat_int, 32, "int3");

void interrupt_from_compatibility() {
  Rig r;
  r.long_mode(kUserCode, 3);
  r.load(kUserCode, guest_compat_int, guest_compat_int_end);
  r.segment(CS, kUser32 | 3, 0xc0fb);
  r.gate64(BP, 0xee);
  r.put<u64>(kTss + 4, kRsp0 + 5);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), BP);
  SAME(r.s.gpr[RSP], kRsp0 - 40);
  SAME(r.q(kRsp0 - 40), kUserCode + 1);
  SAME(r.s.seg[CS].selector, kCode64);
}

// A stack of which one page is missing: #PF inside #PF is a double fault.
GUEST(push_loop, 64, "push rax\nhlt");

void page_fault_on_page_fault() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_push_loop, guest_push_loop_end);
  r.put<u64>(kPt + 8 * 0x50, 0);
  r.s.gpr[RSP] = 0x51000;
  r.gate64(DF_, 0x8e, 1);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), DF_);
  SAME(r.q(kIst1 - 40), kCode);
  SAME(r.s.cr2, 0x50ff8);  // of the push inside the delivery: the same address
}

// ---- what counts (ICOUNT.md) -------------------------------------------------------------------
GUEST(count_hlt, 64, "nop\nhlt");
GUEST(count_int, 64, "int 0x80");
GUEST(count_fault, 64, "nop\nud2");
GUEST(count_loop, 64, "mov ecx, 3\nrdtsc\nsyscall\nhlt");

u64 counted(const u8* code, const u8* end, Exit expected = Exit::Halt) {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, code, end);
  r.load(kCode + 0x100, guest_bare_hlt2, guest_bare_hlt2_end);
  r.s.lstar = kCode + 0x100;
  r.s.star = u64{kCode64} << 32;
  if (expected == Exit::Shutdown) r.s.idt_limit = 0;
  const u64 start = r.s.icount;
  CHECK(r.run() == expected);
  return r.engine.icount() - start;
}

void counting() {
  SAME(counted(guest_count_hlt, guest_count_hlt_end), 2);
  SAME(counted(guest_count_int, guest_count_int_end), 1 + 1);      // INT, the stub's HLT
  SAME(counted(guest_count_fault, guest_count_fault_end), 1 + 1);  // NOP, the stub's HLT
  SAME(counted(guest_count_fault, guest_count_fault_end, Exit::Shutdown), 1);
  SAME(counted(guest_count_loop, guest_count_loop_end), 3 + 2);

  Rig r;  // delivery of an external interrupt and of an NMI count nothing
  r.long_mode(kCode);
  r.load(kCode, guest_bare_hlt2, guest_bare_hlt2_end);
  r.s.rflags |= IF;
  r.engine.set_state(r.s);
  const u64 start = r.engine.icount();
  r.engine.interrupt(0x20);
  r.engine.nmi();
  SAME(r.engine.icount(), start);
  CHECK(r.go() == Exit::Halt);
  SAME(r.engine.icount(), start + 1);
}

}  // namespace

void table_tests() {
  run_tests({
      {"LLDT", load_ldt},
      {"LTR", load_task_register},
      {"LGDT, SGDT", table_registers},
      {"out of long mode", leave_long_mode},
      {"LMSW, SMSW", machine_status_word},
      {"32-bit SYSENTER, SYSEXIT", fast_calls_32},
      {"EXT of an external interrupt", external_error_code},
      {"NMI and IRET", nmi_return},
      {"interrupt from compatibility mode", interrupt_from_compatibility},
      {"page fault on a page fault", page_fault_on_page_fault},
      {"what counts", counting},
  });
}

}  // namespace twinstep::soft::test
