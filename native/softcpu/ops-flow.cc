// Near flow: Jcc JMP CALL RET LOOP JCXZ, and what only passes time: NOP, PAUSE, hints, prefetches.
//
// A direct branch has its target in `imm`; behind every block stands a pseudo instruction whose
// `imm` is the address after the last instruction: the way on of an untaken branch, and the return
// address of a call.
#include "ops.h"

namespace twinstep::soft {

namespace {

template <int kCond>
const Insn* jcc(Cpu& c, const Insn* i) {
  return condition<kCond>(c) ? chain(c, i) : chain(c, i + 1);
}

template <int kCond = 0>
Handler select_jcc(u8 cond) {
  if constexpr (kCond == 16) {
    return nullptr;
  } else {
    return cond == kCond ? jcc<kCond> : select_jcc<kCond + 1>(cond);
  }
}

const Insn* jmp(Cpu& c, const Insn* i) { return chain(c, i); }

// ---- calls and returns --------------------------------------------------------------------------

[[gnu::noinline, gnu::cold]] const Insn* call_cold(Cpu& c, const Insn* i) {
  c.cur = i;
  push_any(c, (i + 1)->imm, i->op_bits / 8);
  return chain(c, i);
}
const Insn* call64(Cpu& c, const Insn* i) {
  const u64 sp = c.s.gpr[RSP] - 8;
  u8* p = hit_write<u64>(c, sp);
  if (!TWINSTEP_LIKELY(p)) return call_cold(c, i);
  store_host<u64>(p, (i + 1)->imm);
  c.s.gpr[RSP] = sp;
  return chain(c, i);
}

// An indirect branch to a non-canonical address, or beyond the CS limit, faults itself, before it changes
// anything.
bool canonical(u64 a) { return static_cast<u64>(static_cast<i64>(a << 16) >> 16) == a; }
template <bool k64>
bool lands(const Cpu& c, u64 target) {
  if constexpr (k64) return canonical(target);
  return target <= c.s.seg[CS].limit;
}
[[gnu::noinline, gnu::cold]] const Insn* astray(Cpu& c, const Insn* i) {
  c.cur = i;
  raise_gp0();
}
// In 64-bit mode a call finds out first whether its return address could be pushed (SDM vol. 2, CALL).
[[gnu::noinline, gnu::cold]] const Insn* call_astray(Cpu& c, const Insn* i) {
  c.cur = i;
  if (!(i->flags & kLong)) raise_gp0();
  const u32 bytes = i->op_bits / 8;
  probe_stack_write(c, segment_address(c, SS, stack_top(c) - bytes, bytes, true), bytes);
  raise_gp0();
}

u64 cut(u64 rip, u8 bits) {
  return bits == 64 ? rip : bits == 32 ? rip & 0xffffffff : rip & 0xffff;
}

template <bool k64>
[[gnu::noinline, gnu::cold]] const Insn* ret_cold(Cpu& c, const Insn* i) {
  c.cur = i;
  const u32 bytes = i->op_bits / 8;
  const u64 target = cut(peek_any(c, c.s.gpr[RSP], bytes), i->op_bits);
  if (!lands<k64>(c, target)) return astray(c, i);
  set_stack_top(c, stack_top(c) + bytes + (i->opcode == 0xc2 ? i->imm : 0));
  return jump_to(c, target);
}
const Insn* ret64(Cpu& c, const Insn* i) {
  const u64 sp = c.s.gpr[RSP];
  const u8* p = hit_read<u64>(c, sp);
  if (!TWINSTEP_LIKELY(p)) return ret_cold<true>(c, i);
  const u64 target = load_host<u64>(p);
  if (!TWINSTEP_LIKELY(canonical(target))) return astray(c, i);
  c.s.gpr[RSP] = sp + 8;
  return jump_to(c, target);
}

// ---- indirect -----------------------------------------------------------------------------------

template <bool k64>
const Insn* jmp_reg(Cpu& c, const Insn* i) {
  const u64 target = cut(c.s.gpr[i->rm], i->op_bits);
  if (!TWINSTEP_LIKELY(lands<k64>(c, target))) return astray(c, i);
  return jump_to(c, target);
}

u64 read_pointer(Cpu& c, const Insn* i) {
  const u64 a = operand(c, *i, i->op_bits / 8, false);
  if (i->op_bits == 64) return read<u64>(c, a);
  return i->op_bits == 32 ? read<u32>(c, a) : read<u16>(c, a);
}
template <bool k64>
const Insn* jmp_memory(Cpu& c, const Insn* i) {
  c.cur = i;
  const u64 target = read_pointer(c, i);
  if (!TWINSTEP_LIKELY(lands<k64>(c, target))) return astray(c, i);
  return jump_to(c, target);
}
template <bool k64>
const Insn* call_memory(Cpu& c, const Insn* i) {
  c.cur = i;
  const u64 target = read_pointer(c, i);
  if (!TWINSTEP_LIKELY(lands<k64>(c, target))) return call_astray(c, i);
  push_any(c, (i + 1)->imm, i->op_bits / 8);
  return jump_to(c, target);
}
template <bool k64>
const Insn* call_reg_any(Cpu& c, const Insn* i) {
  c.cur = i;
  const u64 target = cut(c.s.gpr[i->rm], i->op_bits);
  if (!lands<k64>(c, target)) return call_astray(c, i);
  push_any(c, (i + 1)->imm, i->op_bits / 8);
  return jump_to(c, target);
}
const Insn* call_reg64(Cpu& c, const Insn* i) {
  const u64 target = c.s.gpr[i->rm];
  const u64 sp = c.s.gpr[RSP] - 8;
  u8* p = hit_write<u64>(c, sp);
  if (!TWINSTEP_LIKELY(p && canonical(target))) return call_reg_any<true>(c, i);
  store_host<u64>(p, (i + 1)->imm);
  c.s.gpr[RSP] = sp;
  return jump_to(c, target);
}

// ---- loops by rCX -------------------------------------------------------------------------------

// Counts down rCX as wide as the address; true if it is not zero then.
bool count_down(Cpu& c, const Insn* i) {
  if (i->addr_bits == 64) return --c.s.gpr[RCX] != 0;
  if (i->addr_bits == 32) return (c.s.gpr[RCX] = static_cast<u32>(c.s.gpr[RCX] - 1)) != 0;
  set_low<u16>(c, RCX, static_cast<u16>(c.s.gpr[RCX] - 1));
  return static_cast<u16>(c.s.gpr[RCX]) != 0;
}
const Insn* loop(Cpu& c, const Insn* i) {
  bool again = count_down(c, i);
  if (i->opcode == 0xe0) again = again && !(c.host_flags & kHfZf);
  if (i->opcode == 0xe1) again = again && (c.host_flags & kHfZf);
  return again ? chain(c, i) : chain(c, i + 1);
}
const Insn* jcxz(Cpu& c, const Insn* i) {
  return cut(c.s.gpr[RCX], i->addr_bits) == 0 ? chain(c, i) : chain(c, i + 1);
}

// ---- direct branches beyond the CS limit ----------------------------------------------------------

template <int kCond = 0>
bool holds(const Cpu& c, int cond) {
  if constexpr (kCond == 16) return false;
  else return cond == kCond ? condition<kCond>(c) : holds<kCond + 1>(c, cond);
}

bool is_taken(const Cpu& c, const Insn& i) {
  if (i.map == 1 || (i.opcode & 0xf0) == 0x70) return holds(c, i.opcode & 15);
  if (i.opcode > 0xe3) return true;
  const u64 left = cut(c.s.gpr[RCX] - (i.opcode == 0xe3 ? 0 : 1), i.addr_bits);
  if (i.opcode == 0xe3) return left == 0;
  const bool zero = c.host_flags & kHfZf;
  return left != 0 && (i.opcode == 0xe2 || zero == (i.opcode == 0xe1));
}

const Insn* nothing(Cpu& c, const Insn* i) { return next(c, i); }

void ud2(Cpu&, const Insn&) { raise_ud(); }

void bound(Cpu& c, const Insn& i) {
  const u32 bytes = i.op_bits / 8;
  const u64 a = operand(c, i, bytes, false), b = operand_part(c, i, bytes, bytes, false);
  i64 low, high, index;
  if (bytes == 2) {
    low = static_cast<i16>(read<u16>(c, a));
    high = static_cast<i16>(read<u16>(c, b));
    index = static_cast<i16>(c.s.gpr[i.reg]);
  } else {
    low = static_cast<i32>(read<u32>(c, a));
    high = static_cast<i32>(read<u32>(c, b));
    index = static_cast<i32>(c.s.gpr[i.reg]);
  }
  if (index < low || index > high) raise(BR);
}

template <bool k64>
Handler select_group5(const Insn& i) {  // FF /2 /4
  if (group_of(i) == 4) return has_memory(i) ? jmp_memory<k64> : jmp_reg<k64>;
  if (group_of(i) != 2) return nullptr;
  if (has_memory(i)) return call_memory<k64>;
  return k64 ? call_reg64 : call_reg_any<false>;
}

Handler select_flow1(const Insn& i) {
  const u8 op = i.opcode;
  if (op >= 0x80 && op <= 0x8f) return select_jcc(op & 15);
  if (op == 0x0d) return has_memory(i) ? nothing : nullptr;  // PREFETCHW
  if (op == 0x18) return nothing;                            // PREFETCHh; hint NOPs as registers
  if (op >= 0x19 && op <= 0x1f) return nothing;              // hint NOPs, ENDBR
  if (op == 0x0b || op == 0xb9 || op == 0xff) return step<ud2>;
  return nullptr;
}

}  // namespace

const Insn* branch_astray(Cpu& c, const Insn* i) {
  if (is_taken(c, *i)) return astray(c, i);
  if (i->map == 0 && i->opcode >= 0xe0 && i->opcode <= 0xe2) count_down(c, i);
  return chain(c, i + 1);
}

Handler select_flow(const Insn& i) {
  if (i.map == 1) return select_flow1(i);
  if (i.map != 0) return nullptr;
  const u8 op = i.opcode;
  const bool fast = i.flags & kLong;
  if (op >= 0x70 && op <= 0x7f) return select_jcc(op & 15);
  switch (op) {
    case 0x62: return has_memory(i) ? step<bound> : nullptr;
    case 0x90: return i.rm == RAX ? nothing : nullptr;  // also PAUSE; with REX.B it is XCHG
    case 0xc2: return fast ? ret_cold<true> : ret_cold<false>;
    case 0xc3: return fast ? ret64 : ret_cold<false>;
    case 0xe0:
    case 0xe1:
    case 0xe2: return loop;
    case 0xe3: return jcxz;
    case 0xe8: return fast ? call64 : call_cold;
    case 0xe9:
    case 0xeb: return jmp;
    case 0xff: return fast ? select_group5<true>(i) : select_group5<false>(i);
    default: return nullptr;
  }
}

}  // namespace twinstep::soft
