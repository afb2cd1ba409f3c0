// MUL IMUL DIV IDIV. SF ZF AF PF come out clear of a multiplication; a division keeps all flags.
#include "ops.h"

namespace twinstep::soft {

namespace {

using u128 = unsigned __int128;
using i128 = __int128;

template <class T>
struct Double;
template <> struct Double<u8> { using U = u16; using S = i16; };
template <> struct Double<u16> { using U = u32; using S = i32; };
template <> struct Double<u32> { using U = u64; using S = i64; };
template <> struct Double<u64> { using U = u128; using S = i128; };

void set_overflow(Cpu& c, bool over) { c.host_flags = kHfFixed | (over ? kHfCf | kHfOf : 0); }

// Low and high halves of the implied operand: AX for bytes, else rDX:rAX.
template <class T>
typename Double<T>::U get_pair(const Cpu& c) {
  if constexpr (sizeof(T) == 1) return static_cast<u16>(c.s.gpr[RAX]);
  else return static_cast<typename Double<T>::U>(get_low<T>(c, RDX)) << (sizeof(T) * 8) |
              get_low<T>(c, RAX);
}
template <class T>
void set_pair(Cpu& c, T low, T high) {
  if constexpr (sizeof(T) == 1) {
    set_low<u16>(c, RAX, static_cast<u16>(high << 8 | low));
  } else {
    set_low<T>(c, RAX, low);
    set_low<T>(c, RDX, high);
  }
}

template <class T>
struct Mul {
  static void run(Cpu& c, const Insn*, T v) {
    using U = typename Double<T>::U;
    const U product = static_cast<U>(static_cast<U>(v) * get_low<T>(c, RAX));
    const T high = static_cast<T>(product >> (sizeof(T) * 8));
    set_pair<T>(c, static_cast<T>(product), high);
    set_overflow(c, high != 0);
  }
};
template <class T>
typename Double<T>::S signed_product(T a, T b) {
  using S = typename Double<T>::S;
  using N = std::make_signed_t<T>;
  return static_cast<S>(static_cast<S>(static_cast<N>(a)) * static_cast<S>(static_cast<N>(b)));
}
template <class T>
bool fits(typename Double<T>::S product) {
  return product == static_cast<std::make_signed_t<T>>(static_cast<T>(product));
}
template <class T>
struct Imul1 {
  static void run(Cpu& c, const Insn*, T v) {
    const auto product = signed_product<T>(v, get_low<T>(c, RAX));
    set_pair<T>(c, static_cast<T>(product), static_cast<T>(product >> (sizeof(T) * 8)));
    set_overflow(c, !fits<T>(product));
  }
};
template <class T>
struct Imul2 {
  static void run(Cpu& c, const Insn* i, T v) {
    const auto product = signed_product<T>(v, get_gpr<T>(c, i->reg));
    set_gpr<T>(c, i->reg, static_cast<T>(product));
    set_overflow(c, !fits<T>(product));
  }
};
template <class T>
struct Imul3 {
  static void run(Cpu& c, const Insn* i, T v) {
    const auto product = signed_product<T>(v, static_cast<T>(i->imm));
    set_gpr<T>(c, i->reg, static_cast<T>(product));
    set_overflow(c, !fits<T>(product));
  }
};

template <class T>
struct Div {
  static void run(Cpu& c, const Insn* i, T v) {
    const auto pair = get_pair<T>(c);
    const T high = static_cast<T>(pair >> (sizeof(T) * 8));
    if (high >= v) {  // also v == 0
      c.cur = i;
      raise(DE);
    }
    if constexpr (sizeof(T) == 8) {
      u64 quotient = static_cast<u64>(pair), rest = high;
      asm("divq %[v]" : "+a"(quotient), "+d"(rest) : [v] "r"(v) : "cc");
      set_pair<T>(c, quotient, rest);
    } else {
      set_pair<T>(c, static_cast<T>(pair / v), static_cast<T>(pair % v));
    }
  }
};
template <class T>
struct Idiv {
  static void run(Cpu& c, const Insn* i, T v) {
    using S = typename Double<T>::S;
    using N = std::make_signed_t<T>;
    const S pair = static_cast<S>(get_pair<T>(c));
    const S by = static_cast<N>(v);
    const S lowest = static_cast<S>(typename Double<T>::U{1} << (sizeof(T) * 16 - 1));
    if (by == 0 || (by == -1 && pair == lowest)) {
      c.cur = i;
      raise(DE);
    }
    if constexpr (sizeof(T) == 8) {
      // A dividend that is a sign-extended 64-bit value needs no wide division.
      if (fits<T>(pair) && by != -1) {
        const i64 narrow = static_cast<i64>(pair), d = static_cast<i64>(v);
        set_pair<T>(c, static_cast<u64>(narrow / d), static_cast<u64>(narrow % d));
        return;
      }
    }
    const S quotient = pair / by;
    if (!fits<T>(quotient)) {
      c.cur = i;
      raise(DE);
    }
    set_pair<T>(c, static_cast<T>(quotient), static_cast<T>(pair % by));
  }
};

}  // namespace

Handler select_muldiv(const Insn& i) {
  const u8 op = i.opcode;
  if (i.map == 1 && op == 0xaf) {
    return by_wide_size(i, [&]<class T>() { return pick_load<Imul2<T>, T>(i); });
  }
  if (i.map != 0) return nullptr;
  if (op == 0x69 || op == 0x6b) {
    return by_wide_size(i, [&]<class T>() { return pick_load<Imul3<T>, T>(i); });
  }
  if (op != 0xf6 && op != 0xf7) return nullptr;
  return by_size(i, op == 0xf6, [&]<class T>() -> Handler {
    switch (group_of(i)) {
      case 4: return pick_load_rare<Mul<T>, T>(i);
      case 5: return pick_load_rare<Imul1<T>, T>(i);
      case 6: return pick_load_rare<Div<T>, T>(i);
      case 7: return pick_load_rare<Idiv<T>, T>(i);
      default: return nullptr;
    }
  });
}

}  // namespace twinstep::soft
