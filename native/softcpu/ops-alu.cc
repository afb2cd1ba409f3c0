// ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NEG NOT.
#include "alu.h"
#include "ops.h"

namespace twinstep::soft {

namespace {

template <int kOp, class T>
struct RegToRm {  // op r/m, reg
  static T run(Cpu& c, const Insn* i, T old) { return alu<kOp, T>(c, old, get_reg<T>(c, i)); }
};
template <int kOp, class T>
struct RmToReg {  // op reg, r/m
  static void run(Cpu& c, const Insn* i, T value) {
    const T r = alu<kOp, T>(c, get_reg<T>(c, i), value);
    if constexpr (kOp != kCmp) set_reg<T>(c, i, r);
  }
};
template <int kOp, class T>
struct ImmToRm {
  static T run(Cpu& c, const Insn* i, T old) { return alu<kOp, T>(c, old, static_cast<T>(i->imm)); }
};
template <int kOp, class T>
struct CompareReg {  // CMP, TEST r/m, reg
  static void run(Cpu& c, const Insn* i, T value) { alu<kOp, T>(c, value, get_reg<T>(c, i)); }
};
template <int kOp, class T>
struct CompareImm {
  static void run(Cpu& c, const Insn* i, T value) { alu<kOp, T>(c, value, static_cast<T>(i->imm)); }
};
template <int kOp, class T>
struct ImmToAcc {
  static void run(Cpu& c, const Insn* i) {
    const T r = alu<kOp, T>(c, get_low<T>(c, RAX), static_cast<T>(i->imm));
    if constexpr (kOp != kCmp && kOp != kTest) set_low<T>(c, RAX, r);
  }
};
template <class T>
struct Inc {
  static T run(Cpu& c, const Insn*, T old) { return host_inc<T>(c, old); }
};
template <class T>
struct Dec {
  static T run(Cpu& c, const Insn*, T old) { return host_dec<T>(c, old); }
};
template <class T>
struct Neg {
  static T run(Cpu& c, const Insn*, T old) { return host_neg<T>(c, old); }
};
template <class T>
struct Not {
  static T run(Cpu&, const Insn*, T old) { return static_cast<T>(~old); }
};
// XOR r, r and SUB r, r: constant flags.
template <class T>
struct Clear {
  static void run(Cpu& c, const Insn* i) {
    set_rm<T>(c, i, 0);
    c.host_flags = kHfZf | kHfPf | kHfFixed;
  }
};

template <int kOp>
Handler select_op(const Insn& i) {
  const bool byte = !(i.opcode & 1);
  switch (i.opcode & 7) {
    case 0:
    case 1:
      return by_size(i, byte, [&]<class T>() -> Handler {
        if constexpr (kOp == kCmp) return pick_load<CompareReg<kCmp, T>, T>(i);
        if constexpr (kOp == kXor || kOp == kSub) {
          if (!has_memory(i) && i.reg_at == i.rm_at && i.reg == i.rm) return with_nothing<Clear<T>>;
        }
        return pick_update<RegToRm<kOp, T>, T>(i);
      });
    case 2:
    case 3:
      return by_size(i, byte, [&]<class T>() { return pick_load<RmToReg<kOp, T>, T>(i); });
    default:
      return by_size(i, byte, [&]<class T>() -> Handler { return with_nothing<ImmToAcc<kOp, T>>; });
  }
}

template <int kOp>
Handler select_imm(const Insn& i) {
  return by_size(i, !(i.opcode & 1), [&]<class T>() -> Handler {
    if constexpr (kOp == kCmp) return pick_load<CompareImm<kCmp, T>, T>(i);
    return pick_update<ImmToRm<kOp, T>, T>(i);
  });
}

Handler select_by_op(const Insn& i, u8 op, bool immediate) {
  switch (op) {
    case 0: return immediate ? select_imm<kAdd>(i) : select_op<kAdd>(i);
    case 1: return immediate ? select_imm<kOr>(i) : select_op<kOr>(i);
    case 2: return immediate ? select_imm<kAdc>(i) : select_op<kAdc>(i);
    case 3: return immediate ? select_imm<kSbb>(i) : select_op<kSbb>(i);
    case 4: return immediate ? select_imm<kAnd>(i) : select_op<kAnd>(i);
    case 5: return immediate ? select_imm<kSub>(i) : select_op<kSub>(i);
    case 6: return immediate ? select_imm<kXor>(i) : select_op<kXor>(i);
    default: return immediate ? select_imm<kCmp>(i) : select_op<kCmp>(i);
  }
}

Handler select_group3(const Insn& i) {  // F6, F7
  return by_size(i, i.opcode == 0xf6, [&]<class T>() -> Handler {
    switch (group_of(i)) {
      case 0:
      case 1: return pick_load<CompareImm<kTest, T>, T>(i);
      case 2: return pick_update<Not<T>, T>(i);
      case 3: return pick_update<Neg<T>, T>(i);
      default: return nullptr;
    }
  });
}

Handler select_step(const Insn& i, bool byte, bool down) {
  return by_size(i, byte, [&]<class T>() -> Handler {
    return down ? pick_update<Dec<T>, T>(i) : pick_update<Inc<T>, T>(i);
  });
}

}  // namespace

Handler select_alu(const Insn& i) {
  if (i.map != 0) return nullptr;
  const u8 op = i.opcode;
  if (op < 0x40 && (op & 7) < 6) return select_by_op(i, op >> 3, false);
  if (op >= 0x40 && op <= 0x4f) return select_step(i, false, op & 8);
  if (op >= 0x80 && op <= 0x83) return select_by_op(i, group_of(i), true);
  switch (op) {
    case 0x84:
    case 0x85:
      return by_size(i, op == 0x84,
                     [&]<class T>() { return pick_load<CompareReg<kTest, T>, T>(i); });
    case 0xa8:
    case 0xa9:
      return by_size(i, op == 0xa8,
                     [&]<class T>() -> Handler { return with_nothing<ImmToAcc<kTest, T>>; });
    case 0xf6:
    case 0xf7: return select_group3(i);
    case 0xfe:
    case 0xff: return group_of(i) < 2 ? select_step(i, op == 0xfe, group_of(i) == 1) : nullptr;
    default: return nullptr;
  }
}

}  // namespace twinstep::soft
