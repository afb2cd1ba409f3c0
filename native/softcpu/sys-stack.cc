// Stack frames of far control: pops that commit late, pushes that are checked before being written.
//
// Sources: SDM vol. 1 6.2-6.5, vol. 3A 5.8.5 (stack switching), 7.2 and 7.7 (TSS).
#include "sys.h"

namespace twinstep::soft {

bool in_limit(const Segment& g, u64 offset, u32 bytes) {
  if (g.attr & kAttrUnusable) return false;
  const u64 last = offset + bytes - 1;
  if ((g.attr & (kAttrCode | kAttrDown)) == kAttrDown) {
    return offset > g.limit && last <= (g.attr & kAttrBig ? 0xffffffff : 0xffff);
  }
  return last <= g.limit;
}

u64 stack_mask(bool long_stack, const Segment& ss) {
  if (long_stack) return ~u64{0};
  return ss.attr & kAttrBig ? 0xffffffff : 0xffff;
}

void set_sp(State& s, u64 sp, u64 mask) {
  if (mask == 0xffff) {
    s.gpr[RSP] = (s.gpr[RSP] & ~mask) | (sp & mask);
  } else {
    s.gpr[RSP] = sp & mask;
  }
}

StackReader::StackReader(Cpu& c) : c_(c), sp_(c.s.gpr[RSP] & mask_of(c.stack_bits)) {}

u64 StackReader::pop(u32 bytes) {
  u64 linear = sp_;
  if (c_.stack_bits == 64) {
    if (!canonical(linear) || !canonical(linear + bytes - 1)) raise_error(SSV, 0);
  } else {
    const Segment& ss = c_.s.seg[SS];
    if (!in_limit(ss, sp_, bytes)) raise_error(SSV, 0);
    linear = u32(ss.base + sp_);
  }
  skip(bytes);
  if (bytes == 2) return read<u16>(c_, linear);
  return bytes == 4 ? read<u32>(c_, linear) : read<u64>(c_, linear);
}

void StackReader::skip(u64 bytes) { sp_ = (sp_ + bytes) & mask_of(c_.stack_bits); }

void StackReader::commit() { set_sp(c_.s, sp_, mask_of(c_.stack_bits)); }

StackWriter::StackWriter(Cpu& c)
    : c_(c), ss_(c.s.seg[SS]), sp_(c.s.gpr[RSP]), mask_(mask_of(c.stack_bits)),
      long_stack_(c.stack_bits == 64), priv_(static_cast<Priv>(c.access)), error_(0) {}

StackWriter::StackWriter(Cpu& c, const Segment& ss, u64 sp, bool long_stack, u8 cpl, u32 error)
    : c_(c), ss_(ss), sp_(sp), mask_(stack_mask(long_stack, ss)), long_stack_(long_stack),
      priv_(cpl == 3 ? Priv::User : Priv::Supervisor), error_(error) {}

void StackWriter::push(u64 value, u32 bytes) {
  sp_ = (sp_ & ~mask_) | ((sp_ - bytes) & mask_);
  items_[count_++] = {value, sp_ & mask_, bytes};
}

void StackWriter::check() const {
  for (u32 n = 0; n < count_; ++n) {
    const Item& item = items_[n];
    const bool good = long_stack_ ? canonical(item.at) && canonical(item.at + item.bytes - 1)
                                  : in_limit(ss_, item.at, item.bytes);
    if (!good) raise_error(SSV, error_);
  }
}

u64 StackWriter::write() {
  for (u32 n = 0; n < count_; ++n) {
    const Item& item = items_[n];
    const u64 linear = long_stack_ ? item.at : u32(ss_.base + item.at);
    if (item.bytes == 2) write_as<u16>(c_, linear, u16(item.value), priv_);
    if (item.bytes == 4) write_as<u32>(c_, linear, u32(item.value), priv_);
    if (item.bytes == 8) write_as<u64>(c_, linear, item.value, priv_);
  }
  return sp_;
}

// SDM 7.2.1 (32-bit TSS), 7.6 (16-bit TSS); errors as in vol. 2 CALL, MORE-PRIVILEGE.
InnerStack inner_stack(Cpu& c, u8 cpl) {
  const Segment& tr = c.s.tr;
  const bool big = tr.attr & 8;
  const u32 at = big ? cpl * 8u + 4 : cpl * 4u + 2;
  if (!in_limit(tr, at, big ? 8 : 4)) raise_error(TS, error_of(tr.selector));
  const u64 linear = u32(tr.base + at);
  InnerStack out;
  if (big) out.sp = read_as<u32>(c, linear, Priv::Supervisor);
  else out.sp = read_as<u16>(c, linear, Priv::Supervisor);
  const u16 selector = read_as<u16>(c, u32(linear + (big ? 4 : 2)), Priv::Supervisor);
  out.ss = stack_segment(c, selector, cpl, TS);
  return out;
}

// SDM 7.7: RSP0 at 4, IST1 at 36.
u64 inner_stack_long(Cpu& c, u32 slot) {
  const Segment& tr = c.s.tr;
  const u32 at = slot < 3 ? 4 + 8 * slot : 36 + 8 * (slot - 3);
  if (!in_limit(tr, at, 8)) raise_error(TS, error_of(tr.selector));
  return read_as<u64>(c, tr.base + at, Priv::Supervisor);
}

}  // namespace twinstep::soft
