// DAA DAS AAA AAS AAM AAD, legacy modes only. Flags beyond the SDM's: QUIRKS.md.
#include "alu.h"
#include "ops.h"

namespace twinstep::soft {

namespace {

u8 al_of(const Cpu& c) { return static_cast<u8>(c.s.gpr[RAX]); }

void finish(Cpu& c, u8 al, bool cf, bool af) {
  set_low<u8>(c, RAX, al);
  c.host_flags = logic_flags<u8>(al) | (cf ? kHfCf : 0) | (af ? kHfAf : 0);
}

// DAA adds 6 and 60, DAS subtracts them.
template <bool kSubtract>
void adjust_packed(Cpu& c, const Insn&) {
  const u8 old = al_of(c);
  const bool old_cf = c.host_flags & kHfCf;
  const bool low = (old & 15) > 9 || (c.host_flags & kHfAf);
  const bool high = old > 0x99 || old_cf;
  bool cf = high;
  u8 al = old;
  if (low) {
    if (kSubtract && old < 6) cf = true;
    al = static_cast<u8>(kSubtract ? al - 6 : al + 6);
  }
  if (high) al = static_cast<u8>(kSubtract ? al - 0x60 : al + 0x60);
  finish(c, al, cf, low);
}

template <bool kSubtract>
void adjust_unpacked(Cpu& c, const Insn&) {
  const bool carry = (al_of(c) & 15) > 9 || (c.host_flags & kHfAf);
  u16 ax = static_cast<u16>(c.s.gpr[RAX]);
  if (carry) ax = static_cast<u16>(kSubtract ? ax - 0x106 : ax + 0x106);
  ax &= 0xff0f;
  set_low<u16>(c, RAX, ax);
  finish(c, static_cast<u8>(ax), carry, carry);
}

void aam(Cpu& c, const Insn& i) {
  const u8 base = static_cast<u8>(i.imm);
  if (base == 0) raise(DE);
  const u8 al = al_of(c);
  set_low<u16>(c, RAX, static_cast<u16>((al / base) << 8 | al % base));
  finish(c, al % base, false, false);
}

void aad(Cpu& c, const Insn& i) {
  const u8 ah = static_cast<u8>(c.s.gpr[RAX] >> 8);
  const u8 al = static_cast<u8>(al_of(c) + ah * static_cast<u8>(i.imm));
  set_low<u16>(c, RAX, al);
  finish(c, al, false, false);
}

}  // namespace

Handler select_decimal(const Insn& i) {
  if (i.map != 0 || (i.flags & kLong)) return nullptr;
  switch (i.opcode) {
    case 0x27: return step<adjust_packed<false>>;
    case 0x2f: return step<adjust_packed<true>>;
    case 0x37: return step<adjust_unpacked<false>>;
    case 0x3f: return step<adjust_unpacked<true>>;
    case 0xd4: return step<aam>;
    case 0xd5: return step<aad>;
    default: return nullptr;
  }
}

}  // namespace twinstep::soft
