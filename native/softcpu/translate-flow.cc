// Near flow, the stack, and what only passes time.
#include "translate-unit.h"

namespace twinstep::soft::translate {

namespace {

const Place kScratch = field(offsetof(Cpu, scratch));  // where two registers are too few
const Place kRflags = field(kStateAt + offsetof(State, rflags));

void store_return(Unit& u, const Place& m) {
  const u64 to = u.b.insn[u.at + 1].imm;
  if (fits32(static_cast<i64>(to))) return u.e.store_constant(8, m, static_cast<i64>(to));
  u.e.constant(hAX, to);
  u.e.store(8, m, hAX);
}

// The target in rAX; one that is not canonical faults.
void leave_unless_canonical(Unit& u) {
  u.e.load(8, hSI, Place::reg(hAX));
  u.e.shift(8, 4, Place::reg(hSI), 16);
  u.e.shift(8, 7, Place::reg(hSI), 16);
  u.e.alu(8, aluCmp, hSI, Place::reg(hAX));
  u.leave_if(ccNE);
}

void target_to_rax(Unit& u, const Insn& i) {
  u.clobber();
  u.e.load(8, hAX, has_memory(i) ? u.lookup(i, 8, false) : place(i.rm));
  leave_unless_canonical(u);
}

void jump_direct(Unit& u, const Insn& i) { u.exit_through(i, 0); }

void jump_conditional(Unit& u, const Insn& i) {
  const u8 cc = u.condition(i.opcode & 15);
  const u8 host = u.host, mem = u.mem;
  if (i.imm == u.b.rip) {  // a loop: its way is the one straight on
    u8* out = u.e.jump_far_ahead(cc ^ 1);
    u.exit_through(i, 0);
    u.host = host;
    u.mem = mem;
    u.e.land_far(out);
    return u.exit_through(u.b.insn[u.b.count], 1);
  }
  u8* taken = u.e.jump_far_ahead(cc);
  u.exit_through(u.b.insn[u.b.count], 1);
  u.host = host;
  u.mem = mem;
  u.e.land_far(taken);
  u.exit_through(i, 0);
}

void call_direct(Unit& u, const Insn& i) {
  store_return(u, u.lookup_stack(-8, 8, true));
  u.move_stack(-8);
  u.exit_through(i, 0);
}

void jump_indirect(Unit& u, const Insn& i) {
  target_to_rax(u, i);
  u.jump_to_target();
}

void call_indirect(Unit& u, const Insn& i) {
  target_to_rax(u, i);
  u.e.store(8, kScratch, hAX);
  store_return(u, u.lookup_stack(-8, 8, true));
  u.move_stack(-8);
  u.e.load(8, hAX, kScratch);
  u.jump_to_target();
}

void return_near(Unit& u, const Insn& i) {
  u.clobber();
  u.e.load(8, hAX, u.lookup_stack(0, 8, false));
  leave_unless_canonical(u);
  u.move_stack(8 + (i.opcode == 0xc2 ? static_cast<i64>(i.imm) : 0));
  u.jump_to_target();
}

void nothing(Unit&, const Insn&) {}

// ---- stack --------------------------------------------------------------------------------------

void push_reg(Unit& u, const Insn& i) {
  const Place m = u.lookup_stack(-8, 8, true);
  u.e.store(8, m, u.use(i.rm, hAX));
  u.move_stack(-8);
}
void push_immediate(Unit& u, const Insn& i) {
  u.e.store_constant(8, u.lookup_stack(-8, 8, true), static_cast<i64>(i.imm));
  u.move_stack(-8);
}
void push_scratch(Unit& u) {  // what is in kScratch
  const Place m = u.lookup_stack(-8, 8, true);
  u.e.load(8, hAX, kScratch);
  u.e.store(8, m, hAX);
  u.move_stack(-8);
}
void push_memory(Unit& u, const Insn& i) {
  u.e.load(8, hAX, u.lookup(i, 8, false));
  u.e.store(8, kScratch, hAX);
  push_scratch(u);
}
void push_flags(Unit& u, const Insn&) {
  u.clobber();
  u.e.insn(4, op1(0xb7), hAX, field(offsetof(Cpu, host_flags)));
  u.e.load(4, hSI, Place::reg(hAX));
  u.e.shift(4, 5, Place::reg(hAX), 8);
  u.e.alu_constant(4, aluAnd, Place::reg(hAX), CF | PF | AF | ZF | SF);
  u.e.alu_constant(4, aluAnd, Place::reg(hSI), 1);
  u.e.shift(4, 4, Place::reg(hSI), 11);
  u.e.alu(4, aluOr, hAX, Place::reg(hSI));
  u.e.load(8, hSI, kRflags);
  u.e.alu_constant(8, aluAnd, Place::reg(hSI), ~static_cast<i64>(kStatusFlags | VM | RF));
  u.e.alu(8, aluOr, hAX, Place::reg(hSI));
  u.e.alu_constant(8, aluOr, Place::reg(hAX), 2);
  u.e.store(8, kScratch, hAX);
  push_scratch(u);
}
void pop_reg(Unit& u, const Insn& i) {
  u.e.load(8, hAX, u.lookup_stack(0, 8, false));
  u.move_stack(8);
  u.e.store(8, place(i.rm), hAX);
}
void leave_frame(Unit& u, const Insn&) {
  Insn at{};
  at.base = RBP;
  at.index = kZeroReg;
  at.seg = SS;
  u.e.load(8, hAX, u.lookup(at, 8, false));
  u.e.lea(8, kPins[RSP], Place::at(kPins[RBP], 8));
  u.e.store(8, Place::reg(kPins[RBP]), hAX);
}

// ---- runs of pushes, of pops ----------------------------------------------------------------------

bool is_push(const Insn& i) {
  if (i.map != 0 || i.op_bits != 64) return false;
  return (i.opcode >= 0x50 && i.opcode <= 0x57 && i.rm != RSP) || i.opcode == 0x68 || i.opcode == 0x6a;
}
bool is_pop(const Insn& i) {
  return i.map == 0 && i.op_bits == 64 && i.opcode >= 0x58 && i.opcode <= 0x5f && i.rm != RSP;
}

void push_run(Unit& u, u32 count) {
  const i32 bytes = static_cast<i32>(8 * count);
  Place m = u.lookup_stack(-bytes, static_cast<u32>(bytes), true);
  for (u32 n = 0; n < count; ++n) {
    const Insn& i = u.b.insn[u.at + n];
    Place to = m;
    to.disp += bytes - 8 * static_cast<i32>(n + 1);
    if (i.opcode >= 0x68) u.e.store_constant(8, to, static_cast<i64>(i.imm));
    else u.e.store(8, to, u.use(i.rm, hAX));
  }
  u.move_stack(-bytes);
}

void pop_run(Unit& u, u32 count) {
  Place from = u.lookup_stack(0, 8 * count, false);
  for (u32 n = 0; n < count; ++n) {
    u.define(u.b.insn[u.at + n].rm, 8, [&](u8 to) { u.e.load(8, to, from); });
    from.disp += 8;
  }
  u.move_stack(8 * count);
}

// ---- single flags -------------------------------------------------------------------------------

void clear_interrupts(Unit& u, const Insn&) {
  u.clobber();
  u.e.alu_constant(1, aluCmp, field(offsetof(Cpu, cpl)), 0);
  u.leave_if(ccNE);
  u.e.alu_constant(8, aluAnd, kRflags, ~static_cast<i64>(IF));
}
void set_direction(Unit& u, const Insn& i) {
  u.clobber();
  if (i.opcode == 0xfd) u.e.alu_constant(8, aluOr, kRflags, DF);
  else u.e.alu_constant(8, aluAnd, kRflags, ~static_cast<i64>(DF));
}
void set_carry(Unit& u, const Insn& i) {
  u.clobber();
  const Place high = field(offsetof(Cpu, host_flags) + 1);
  const bool clears = i.opcode == 0xf8;
  u.e.alu_constant(1, clears ? aluAnd : i.opcode == 0xf9 ? aluOr : aluXor, high, clears ? 0xfe : 1);
  u.mem |= fC;
}

Plan plan_group5(const Insn& i) {
  if (!reaches_rm(i, false)) return {};
  switch (group_of(i)) {
    case 2: return {call_indirect, 0, 0, true, true};
    case 4: return {jump_indirect, 0, 0, true, true};
    case 6: return has_memory(i) && i.op_bits == 64 ? Plan{push_memory, 0, 0, true, false} : Plan{};
    default: return {};
  }
}

Plan plan_flow1(const Insn& i) {
  const u8 op = i.opcode;
  if (op >= 0x80 && op <= 0x8f) return {jump_conditional, flags_of(op & 15), 0, false, true};
  const bool hint = op == 0x18 || (op >= 0x19 && op <= 0x1f) || (op == 0x0d && has_memory(i));
  return hint ? Plan{nothing} : Plan{};
}

}  // namespace

// Several pushes or pops in a row: one look at the page they all lie in. A miss leaves all of them to the
// interpreter, beginning with the first.
u32 emit_stack_run(Unit& u) {
  const auto run_of = [&](bool (*is)(const Insn&)) {
    u32 n = 0;
    while (u.at + n < u.b.count && is(u.b.insn[u.at + n])) ++n;
    return n;
  };
  if (const u32 n = run_of(is_push); n > 1) return push_run(u, n), n;
  if (const u32 n = run_of(is_pop); n > 1) return pop_run(u, n), n;
  return 0;
}

Plan plan_flow(const Insn& i) {
  if (i.map == 1) return plan_flow1(i);
  if (i.map != 0) return {};
  const u8 op = i.opcode;
  if (op >= 0x70 && op <= 0x7f) return {jump_conditional, flags_of(op & 15), 0, false, true};
  switch (op) {
    case 0x90: return i.rm == RAX ? Plan{nothing} : Plan{};
    case 0xc2:
    case 0xc3: return {return_near, 0, 0, true, true};
    case 0xe8: return {call_direct, 0, 0, true, true};
    case 0xe9:
    case 0xeb: return {jump_direct, 0, 0, false, true};
    case 0xff: return plan_group5(i);
    default: return {};
  }
}

Plan plan_stack(const Insn& i) {
  if (i.map != 0 || i.op_bits != 64) return {};
  const u8 op = i.opcode;
  if (op >= 0x50 && op <= 0x57) return {push_reg, 0, 0, true, false};
  if (op >= 0x58 && op <= 0x5f) return {pop_reg, 0, 0, true, false};
  switch (op) {
    case 0x68:
    case 0x6a: return {push_immediate, 0, 0, true, false};
    case 0x9c: return {push_flags, 0, 0, true, false};
    case 0xc9: return {leave_frame, 0, 0, true, false};
    default: return {};
  }
}

Plan plan_system(const Insn& i) {
  if (i.map != 0) return {};
  switch (i.opcode) {
    case 0xf5: return {set_carry, fC, 0, false, false};
    case 0xf8:
    case 0xf9: return {set_carry, 0, fC, false, false};
    case 0xfa: return {clear_interrupts, 0, 0, true, false};
    case 0xfc:
    case 0xfd: return {set_direction, 0, 0, false, false};
    default: return {};
  }
}

}  // namespace twinstep::soft::translate
