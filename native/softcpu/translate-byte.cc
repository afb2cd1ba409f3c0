// Byte operands of which one is AH, CH, DH or BH.
//
// No host register but AH to BH has a second byte, and no REX prefix may stand before those. So such a byte is
// read through the host's AH, and written in Cpu::s beside the other seven.
#include "translate-unit.h"

namespace twinstep::soft::translate {

namespace {

constexpr u8 kAh = 4;

bool is_byte_form(const Insn& i) { return !(i.opcode & 1); }
bool is_high(u8 at) { return !is_low(at); }
bool is_high_rm(const Insn& i) { return !has_memory(i) && is_high(i.rm_at); }

// In the low byte of a host register, rAX if need be. FLAGS stay.
u8 byte_of(Unit& u, u8 guest, u8 at) {
  const u8 high_of = static_cast<u8>(at >> 3);
  if (is_low(at)) return u.use(guest, hAX);
  u.e.load(4, hAX, place(high_of));
  u.e.byte(0x0f);  // MOVZX EAX, AH
  u.e.byte(0xb6);
  u.e.byte(0xc4);
  return hAX;
}

// f(Place) works on the second byte of a register.
template <class F>
void in_memory(Unit& u, u8 at, bool writes, F f) {
  const u8 guest = static_cast<u8>(at >> 3);
  u.e.store(8, gpr_field(guest), kPins[guest]);
  Place p = gpr_field(guest);
  ++p.disp;
  f(p);
  if (writes) u.e.load(8, kPins[guest], gpr_field(guest));
}

// An instruction of the host on AH with an immediate: `code` and what ModRM says beside the register.
void on_ah(Unit& u, u8 at, u8 code, u8 modrm, u64 immediate, bool writes) {
  const u8 guest = static_cast<u8>(at >> 3);
  u.e.load(8, hAX, place(guest));
  u.e.byte(code);
  if (code != 0xb4) u.e.byte(0xc0u | static_cast<u32>(modrm) << 3 | kAh);
  u.e.byte(static_cast<u8>(immediate));
  if (writes) u.e.store(8, Place::reg(kPins[guest]), hAX);
}

// ---- instructions ---------------------------------------------------------------------------------

Alu op_of(const Insn& i) { return static_cast<Alu>(i.opcode < 0x40 ? i.opcode >> 3 : group_of(i)); }
bool with_carry(Alu op) { return op == aluAdc || op == aluSbb; }
void set_after(Unit& u, Alu op) {
  const bool logic = op == aluAnd || op == aluOr || op == aluXor;
  u.set(logic ? FlagKind::Logic : FlagKind::Full, logic ? fAll & ~fA : fAll);
}

// Of the two operands of 00..3B, 84, 88, 8A: where to, where from.
void two_bytes(Unit& u, const Insn& i) {
  const bool moves = i.opcode == 0x88 || i.opcode == 0x8a, tests = i.opcode == 0x84;
  const bool to_rm = !(i.opcode & 2);
  const Alu op = moves || tests ? aluCmp : op_of(i);
  const bool writes = moves || !(tests || op == aluCmp), carry = with_carry(op);
  Place m;
  if (carry && has_memory(i)) u.settle(fC);
  if (has_memory(i)) m = u.lookup(i, 1, to_rm && writes);
  if (carry) u.need_carry();
  const auto apply = [&](const Place& to, u8 from) {
    if (moves) u.e.store(1, to, from);
    else if (tests) u.e.insn(1, op0(0x84), from, to);
    else u.e.alu_to(1, op, to, from);
  };
  u8 from = hAX;
  if (to_rm) from = byte_of(u, i.reg, i.reg_at);
  else if (has_memory(i)) u.e.load(1, hAX, m);
  else from = byte_of(u, i.rm, i.rm_at);
  const u8 to = to_rm ? i.rm : i.reg, at = to_rm ? i.rm_at : i.reg_at;
  if (to_rm && has_memory(i)) apply(m, from);
  else if (is_low(at)) apply(place(to), from);
  else in_memory(u, at, writes, [&](const Place& p) { apply(p, from); });
  if (moves) return;
  if (tests) u.set(FlagKind::Logic, fAll & ~fA);
  else set_after(u, op);
}

void immediate_to_high(Unit& u, const Insn& i) {  // 80
  const Alu op = op_of(i);
  if (with_carry(op)) u.need_carry();
  on_ah(u, i.rm_at, 0x80, op, i.imm, op != aluCmp);
  set_after(u, op);
}
void test_high(Unit& u, const Insn& i) {  // F6 /0
  on_ah(u, i.rm_at, 0xf6, 0, i.imm, false);
  u.set(FlagKind::Logic, fAll & ~fA);
}
void constant_to_high(Unit& u, const Insn& i) { on_ah(u, i.rm_at, 0xb4, 0, i.imm, true); }  // B4, C6

void widen_high(Unit& u, const Insn& i) {  // 0F B6, BE
  byte_of(u, i.rm, i.rm_at);
  const u32 bytes = size_of(i, false);
  if (bytes == 2) {
    if (i.opcode == 0xbe) u.e.insn(2, op1(0xbe), hAX, Place::reg(hAX), true);
    return u.e.store(2, place(i.reg), hAX);
  }
  u.define(i.reg, bytes, [&](u8 to) { u.e.insn(bytes, op1(i.opcode), to, Place::reg(hAX), true); });
}

}  // namespace

Plan plan_byte(const Insn& i) {
  if (has_memory(i) && !is_plain_address(i)) return {};
  const u8 op = i.opcode;
  if (i.map == 1) {
    return (op == 0xb6 || op == 0xbe) && is_high_rm(i) ? Plan{widen_high} : Plan{};
  }
  if (i.map != 0) return {};
  if (op >= 0xb0 && op <= 0xb7) return is_high(i.rm_at) ? Plan{constant_to_high} : Plan{};
  if (!is_byte_form(i)) return {};
  const bool pair = (op < 0x40 && (op & 7) < 4) || op == 0x84 || op == 0x88 || op == 0x8a;
  if (pair && (is_high_rm(i) || is_high(i.reg_at))) {
    const bool moves = op == 0x88 || op == 0x8a;
    const bool reads = op < 0x40 && with_carry(op_of(i));
    return {two_bytes, reads ? u8{fC} : u8{0}, moves ? u8{0} : u8{fAll}, has_memory(i), false};
  }
  if (!is_high_rm(i)) return {};
  switch (op) {
    case 0x80:
    case 0x82: return {immediate_to_high, with_carry(op_of(i)) ? u8{fC} : u8{0}, fAll, false, false};
    case 0xf6: return group_of(i) < 2 ? Plan{test_high, 0, fAll, false, false} : Plan{};
    case 0xc6: return group_of(i) == 0 ? Plan{constant_to_high} : Plan{};
    default: return {};
  }
}

}  // namespace twinstep::soft::translate
