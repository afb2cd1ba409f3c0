// MOV LEA MOVZX MOVSX CMOVcc SETcc CDQE CQO XCHG CMPXCHG XADD BSWAP. None changes FLAGS but where said.
#include "translate-unit.h"

namespace twinstep::soft::translate {

namespace {

bool is_byte(const Insn& i) { return !(i.opcode & 1); }

void store_reg(Unit& u, const Insn& i) {  // 88, 89
  const u32 bytes = size_of(i, is_byte(i));
  if (has_memory(i)) {
    const Place m = u.lookup(i, bytes, true);
    u.e.store(bytes, m, u.use(i.reg, hAX));
    return;
  }
  const u8 from = u.use(i.reg, hSI);
  if (bytes == 4 && !is_pinned(i.rm)) {
    u.e.load(4, hAX, Place::reg(from));
    u.e.store(8, gpr_field(i.rm), hAX);
  } else {
    u.e.store(bytes, place(i.rm), from);
  }
}

void load_reg(Unit& u, const Insn& i) {  // 8A, 8B
  const u32 bytes = size_of(i, is_byte(i));
  const Place from = has_memory(i) ? u.lookup(i, bytes, false) : place(i.rm);
  u.define(i.reg, bytes, [&](u8 to) { u.e.load(bytes, to, from); });
}

void load_constant(Unit& u, const Insn& i) {  // B0..BF, C6, C7
  const bool byte = i.opcode < 0xb8 ? true : i.opcode < 0xc0 ? false : is_byte(i);
  const u32 bytes = size_of(i, byte);
  const i64 v = static_cast<i64>(i.imm);
  if (has_memory(i)) {
    u.e.store_constant(bytes, u.lookup(i, bytes, true), v);
  } else if (bytes < 4) {
    u.e.store_constant(bytes, place(i.rm), v);
  } else {
    u.define(i.rm, bytes, [&](u8 to) { u.e.constant(to, bytes == 4 ? i.imm & 0xffffffff : i.imm); });
  }
}

template <u8 kCode, u32 kFrom>
void widen(Unit& u, const Insn& i) {  // 0F B6 B7 BE BF
  const u32 bytes = size_of(i, false);
  const Place from = has_memory(i) ? u.lookup(i, kFrom, false) : place(i.rm);
  u.define(i.reg, bytes, [&](u8 to) { u.e.insn(bytes, op1(kCode), to, from, kFrom == 1); });
}
void widen_double(Unit& u, const Insn& i) {  // 63
  const Place from = has_memory(i) ? u.lookup(i, 4, false) : place(i.rm);
  const u32 bytes = size_of(i, false);
  u.define(i.reg, bytes, [&](u8 to) {
    if (bytes == 8) u.e.insn(8, op0(0x63), to, from);
    else u.e.load(4, to, from);
  });
}

void load_address(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, false);
  const i64 disp = static_cast<i64>(i.disp);
  Place p = Place::at(kNoHost, fits32(disp) ? disp : 0);
  if (i.base == kZeroReg && i.index == kZeroReg) {
    const u64 v = bytes == 4 ? i.disp & 0xffffffff : i.disp;
    return u.define(i.reg, bytes, [&](u8 to) { u.e.constant(to, v); });
  }
  if (i.base != kZeroReg) p.base = u.use(i.base, hSI);
  if (i.index != kZeroReg) {
    p.index = u.use(i.index, hAX);
    p.scale = i.scale;
  }
  u.define(i.reg, bytes, [&](u8 to) { u.e.lea(bytes, to, p); });
}

void move_if(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, false);
  Place from = place(i.rm);
  if (has_memory(i)) {
    u.settle(flags_of(i.opcode & 15));
    u.e.load(bytes, hSI, u.lookup(i, bytes, false));
    from = Place::reg(hSI);
  }
  const u8 cc = u.condition(i.opcode & 15);
  const u8 to = u.use(i.reg, hAX);
  u.e.insn(bytes, op1(0x40 | cc), to, from);
  if (!is_pinned(i.reg)) u.e.store(8, gpr_field(i.reg), to);
}

void set_if(Unit& u, const Insn& i) {
  if (has_memory(i)) u.settle(flags_of(i.opcode & 15));
  const Place to = has_memory(i) ? u.lookup(i, 1, true) : place(i.rm);
  const u8 cc = u.condition(i.opcode & 15);
  u.e.insn(1, op1(0x90 | cc), 0, to);
}

void extend_acc(Unit& u, const Insn& i) {  // 98
  const u8 acc = kPins[RAX];
  if (i.op_bits == 64) u.e.insn(8, op0(0x63), acc, Place::reg(acc));
  else if (i.op_bits == 32) u.e.insn(4, op1(0xbf), acc, Place::reg(acc));
  else u.e.insn(2, op1(0xbe), acc, Place::reg(acc), true);
}
void sign_to_rdx(Unit& u, const Insn& i) {  // 99
  u.e.load(8, hAX, Place::reg(kPins[RAX]));
  u.e.touched |= 1u << hDX;
  if (i.op_bits == 64) u.e.byte(0x48);
  if (i.op_bits == 16) u.e.byte(0x66);
  u.e.byte(0x99);
}
static_assert(kPins[RDX] == hDX && kPins[RCX] == hCX);

void exchange(Unit& u, const Insn& i) {  // 86, 87, 91..97
  const u8 other = i.opcode >= 0x90 ? u8{RAX} : i.reg;
  const u32 bytes = size_of(i, i.opcode < 0x90 && is_byte(i));
  const Place m = has_memory(i) ? u.lookup(i, bytes, true) : place(i.rm);
  u.e.load(bytes, hAX, m);
  if (!has_memory(i) && bytes == 4) u.e.load(4, m.base, Place::reg(kPins[other]));
  else u.e.store(bytes, m, kPins[other]);
  u.e.load(bytes, kPins[other], Place::reg(hAX));
}

// Not atomic, as all of this CPU's accesses: there is one.
void compare_exchange(Unit& u, const Insn& i) {  // 0F B1
  const u32 bytes = size_of(i, false);
  const Place m = u.lookup(i, bytes, true);
  u.e.load(bytes, hAX, Place::reg(kPins[RAX]));
  u.e.insn(bytes, op1(0xb1), kPins[i.reg], m);
  u8* equal = u.e.jump_ahead(ccE);
  u.e.load(bytes, kPins[RAX], Place::reg(hAX));
  u.e.land(equal);
  u.set(FlagKind::Full, fAll);
}
void exchange_add(Unit& u, const Insn& i) {  // 0F C1
  const u32 bytes = size_of(i, false);
  const Place m = u.lookup(i, bytes, true);
  u.e.load(bytes, hAX, place(i.reg));
  u.e.insn(bytes, op1(0xc1), hAX, m);
  u.e.store(8, place(i.reg), hAX);
  u.set(FlagKind::Full, fAll);
}

void from_segment(Unit& u, const Insn& i) {  // 8C
  const Place from = field(kStateAt + offsetof(State, seg) + i.reg * sizeof(Segment) + offsetof(Segment, selector));
  u.define(i.rm, size_of(i, false), [&](u8 to) {
    if (i.op_bits == 16) u.e.load(2, to, from);
    else u.e.insn(4, op1(0xb7), to, from);
  });
}

void swap_bytes(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, false);
  const auto swap = [&](u8 host) {
    u.e.touched |= 1u << host;
    u.e.byte(0x40 | (bytes == 8 ? 8 : 0) | (host >= 8 ? 1 : 0));
    u.e.byte(0x0f);
    u.e.byte(0xc8 | (host & 7));
  };
  if (is_pinned(i.rm)) return swap(kPins[i.rm]);
  u.e.load(bytes, hAX, gpr_field(i.rm));
  swap(hAX);
  u.e.store(8, gpr_field(i.rm), hAX);
}

Plan plain(const Insn& i, Emit emit, bool byte_rm, bool byte_reg) {
  if (!reaches_rm(i, byte_rm) || (byte_reg && !is_low(i.reg_at))) return {};
  return {emit, 0, 0, has_memory(i), false};
}

Plan plan_conditional(const Insn& i) {
  Plan p = plain(i, i.opcode < 0x90 ? move_if : set_if, i.opcode >= 0x90, false);
  p.reads = flags_of(i.opcode & 15);
  return p;
}

Plan plan_two_byte(const Insn& i) {
  const u8 op = i.opcode;
  if ((op & 0xf0) == 0x40 || (op & 0xf0) == 0x90) return plan_conditional(i);
  if (op >= 0xc8 && op <= 0xcf) return i.op_bits == 16 ? Plan{} : Plan{swap_bytes};
  const bool updates = has_memory(i) && is_plain_address(i) && i.op_bits >= 32;
  switch (op) {
    case 0xb6: return plain(i, widen<0xb6, 1>, true, false);
    case 0xb7: return plain(i, widen<0xb7, 2>, false, false);
    case 0xbe: return plain(i, widen<0xbe, 1>, true, false);
    case 0xbf: return plain(i, widen<0xbf, 2>, false, false);
    case 0xb1:
      return updates && is_pinned(i.reg) ? Plan{compare_exchange, 0, fAll, true, false} : Plan{};
    case 0xc1: return updates ? Plan{exchange_add, 0, fAll, true, false} : Plan{};
    default: return {};
  }
}

Plan plan_exchange(const Insn& i) {
  if (i.opcode >= 0x90) {
    const bool takes = i.op_bits >= 32 && is_pinned(i.rm);
    return takes && !(i.opcode == 0x90 && i.rm == RAX) ? Plan{exchange} : Plan{};
  }
  if (!is_pinned(i.reg)) return {};
  if (!has_memory(i) && (i.op_bits == 16 || is_byte(i) || !is_pinned(i.rm))) return {};
  return plain(i, exchange, is_byte(i), is_byte(i));
}

}  // namespace

Plan plan_move(const Insn& i) {
  if (i.map == 1) return plan_two_byte(i);
  if (i.map != 0) return {};
  const u8 op = i.opcode;
  if (op >= 0xb0 && op <= 0xbf) return plain(i, load_constant, op < 0xb8, false);
  switch (op) {
    case 0x63: return i.op_bits == 16 ? Plan{} : plain(i, widen_double, false, false);
    case 0x86:
    case 0x87: return plan_exchange(i);
    case 0x88:
    case 0x89: return plain(i, store_reg, is_byte(i), is_byte(i));
    case 0x8a:
    case 0x8b: return plain(i, load_reg, is_byte(i), is_byte(i));
    case 0x8c: return !has_memory(i) && i.reg <= GS ? Plan{from_segment} : Plan{};
    case 0x8d: {
      const bool far = !fits32(static_cast<i64>(i.disp));
      const bool bare = i.base == kZeroReg && i.index == kZeroReg;
      return is_plain_address(i) && i.op_bits >= 32 && (!far || bare) ? Plan{load_address} : Plan{};
    }
    case 0x98: return {extend_acc};
    case 0x99: return {sign_to_rdx};
    case 0xc6:
    case 0xc7: return plain(i, load_constant, is_byte(i), false);
    default: return op >= 0x90 && op <= 0x97 ? plan_exchange(i) : Plan{};
  }
}

}  // namespace twinstep::soft::translate
