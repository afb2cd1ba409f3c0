// Flags between the host's FLAGS and Cpu::host_flags.
#include "translate-unit.h"

namespace twinstep::soft::translate {

namespace {
const Place kFlags = field(offsetof(Cpu, host_flags));       // AL of LAHF and SETO: OF
const Place kFlagsHigh = field(offsetof(Cpu, host_flags) + 1);  // AH: the others
constexpr u8 kLahf = 0x9f, kSahf = 0x9e;
}  // namespace

u8 flags_of(u8 condition) {
  static constexpr u8 kOf[8] = {fO, fC, fZ, fC | fZ, fS, fP, fS | fO, fZ | fS | fO};
  return kOf[condition >> 1];
}

// Spoils rAX and rSI, and FLAGS of all kinds but Full (then `host` says so). Bytes are stored apart: to join
// AH and AL costs more than a store.
void Unit::save(u8 need) {
  if ((need & ~mem) == 0 || host == 0) return;  // in FLAGS no more: dead
  if (kind == FlagKind::Carry) {
    e.insn(1, op1(0x90 | ccB), 0, Place::reg(hAX));
    e.alu_constant(1, aluAnd, kFlagsHigh, 0xfe);
    e.alu_to(1, aluOr, kFlagsHigh, hAX);
    mem |= fC;
    host = 0;
    return;
  }
  constexpr u32 kResult = (kHfSf | kHfZf | kHfPf | kHfFixed) >> 8, kWithCarry = kResult | kHfCf >> 8;
  const auto take_high = [&](u32 bits) {
    e.byte(kLahf);
    if (bits != 0xff) e.mask_ah(bits);
    e.store_ah(kFlagsHigh);
  };
  const auto take_overflow = [&] { e.insn(1, op1(0x90 | ccO), 0, kFlags); };
  switch (kind) {
    case FlagKind::Full:
      take_overflow();
      take_high(0xff);
      mem = fAll;
      return;
    case FlagKind::ShiftOne:
      take_overflow();
      take_high(kWithCarry);
      break;
    case FlagKind::Logic:
    case FlagKind::Shift:
      take_high(kind == FlagKind::Logic ? kResult : kWithCarry);
      e.store_constant(1, kFlags, 0);
      break;
    case FlagKind::ShiftLeft:
      take_high(kWithCarry);
      e.insn(4, op1(0xb6), hSI, kFlagsHigh);  // OF = CF xor SF
      e.load(4, hAX, Place::reg(hSI));
      e.shift(4, 5, Place::reg(hSI), 7);
      e.alu(4, aluXor, hAX, Place::reg(hSI));
      e.alu_constant(4, aluAnd, Place::reg(hAX), 1);
      e.store(1, kFlags, hAX);
      break;
    case FlagKind::Multiply:  // CF = OF
      take_overflow();
      e.insn(1, op1(0x90 | ccB), 0, kFlagsHigh);
      e.alu_constant(1, aluOr, kFlagsHigh, kHfFixed >> 8);
      break;
    case FlagKind::Scan:
      e.insn(1, op1(0x90 | ccE), 0, Place::reg(hAX));
      e.shift(1, 4, Place::reg(hAX), 6);
      e.alu_constant(1, aluOr, Place::reg(hAX), kHfFixed >> 8);
      e.store(1, kFlagsHigh, hAX);
      e.store_constant(1, kFlags, 0);
      break;
    case FlagKind::Carry: break;
  }
  mem = fAll;
  host = 0;
}

void Unit::set(FlagKind now, u8 valid, u8 written) {
  kind = now;
  host = valid;
  mem = static_cast<u8>(mem & ~written);
}

// Into FLAGS by what sets no register: BT.
void Unit::need_carry() {
  if (host & fC) return;
  save(static_cast<u8>(live | fC));
  e.insn(2, op1(0xba), 4, kFlags);
  e.byte(8);
  host = 0;
}

void Unit::load_flags() {
  save(fAll);
  e.load(1, hAX, kFlags);
  e.load_ah(kFlagsHigh);
  e.alu_constant(1, aluAdd, Place::reg(hAX), 0x7f);  // OF = AL
  e.byte(kSahf);
  kind = FlagKind::Full;
  host = fAll;
}

u8 Unit::condition(u8 cc) {
  const u8 wanted = flags_of(cc);
  if ((wanted & ~host) == 0) return cc;
  save(static_cast<u8>(live | wanted));
  const u8 yes = cc & 1 ? ccE : ccNE;
  u32 bits = 0;
  switch (cc >> 1) {
    case 0: bits = kHfOf; break;
    case 1: bits = kHfCf; break;
    case 2: bits = kHfZf; break;
    case 3: bits = kHfCf | kHfZf; break;
    case 4: bits = kHfSf; break;
    case 5: bits = kHfPf; break;
    default: load_flags(); return cc;
  }
  if (bits == kHfOf) e.test_constant(1, kFlags, 1);
  else e.test_constant(1, kFlagsHigh, static_cast<i8>(bits >> 8));
  host = 0;
  return yes;
}

}  // namespace twinstep::soft::translate
