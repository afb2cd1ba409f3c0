// Far returns: RETF and IRET in every mode.
//
// Sources: SDM vol. 2 RET, IRET; vol. 3A 5.8.6 (return to outer level), 6.7.1 (NMI), 20.2.3 (V86).
#include "sys.h"

namespace twinstep::soft {

namespace {

// SDM vol. 2 IRET, RETURN-TO-OUTER-PRIVILEGE-LEVEL: data segments the outer level may not use get the null
// selector, and null selectors lose their RPL. The bases of FS and GS, which 64-bit code goes on using,
// stay what they are.
void drop_segments(Cpu& c, u8 cpl) {
  for (const Seg which : {ES, FS, GS, DS}) {
    Segment& g = c.s.seg[which];
    const bool conforming = (g.attr & (kAttrCode | kAttrDown)) == (kAttrCode | kAttrDown);
    const bool closed = !conforming && dpl_of(g.attr) < cpl;
    if (!(g.attr & kAttrUnusable) && !closed) continue;
    const u64 base = which >= FS ? g.base : 0;
    g = null_segment(0);
    g.base = base;
  }
}

// SS of an outer level or of a 64-bit IRET. Null, with the RPL of the code, is fine for 64-bit code below
// CPL 3.
Segment return_stack(Cpu& c, u16 selector, const Segment& cs) {
  const u8 cpl = cs.selector & 3;
  const bool to_long = long_active(c.s) && (cs.attr & kAttrLong);
  if (null_selector(selector) && to_long && cpl < 3 && (selector & 3) == cpl) {
    return null_segment(selector, cpl);
  }
  return stack_segment(c, selector, cpl, GP);
}

// Flags IRET and no one else may change, by the privilege before the return.
u64 return_mask(const Cpu& c, u32 bits) {
  u64 mask = kStatusFlags | TF | DF | NT;
  if (bits > 16) mask |= RF | AC | ID;
  if (c.cpl <= iopl(c.s)) mask |= IF;
  if (c.cpl == 0) mask |= IOPL;
  if (c.cpl == 0 && bits > 16) mask |= VIF | VIP;
  return mask;
}

void merge_flags(Cpu& c, u64 image, u64 mask) {
  set_rflags(c, (get_rflags(c) & ~mask) | (image & mask));
}

void plain_return(Cpu& c, u32 bits, u64 mask) {
  StackReader r(c);
  const u64 rip = r.pop(bits / 8);
  const u16 selector = u16(r.pop(bits / 8));
  const u64 image = r.pop(bits / 8);
  const Segment cs = v86(c.s) ? v86_segment(selector) : real_segment(c.s.seg[CS], selector);
  check_target(c.s, cs, rip);
  r.commit();
  c.s.seg[CS] = cs;
  c.s.rip = rip;
  merge_flags(c, image, mask);
}

// SDM vol. 2 IRET, RETURN-TO-VIRTUAL-8086-MODE. `r` stands behind EFLAGS.
void return_to_v86(Cpu& c, StackReader& r, u64 rip, u16 selector, u64 image) {
  u64 frame[6];  // ESP, SS, ES, DS, FS, GS
  for (u64& slot : frame) slot = r.pop(4);
  if (rip > 0xffff) raise_gp0();
  constexpr Seg order[] = {SS, ES, DS, FS, GS};
  for (u32 n = 0; n < 5; ++n) c.s.seg[order[n]] = v86_segment(u16(frame[n + 1]));
  c.s.seg[CS] = v86_segment(selector);
  c.s.gpr[RSP] = u32(frame[0]);
  c.s.rip = rip;
  constexpr u64 all = kStatusFlags | TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID;
  merge_flags(c, image, all);
}

void protected_return(Cpu& c, u32 bits) {
  const u32 bytes = bits / 8;
  StackReader r(c);
  const u64 rip = r.pop(bytes);
  const u16 selector = u16(r.pop(bytes));
  const u64 image = r.pop(bytes);
  if ((image & VM) && bits == 32 && c.cpl == 0 && !long_active(c.s)) {
    return_to_v86(c, r, rip, selector, image);
    return;
  }
  const Segment cs = code_segment_return(c, selector);
  const u8 cpl = selector & 3;
  const bool outer = cpl > c.cpl;
  const bool with_stack = outer || c.code_bits == 64;
  Segment ss = c.s.seg[SS];
  u64 sp = 0;
  if (with_stack) {
    sp = r.pop(bytes);
    ss = return_stack(c, u16(r.pop(bytes)), cs);
  }
  check_target(c.s, cs, rip);
  const u64 mask = return_mask(c, bits);
  if (with_stack) {
    const bool to_long = long_active(c.s) && (cs.attr & kAttrLong);
    c.s.seg[SS] = ss;
    set_sp(c.s, sp, stack_mask(to_long, ss));
  } else {
    r.commit();
  }
  c.s.seg[CS] = cs;
  c.s.rip = rip;
  merge_flags(c, image, mask);
  if (outer) drop_segments(c, cpl);
}

}  // namespace

// NMIs are unblocked even if the return then faults (SDM 6.7.1, 25.3): the handler of that fault
// runs with NMIs enabled on real processors too.
void interrupt_return(Cpu& c, u32 bits) {
  c.s.nmi_blocked = 0;
  constexpr u64 plain = kStatusFlags | TF | IF | DF | NT;
  const u64 high = bits > 16 ? u64{RF | AC | ID} : 0;
  if (real_mode(c.s)) {
    plain_return(c, bits, plain | IOPL | high);
  } else if (v86(c.s)) {
    if (iopl(c.s) < 3) raise_gp0();
    plain_return(c, bits, plain | high);
  } else if (c.s.rflags & NT) {
    if (long_active(c.s)) raise_gp0();
    const u16 back = read_as<u16>(c, u32(c.s.tr.base), Priv::Supervisor);
    task_switch(c, back, TaskSource::iret, false, 0);
  } else {
    protected_return(c, bits);
  }
}

// `release`: bytes of parameters to drop, from both stacks if the privilege changes.
void far_return(Cpu& c, u32 bits, u32 release) {
  const u32 bytes = bits / 8;
  StackReader r(c);
  const u64 rip = r.pop(bytes);
  const u16 selector = u16(r.pop(bytes));
  r.skip(release);
  if (!protected_mode(c.s)) {
    const Segment cs = v86(c.s) ? v86_segment(selector) : real_segment(c.s.seg[CS], selector);
    check_target(c.s, cs, rip);
    r.commit();
    c.s.seg[CS] = cs;
    c.s.rip = rip;
    return;
  }
  const Segment cs = code_segment_return(c, selector);
  const u8 cpl = selector & 3;
  if (cpl == c.cpl) {
    check_target(c.s, cs, rip);
    r.commit();
  } else {
    const u64 sp = r.pop(bytes);
    const Segment ss = return_stack(c, u16(r.pop(bytes)), cs);
    check_target(c.s, cs, rip);
    const bool to_long = long_active(c.s) && (cs.attr & kAttrLong);
    c.s.seg[SS] = ss;
    set_sp(c.s, sp + release, stack_mask(to_long, ss));
  }
  const bool outer = cpl > c.cpl;
  c.s.seg[CS] = cs;
  c.s.rip = rip;
  if (outer) drop_segments(c, cpl);
}

}  // namespace twinstep::soft
