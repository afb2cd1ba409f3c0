// Descriptor tables: finding a descriptor, and every check between selector and segment register.
//
// Sources: SDM vol. 3A 3.4-3.5 (segmentation), 5.4-5.8 (protection); vol. 2 MOV, CALL, RET for the
// order of the checks. Chapter numbers are those of editions up to 2022 (protection is chapter 5).
#include "sys.h"

namespace twinstep::soft {

namespace {

struct Table {
  u64 base;
  u32 limit;
  bool usable;
};

Table table_of(const State& s, u16 selector) {
  if (selector & 4) return {s.ldtr.base, s.ldtr.limit, !(s.ldtr.attr & kAttrUnusable)};
  return {s.gdt_base, s.gdt_limit, true};
}

u64 clip(const State& s, u64 linear) { return long_active(s) ? linear : u32(linear); }

}  // namespace

// SDM 3.4.2, 3.5.1.
bool find_descriptor(Cpu& c, u16 selector, Descriptor& out) {
  const Table table = table_of(c.s, selector);
  if (!table.usable || (selector | 7u) > table.limit) return false;
  out.address = clip(c.s, table.base + (selector & 0xfff8));
  out.low = read_as<u64>(c, out.address, Priv::Supervisor);
  out.high = 0;
  return true;
}

Descriptor fetch_descriptor(Cpu& c, u16 selector, u8 vector) {
  Descriptor d;
  if (!find_descriptor(c, selector, d)) raise_error(vector, error_of(selector));
  return d;
}

// SDM 3.5, figure 7-4: the type field of the second half must be zero.
void fetch_high_half(Cpu& c, u16 selector, Descriptor& d) {
  const Table table = table_of(c.s, selector);
  if ((selector | 7u) + 8 > table.limit) raise_error(GP, error_of(selector));
  const u64 half = read_as<u64>(c, clip(c.s, d.address + 8), Priv::Supervisor);
  if ((half >> 40) & 0x1f) raise_error(GP, error_of(selector));
  d.high = u32(half);
}

// Accessed and busy bits live in byte 5. One byte is written, as a locked access would leave it.
void set_descriptor_bit(Cpu& c, const Descriptor& d, u32 attr_bit, bool on) {
  const u8 old = u8(d.attr());
  const u8 now = on ? u8(old | attr_bit) : u8(old & ~attr_bit);
  if (now != old) write_as<u8>(c, clip(c.s, d.address + 5), now, Priv::Supervisor);
}

Segment make_segment(u16 selector, const Descriptor& d) {
  Segment g;
  g.base = d.base();
  g.limit = d.limit();
  g.attr = d.attr() | (d.system() ? 0u : kAttrAccessed + 0u);
  g.selector = selector;
  return g;
}

// Base and limit are cleared: what Intel does, and what kernels probe for.
Segment null_segment(u16 selector, u8 dpl) {
  Segment g;
  g.attr = kAttrUnusable | u32(dpl) << 5;
  g.selector = selector;
  return g;
}

// SDM 20.1: only the base follows; limit and size stay, which is what "unreal" mode lives on. A
// segment left unusable by protected mode gets the real-mode limit.
Segment real_segment(const Segment& old, u16 selector) {
  Segment g = old;
  const bool unusable = old.attr & kAttrUnusable;
  g.base = u64{selector} << 4;
  g.limit = unusable ? 0xffff : old.limit;
  g.attr = (unusable ? 0 : old.attr & (kAttrBig | kAttrGran)) | kAttrPresent | kAttrS |
           kAttrWritable | kAttrAccessed;
  g.selector = selector;
  return g;
}

// SDM 20.2.2, 26.3.1.2: as VM entry demands of every segment in virtual-8086 mode.
Segment v86_segment(u16 selector) {
  Segment g;
  g.base = u64{selector} << 4;
  g.limit = 0xffff;
  g.attr = 0xf3;
  g.selector = selector;
  return g;
}

// SDM vol. 2 MOV, "DS, ES, FS, or GS is loaded".
Segment data_segment(Cpu& c, u16 selector) {
  if (null_selector(selector)) return null_segment(selector);
  const Descriptor d = fetch_descriptor(c, selector);
  const u8 rpl = selector & 3;
  if (!d.readable()) raise_error(GP, error_of(selector));
  if (!d.conforming() && (rpl > d.dpl() || c.cpl > d.dpl())) raise_error(GP, error_of(selector));
  if (!d.present()) raise_error(NP, error_of(selector));
  set_descriptor_bit(c, d, kAttrAccessed, true);
  return make_segment(selector, d);
}

// SDM vol. 2 MOV, "SS is loaded"; also the stacks of gates (#TS) and returns (#GP). A null selector
// is the caller's: where it is allowed differs.
Segment stack_segment(Cpu& c, u16 selector, u8 cpl, u8 vector) {
  if (null_selector(selector)) raise_error(vector, 0);
  const Descriptor d = fetch_descriptor(c, selector, vector);
  if ((selector & 3) != cpl || !d.writable() || d.dpl() != cpl) {
    raise_error(vector, error_of(selector));
  }
  if (!d.present()) raise_error(SSV, error_of(selector));
  set_descriptor_bit(c, d, kAttrAccessed, true);
  return make_segment(selector, d);
}

Segment segment_for(Cpu& c, Seg which, u16 selector) {
  if (real_mode(c.s)) return real_segment(c.s.seg[which], selector);
  if (v86(c.s)) return v86_segment(selector);
  if (which != SS) return data_segment(c, selector);
  const bool null_allowed = c.code_bits == 64 && c.cpl < 3 && (selector & 3) == c.cpl;
  if (null_selector(selector) && null_allowed) return null_segment(selector, c.cpl);
  return stack_segment(c, selector, c.cpl, GP);
}

// SDM vol. 2 JMP and CALL, CONFORMING- and NONCONFORMING-CODE-SEGMENT. The result's RPL is CPL.
Segment code_segment_direct(Cpu& c, u16 selector, const Descriptor& d) {
  const u32 error = error_of(selector);
  const u8 rpl = selector & 3;
  const u32 both = kAttrLong | kAttrBig;
  if (!d.code()) raise_error(GP, error);
  if (long_active(c.s) && (d.attr() & both) == both) raise_error(GP, error);
  if (d.conforming() ? d.dpl() > c.cpl : (rpl > c.cpl || d.dpl() != c.cpl)) raise_error(GP, error);
  if (!d.present()) raise_error(NP, error);
  set_descriptor_bit(c, d, kAttrAccessed, true);
  return make_segment(u16((selector & ~3) | c.cpl), d);
}

// SDM vol. 2 RET and IRET, PROTECTED-MODE-RETURN.
Segment code_segment_return(Cpu& c, u16 selector) {
  if (null_selector(selector)) raise_gp0();
  const Descriptor d = fetch_descriptor(c, selector);
  const u32 error = error_of(selector);
  const u8 rpl = selector & 3;
  const u32 both = kAttrLong | kAttrBig;
  if (!d.code() || rpl < c.cpl) raise_error(GP, error);
  if (long_active(c.s) && (d.attr() & both) == both) raise_error(GP, error);
  if (d.conforming() ? d.dpl() > rpl : d.dpl() != rpl) raise_error(GP, error);
  if (!d.present()) raise_error(NP, error);
  set_descriptor_bit(c, d, kAttrAccessed, true);
  return make_segment(selector, d);
}

void check_target(const State& s, const Segment& cs, u64 rip) {
  const bool to_long = long_active(s) && (cs.attr & kAttrLong);
  if (to_long ? !canonical(rip) : rip > cs.limit) raise_gp0();
}

}  // namespace twinstep::soft
