// Shifts, rotations, multiplication, division, single bits. Flags beyond the SDM: QUIRKS.md.
#include "translate-unit.h"

namespace twinstep::soft::translate {

namespace {

bool is_byte(const Insn& i) { return !(i.opcode & 1); }

template <class F>
void update_rm(Unit& u, const Insn& i, u32 bytes, F f) {
  if (has_memory(i)) f(u.lookup(i, bytes, true));
  else u.update(i.rm, bytes, f);
}

u8 count_of(const Insn& i, u32 bytes) {
  if (i.opcode >= 0xd0) return 1;
  return static_cast<u8>(i.imm & (bytes == 8 ? 63 : 31));
}

void set_after_shift(Unit& u, u8 kind, u8 count) {
  constexpr u8 kKnown = fC | fP | fZ | fS;
  if (count == 1) u.set(FlagKind::ShiftOne, kKnown | fO);
  else u.set(kind == 4 || kind == 6 ? FlagKind::ShiftLeft : FlagKind::Shift, kKnown);
}

void shift_by_constant(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, is_byte(i));
  const u8 count = count_of(i, bytes), kind = group_of(i);
  update_rm(u, i, bytes, [&](const Place& p) { u.e.shift(bytes, kind, p, count); });
  set_after_shift(u, kind, count);
}

// OF, which the host leaves open, from bit 0 of rSI; the others from FLAGS that LAHF has put into AH.
void store_flags_with_overflow(Unit& u) {
  u.e.alu_constant(4, aluAnd, Place::reg(hSI), 1);
  u.e.alu_constant(4, aluAnd, Place::reg(hAX), kHfSf | kHfZf | kHfPf | kHfCf | kHfFixed);
  u.e.alu(4, aluOr, hAX, Place::reg(hSI));
  u.e.store(2, field(offsetof(Cpu, host_flags)), hAX);
}

// By CL: a count of zero keeps all flags. So they are in memory before, and after it again if wanted.
void shift_by_cl(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, false);
  const u8 kind = group_of(i);
  const bool wanted = u.live_after != 0, pinned = is_pinned(i.rm);
  u.clobber();
  const u8 to = u.use(i.rm, hSI);
  if (bytes == 4) {  // cleared above also by a count of zero
    u.e.load(4, to, Place::reg(to));
    if (!pinned) u.e.store(8, gpr_field(i.rm), to);
  }
  u8* nothing = nullptr;
  if (wanted) {
    u.e.test_constant(1, Place::reg(hCX), bytes == 8 ? 63 : 31);
    nothing = u.e.jump_far_ahead(ccE);
  }
  u.e.insn(bytes, op0(0xd3), kind, Place::reg(to));
  if (!pinned) u.e.store(8, gpr_field(i.rm), to);
  if (wanted) {
    if (kind == 5) {  // OF is the result's second-highest bit
      u.e.byte(0x9f);
      u.e.load(bytes, hSI, Place::reg(to));
      u.e.shift(bytes, 5, Place::reg(hSI), static_cast<u8>(8 * bytes - 2));
      store_flags_with_overflow(u);
    } else {
      u.set(kind == 7 ? FlagKind::Shift : FlagKind::ShiftLeft, fC | fP | fZ | fS);
      u.save(fAll);
    }
    u.e.land_far(nothing);
  }
  u.host = 0;
  u.mem = fAll;
}

// SHLD, SHRD by CL or a constant: OF is whether the top bit changed.
void shift_double(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, false);
  const bool by_cl = i.opcode & 1, wanted = u.live_after != 0;
  u.clobber();
  const u8 to = kPins[i.rm];
  if (bytes == 4) u.e.load(4, to, Place::reg(to));
  u8* nothing = nullptr;
  if (wanted) {
    if (by_cl) {
      u.e.test_constant(1, Place::reg(hCX), bytes == 8 ? 63 : 31);
      nothing = u.e.jump_far_ahead(ccE);
    }
    u.e.load(bytes, hSI, Place::reg(to));
  }
  u.e.insn(bytes, op1(i.opcode), kPins[i.reg], Place::reg(to));
  if (!by_cl) u.e.byte(i.imm & (bytes == 8 ? 63 : 31));
  if (wanted) {
    u.e.byte(0x9f);
    u.e.alu(bytes, aluXor, hSI, Place::reg(to));
    u.e.shift(bytes, 5, Place::reg(hSI), static_cast<u8>(8 * bytes - 1));
    store_flags_with_overflow(u);
    if (by_cl) u.e.land_far(nothing);
  }
  u.host = 0;
  u.mem = fAll;
}

// ROL, ROR by a constant: CF and OF only.
void rotate(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, is_byte(i));
  const u8 count = count_of(i, bytes), kind = group_of(i);
  const bool wanted = u.live_after & (fC | fO);
  u.clobber();
  u.update(i.rm, bytes, [&](const Place& p) { u.e.shift(bytes, kind, p, count); });
  if (!wanted) return;
  // rAX: CF. rSI: OF, which is CF or the highest bit, xor the highest or the second.
  const Place low = field(offsetof(Cpu, host_flags)), high = field(offsetof(Cpu, host_flags) + 1);
  u.e.insn(1, op1(0x92), 0, Place::reg(hAX));
  u.e.load(bytes, hSI, place(i.rm));
  u.e.shift(bytes, 5, Place::reg(hSI), static_cast<u8>(8 * bytes - (kind == 0 ? 1 : 2)));
  if (kind == 0) {
    u.e.alu(4, aluXor, hSI, Place::reg(hAX));
  } else {  // two highest bits: their xor in bit 0
    u.e.insn(1, op0(0x80), aluAnd, high);
    u.e.byte(0xfe);
    u.e.alu_to(1, aluOr, high, hAX);
    u.e.load(4, hAX, Place::reg(hSI));
    u.e.shift(4, 5, Place::reg(hAX), 1);
    u.e.alu(4, aluXor, hSI, Place::reg(hAX));
  }
  if (kind == 0) {
    u.e.insn(1, op0(0x80), aluAnd, high);
    u.e.byte(0xfe);
    u.e.alu_to(1, aluOr, high, hAX);
  }
  u.e.alu_constant(4, aluAnd, Place::reg(hSI), 1);
  u.e.store(1, low, hSI);
  u.mem |= fC | fO;
}

Plan plan_constant(const Insn& i) {
  const u32 bytes = size_of(i, is_byte(i));
  if (!reaches_rm(i, is_byte(i))) return {};
  const u8 count = count_of(i, bytes), kind = group_of(i);
  if (count == 0 || count >= 8 * bytes) return {};
  if (kind == 0 || kind == 1) {
    const bool takes = !has_memory(i) && bytes >= 4;
    return takes ? Plan{rotate, 0, fC | fO, false, false} : Plan{};
  }
  if (kind == 2 || kind == 3) return {};
  return {shift_by_constant, 0, fAll, has_memory(i), false};
}

// ---- multiplication and division ------------------------------------------------------------------

void multiply_to_reg(Unit& u, const Insn& i) {  // 0F AF, 69, 6B
  const u32 bytes = size_of(i, false);
  const Place from = has_memory(i) ? u.lookup(i, bytes, false) : place(i.rm);
  const u8 to = is_pinned(i.reg) ? kPins[i.reg] : u8{hAX};
  if (i.map == 1) {
    u.e.insn(bytes, op1(0xaf), u.use(i.reg, hAX), from);
  } else {
    u.e.insn(bytes, op0(0x69), to, from);
    u.e.immediate(bytes, static_cast<i64>(i.imm));
  }
  if (to == hAX) u.e.store(bytes == 2 ? 2 : 8, gpr_field(i.reg), hAX);
  u.set(FlagKind::Multiply, fC | fO);
}

void multiply_wide(Unit& u, const Insn& i) {  // F7 /4 /5
  const u32 bytes = size_of(i, false);
  const Place from = has_memory(i) ? u.lookup(i, bytes, false) : place(i.rm);
  u.e.load(bytes, hAX, Place::reg(kPins[RAX]));
  u.e.insn(bytes, op0(0xf7), group_of(i), from);
  u.e.touched |= 1u << hDX;
  u.e.store(8, Place::reg(kPins[RAX]), hAX);
  u.set(FlagKind::Multiply, fC | fO);
}

// The divisor in rSI. What could raise #DE, or only looks so, is left.
void divide(Unit& u, const Insn& i) {  // F7 /6 /7
  const u32 bytes = size_of(i, false);
  u.clobber();
  u.e.load(bytes, hSI, has_memory(i) ? u.lookup(i, bytes, false) : place(i.rm));
  if (group_of(i) == 6) {
    u.e.alu(bytes, aluCmp, hDX, Place::reg(hSI));
    u.leave_if(ccAE);
  } else {
    u.e.load(bytes, hAX, Place::reg(kPins[RAX]));
    u.e.shift(bytes, 7, Place::reg(hAX), static_cast<u8>(8 * bytes - 1));
    u.e.alu(bytes, aluCmp, hAX, Place::reg(hDX));
    u.leave_if(ccNE);
    u.e.lea(bytes, hAX, Place::at(hSI, 1));
    u.e.alu_constant(bytes, aluCmp, Place::reg(hAX), 1);  // -1 or 0
    u.leave_if(ccBE);
  }
  u.e.load(bytes, hAX, Place::reg(kPins[RAX]));
  u.e.insn(bytes, op0(0xf7), group_of(i), Place::reg(hSI));
  u.e.touched |= 1u << hDX;
  u.e.store(8, Place::reg(kPins[RAX]), hAX);
}

// ---- bits ---------------------------------------------------------------------------------------

// BT BTS BTR BTC: only CF changes, the others must be in memory.
void bit_op(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, false);
  const u8 kind = i.opcode == 0xba ? group_of(i) : i.opcode >> 3 & 7;
  const auto emit = [&](const Place& p) {
    if (i.opcode == 0xba) {
      u.e.insn(bytes, op1(0xba), kind, p);
      u.e.byte(i.imm & (8 * bytes - 1));
    } else {
      u.e.insn(bytes, op1(i.opcode), u.use(i.reg, hSI), p);
    }
  };
  u.save(u.live);
  if (has_memory(i)) {
    emit(u.lookup(i, bytes, kind != 4));
  } else {
    // In a register also where the guest's is in memory: there the host would take a bit string.
    const u8 at = u.use(i.rm, hAX);
    emit(Place::reg(at));
    if (kind != 4 && !is_pinned(i.rm)) u.e.store(8, gpr_field(i.rm), at);
  }
  u.set(FlagKind::Carry, fC, fC);
}

void scan(Unit& u, const Insn& i) {  // BSF, BSR: of zero the destination keeps its 64 bits
  const u32 bytes = size_of(i, false);
  const Place from = has_memory(i) ? u.lookup(i, bytes, false) : place(i.rm);
  u.e.load(bytes, hAX, from);
  u.e.insn(bytes, op1(i.opcode), hSI, Place::reg(hAX));
  u8* none = u.e.jump_ahead(ccE);
  u.e.store(8, place(i.reg), hSI);
  u.e.land(none);
  u.set(FlagKind::Scan, fZ);
}

void count_bits(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, false);
  const Place from = has_memory(i) ? u.lookup(i, bytes, false) : place(i.rm);
  u.define(i.reg, bytes, [&](u8 to) { u.e.insn(bytes, {0xf3, 1, 0xb8}, to, from); });
  u.set(FlagKind::Full, fAll);
}

}  // namespace

static Plan plan_double(const Insn& i) {
  const bool by_constant = i.opcode == 0xa4 || i.opcode == 0xac;
  if (!by_constant && i.opcode != 0xa5 && i.opcode != 0xad) return {};
  if (has_memory(i) || i.op_bits == 16 || !is_pinned(i.rm) || !is_pinned(i.reg)) return {};
  if (by_constant && (i.imm & (i.op_bits - 1)) == 0) return {};
  return {shift_double, 0, 0, false, false};
}

Plan plan_shift(const Insn& i) {
  if (i.map == 1) return plan_double(i);
  if (i.map != 0) return {};
  switch (i.opcode) {
    case 0xc0: case 0xc1: case 0xd0: case 0xd1: return plan_constant(i);
    case 0xd3: {
      const u8 kind = group_of(i);
      if (kind < 4 || has_memory(i) || i.op_bits == 16) return {};
      return {shift_by_cl, 0, 0, false, false};
    }
    default: return {};
  }
}

Plan plan_muldiv(const Insn& i) {
  if (!reaches_rm(i, false)) return {};
  const Plan by_reg{multiply_to_reg, 0, fAll, has_memory(i), false};
  if (i.map == 1) return i.opcode == 0xaf ? by_reg : Plan{};
  if (i.map != 0) return {};
  if (i.opcode == 0x69 || i.opcode == 0x6b) return by_reg;
  if (i.opcode != 0xf7 || i.op_bits == 16) return {};
  switch (group_of(i)) {
    case 4:
    case 5: return {multiply_wide, 0, fAll, has_memory(i), false};
    case 6:
    case 7: return {divide, 0, 0, true, false};
    default: return {};
  }
}

Plan plan_bit(const Insn& i) {
  if (i.map != 1 || !reaches_rm(i, false)) return {};
  const bool wide = i.op_bits >= 32;
  switch (i.opcode) {
    case 0xa3: case 0xab: case 0xb3: case 0xbb:
      return !has_memory(i) && wide ? Plan{bit_op, 0, fC, false, false} : Plan{};
    case 0xba:
      return group_of(i) >= 4 && wide ? Plan{bit_op, 0, fC, has_memory(i), false} : Plan{};
    case 0xbc:
    case 0xbd: return wide ? Plan{scan, 0, fAll, has_memory(i), false} : Plan{};
    case 0xb8: return i.rep == 0xf3 ? Plan{count_bits, 0, fAll, has_memory(i), false} : Plan{};
    default: return {};
  }
}

}  // namespace twinstep::soft::translate
