// What the integer families share: registers by size, addresses, memory operands, selection.
//
// A hot handler has a fast path that cannot fault: address, TLB hit, work, next. Whatever misses
// goes as a sibling call to the same handler's cold form, which takes the checked way. Only cold
// forms set cpu.cur, because only they can fault or stop the block.
#pragma once

#include <type_traits>

#include "block.h"
#include "cpu.h"
#include "flags.h"
#include "mmu.h"

namespace twinstep::soft {

#define TWINSTEP_LIKELY(x) __builtin_expect(!!(x), 1)

// ---- registers ----------------------------------------------------------------------------------

template <class T>
inline T get_gpr(const Cpu& c, u8 n) {
  static_assert(sizeof(T) > 1);
  return static_cast<T>(c.s.gpr[n]);
}
template <class T>
inline void set_gpr(Cpu& c, u8 n, T value) {
  static_assert(sizeof(T) > 1);
  if constexpr (sizeof(T) == 2) {
    memcpy(&c.s.gpr[n], &value, 2);
  } else {
    c.s.gpr[n] = value;  // 32 bits zero-extend
  }
}
template <class T>
inline T get_reg(const Cpu& c, const Insn* i) {
  if constexpr (sizeof(T) == 1) return reinterpret_cast<const u8*>(c.s.gpr)[i->reg_at];
  else return get_gpr<T>(c, i->reg);
}
template <class T>
inline void set_reg(Cpu& c, const Insn* i, T value) {
  if constexpr (sizeof(T) == 1) reinterpret_cast<u8*>(c.s.gpr)[i->reg_at] = value;
  else set_gpr<T>(c, i->reg, value);
}
template <class T>
inline T get_rm(const Cpu& c, const Insn* i) {
  if constexpr (sizeof(T) == 1) return reinterpret_cast<const u8*>(c.s.gpr)[i->rm_at];
  else return get_gpr<T>(c, i->rm);
}
template <class T>
inline void set_rm(Cpu& c, const Insn* i, T value) {
  if constexpr (sizeof(T) == 1) reinterpret_cast<u8*>(c.s.gpr)[i->rm_at] = value;
  else set_gpr<T>(c, i->rm, value);
}
// AL, AX, EAX, RAX and the like.
template <class T>
inline T get_low(const Cpu& c, u8 n) {
  return static_cast<T>(c.s.gpr[n]);
}
template <class T>
inline void set_low(Cpu& c, u8 n, T value) {
  if constexpr (sizeof(T) <= 2) memcpy(&c.s.gpr[n], &value, sizeof(T));
  else c.s.gpr[n] = value;
}

inline bool has_memory(const Insn& i) { return i.flags & kMemory; }
inline u8 group_of(const Insn& i) { return i.modrm >> 3 & 7; }

// ---- addresses ----------------------------------------------------------------------------------

enum class Ea : u8 {
  Base,   // 64-bit: [base + disp]
  Index,  // 64-bit: [base + index * scale + disp]
  Segment,  // the same with FS or GS
  Any,    // all else, with limit checks: operand()
};

inline Ea ea_of(const Insn& i) {
  if (!(i.flags & kLong) || i.addr_bits != 64) return Ea::Any;
  if (i.seg >= FS) return Ea::Segment;
  return i.index == kZeroReg ? Ea::Base : Ea::Index;
}

// Fast address; never for Ea::Any.
template <Ea kEa>
inline u64 fast_address(const Cpu& c, const Insn* i) {
  u64 a = c.s.gpr[i->base] + i->disp;
  if constexpr (kEa != Ea::Base) a += c.s.gpr[i->index] << i->scale;
  if constexpr (kEa == Ea::Segment) a += c.s.seg[i->seg].base;
  return a;
}

// Host address of a hit, else nullptr.
template <class T>
inline const u8* hit_read(const Cpu& c, u64 a) {
  const TlbEntry& e = tlb_entry(c.tlb, a);
  if (!TWINSTEP_LIKELY(e.read == ((a + sizeof(T) - 1) & kPageMask))) return nullptr;
  const u8* p = reinterpret_cast<const u8*>(e.addend + a);
  if (p == nullptr) __builtin_unreachable();
  return p;
}
template <class T>
inline u8* hit_write(const Cpu& c, u64 a) {
  const TlbEntry& e = tlb_entry(c.tlb, a);
  if (!TWINSTEP_LIKELY(e.write == ((a + sizeof(T) - 1) & kPageMask))) return nullptr;
  u8* p = reinterpret_cast<u8*>(e.addend + a);
  if (p == nullptr) __builtin_unreachable();
  return p;
}
template <class T>
inline T load_host(const u8* p) {
  T v;
  memcpy(&v, p, sizeof(T));
  return v;
}
template <class T>
inline void store_host(u8* p, T v) {
  memcpy(p, &v, sizeof(T));
}

// ---- shapes of handlers -------------------------------------------------------------------------
// Op supplies the work; the shape brings operands and goes on to the next instruction.

// Op::run(c, i, T value): a memory source, loaded.
template <class Op, class T, Ea kEa>
const Insn* with_load(Cpu& c, const Insn* i);
template <class Op, class T>
[[gnu::noinline, gnu::cold]] const Insn* with_load_cold(Cpu& c, const Insn* i) {
  c.cur = i;
  const T value = read<T>(c, operand(c, *i, sizeof(T), false));
  Op::run(c, i, value);
  return next(c, i);
}
template <class Op, class T, Ea kEa>
const Insn* with_load(Cpu& c, const Insn* i) {
  if constexpr (kEa == Ea::Any) {
    return with_load_cold<Op, T>(c, i);
  } else {
    const u8* p = hit_read<T>(c, fast_address<kEa>(c, i));
    if (!TWINSTEP_LIKELY(p)) return with_load_cold<Op, T>(c, i);
    Op::run(c, i, load_host<T>(p));
    return next(c, i);
  }
}

// Op::run(c, i) -> T: a memory destination, only written.
template <class Op, class T>
[[gnu::noinline, gnu::cold]] const Insn* with_store_cold(Cpu& c, const Insn* i) {
  c.cur = i;
  write<T>(c, operand(c, *i, sizeof(T), true), Op::run(c, i));
  return next(c, i);
}
template <class Op, class T, Ea kEa>
const Insn* with_store(Cpu& c, const Insn* i) {
  if constexpr (kEa == Ea::Any) {
    return with_store_cold<Op, T>(c, i);
  } else {
    u8* p = hit_write<T>(c, fast_address<kEa>(c, i));
    if (!TWINSTEP_LIKELY(p)) return with_store_cold<Op, T>(c, i);
    store_host<T>(p, Op::run(c, i));
    return next(c, i);
  }
}

// Op::run(c, i, T old) -> T: read, modify, write. Op changes registers and flags, so the page is
// probed for writing first.
template <class Op, class T>
[[gnu::noinline, gnu::cold]] const Insn* with_update_cold(Cpu& c, const Insn* i) {
  c.cur = i;
  const u64 a = operand(c, *i, sizeof(T), true);
  probe_write(c, a, sizeof(T));
  const T old = read<T>(c, a);
  write<T>(c, a, Op::run(c, i, old));
  return next(c, i);
}
template <class Op, class T, Ea kEa>
const Insn* with_update(Cpu& c, const Insn* i) {
  if constexpr (kEa == Ea::Any) {
    return with_update_cold<Op, T>(c, i);
  } else {
    u8* p = hit_write<T>(c, fast_address<kEa>(c, i));
    if (!TWINSTEP_LIKELY(p)) return with_update_cold<Op, T>(c, i);
    store_host<T>(p, Op::run(c, i, load_host<T>(p)));
    return next(c, i);
  }
}

// Op::run(c, i): registers only.
template <class Op>
const Insn* with_nothing(Cpu& c, const Insn* i) {
  Op::run(c, i);
  return next(c, i);
}
// Op::run(c, i, T value) where the operand is a register.
template <class Op, class T>
const Insn* with_register(Cpu& c, const Insn* i) {
  Op::run(c, i, get_rm<T>(c, i));
  return next(c, i);
}
// Op::run(c, i, T old) -> T, where the operand is a register.
template <class Op, class T>
const Insn* with_register_update(Cpu& c, const Insn* i) {
  set_rm<T>(c, i, Op::run(c, i, get_rm<T>(c, i)));
  return next(c, i);
}

// ---- selection ----------------------------------------------------------------------------------

template <class Op, class T>
Handler pick_load(const Insn& i) {
  if (!has_memory(i)) return with_register<Op, T>;
  switch (ea_of(i)) {
    case Ea::Base: return with_load<Op, T, Ea::Base>;
    case Ea::Index: return with_load<Op, T, Ea::Index>;
    case Ea::Segment: return with_load<Op, T, Ea::Segment>;
    default: return with_load_cold<Op, T>;
  }
}
template <class Op, class T>
Handler pick_update(const Insn& i) {
  if (!has_memory(i)) return with_register_update<Op, T>;
  switch (ea_of(i)) {
    case Ea::Base: return with_update<Op, T, Ea::Base>;
    case Ea::Index: return with_update<Op, T, Ea::Index>;
    case Ea::Segment: return with_update<Op, T, Ea::Segment>;
    default: return with_update_cold<Op, T>;
  }
}
template <class Op, class T>
Handler pick_store(const Insn& i) {  // memory only
  switch (ea_of(i)) {
    case Ea::Base: return with_store<Op, T, Ea::Base>;
    case Ea::Index: return with_store<Op, T, Ea::Index>;
    case Ea::Segment: return with_store<Op, T, Ea::Segment>;
    default: return with_store_cold<Op, T>;
  }
}
// The same with fewer forms, for what is rare.
template <class Op, class T>
Handler pick_load_rare(const Insn& i) {
  return has_memory(i) ? with_load_cold<Op, T> : with_register<Op, T>;
}
template <class Op, class T>
Handler pick_update_rare(const Insn& i) {
  return has_memory(i) ? with_update_cold<Op, T> : with_register_update<Op, T>;
}

// Calls f.operator()<T>() with T of the instruction's operand size; `byte` chooses u8.
template <class F>
Handler by_size(const Insn& i, bool byte, F f) {
  if (byte) return f.template operator()<u8>();
  if (i.op_bits == 16) return f.template operator()<u16>();
  if (i.op_bits == 32) return f.template operator()<u32>();
  return f.template operator()<u64>();
}
template <class F>
Handler by_wide_size(const Insn& i, F f) {
  if (i.op_bits == 16) return f.template operator()<u16>();
  if (i.op_bits == 32) return f.template operator()<u32>();
  return f.template operator()<u64>();
}

// ---- stack (ops-stack.cc) -----------------------------------------------------------------------
u64 stack_top(const Cpu& c);                    // rSP cut to the stack's width
void set_stack_top(Cpu& c, u64 sp);
void push_any(Cpu& c, u64 value, u32 bytes);    // moves rSP after the write
u64 peek_any(Cpu& c, u64 sp, u32 bytes);        // no move
void poke_any(Cpu& c, u64 sp, u64 value, u32 bytes);

// ---- families -----------------------------------------------------------------------------------
Handler select_alu(const Insn& i);
Handler select_mov(const Insn& i);
Handler select_shift(const Insn& i);
Handler select_muldiv(const Insn& i);
Handler select_string(const Insn& i);
Handler select_stack(const Insn& i);
Handler select_flow(const Insn& i);
Handler select_bit(const Insn& i);
Handler select_exchange(const Insn& i);
Handler select_flag(const Insn& i);
Handler select_decimal(const Insn& i);

}  // namespace twinstep::soft
