// MOV LEA MOVZX MOVSX CMOVcc SETcc CBW CWD XLAT.
#include "ops.h"

namespace twinstep::soft {

namespace {

template <class T>
struct ToReg {
  static void run(Cpu& c, const Insn* i, T value) { set_reg<T>(c, i, value); }
};
template <class T>
struct FromReg {
  static T run(Cpu& c, const Insn* i) { return get_reg<T>(c, i); }
};
template <class T>
struct FromImm {
  static T run(Cpu&, const Insn* i) { return static_cast<T>(i->imm); }
};
template <class T>
struct RegToReg {  // 88, 89 with a register destination
  static void run(Cpu& c, const Insn* i) { set_rm<T>(c, i, get_reg<T>(c, i)); }
};
template <class T>
struct ImmToReg {
  static void run(Cpu& c, const Insn* i) { set_rm<T>(c, i, static_cast<T>(i->imm)); }
};
template <class T>
struct ToAcc {
  static void run(Cpu& c, const Insn*, T value) { set_low<T>(c, RAX, value); }
};
template <class T>
struct FromAcc {
  static T run(Cpu& c, const Insn*) { return get_low<T>(c, RAX); }
};
// Widening loads: From is what is read, To what is written.
template <class To, class From>
struct Widen {
  static void run(Cpu& c, const Insn* i, From value) {
    if constexpr (sizeof(To) > 1) set_gpr<To>(c, i->reg, static_cast<To>(value));
  }
};

template <class T, Ea kEa>
struct Lea {
  static void run(Cpu& c, const Insn* i) {
    u64 a = c.s.gpr[i->base] + i->disp;
    if constexpr (kEa != Ea::Base) a += c.s.gpr[i->index] << i->scale;
    if constexpr (kEa == Ea::Any) {
      if (i->addr_bits == 32) a &= 0xffffffff;
      if (i->addr_bits == 16) a &= 0xffff;
    }
    set_gpr<T>(c, i->reg, static_cast<T>(a));
  }
};

template <class T>
Handler select_lea(const Insn& i) {
  switch (ea_of(i)) {
    case Ea::Base: return with_nothing<Lea<T, Ea::Base>>;
    case Ea::Index: return with_nothing<Lea<T, Ea::Index>>;
    default: return with_nothing<Lea<T, Ea::Any>>;
  }
}

// CMOV reads its source whatever the condition; a 32-bit one clears the upper half in any case.
template <int kCond, class T>
struct Cmov {
  static void run(Cpu& c, const Insn* i, T value) {
    set_gpr<T>(c, i->reg, condition<kCond>(c) ? value : get_gpr<T>(c, i->reg));
  }
};
template <int kCond>
struct Setcc {
  static u8 run(Cpu& c, const Insn*) { return condition<kCond>(c); }
  static u8 run(Cpu& c, const Insn*, u8) { return condition<kCond>(c); }
};

template <int kCond>
Handler select_conditional(const Insn& i) {
  if (i.opcode >= 0x90) {
    return has_memory(i) ? pick_store<Setcc<kCond>, u8>(i)
                         : with_register_update<Setcc<kCond>, u8>;
  }
  return by_wide_size(i, [&]<class T>() { return pick_load<Cmov<kCond, T>, T>(i); });
}

template <int kCond = 0>
Handler select_by_condition(const Insn& i) {
  if constexpr (kCond == 16) {
    return nullptr;
  } else {
    if ((i.opcode & 15) == kCond) return select_conditional<kCond>(i);
    return select_by_condition<kCond + 1>(i);
  }
}

template <class T>
struct SignExtendAcc {  // CBW CWDE CDQE
  static void run(Cpu& c, const Insn*) {
    if constexpr (sizeof(T) == 2) set_low<u16>(c, RAX, static_cast<i8>(c.s.gpr[RAX]));
    if constexpr (sizeof(T) == 4) set_low<u32>(c, RAX, static_cast<i16>(c.s.gpr[RAX]));
    if constexpr (sizeof(T) == 8) c.s.gpr[RAX] = static_cast<i32>(c.s.gpr[RAX]);
  }
};
template <class T>
struct SignToRdx {  // CWD CDQ CQO
  static void run(Cpu& c, const Insn*) {
    const bool negative = get_low<T>(c, RAX) >> (sizeof(T) * 8 - 1);
    set_low<T>(c, RDX, negative ? static_cast<T>(~T{0}) : T{0});
  }
};

void xlat(Cpu& c, const Insn& i) {
  u64 offset = c.s.gpr[RBX] + (c.s.gpr[RAX] & 0xff);
  if (i.addr_bits == 32) offset &= 0xffffffff;
  if (i.addr_bits == 16) offset &= 0xffff;
  const u8 value = read<u8>(c, segment_address(c, static_cast<Seg>(i.seg), offset, 1, false));
  set_low<u8>(c, RAX, value);
}

template <class From>
Handler select_widen(const Insn& i) {
  return by_wide_size(i, [&]<class T>() -> Handler {
    using Signed = std::make_signed_t<T>;
    using To = std::conditional_t<std::is_signed_v<From>, Signed, T>;
    return pick_load<Widen<std::make_unsigned_t<To>, From>, From>(i);
  });
}

}  // namespace

static Handler select_mov1(const Insn& i) {
  const u8 op = i.opcode;
  if (op >= 0x40 && op <= 0x4f) return select_by_condition(i);
  if (op >= 0x90 && op <= 0x9f) return select_by_condition(i);
  switch (op) {
    case 0xb6: return select_widen<u8>(i);
    case 0xb7: return select_widen<u16>(i);
    case 0xbe: return select_widen<i8>(i);
    case 0xbf: return select_widen<i16>(i);
    default: return nullptr;
  }
}

static Handler select_acc_move(const Insn& i) {  // A0..A3
  return by_size(i, !(i.opcode & 1), [&]<class T>() -> Handler {
    return i.opcode < 0xa2 ? pick_load<ToAcc<T>, T>(i) : pick_store<FromAcc<T>, T>(i);
  });
}

Handler select_mov(const Insn& i) {
  if (i.map == 1) return select_mov1(i);
  if (i.map != 0) return nullptr;
  const u8 op = i.opcode;
  if (op >= 0xb0 && op <= 0xbf) {
    return by_size(i, op < 0xb8, []<class T>() -> Handler { return with_nothing<ImmToReg<T>>; });
  }
  switch (op) {
    case 0x63:
      return i.flags & kLong ? select_widen<i32>(i) : nullptr;
    case 0x88:
    case 0x89:
      return by_size(i, op == 0x88, [&]<class T>() -> Handler {
        return has_memory(i) ? pick_store<FromReg<T>, T>(i) : with_nothing<RegToReg<T>>;
      });
    case 0x8a:
    case 0x8b: return by_size(i, op == 0x8a, [&]<class T>() { return pick_load<ToReg<T>, T>(i); });
    case 0x8d:
      if (!has_memory(i)) return nullptr;
      return by_wide_size(i, [&]<class T>() { return select_lea<T>(i); });
    case 0x98:
      return by_wide_size(i,
                          []<class T>() -> Handler { return with_nothing<SignExtendAcc<T>>; });
    case 0x99:
      return by_wide_size(i, []<class T>() -> Handler { return with_nothing<SignToRdx<T>>; });
    case 0xa0:
    case 0xa1:
    case 0xa2:
    case 0xa3: return select_acc_move(i);
    case 0xc6:
    case 0xc7:
      if (group_of(i) != 0) return nullptr;
      return by_size(i, op == 0xc6, [&]<class T>() -> Handler {
        return has_memory(i) ? pick_store<FromImm<T>, T>(i) : with_nothing<ImmToReg<T>>;
      });
    case 0xd7: return step<xlat>;
    default: return nullptr;
  }
}

}  // namespace twinstep::soft
