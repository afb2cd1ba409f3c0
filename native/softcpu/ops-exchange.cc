// XCHG XADD CMPXCHG CMPXCHG8B CMPXCHG16B BSWAP.
#include "alu.h"
#include "ops.h"

namespace twinstep::soft {

namespace {

template <class T>
struct Xchg {
  static T run(Cpu& c, const Insn* i, T old) {
    const T value = get_reg<T>(c, i);
    set_reg<T>(c, i, old);
    return value;
  }
};
template <class T>
struct XchgAcc {  // 90..97
  static void run(Cpu& c, const Insn* i) {
    const T value = get_rm<T>(c, i);
    set_rm<T>(c, i, get_low<T>(c, RAX));
    set_low<T>(c, RAX, value);
  }
};
template <class T>
struct Xadd {
  static T run(Cpu& c, const Insn* i, T old) {
    const T sum = alu<kAdd, T>(c, old, get_reg<T>(c, i));
    set_reg<T>(c, i, old);
    return sum;
  }
};
// The destination is written in either case; the accumulator only when unequal.
template <class T>
struct Cmpxchg {
  static T run(Cpu& c, const Insn* i, T old) {
    const T value = get_reg<T>(c, i);
    const T acc = get_low<T>(c, RAX);
    alu<kCmp, T>(c, acc, old);
    if (acc == old) return value;
    set_low<T>(c, RAX, old);
    return old;
  }
};
// As a register: an unequal compare writes only the accumulator (a 32-bit destination keeps its
// upper half), an equal one only the destination.
template <class T>
struct CmpxchgReg {
  static void run(Cpu& c, const Insn* i) {
    const T value = get_reg<T>(c, i), old = get_rm<T>(c, i);
    const T acc = get_low<T>(c, RAX);
    alu<kCmp, T>(c, acc, old);
    if (acc == old) set_rm<T>(c, i, value);
    else set_low<T>(c, RAX, old);
  }
};

void set_zf(Cpu& c, bool on) {
  c.host_flags = static_cast<u16>((c.host_flags & ~kHfZf) | (on ? kHfZf : 0));
}

void cmpxchg8b(Cpu& c, const Insn& i) {
  const u64 a = operand(c, i, 8, true);
  probe_write(c, a, 8);
  const u64 old = read<u64>(c, a);
  const u64 expected = u64{get_low<u32>(c, RDX)} << 32 | get_low<u32>(c, RAX);
  const u64 fresh = u64{get_low<u32>(c, RBX)} | u64{get_low<u32>(c, RCX)} << 32;
  write<u64>(c, a, old == expected ? fresh : old);
  set_zf(c, old == expected);
  if (old == expected) return;
  c.s.gpr[RAX] = static_cast<u32>(old);
  c.s.gpr[RDX] = old >> 32;
}

void cmpxchg16b(Cpu& c, const Insn& i) {
  const u64 a = operand(c, i, 16, true);
  if (a & 15) raise_gp0();
  probe_write(c, a, 16);
  const u64 low = read<u64>(c, a), high = read<u64>(c, a + 8);
  const bool equal = low == c.s.gpr[RAX] && high == c.s.gpr[RDX];
  write<u64>(c, a, equal ? c.s.gpr[RBX] : low);
  write<u64>(c, a + 8, equal ? c.s.gpr[RCX] : high);
  set_zf(c, equal);
  if (equal) return;
  c.s.gpr[RAX] = low;
  c.s.gpr[RDX] = high;
}

template <class T>
struct Bswap {
  static void run(Cpu& c, const Insn* i) {
    if constexpr (sizeof(T) == 8) c.s.gpr[i->rm] = __builtin_bswap64(c.s.gpr[i->rm]);
    else if constexpr (sizeof(T) == 4) c.s.gpr[i->rm] = __builtin_bswap32(get_low<u32>(c, i->rm));
    else set_low<u16>(c, i->rm, 0);  // undefined: as if the upper, zero-extended half came down
  }
};

Handler select_exchange1(const Insn& i) {
  const u8 op = i.opcode;
  if (op == 0xb0 || op == 0xb1) {
    return by_size(i, op == 0xb0, [&]<class T>() -> Handler {
      return has_memory(i) ? pick_update<Cmpxchg<T>, T>(i) : with_nothing<CmpxchgReg<T>>;
    });
  }
  if (op == 0xc0 || op == 0xc1) {
    return by_size(i, op == 0xc0, [&]<class T>() { return pick_update_rare<Xadd<T>, T>(i); });
  }
  if (op == 0xc7 && group_of(i) == 1 && has_memory(i)) {
    return i.op_bits == 64 ? step<cmpxchg16b> : step<cmpxchg8b>;
  }
  if (op >= 0xc8 && op <= 0xcf) {
    return by_wide_size(i, []<class T>() -> Handler { return with_nothing<Bswap<T>>; });
  }
  return nullptr;
}

}  // namespace

Handler select_exchange(const Insn& i) {
  if (i.map == 1) return select_exchange1(i);
  if (i.map != 0) return nullptr;
  const u8 op = i.opcode;
  if (op == 0x86 || op == 0x87) {
    return by_size(i, op == 0x86, [&]<class T>() { return pick_update<Xchg<T>, T>(i); });
  }
  if (op >= 0x90 && op <= 0x97) {
    return by_wide_size(i, []<class T>() -> Handler { return with_nothing<XchgAcc<T>>; });
  }
  return nullptr;
}

}  // namespace twinstep::soft
