#include "vtx/state.h"

#include <cstring>

#include "softcpu/sys.h"

namespace twinstep::vtx {

namespace {

using soft::Segment;
using soft::State;

kvm_segment to_kvm(const Segment& from) {
  kvm_segment to{};
  to.base = from.base;
  to.limit = from.limit;
  to.selector = from.selector;
  to.type = from.attr & 15;
  to.s = from.attr >> 4 & 1;
  to.dpl = from.attr >> 5 & 3;
  to.present = from.attr >> 7 & 1;
  to.avl = from.attr >> 12 & 1;
  to.l = from.attr >> 13 & 1;
  to.db = from.attr >> 14 & 1;
  to.g = from.attr >> 15 & 1;
  to.unusable = (from.attr >> 16 & 1) || !to.present;
  return to;
}

Segment from_kvm(const kvm_segment& from) {
  Segment to{};
  to.base = from.base;
  to.limit = from.limit;
  to.selector = from.selector;
  to.attr = from.type | u32{from.s} << 4 | u32{from.dpl} << 5 | u32{from.present} << 7 |
            u32{from.avl} << 12 | u32{from.l} << 13 | u32{from.db} << 14 | u32{from.g} << 15;
  // A null selector in the form the software engine gives it; KVM's backends leave remains.
  if (from.unusable) to = {0, 0, soft::kAttrUnusable | u32{from.dpl} << 5, from.selector, {}};
  return to;
}

u8 shadow_to_kvm(u8 shadow) {
  if (shadow & soft::kShadowDebug) return KVM_X86_SHADOW_INT_MOV_SS;
  return shadow ? KVM_X86_SHADOW_INT_STI : 0;
}

// AMD has one shadow for both, told as both: then as STI, which holds back less.
u8 shadow_from_kvm(u8 shadow) {
  if (shadow == KVM_X86_SHADOW_INT_MOV_SS) return soft::kShadowInterrupts | soft::kShadowDebug;
  return shadow ? soft::kShadowInterrupts : 0;
}

// Where FXSAVE and XSAVE put things (SDM vol. 1, 10.5.1 and 13.4), in bytes.
constexpr u32 kStack = 32, kXmm = 160, kXsaveBits = 512;

// The registers of the x87 stack stand in the image by their place on the stack, in the state by
// their number.
u32 physical(u32 top, u32 place) { return (top + place) & 7; }

}  // namespace

void load_registers(Kvm& kvm, const State& from) {
  kvm_regs r{};
  r.rax = from.gpr[0], r.rcx = from.gpr[1], r.rdx = from.gpr[2], r.rbx = from.gpr[3];
  r.rsp = from.gpr[4], r.rbp = from.gpr[5], r.rsi = from.gpr[6], r.rdi = from.gpr[7];
  r.r8 = from.gpr[8], r.r9 = from.gpr[9], r.r10 = from.gpr[10], r.r11 = from.gpr[11];
  r.r12 = from.gpr[12], r.r13 = from.gpr[13], r.r14 = from.gpr[14], r.r15 = from.gpr[15];
  r.rip = from.rip, r.rflags = from.rflags;
  kvm.set(KVM_SET_REGS, r, "registers");
}

void take_registers(const kvm_regs& r, State& to) {
  const u64 gpr[16] = {r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi,
                       r.r8,  r.r9,  r.r10, r.r11, r.r12, r.r13, r.r14, r.r15};
  std::memcpy(to.gpr, gpr, sizeof gpr);
  to.rip = r.rip;
  to.rflags = r.rflags;
}

void save_registers(Kvm& kvm, State& to) {
  kvm_regs r{};
  kvm.get(KVM_GET_REGS, r, "registers");
  take_registers(r, to);
}

void load_system(Kvm& kvm, const State& from, bool stepping) {
  kvm_sregs s{};
  s.es = to_kvm(from.seg[soft::ES]), s.cs = to_kvm(from.seg[soft::CS]);
  s.ss = to_kvm(from.seg[soft::SS]), s.ds = to_kvm(from.seg[soft::DS]);
  s.fs = to_kvm(from.seg[soft::FS]), s.gs = to_kvm(from.seg[soft::GS]);
  s.ldt = to_kvm(from.ldtr);
  s.tr = to_kvm(from.tr);
  // VM entry wants a busy task segment that can be used (SDM 26.3.1.2); at power-on there is one.
  if (s.tr.unusable) s.tr = to_kvm({0, 0xffff, 0x8b, from.tr.selector, {}});
  s.tr.type |= 2;
  s.gdt = {from.gdt_base, static_cast<u16>(from.gdt_limit), {}};
  s.idt = {from.idt_base, static_cast<u16>(stepping ? 0 : from.idt_limit), {}};
  // Cache control is without effect in the guest model; what KVM makes of it is slow at best.
  s.cr0 = from.cr0 & ~u64{soft::CR0_CD | soft::CR0_NW};
  if (!stepping) s.cr0 = from.cr0;
  s.cr2 = from.cr2, s.cr3 = from.cr3, s.cr4 = from.cr4, s.cr8 = from.cr8;
  s.efer = from.efer;
  s.apic_base = 0xfee00000 | 0x100;
  kvm.set(KVM_SET_SREGS, s, "segments and control registers");
  kvm.shared().cr8 = from.cr8;  // KVM takes it from there once more, at each entry
}

void save_system(Kvm& kvm, State& to) {
  kvm_sregs s{};
  kvm.get(KVM_GET_SREGS, s, "segments and control registers");
  const kvm_segment* from[] = {&s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs};
  for (u32 n = 0; n < soft::kSegCount; n++) to.seg[n] = from_kvm(*from[n]);
  // These have bases of their own, set by MSR, also where the selector is null: as in every Linux kernel.
  to.seg[soft::FS].base = s.fs.base;
  to.seg[soft::GS].base = s.gs.base;
  to.ldtr = from_kvm(s.ldt);
  to.tr = from_kvm(s.tr);
  to.gdt_base = s.gdt.base, to.gdt_limit = s.gdt.limit;
  to.idt_base = s.idt.base, to.idt_limit = s.idt.limit;
  to.cr0 = s.cr0, to.cr2 = s.cr2, to.cr3 = s.cr3, to.cr4 = s.cr4, to.cr8 = s.cr8;
  to.efer = s.efer;
}

void load_floating(Kvm& kvm, const State& from) {
  XsaveImage all{};
  auto* at = reinterpret_cast<u8*>(all.region);
  const soft::Fpu& f = from.fpu;
  const u32 top = f.status >> 11 & 7;
  std::memcpy(at + 0, &f.control, 2);
  std::memcpy(at + 2, &f.status, 2);
  at[4] = f.tag;
  std::memcpy(at + 6, &f.opcode, 2);
  std::memcpy(at + 8, &f.ip, 8);
  std::memcpy(at + 16, &f.dp, 8);
  std::memcpy(at + 24, &f.mxcsr, 4);
  for (u32 place = 0; place < 8; place++) {
    const soft::Fpr& r = f.r[physical(top, place)];
    std::memcpy(at + kStack + 16 * place, &r.mantissa, 8);
    std::memcpy(at + kStack + 16 * place + 8, &r.sign_exponent, 2);
  }
  std::memcpy(at + kXmm, from.xmm, sizeof from.xmm);
  const u64 present = 3;
  std::memcpy(at + kXsaveBits, &present, 8);
  kvm.set(kSetXsave, all, "floating point");
}

void save_floating(Kvm& kvm, State& to) {
  XsaveImage all{};
  kvm.get(kGetXsave, all, "floating point");
  const auto* at = reinterpret_cast<const u8*>(all.region);
  u64 present;
  std::memcpy(&present, at + kXsaveBits, 8);
  soft::Fpu& f = to.fpu;
  std::memcpy(&f.mxcsr, at + 24, 4);
  if (present & 1) {
    std::memcpy(&f.control, at + 0, 2);
    std::memcpy(&f.status, at + 2, 2);
    f.tag = at[4];
    std::memcpy(&f.opcode, at + 6, 2);
    std::memcpy(&f.ip, at + 8, 8);
    std::memcpy(&f.dp, at + 16, 8);
  } else {
    f.control = 0x37f, f.status = 0, f.tag = 0, f.opcode = 0, f.ip = 0, f.dp = 0;
  }
  const u32 top = f.status >> 11 & 7;
  for (u32 place = 0; place < 8; place++) {
    soft::Fpr& r = f.r[physical(top, place)];
    r = {};
    if (!(present & 1)) continue;
    std::memcpy(&r.mantissa, at + kStack + 16 * place, 8);
    std::memcpy(&r.sign_exponent, at + kStack + 16 * place + 8, 2);
  }
  if (present & 2) {
    std::memcpy(to.xmm, at + kXmm, sizeof to.xmm);
  } else {
    std::memset(to.xmm, 0, sizeof to.xmm);
  }
}

// ---- what only a free run needs -------------------------------------------------------------------

namespace {

struct MsrField {
  u32 index;
  u64 State::*field;
};
constexpr MsrField kMsrs[] = {
    {0x174, &State::sysenter_cs},      {0x175, &State::sysenter_esp},
    {0x176, &State::sysenter_eip},     {0xc0000081, &State::star},
    {0xc0000082, &State::lstar},       {0xc0000083, &State::cstar},
    {0xc0000084, &State::sfmask},      {0xc0000102, &State::kernel_gs_base},
};

}  // namespace

bool is_fast_msr(u32 index) {
  return (index >= 0x174 && index <= 0x176) || (index >= 0xc0000080 && index <= 0xc0000084) ||
         (index >= 0xc0000100 && index <= 0xc0000102);
}

void load_all(Kvm& kvm, const State& from) {
  load_system(kvm, from, false);
  load_floating(kvm, from);
  MsrList msrs;
  for (const MsrField& m : kMsrs) msrs.add(m.index, from.*m.field);
  kvm.set_msrs(msrs);
  kvm_debugregs d{};
  std::memcpy(d.db, from.dr, sizeof d.db);
  d.dr6 = from.dr6, d.dr7 = from.dr7;
  kvm.set(KVM_SET_DEBUGREGS, d, "debug registers");
  kvm_xcrs x{};
  x.nr_xcrs = 1;
  x.xcrs[0] = {0, 0, from.xcr0};
  kvm.set(KVM_SET_XCRS, x, "XCR0");
  kvm_vcpu_events e{};
  e.flags = KVM_VCPUEVENT_VALID_SHADOW;
  e.interrupt.shadow = shadow_to_kvm(from.shadow);
  e.nmi.masked = from.nmi_blocked;
  kvm.set(KVM_SET_VCPU_EVENTS, e, "events");
  load_registers(kvm, from);  // last: it drops exceptions that wait
}

void save_all(Kvm& kvm, State& to) {
  save_registers(kvm, to);
  save_system(kvm, to);
  save_floating(kvm, to);
  MsrList msrs;
  for (const MsrField& m : kMsrs) msrs.add(m.index);
  kvm.get_msrs(msrs);
  for (u32 n = 0; n < msrs.count; n++) to.*kMsrs[n].field = msrs.entry[n].data;
  kvm_debugregs d{};
  kvm.get(KVM_GET_DEBUGREGS, d, "debug registers");
  std::memcpy(to.dr, d.db, sizeof d.db);
  to.dr6 = d.dr6, to.dr7 = d.dr7;
  kvm_xcrs x{};
  kvm.get(KVM_GET_XCRS, x, "XCR0");
  to.xcr0 = x.xcrs[0].value;
  kvm_vcpu_events e{};
  kvm.get(KVM_GET_VCPU_EVENTS, e, "events");
  to.shadow = shadow_from_kvm(e.interrupt.shadow);
  to.nmi_blocked = e.nmi.masked;
}

bool is_delivering(Kvm& kvm) {
  kvm_vcpu_events e{};
  kvm.get(KVM_GET_VCPU_EVENTS, e, "events");
  return e.exception.injected || e.exception.pending || e.interrupt.injected || e.nmi.injected ||
         e.nmi.pending;
}

// ---- CPUID ----------------------------------------------------------------------------------------

void load_cpuid(Kvm& kvm, Hidden hidden) {
  struct Place {
    u32 leaf, subleaf;
    bool indexed;
  };
  static constexpr Place kPlaces[] = {
      {0, 0, false},          {1, 0, false},          {2, 0, false},          {4, 0, true},
      {4, 1, true},           {4, 2, true},           {4, 3, true},           {7, 0, true},
      {0xd, 0, true},         {0xd, 1, true},         {0x15, 0, false},       {0x16, 0, false},
      {0x40000000, 0, false}, {0x80000000, 0, false}, {0x80000001, 0, false}, {0x80000002, 0, false},
      {0x80000003, 0, false}, {0x80000004, 0, false}, {0x80000006, 0, false}, {0x80000007, 0, false},
      {0x80000008, 0, false},
  };
  // SYSCALL shows in 64-bit mode only; KVM's table has one answer for all modes.
  State mode{};
  mode.efer = soft::EFER_LMA;
  mode.seg[soft::CS].attr = soft::kAttrLong;
  kvm_cpuid_entry2 entries[std::size(kPlaces)] = {};
  for (size_t n = 0; n < std::size(kPlaces); n++) {
    const Place& p = kPlaces[n];
    soft::CpuidLeaf leaf = soft::cpuid_leaf(mode, p.leaf, p.subleaf);
    if (hidden.tsc) {
      if (p.leaf == 1) leaf.edx &= ~(1u << 4);
      if (p.leaf == 0x80000001) leaf.edx &= ~(1u << 27);
      if (p.leaf == 0x80000007) leaf.edx &= ~(1u << 8);
      if (p.leaf == 0x15 || p.leaf == 0x16) leaf = {};
    }
    if (hidden.random) {
      if (p.leaf == 1) leaf.ecx &= ~(1u << 30);
      if (p.leaf == 7) leaf.ebx &= ~(1u << 18);
    }
    if (hidden.xsave) {
      if (p.leaf == 1) leaf.ecx &= ~(3u << 26);
      if (p.leaf == 0xd) leaf = {};
    }
    entries[n] = {p.leaf, p.subleaf, p.indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0u,
                  leaf.eax, leaf.ebx, leaf.ecx, leaf.edx, {}};
  }
  kvm.set_cpuid(entries, std::size(kPlaces));
}

}  // namespace twinstep::vtx
