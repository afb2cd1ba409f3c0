// BT BTS BTR BTC BSF BSR POPCNT. Undefined flags: QUIRKS.md.
#include <bit>

#include "ops.h"

namespace twinstep::soft {

namespace {

enum BitOp { kTest = 0, kSet = 1, kReset = 2, kComplement = 3 };

// Only CF changes.
template <int kOp, class T>
T bit_op(Cpu& c, T v, u32 n) {
  const T bit = static_cast<T>(T{1} << n);
  c.host_flags = static_cast<u16>((c.host_flags & ~kHfCf) | (v & bit ? kHfCf : 0));
  if constexpr (kOp == kSet) return v | bit;
  if constexpr (kOp == kReset) return v & static_cast<T>(~bit);
  if constexpr (kOp == kComplement) return v ^ bit;
  return v;
}

template <int kOp, class T>
struct ByImm {
  static constexpr u32 mask = sizeof(T) * 8 - 1;
  static T run(Cpu& c, const Insn* i, T v) { return bit_op<kOp, T>(c, v, i->imm & mask); }
};
template <class T>
struct TestByImm {
  static void run(Cpu& c, const Insn* i, T v) {
    bit_op<kTest, T>(c, v, i->imm & (sizeof(T) * 8 - 1));
  }
};
template <class T>
struct TestByReg {
  static void run(Cpu& c, const Insn* i, T v) {
    bit_op<kTest, T>(c, v, get_gpr<T>(c, i->reg) & (sizeof(T) * 8 - 1));
  }
};
template <int kOp, class T>
struct ByReg {
  static T run(Cpu& c, const Insn* i, T v) {
    return bit_op<kOp, T>(c, v, get_gpr<T>(c, i->reg) & (sizeof(T) * 8 - 1));
  }
};

// A bit string in memory: the register's offset reaches beyond the operand, to both sides.
template <int kOp, class T>
void in_memory(Cpu& c, const Insn& i) {
  using S = std::make_signed_t<T>;
  constexpr u32 log = std::countr_zero(sizeof(T) * 8);
  const S offset = static_cast<S>(get_gpr<T>(c, i.reg));
  Insn moved = i;
  moved.disp += static_cast<u64>(static_cast<i64>(offset >> log) * static_cast<i64>(sizeof(T)));
  const u64 a = operand(c, moved, sizeof(T), kOp != kTest);
  if constexpr (kOp != kTest) probe_write(c, a, sizeof(T));
  const T old = read<T>(c, a);
  const T now = bit_op<kOp, T>(c, old, offset & (sizeof(T) * 8 - 1));
  if constexpr (kOp != kTest) write<T>(c, a, now);
}

template <int kOp>
Handler select_by_reg(const Insn& i) {
  return by_wide_size(i, [&]<class T>() -> Handler {
    if (has_memory(i)) return step<in_memory<kOp, T>>;
    if constexpr (kOp == kTest) return with_register<TestByReg<T>, T>;
    else return with_register_update<ByReg<kOp, T>, T>;
  });
}

Handler select_by_imm(const Insn& i) {
  return by_wide_size(i, [&]<class T>() -> Handler {
    switch (group_of(i)) {
      case 4: return pick_load<TestByImm<T>, T>(i);
      case 5: return pick_update_rare<ByImm<kSet, T>, T>(i);
      case 6: return pick_update_rare<ByImm<kReset, T>, T>(i);
      case 7: return pick_update_rare<ByImm<kComplement, T>, T>(i);
      default: return nullptr;
    }
  });
}

// With a zero source the destination keeps all its 64 bits.
template <bool kReverse, class T>
struct Scan {
  static void run(Cpu& c, const Insn* i, T v) {
    c.host_flags = kHfFixed | (v == 0 ? kHfZf : 0);
    if (v == 0) return;
    const u32 n = kReverse ? std::bit_width(v) - 1 : std::countr_zero(v);
    set_gpr<T>(c, i->reg, static_cast<T>(n));
  }
};
template <class T>
struct Popcnt {
  static void run(Cpu& c, const Insn* i, T v) {
    c.host_flags = kHfFixed | (v == 0 ? kHfZf : 0);
    u64 n = v;
    asm("popcnt %[n], %[n]" : [n] "+r"(n) : : "cc");
    set_gpr<T>(c, i->reg, static_cast<T>(n));
  }
};

}  // namespace

// F3 before BSF and BSR (TZCNT, LZCNT) is ignored: neither is announced.
Handler select_bit(const Insn& i) {
  if (i.map != 1) return nullptr;
  switch (i.opcode) {
    case 0xa3: return select_by_reg<kTest>(i);
    case 0xab: return select_by_reg<kSet>(i);
    case 0xb3: return select_by_reg<kReset>(i);
    case 0xbb: return select_by_reg<kComplement>(i);
    case 0xba: return select_by_imm(i);
    case 0xbc:
      return by_wide_size(i, [&]<class T>() { return pick_load_rare<Scan<false, T>, T>(i); });
    case 0xbd:
      return by_wide_size(i, [&]<class T>() { return pick_load_rare<Scan<true, T>, T>(i); });
    case 0xb8:
      if (i.rep != 0xf3) return nullptr;
      return by_wide_size(i, [&]<class T>() { return pick_load_rare<Popcnt<T>, T>(i); });
    default: return nullptr;
  }
}

}  // namespace twinstep::soft
