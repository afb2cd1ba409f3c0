// ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NEG NOT.
#include "translate-unit.h"

namespace twinstep::soft::translate {

namespace {

constexpr u8 kTestCode = 0x84;

bool is_byte(const Insn& i) { return !(i.opcode & 1); }
bool with_carry(Alu op) { return op == aluAdc || op == aluSbb; }

void set_after(Unit& u, Alu op) {
  const bool logic = op == aluAnd || op == aluOr || op == aluXor;
  if (logic) u.set(FlagKind::Logic, fAll & ~fA);
  else u.set(FlagKind::Full, fAll);
}

Alu op_of(const Insn& i) { return static_cast<Alu>(i.opcode < 0x40 ? i.opcode >> 3 : group_of(i)); }

// op r/m, reg
void reg_to_rm(Unit& u, const Insn& i) {
  const Alu op = op_of(i);
  const u32 bytes = size_of(i, is_byte(i));
  if (has_memory(i)) {
    if (with_carry(op)) u.settle(fC);
    const Place m = u.lookup(i, bytes, op != aluCmp);
    if (with_carry(op)) u.need_carry();
    u.e.alu_to(bytes, op, m, u.use(i.reg, hAX));
  } else {
    if (with_carry(op)) u.need_carry();
    if (op == aluCmp) {
      const Place to = place(i.rm);
      if (to.is_register) u.e.alu(bytes, op, to.base, place(i.reg));
      else u.e.alu_to(bytes, op, to, u.use(i.reg, hAX));
    } else {
      u.update(i.rm, bytes, [&](const Place& to) {
        if (to.is_register) u.e.alu(bytes, op, to.base, place(i.reg));
        else u.e.alu_to(bytes, op, to, u.use(i.reg, hSI));
      });
    }
  }
  set_after(u, op);
}

// op reg, r/m
void rm_to_reg(Unit& u, const Insn& i) {
  const Alu op = op_of(i);
  const u32 bytes = size_of(i, is_byte(i));
  Place from;
  if (has_memory(i)) {
    if (with_carry(op)) u.settle(fC);
    from = u.lookup(i, bytes, false);
  }
  if (with_carry(op)) u.need_carry();
  if (!has_memory(i)) {
    from = is_pinned(i.reg) ? place(i.rm) : Place::reg(u.use(i.rm, hSI));
  }
  const u8 to = u.use(i.reg, hAX);
  u.e.alu(bytes, op, to, from);
  if (op != aluCmp && !is_pinned(i.reg)) u.e.store(bytes == 4 ? 8 : bytes, gpr_field(i.reg), to);
  set_after(u, op);
}

// op r/m, immediate; op rAX, immediate
void immediate_to(Unit& u, const Insn& i, u8 guest) {
  const Alu op = op_of(i);
  const u32 bytes = size_of(i, is_byte(i));
  const i64 v = static_cast<i64>(i.imm);
  if (has_memory(i)) {
    if (with_carry(op)) u.settle(fC);
    const Place m = u.lookup(i, bytes, op != aluCmp);
    if (with_carry(op)) u.need_carry();
    u.e.alu_constant(bytes, op, m, v);
  } else {
    if (with_carry(op)) u.need_carry();
    if (op == aluCmp) u.e.alu_constant(bytes, op, place(guest), v);
    else u.update(guest, bytes, [&](const Place& to) { u.e.alu_constant(bytes, op, to, v); });
  }
  set_after(u, op);
}
void immediate_to_rm(Unit& u, const Insn& i) { immediate_to(u, i, i.rm); }
void immediate_to_acc(Unit& u, const Insn& i) { immediate_to(u, i, RAX); }

void test_reg(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, is_byte(i));
  const Place m = has_memory(i) ? u.lookup(i, bytes, false) : place(i.rm);
  u.e.insn(bytes, op0(static_cast<u8>(kTestCode | (bytes > 1))), u.use(i.reg, hAX), m);
  u.set(FlagKind::Logic, fAll & ~fA);
}
void test_immediate(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, is_byte(i));
  const bool acc = i.opcode == 0xa8 || i.opcode == 0xa9;
  const Place m = acc ? place(RAX) : has_memory(i) ? u.lookup(i, bytes, false) : place(i.rm);
  u.e.test_constant(bytes, m, static_cast<i64>(i.imm));
  u.set(FlagKind::Logic, fAll & ~fA);
}

// One operand, read and written: opcode and reg field of the host's form.
template <class F>
void update_rm(Unit& u, const Insn& i, u32 bytes, F f) {
  if (has_memory(i)) f(u.lookup(i, bytes, true));
  else u.update(i.rm, bytes, f);
}

// INC and DEC keep CF, so it must be in FLAGS before them if it is wanted after.
template <u8 kField>
void step_by_one(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, is_byte(i));
  const u8 code = bytes == 1 ? 0xfe : 0xff;
  const bool keeps = u.live_after & fC;
  if (has_memory(i)) {
    if (keeps) u.settle(fC);
    const Place m = u.lookup(i, bytes, true);
    if (keeps) u.need_carry();
    u.e.insn(bytes, op0(code), kField, m);
  } else {
    if (keeps) u.need_carry();  // before update(), which needs rAX
    u.update(i.rm, bytes, [&](const Place& p) { u.e.insn(bytes, op0(code), kField, p); });
  }
  u.set(FlagKind::Full, fAll);
}
void negate(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, is_byte(i));
  update_rm(u, i, bytes,
            [&](const Place& p) { u.e.insn(bytes, op0(bytes == 1 ? 0xf6 : 0xf7), 3, p); });
  u.set(FlagKind::Full, fAll);
}
void complement(Unit& u, const Insn& i) {
  const u32 bytes = size_of(i, is_byte(i));
  update_rm(u, i, bytes,
            [&](const Place& p) { u.e.insn(bytes, op0(bytes == 1 ? 0xf6 : 0xf7), 2, p); });
}

bool reaches_both(const Insn& i) {
  return reaches_rm(i, is_byte(i)) && (!is_byte(i) || is_low(i.reg_at));
}

Plan two_operands(const Insn& i, Emit emit) {
  if (!reaches_both(i)) return {};
  return {emit, with_carry(op_of(i)) ? u8{fC} : u8{0}, fAll, has_memory(i), false};
}

Plan one_operand(const Insn& i, Emit emit, u8 writes) {
  if (!reaches_rm(i, is_byte(i))) return {};
  return {emit, 0, writes, has_memory(i), false};
}

}  // namespace

Plan plan_alu(const Insn& i) {
  if (i.map != 0) return {};
  const u8 op = i.opcode;
  if (op < 0x40 && (op & 7) < 6) {
    if ((op & 7) < 2) return two_operands(i, reg_to_rm);
    if ((op & 7) < 4) return two_operands(i, rm_to_reg);
    return {immediate_to_acc, with_carry(op_of(i)) ? u8{fC} : u8{0}, fAll, false, false};
  }
  if (op >= 0x80 && op <= 0x83) {
    Plan p = one_operand(i, immediate_to_rm, fAll);
    if (with_carry(op_of(i))) p.reads = fC;
    return p;
  }
  constexpr u8 kAllButCarry = fAll & ~fC;
  switch (op) {
    case 0x84:
    case 0x85: return reaches_both(i) ? Plan{test_reg, 0, fAll, has_memory(i), false} : Plan{};
    case 0xa8:
    case 0xa9: return {test_immediate, 0, fAll, false, false};
    case 0xf6:
    case 0xf7:
      if (group_of(i) < 2) return one_operand(i, test_immediate, fAll);
      if (group_of(i) == 2) return one_operand(i, complement, 0);
      return group_of(i) == 3 ? one_operand(i, negate, fAll) : Plan{};
    case 0xfe:
    case 0xff:
      if (group_of(i) > 1) return {};
      return one_operand(i, group_of(i) == 0 ? step_by_one<0> : step_by_one<1>, kAllButCarry);
    default: return {};
  }
}

}  // namespace twinstep::soft::translate
