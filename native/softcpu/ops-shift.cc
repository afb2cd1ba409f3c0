// ROL ROR RCL RCR SHL SHR SAR SHLD SHRD. Results and flags beyond what the SDM defines: QUIRKS.md.
#include "alu.h"
#include "ops.h"

namespace twinstep::soft {

namespace {

enum Source { kOne, kImm, kCl };

template <class T>
constexpr u32 kBits = sizeof(T) * 8;

template <class T>
bool top(T v) {
  return v >> (kBits<T> - 1) & 1;
}
template <class T>
bool second(T v) {
  return v >> (kBits<T> - 2) & 1;
}

u16 carry_overflow(bool cf, bool of) {
  return static_cast<u16>((cf ? kHfCf : 0) | (of ? kHfOf : 0));
}
void set_rotate_flags(Cpu& c, bool cf, bool of) {
  c.host_flags = static_cast<u16>((c.host_flags & ~(kHfCf | kHfOf)) | carry_overflow(cf, of));
}

template <class T>
T rol(Cpu& c, T v, u32 n) {
  const u32 by = n % kBits<T>;
  const T r = by ? static_cast<T>(v << by | v >> (kBits<T> - by)) : v;
  set_rotate_flags(c, r & 1, (r & 1) ^ top(r));
  return r;
}
template <class T>
T ror(Cpu& c, T v, u32 n) {
  const u32 by = n % kBits<T>;
  const T r = by ? static_cast<T>(v >> by | v << (kBits<T> - by)) : v;
  set_rotate_flags(c, top(r), top(r) ^ second(r));
  return r;
}
template <class T>
T rcl(Cpu& c, T v, u32 n) {
  n %= kBits<T> + 1;
  if (n == 0) return v;
  bool cf = c.host_flags & kHfCf;
  for (; n > 0; --n) {
    const bool out = top(v);
    v = static_cast<T>(v << 1 | (cf ? 1 : 0));
    cf = out;
  }
  set_rotate_flags(c, cf, cf ^ top(v));
  return v;
}
template <class T>
T rcr(Cpu& c, T v, u32 n) {
  n %= kBits<T> + 1;
  if (n == 0) return v;
  bool cf = c.host_flags & kHfCf;
  for (; n > 0; --n) {
    const bool out = v & 1;
    v = static_cast<T>(v >> 1 | static_cast<T>(cf ? 1 : 0) << (kBits<T> - 1));
    cf = out;
  }
  set_rotate_flags(c, cf, top(v) ^ second(v));
  return v;
}
template <class T>
T shl(Cpu& c, T v, u32 n) {
  const T r = n < kBits<T> ? static_cast<T>(v << n) : T{0};
  const bool cf = n <= kBits<T> && (v >> (kBits<T> - n) & 1);
  c.host_flags = logic_flags<T>(r) | carry_overflow(cf, cf ^ top(r));
  return r;
}
template <class T>
T shr(Cpu& c, T v, u32 n) {
  const T r = n < kBits<T> ? static_cast<T>(v >> n) : T{0};
  const bool cf = n <= kBits<T> && (v >> (n - 1) & 1);
  c.host_flags = logic_flags<T>(r) | carry_overflow(cf, second(r));
  return r;
}
template <class T>
T sar(Cpu& c, T v, u32 n) {
  using S = std::make_signed_t<T>;
  const u32 by = n < kBits<T> ? n : kBits<T> - 1;
  const T r = static_cast<T>(static_cast<S>(v) >> by);
  const bool cf = n < kBits<T> ? static_cast<S>(v) >> (n - 1) & 1 : top(v);
  c.host_flags = logic_flags<T>(r) | carry_overflow(cf, false);
  return r;
}

template <int kKind, int kSource, class T>
struct Shift {
  static T run(Cpu& c, const Insn* i, T v) {
    constexpr u32 mask = sizeof(T) == 8 ? 63 : 31;
    u32 n = 1;
    if constexpr (kSource == kImm) n = i->imm & mask;
    if constexpr (kSource == kCl) n = c.s.gpr[RCX] & mask;
    if (n == 0) return v;
    if constexpr (kKind == 0) return rol<T>(c, v, n);
    if constexpr (kKind == 1) return ror<T>(c, v, n);
    if constexpr (kKind == 2) return rcl<T>(c, v, n);
    if constexpr (kKind == 3) return rcr<T>(c, v, n);
    if constexpr (kKind == 4 || kKind == 6) return shl<T>(c, v, n);
    if constexpr (kKind == 5) return shr<T>(c, v, n);
    return sar<T>(c, v, n);
  }
};

template <int kSource, class T>
Handler select_kind(const Insn& i) {
  switch (group_of(i)) {
    case 0: return pick_update_rare<Shift<0, kSource, T>, T>(i);
    case 1: return pick_update_rare<Shift<1, kSource, T>, T>(i);
    case 2: return pick_update_rare<Shift<2, kSource, T>, T>(i);
    case 3: return pick_update_rare<Shift<3, kSource, T>, T>(i);
    case 5: return pick_update_rare<Shift<5, kSource, T>, T>(i);
    case 7: return pick_update_rare<Shift<7, kSource, T>, T>(i);
    default: return pick_update_rare<Shift<4, kSource, T>, T>(i);
  }
}

// SHLD, SHRD. A 16-bit one by more than 16 goes on with the destination's own bits.
template <bool kLeft, int kSource, class T>
struct DoubleShift {
  static T run(Cpu& c, const Insn* i, T v) {
    constexpr u32 mask = sizeof(T) == 8 ? 63 : 31;
    const u32 n = (kSource == kImm ? i->imm : c.s.gpr[RCX]) & mask;
    if (n == 0) return v;
    using Wide = std::conditional_t<sizeof(T) == 8, unsigned __int128, u64>;
    constexpr u32 w = kBits<T>;
    const Wide a = v, b = get_reg<T>(c, i);
    T r;
    bool cf;
    if constexpr (kLeft) {
      const Wide low = sizeof(T) == 2 ? (b << 16 | a) : b;
      constexpr u32 low_bits = sizeof(T) == 2 ? 32 : w;
      const Wide joined = a << low_bits | low;
      r = static_cast<T>(joined << n >> low_bits);
      cf = joined >> (low_bits + w - n) & 1;
      if constexpr (sizeof(T) == 2) cf = n <= 16 ? a >> (16 - n) & 1 : b >> (32 - n) & 1;
    } else {
      const Wide joined = sizeof(T) == 2 ? (a << 32 | b << 16 | a) : (b << w | a);
      r = static_cast<T>(joined >> n);
      cf = joined >> (n - 1) & 1;
    }
    c.host_flags = logic_flags<T>(r) | carry_overflow(cf, top(r) ^ top(v));
    return r;
  }
};

template <bool kLeft>
Handler select_double(const Insn& i, bool by_cl) {
  return by_wide_size(i, [&]<class T>() -> Handler {
    return by_cl ? pick_update_rare<DoubleShift<kLeft, kCl, T>, T>(i)
                 : pick_update_rare<DoubleShift<kLeft, kImm, T>, T>(i);
  });
}

}  // namespace

Handler select_shift(const Insn& i) {
  const u8 op = i.opcode;
  if (i.map == 1) {
    if (op == 0xa4 || op == 0xa5) return select_double<true>(i, op == 0xa5);
    if (op == 0xac || op == 0xad) return select_double<false>(i, op == 0xad);
    return nullptr;
  }
  if (i.map != 0) return nullptr;
  if (op == 0xc0 || op == 0xc1) {
    return by_size(i, op == 0xc0, [&]<class T>() { return select_kind<kImm, T>(i); });
  }
  if (op == 0xd0 || op == 0xd1) {
    return by_size(i, op == 0xd0, [&]<class T>() { return select_kind<kOne, T>(i); });
  }
  if (op == 0xd2 || op == 0xd3) {
    return by_size(i, op == 0xd2, [&]<class T>() { return select_kind<kCl, T>(i); });
  }
  return nullptr;
}

}  // namespace twinstep::soft
