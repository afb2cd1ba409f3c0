// Which states a CPU can be in. A state comes from a checkpoint or from another board, so it is input:
// what no sequence of instructions could have made is refused, in words, before it is used.
//
// Sources: SDM vol. 3C 26.3.1 (the checks of VM entry on guest state), vol. 3A 2.5, 9.1.1.
#include "core.h"
#include "sys.h"

namespace twinstep::soft {

namespace {

constexpr u64 kCr0Known = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM |
                          CR0_NW | CR0_CD | CR0_PG;
constexpr u64 kFlagsKnown = kStatusFlags | 2 | TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID;
constexpr u32 kAttrKnown = 0x1f0ff;

const char* control(const State& s) {
  if (s.cr0 & ~kCr0Known) return "CR0 has unknown bits";
  if (s.cr4 & ~kCr4Known) return "CR4 has unknown bits";
  if (s.efer & ~kEferKnown) return "EFER has unknown bits";
  if ((s.cr0 & CR0_PG) && !(s.cr0 & CR0_PE)) return "CR0 has paging without protection";
  if ((s.cr0 & CR0_NW) && !(s.cr0 & CR0_CD)) return "CR0 has NW without CD";
  const bool long_mode = (s.cr0 & CR0_PG) && (s.efer & EFER_LME);
  if (bool(s.efer & EFER_LMA) != long_mode) return "EFER.LMA contradicts LME and paging";
  if (long_mode && !(s.cr4 & CR4_PAE)) return "long mode without PAE";
  if (long_mode && (s.cr3 >> kPhysicalBits)) return "CR3 is beyond the physical addresses";
  if (s.cr8 > 15) return "CR8 has reserved bits";
  if (s.xcr0 != 1 && s.xcr0 != 3) return "XCR0 has a value XSETBV refuses";
  if (s.dr6 >> 32 || s.dr7 >> 32) return "DR6 or DR7 has reserved bits";
  return nullptr;
}

const char* flags_and_rip(const State& s) {
  if (s.rflags & ~kFlagsKnown) return "RFLAGS has reserved bits";
  if ((s.rflags & VM) && (!(s.cr0 & CR0_PE) || (s.efer & EFER_LMA))) {
    return "RFLAGS.VM outside protected mode";
  }
  if (code64(s) ? !canonical(s.rip) : s.rip >> 32 != 0) return "RIP is no address of this mode";
  return nullptr;
}

const char* segments(const State& s) {
  for (const Segment* g = s.seg; g != s.seg + kSegCount; ++g) {
    if (g->attr & ~kAttrKnown) return "a segment has unknown attributes";
    if (g->pad[0] | g->pad[1] | g->pad[2]) return "padding is not zero";
  }
  for (const Segment* g : {&s.ldtr, &s.tr}) {
    if (g->attr & ~kAttrKnown) return "LDTR or TR has unknown attributes";
    if (g->pad[0] | g->pad[1] | g->pad[2]) return "padding is not zero";
    if (!canonical(g->base)) return "LDTR or TR has a base that is not canonical";
  }
  const Segment& cs = s.seg[CS];
  if (code64(s) && (cs.attr & kAttrBig)) return "CS is a 64-bit and a 32-bit segment";
  const u8 dpl = dpl_of(s.seg[SS].attr);
  if (real_mode(s) && dpl != 0) return "SS has a privilege in real mode";
  if (v86(s) && dpl != 3) return "SS has not privilege 3 in virtual-8086 mode";
  if (!canonical(s.seg[FS].base) || !canonical(s.seg[GS].base)) {
    return "FS or GS has a base that is not canonical";
  }
  for (const Seg n : {ES, CS, SS, DS}) {
    if (s.seg[n].base >> 32) return "a segment has a base of more than 32 bits";
  }
  if (!canonical(s.gdt_base) || !canonical(s.idt_base)) return "GDTR or IDTR is not canonical";
  return s.gdt_limit >> 16 || s.idt_limit >> 16 ? "GDTR or IDTR has too large a limit" : nullptr;
}

const char* model_specific(const State& s) {
  for (const u64 a : {s.lstar, s.cstar, s.kernel_gs_base, s.sysenter_esp, s.sysenter_eip}) {
    if (!canonical(a)) return "an MSR holds an address that is not canonical";
  }
  if (s.sfmask >> 32 || s.sysenter_cs >> 32 || s.tsc_aux >> 32) return "an MSR has reserved bits";
  if (s.fpu.mxcsr & ~0xffffu) return "MXCSR has reserved bits";
  if (s.tsc_icount > s.icount) return "the TSC was set in the future";
  return nullptr;
}

const char* engine_own(const State& s) {
  if (s.gpr[kZeroReg] != 0) return "general register slot 16 is not zero";
  if (s.icount > kIcountMax) return "icount is out of range";
  if (!(s.rng[0] | s.rng[1] | s.rng[2] | s.rng[3])) return "the random generator is all zero";
  if ((s.halted | s.nmi_blocked | s.in_shutdown | s.nmi_pending) > 1) {
    return "a yes or no is neither";
  }
  if (s.shadow > (kShadowInterrupts | kShadowDebug)) return "the shadow has unknown bits";
  if (s.debug_pending & ~(kDr6Breakpoints | kPendingTask | kPendingStep)) {
    return "a pending #DB has unknown bits";
  }
  u32 padding = s.fpu.pad0[0];
  for (const Fpr& r : s.fpu.r) padding |= r.pad[0] | r.pad[1] | r.pad[2];
  return padding ? "padding is not zero" : nullptr;
}

}  // namespace

const char* impossible(const State& s) {
  for (const auto check : {control, flags_and_rip, segments, model_specific, engine_own}) {
    if (const char* why = check(s)) return why;
  }
  return nullptr;
}

}  // namespace twinstep::soft
