// PUSH POP PUSHA POPA PUSHF POPF ENTER LEAVE.
#include "ops.h"

namespace twinstep::soft {

// ---- the stack at any width ---------------------------------------------------------------------

static u64 stack_mask_of(const Cpu& c) {
  return c.stack_bits == 64 ? ~u64{0} : c.stack_bits == 32 ? 0xffffffff : 0xffff;
}

u64 stack_top(const Cpu& c) { return c.s.gpr[RSP] & stack_mask_of(c); }

void set_stack_top(Cpu& c, u64 sp) {
  if (c.stack_bits == 16) set_low<u16>(c, RSP, static_cast<u16>(sp));
  else c.s.gpr[RSP] = sp & stack_mask_of(c);
}

u64 peek_any(Cpu& c, u64 sp, u32 bytes) {
  u64 value = 0;
  const u64 a = segment_address(c, SS, sp & stack_mask_of(c), bytes, false);
  read_slow_stack(c, a, &value, bytes);
  return value;
}

void poke_any(Cpu& c, u64 sp, u64 value, u32 bytes) {
  const u64 a = segment_address(c, SS, sp & stack_mask_of(c), bytes, true);
  write_slow_stack(c, a, &value, bytes);
}

void push_any(Cpu& c, u64 value, u32 bytes) {
  const u64 sp = stack_top(c) - bytes;
  poke_any(c, sp, value, bytes);
  set_stack_top(c, sp);
}

namespace {

u32 size_of(const Insn& i) { return i.op_bits / 8; }

// ---- any mode -----------------------------------------------------------------------------------

void push_reg(Cpu& c, const Insn& i) { push_any(c, c.s.gpr[i.rm], size_of(i)); }
void push_imm(Cpu& c, const Insn& i) { push_any(c, i.imm, size_of(i)); }

void put_popped(Cpu& c, const Insn& i, u64 value) {
  if (i.op_bits == 16) set_low<u16>(c, i.rm, static_cast<u16>(value));
  else c.s.gpr[i.rm] = value;
}

void pop_reg(Cpu& c, const Insn& i) {
  const u64 value = peek_any(c, c.s.gpr[RSP], size_of(i));
  set_stack_top(c, stack_top(c) + size_of(i));
  put_popped(c, i, value);
}

void write_sized(Cpu& c, u64 a, u64 value, u32 bytes) {
  if (bytes == 2) write<u16>(c, a, static_cast<u16>(value));
  else if (bytes == 4) write<u32>(c, a, static_cast<u32>(value));
  else write<u64>(c, a, value);
}

// The address is formed with rSP already moved (SDM vol. 2, POP), which is put back if a fault follows.
void pop_memory(Cpu& c, const Insn& i) {
  const u64 before = c.s.gpr[RSP];
  const u64 value = peek_any(c, before, size_of(i));
  Insn moved = i;
  if (i.base == RSP) {
    set_stack_top(c, stack_top(c) + size_of(i));
    moved.disp += c.s.gpr[RSP] - before;
    c.s.gpr[RSP] = before;
  }
  write_sized(c, operand(c, moved, size_of(i), true), value, size_of(i));
  set_stack_top(c, stack_top(c) + size_of(i));
}

void push_memory(Cpu& c, const Insn& i) {
  const u64 a = operand(c, i, size_of(i), false);
  u64 value = 0;
  if (i.op_bits == 16) value = read<u16>(c, a);
  else value = i.op_bits == 32 ? read<u32>(c, a) : read<u64>(c, a);
  push_any(c, value, size_of(i));
}

// SDM vol. 2, PUSHA: a real-mode stack with an odd pointer and too little room is #GP, not #SS. (With room
// for less than an interrupt it is a shutdown by itself.)
void push_all(Cpu& c, const Insn& i) {
  const u32 bytes = size_of(i);
  const u64 top = stack_top(c);
  const bool protected_mode = (c.s.cr0 & CR0_PE) && !(c.s.rflags & VM);
  if (!protected_mode && (top & 1) && top >= 7 && top <= 15) raise_gp0();
  // Checked from the far end, so that a fault leaves nothing but some bytes below the stack.
  for (u32 n = 8; n-- > 0;) poke_any(c, top - (n + 1) * bytes, c.s.gpr[n], bytes);
  set_stack_top(c, top - 8 * bytes);
}

void pop_all(Cpu& c, const Insn& i) {
  const u32 bytes = size_of(i);
  const u64 top = stack_top(c);
  u64 values[8];
  for (u32 n = 0; n < 8; ++n) values[n] = peek_any(c, top + n * bytes, bytes);
  set_stack_top(c, top + 8 * bytes);
  for (u32 n = 0; n < 8; ++n) {
    const u8 reg = static_cast<u8>(7 - n);
    if (reg == RSP) continue;
    if (bytes == 2) set_low<u16>(c, reg, static_cast<u16>(values[n]));
    else c.s.gpr[reg] = values[n];
  }
}

// ---- flags --------------------------------------------------------------------------------------

bool v86_refuses(const Cpu& c) { return (c.s.rflags & VM) && (c.s.rflags & IOPL) != IOPL; }

void push_flags(Cpu& c, const Insn& i) {
  if (v86_refuses(c)) raise_gp0();
  push_any(c, get_rflags(c) & ~u64{VM | RF}, size_of(i));
}

// What POPF may change at the present privilege (SDM vol. 2, POPF).
u64 changeable(const Cpu& c, u32 bits) {
  u64 mask = kStatusFlags | TF | DF | NT;
  if (bits > 16) mask |= AC | ID;
  const u64 iopl = (c.s.rflags & IOPL) >> 12;
  if (c.s.rflags & VM) return mask | IF;
  if (c.cpl == 0) mask |= IOPL;
  if (c.cpl <= iopl) mask |= IF;
  return mask;
}

const Insn* pop_flags(Cpu& c, const Insn* i) {
  c.cur = i;
  if (v86_refuses(c)) raise_gp0();
  const u64 value = peek_any(c, c.s.gpr[RSP], size_of(*i));
  set_stack_top(c, stack_top(c) + size_of(*i));
  const u64 mask = changeable(c, i->op_bits);
  const u64 old = get_rflags(c);
  const u64 now = ((old & ~mask) | (value & mask)) & ~u64{RF};
  set_rflags(c, now);
  const u64 set = now & ~old;
  if (((now ^ old) & (TF | AC)) || ((set & IF) && c.line)) {
    begin_flow(c, i);
    return end_flow(c);
  }
  return chain(c, i + 1);
}

// ---- frames -------------------------------------------------------------------------------------

void leave_frame(Cpu& c, const Insn& i) {
  const u64 frame = c.s.gpr[RBP];
  const u64 value = peek_any(c, frame, size_of(i));
  set_stack_top(c, frame + size_of(i));
  if (i.op_bits == 16) set_low<u16>(c, RBP, static_cast<u16>(value));
  else c.s.gpr[RBP] = value;
}

// SDM vol. 2, ENTER. All writes before rSP and rBP change.
void enter_frame(Cpu& c, const Insn& i) {
  const u32 bytes = size_of(i);
  const u32 level = i.imm2 & 31;
  u64 sp = stack_top(c) - bytes;
  poke_any(c, sp, c.s.gpr[RBP], bytes);
  // The frame pointer is rSP as wide as the operand: on a 16-bit stack its upper half stays in it.
  const u64 frame = (c.s.gpr[RSP] & ~stack_mask_of(c)) | (sp & stack_mask_of(c));
  u64 outer = c.s.gpr[RBP];
  for (u32 n = 1; n < level; ++n) {
    outer -= bytes;
    const u64 value = peek_any(c, outer, bytes);
    sp -= bytes;
    poke_any(c, sp, value, bytes);
  }
  if (level > 0) {
    sp -= bytes;
    poke_any(c, sp, frame, bytes);
  }
  sp -= i.imm & 0xffff;
  const u64 last = segment_address(c, SS, sp & stack_mask_of(c), bytes, true);
  probe_write(c, last, bytes);
  set_stack_top(c, sp);
  if (bytes == 2) set_low<u16>(c, RBP, static_cast<u16>(frame));
  else c.s.gpr[RBP] = bytes == 4 ? frame & 0xffffffff : frame;
}

// ---- 64-bit fast forms --------------------------------------------------------------------------

template <class Op>
const Insn* push64(Cpu& c, const Insn* i) {
  const u64 sp = c.s.gpr[RSP] - 8;
  u8* p = hit_write<u64>(c, sp);
  if (!TWINSTEP_LIKELY(p)) return step<Op::cold>(c, i);
  store_host<u64>(p, Op::value(c, i));
  c.s.gpr[RSP] = sp;
  return next(c, i);
}
struct PushReg {
  static constexpr auto cold = push_reg;
  static u64 value(const Cpu& c, const Insn* i) { return c.s.gpr[i->rm]; }
};
struct PushImm {
  static constexpr auto cold = push_imm;
  static u64 value(const Cpu&, const Insn* i) { return i->imm; }
};
struct PushFlags {
  static constexpr auto cold = push_flags;
  static u64 value(Cpu& c, const Insn*) { return get_rflags(c) & ~u64{VM | RF}; }
};

const Insn* pop_reg64(Cpu& c, const Insn* i) {
  const u64 sp = c.s.gpr[RSP];
  const u8* p = hit_read<u64>(c, sp);
  if (!TWINSTEP_LIKELY(p)) return step<pop_reg>(c, i);
  c.s.gpr[RSP] = sp + 8;
  c.s.gpr[i->rm] = load_host<u64>(p);
  return next(c, i);
}

const Insn* leave64(Cpu& c, const Insn* i) {
  const u64 frame = c.s.gpr[RBP];
  const u8* p = hit_read<u64>(c, frame);
  if (!TWINSTEP_LIKELY(p)) return step<leave_frame>(c, i);
  c.s.gpr[RSP] = frame + 8;
  c.s.gpr[RBP] = load_host<u64>(p);
  return next(c, i);
}

}  // namespace

Handler select_stack(const Insn& i) {
  if (i.map != 0) return nullptr;
  const u8 op = i.opcode;
  const bool fast = (i.flags & kLong) && i.op_bits == 64;
  if (op >= 0x50 && op <= 0x57) return fast ? push64<PushReg> : step<push_reg>;
  if (op >= 0x58 && op <= 0x5f) return fast ? pop_reg64 : step<pop_reg>;
  switch (op) {
    case 0x60: return step<push_all>;
    case 0x61: return step<pop_all>;
    case 0x68:
    case 0x6a: return fast ? push64<PushImm> : step<push_imm>;
    case 0x8f:
      if (group_of(i) != 0) return nullptr;
      return has_memory(i) ? step<pop_memory> : step<pop_reg>;
    case 0x9c: return fast ? push64<PushFlags> : step<push_flags>;
    case 0x9d: return pop_flags;
    case 0xc8: return step<enter_frame>;
    case 0xc9: return fast ? leave64 : step<leave_frame>;
    case 0xff:
      if (group_of(i) != 6) return nullptr;
      return has_memory(i) ? step<push_memory> : step<push_reg>;
    default: return nullptr;
  }
}

}  // namespace twinstep::soft
