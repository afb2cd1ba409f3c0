// Control registers, MSRs, CPUID, ports, stepping, breakpoints, shadows, random numbers.
#include "sys-rig.h"

namespace twinstep::soft::test {

namespace {

GUEST(set_cr0, 64, "mov cr0, rax\nhlt");
GUEST(set_cr3, 64, "mov cr3, rax\nhlt");
GUEST(set_cr4, 64, "mov cr4, rax\nhlt");
GUEST(set_cr8, 64, "mov cr8, rax\nmov rbx, cr8\nhlt");
GUEST(set_dr7, 64, "mov dr7, rax\nmov rbx, dr7\nhlt");
GUEST(get_dr5, 64, "mov rbx, dr5\nhlt");

// The vector of the fault `code` raises with rax = value, or -1 if it runs to its HLT.
int outcome(const u8* code, const u8* end, u64 rax, u64 cr4 = 0, u64 rcx = 0, u64 rdx = 0) {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, code, end);
  r.s.gpr[RAX] = rax;
  r.s.gpr[RCX] = rcx;
  r.s.gpr[RDX] = rdx;
  r.s.cr4 |= cr4;
  CHECK(r.run() == Exit::Halt);
  return r.halted_in();
}
#define OUTCOME(name, ...) outcome(guest_##name, guest_##name##_end, __VA_ARGS__)

void control_registers() {
  const u64 good = CR0_PE | CR0_PG | CR0_WP | CR0_NE;
  SAME(OUTCOME(set_cr0, good), -1);
  SAME(OUTCOME(set_cr0, good | u64{1} << 32), GP);
  SAME(OUTCOME(set_cr0, CR0_PG), GP);            // no PE
  SAME(OUTCOME(set_cr0, good | CR0_NW), GP);     // no CD
  SAME(OUTCOME(set_cr0, good & ~u64{CR0_PG}), GP);  // from 64-bit code
  SAME(OUTCOME(set_cr3, kPml4 | u64{1} << 40), GP);
  SAME(OUTCOME(set_cr3, kPml4), -1);
  SAME(OUTCOME(set_cr4, CR4_PGE), GP);           // no PAE in long mode
  SAME(OUTCOME(set_cr4, CR4_PAE | CR4_SMAP), GP);  // not announced
  SAME(OUTCOME(set_cr4, CR4_PAE | CR4_OSXSAVE | CR4_OSFXSR), -1);
  SAME(OUTCOME(set_cr8, 15), -1);
  SAME(OUTCOME(set_cr8, 16), GP);
  SAME(OUTCOME(set_dr7, 0x700), -1);
  SAME(OUTCOME(set_dr7, u64{1} << 32), GP);
  SAME(OUTCOME(set_dr7, 0x2400), DB);            // general detect hits the next access
  SAME(OUTCOME(get_dr5, 0), -1);
  SAME(OUTCOME(get_dr5, 0, CR4_DE), UD);
}

GUEST(wrmsr, 64, "wrmsr\nrdmsr\nhlt");
GUEST(rdmsr, 64, "rdmsr\nhlt");

int msr_write(u32 index, u64 value) { return OUTCOME(wrmsr, u32(value), 0, index, value >> 32); }

void msrs() {
  SAME(OUTCOME(rdmsr, 0, 0, 0x3a), GP);
  SAME(OUTCOME(rdmsr, 0, 0, 0xc0010015), GP);
  SAME(OUTCOME(rdmsr, 0, 0, 0xfe), -1);
  SAME(msr_write(0xfe, 0), GP);
  SAME(msr_write(0xc0000080, EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE), -1);
  SAME(msr_write(0xc0000080, EFER_SCE), GP);                       // LME while paging
  SAME(msr_write(0xc0000080, EFER_LME | EFER_LMA | 1 << 12), GP);  // SVME
  SAME(msr_write(0xc0000100, 0x800000000000), GP);
  SAME(msr_write(0xc0000102, 0xffff888000000000), -1);
  SAME(msr_write(0xc0000103, u64{1} << 32), GP);
  SAME(msr_write(0x277, 0x0007040600070406), -1);
  SAME(msr_write(0x277, 2), GP);
  SAME(msr_write(0x2ff, 0xc06), -1);
  SAME(msr_write(0x2ff, 0x102), GP);
  SAME(msr_write(0x200, 6), -1);
  SAME(msr_write(0x201, 0x800), -1);
  SAME(msr_write(0x201, 0x400), GP);
  SAME(msr_write(0x250, 0x0606060606060606), -1);
  SAME(msr_write(0x250, 0x0606060606060602), GP);
  SAME(msr_write(0x1b, 0xfee00900), GP);
  SAME(msr_write(0x8b, 0), -1);
  SAME(msr_write(0x1a0, 0), -1);
}

GUEST(xsetbv, 64, "xsetbv\nxor ecx, ecx\nxgetbv\nhlt");

void xcr0() {
  SAME(OUTCOME(xsetbv, 3), UD);
  SAME(OUTCOME(xsetbv, 3, CR4_OSXSAVE), -1);
  SAME(OUTCOME(xsetbv, 2, CR4_OSXSAVE), GP);
  SAME(OUTCOME(xsetbv, 7, CR4_OSXSAVE), GP);
  SAME(OUTCOME(xsetbv, 3, CR4_OSXSAVE, 1), GP);
}

GUEST(cpuid, 64, "cpuid\nhlt");

State cpuid_of(u32 leaf, u32 subleaf = 0) {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_cpuid, guest_cpuid_end);
  r.s.gpr[RAX] = u64{0xdead} << 32 | leaf;
  r.s.gpr[RCX] = subleaf;
  CHECK(r.run() == Exit::Halt);
  return r.s;
}

void cpuid_model() {
  State s = cpuid_of(0);
  SAME(s.gpr[RAX], 0x16);
  SAME(s.gpr[RBX], 0x756e6547);
  s = cpuid_of(1);
  SAME(s.gpr[RDX] & 1 << 9, 0);  // no APIC
  SAME(s.gpr[RCX] & 0x00982201, 0x00982201);
  s = cpuid_of(0x15);
  SAME(s.gpr[RCX] * s.gpr[RBX] / s.gpr[RAX], 1000000000);
  s = cpuid_of(0x80000001);
  SAME(s.gpr[RDX], 0x2c100800);
  s = cpuid_of(0x80000002);
  SAME(s.gpr[RAX], 0x6e697754);
  s = cpuid_of(4, 3);
  SAME(s.gpr[RAX], 0);
  s = cpuid_of(0xffffffff);
  SAME(s.gpr[RAX] | s.gpr[RBX] | s.gpr[RCX] | s.gpr[RDX], 0);
}

GUEST(random, 64, "rdrand rax\nsetc bl\nrdseed rcx\nrdrand edx\nhlt");

void random_numbers() {
  u64 first[3] = {};
  for (int round = 0; round < 2; ++round) {
    Rig r;
    r.long_mode(kCode);
    r.load(kCode, guest_random, guest_random_end);
    for (u64 n = 0; n < 4; ++n) r.s.rng[n] = n + 1;
    CHECK(r.run() == Exit::Halt);
    SAME(r.s.gpr[RAX], 11520);  // first output of xoshiro256** from 1, 2, 3, 4
    SAME(r.s.gpr[RBX], 1);
    SAME(r.s.gpr[RDX] >> 32, 0);
    const u64 now[3] = {r.s.gpr[RAX], r.s.gpr[RCX], r.s.gpr[RDX]};
    if (round == 0) memcpy(first, now, sizeof first);
    else CHECK(memcmp(first, now, sizeof first) == 0);
  }
}

GUEST(tsc, 64, "nop\nrdtsc\nmov r8d, eax\nrdtscp\nhlt");

void time_stamps() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_tsc, guest_tsc_end);
  r.s.tsc_base = 1000;
  r.s.tsc_icount = r.s.icount;
  r.s.tsc_mult = u64{2} << 32;
  r.s.tsc_aux = 77;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[R8], 1002);
  SAME(r.s.gpr[RAX], 1006);
  SAME(r.s.gpr[RCX], 77);

  Rig u;
  u.long_mode(kUserCode, 3);
  u.load(kUserCode, guest_tsc, guest_tsc_end);
  u.s.cr4 |= CR4_TSD;
  CHECK(u.run() == Exit::Halt);
  SAME(u.halted_in(), GP);
}

// ---- ports -------------------------------------------------------------------------------------
GUEST(ports, 64, "in al, 0x60\nmov bl, al\nmov dx, 0x3f8\nmov eax, 0x11223344\nout dx, ax\nhlt");

void port_access() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_ports, guest_ports_end);
  r.s.gpr[RAX] = 0xffffff00;
  const u64 start = r.s.icount;
  CHECK(r.run() == Exit::PortIn);
  SAME(r.s.rip, kCode);
  const u64 before = r.engine.icount();
  SAME(before, start);  // IN has not retired
  r.engine.complete_read(0x1234);
  const ExitRecord x = r.engine.run(before + 100);
  CHECK(x.reason == Exit::PortOut);
  SAME(x.address, 0x3f8);
  SAME(x.bytes, 2);
  SAME(x.value, 0x3344);
  SAME(r.engine.icount() - before, 5);
  CHECK(r.go() == Exit::Halt);
  SAME(r.s.gpr[RBX] & 0xff, 0x34);
}

int port_by_user(u16 map_base, u8 bits, u64 flags = 0) {
  Rig r;
  r.long_mode(kUserCode, 3);
  r.load(kUserCode, guest_ports, guest_ports_end);
  r.put<u16>(kTss + 0x66, map_base);
  r.put<u8>(kTss + 0x80 + 0x60 / 8, bits);
  r.s.rflags |= flags;
  const Exit reason = r.run();
  return reason == Exit::PortIn ? -1 : r.halted_in();
}

void port_permission() {
  SAME(port_by_user(0x80, 0xfe), -1);
  SAME(port_by_user(0x80, 0x01), GP);
  SAME(port_by_user(0x1f3, 0), GP);      // the second byte of the map is beyond the limit
  SAME(port_by_user(0x200, 0, IOPL), -1);
}

// ---- stepping ----------------------------------------------------------------------------------
GUEST(stepped, 64, "push rax\npopfq\nnop\nnop\nmov ss, ecx\nnop\npush rbx\npopfq\nnop\nhlt");
GUEST(count_steps, 64, "inc r15\nmov r14, [rsp]\niretq");

void single_step() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_stepped, guest_stepped_end);
  r.load(r.stub(DB), guest_count_steps, guest_count_steps_end);
  r.s.gpr[RAX] = 2 | TF;
  r.s.gpr[RBX] = 2;
  r.s.gpr[RCX] = kData0;
  r.s.gpr[R15] = 0;
  const u64 start = r.s.icount;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[R15], 5);  // the step of MOV SS is held back
  SAME(r.engine.icount() - start, 10 + 3 * r.s.gpr[R15]);  // traps count nothing
  SAME(r.s.gpr[R14], kCode + 9);                  // the last trap is behind the POPF that clears TF
  SAME(r.s.dr6 & 0x4000, 0x4000);
}

GUEST(watched, 64, "nop\nmov [rdi], eax\nmov ebx, 1\nmov ebx, 2\nhlt");

void breakpoints() {
  Rig r;  // data: trap behind the write
  r.long_mode(kCode);
  r.load(kCode, guest_watched, guest_watched_end);
  r.s.gpr[RDI] = kData;
  r.s.dr[0] = kData + 2;
  r.s.dr7 = 0x400 | 1 | 1 << 16;
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), DB);
  SAME(r.s.dr6 & 0xf, 1);
  SAME(r.q(kStack - 40), kCode + 3);

  Rig x;  // instruction: fault before it; the handler's IRET with RF goes past
  x.long_mode(kCode);
  x.load(kCode, guest_watched, guest_watched_end);
  x.s.gpr[RDI] = kData;
  x.s.dr[1] = kCode + 3;
  x.s.dr7 = 0x400 | 4;
  CHECK(x.run() == Exit::Halt);
  SAME(x.halted_in(), DB);
  SAME(x.s.dr6 & 0xf, 2);
  SAME(x.q(kStack - 40), kCode + 3);
  SAME(x.s.gpr[RBX], 0);
  x.s.rip = kCode + 3;
  x.s.gpr[RSP] = kStack;
  x.s.halted = 0;
  x.s.rflags |= RF;
  CHECK(x.run() == Exit::Halt);
  SAME(x.halted_in(), -1);
  SAME(x.s.gpr[RBX], 2);
}

// ---- shadows -----------------------------------------------------------------------------------
GUEST(sti_shadow, 64, "sti\nnop\nnop\nhlt");
GUEST(mov_ss, 64, "mov ss, eax\nmov ss, eax\nnop\nhlt");

// Instructions retired when the raised line is first taken.
u64 taken_after(const u8* code, const u8* end, u64 flags) {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, code, end);
  r.s.gpr[RAX] = kData0;
  r.s.rflags |= flags;
  const u64 start = r.s.icount;
  r.engine.set_state(r.s);
  r.engine.run(start + (flags & IF ? 1 : 0));
  r.engine.set_interrupt_line(true);
  const Exit reason = r.go();
  CHECK(reason == Exit::InterruptWindow);
  const u64 count = r.engine.icount() - start;
  r.engine.interrupt(0x20);
  r.engine.set_interrupt_line(false);
  CHECK(r.go() == Exit::Halt);
  SAME(r.halted_in(), 0x20);
  SAME(r.q(r.s.gpr[RSP] + 16) & IF, IF);
  return count;
}

void interrupt_shadows() {
  SAME(taken_after(guest_sti_shadow, guest_sti_shadow_end, 0), 2);
  SAME(taken_after(guest_mov_ss, guest_mov_ss_end, IF), 2);
}

GUEST(halt_if, 64, "sti\nhlt\nmov ebx, 1\nhlt");

void halt_wakes() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_halt_if, guest_halt_if_end);
  r.load(r.stub(0x20), r.ram + kStubs, r.ram + kStubs + 1);
  r.put<u8>(r.stub(0x20), 0x48);
  r.put<u8>(r.stub(0x20) + 1, 0xcf);  // iretq
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.rip, kCode + 2);
  SAME(r.s.halted, 1);
  r.engine.interrupt(0x20);
  CHECK(r.go() == Exit::Halt);
  SAME(r.s.gpr[RBX], 1);
}

void nmi_blocking() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_sti_shadow, guest_sti_shadow_end);
  r.engine.set_state(r.s);
  r.engine.nmi();
  r.engine.nmi();  // blocked
  r.engine.get_state(r.s);
  SAME(r.s.rip, r.stub(NMI));
  SAME(r.s.gpr[RSP], kStack - 40);
  SAME(r.s.nmi_blocked, 1);
}

// Tables outside RAM cannot be waited for during delivery.
void tables_in_nowhere() {
  Rig r;
  r.long_mode(kCode);
  r.load(kCode, guest_get_dr5, guest_get_dr5_end);
  r.s.cr4 |= CR4_DE;
  r.put<u64>(kPd + 8 * 8, u64{0xc0000000} | 0x87);
  r.s.idt_base = 8 << 21;
  CHECK(r.run() == Exit::Shutdown);
}

}  // namespace

void control_tests() {
  run_tests({
      {"control and debug registers", control_registers},
      {"MSRs", msrs},
      {"XCR0", xcr0},
      {"CPUID", cpuid_model},
      {"RDRAND, RDSEED", random_numbers},
      {"RDTSC", time_stamps},
      {"IN, OUT", port_access},
      {"I/O permission", port_permission},
      {"single step", single_step},
      {"breakpoints", breakpoints},
      {"interrupt shadow", interrupt_shadows},
      {"HLT wakes", halt_wakes},
      {"NMI blocking", nmi_blocking},
      {"tables outside RAM", tables_in_nowhere},
  });
}

}  // namespace twinstep::soft::test
