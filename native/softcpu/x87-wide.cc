// See x87-wide.h.
#include "x87-wide.h"

namespace twinstep::soft::x87 {
namespace {

int leading_zeros(u128 v) {
  const u64 high = static_cast<u64>(v >> 64);
  return high ? __builtin_clzll(high) : 64 + __builtin_clzll(static_cast<u64>(v));
}

// The 256-bit product of two significands.
void multiply_full(u128 a, u128 b, u128& high, u128& low) {
  const u64 a0 = static_cast<u64>(a), a1 = static_cast<u64>(a >> 64);
  const u64 b0 = static_cast<u64>(b), b1 = static_cast<u64>(b >> 64);
  const u128 p00 = static_cast<u128>(a0) * b0, p01 = static_cast<u128>(a0) * b1;
  const u128 p10 = static_cast<u128>(a1) * b0, p11 = static_cast<u128>(a1) * b1;
  const u128 middle = (p00 >> 64) + static_cast<u64>(p01) + static_cast<u64>(p10);
  low = middle << 64 | static_cast<u64>(p00);
  high = p11 + (p01 >> 64) + (p10 >> 64) + (middle >> 64);
}

u128 shift_right_sticky(u128 v, u32 by, bool& lost) {
  if (by == 0) return v;
  if (by >= 128) {
    lost = lost || v != 0;
    return 0;
  }
  lost = lost || (v << (128 - by)) != 0;
  return v >> by;
}

}  // namespace

Wide normalise(u128 m, i32 e, bool neg, bool inexact) {
  if (m == 0) return {0, 0, neg, inexact};
  const int up = leading_zeros(m);
  return {m << up, e - up, neg, inexact};
}

Wide to_wide(F80 v) {
  const i32 e = static_cast<i32>(exponent(v) ? exponent(v) : 1) - 16383;
  return normalise(static_cast<u128>(v.m) << 64, e, negative(v), false);
}

Wide wide_integer(i64 v) {
  const u64 magnitude = v < 0 ? -static_cast<u64>(v) : static_cast<u64>(v);
  return normalise(magnitude, 127, v < 0, false);
}

Wide multiply(const Wide& a, const Wide& b) {
  u128 high, low;
  multiply_full(a.m, b.m, high, low);
  const bool neg = a.neg != b.neg;
  if (high == 0) return {0, 0, neg, a.inexact || b.inexact};
  i32 e = a.e + b.e + 1;
  if (!(high >> 127)) {
    high = high << 1 | low >> 127;
    low <<= 1;
    e--;
  }
  return {high, e, neg, a.inexact || b.inexact || low != 0};
}

// Restoring division, one quotient bit a step; the first step decides the exponent.
Wide divide(const Wide& a, const Wide& b) {
  const bool neg = a.neg != b.neg;
  if (a.m == 0) return {0, 0, neg, a.inexact || b.inexact};
  u128 rest = a.m, quotient = 0;
  i32 e = a.e - b.e;
  bool carry = false;
  if (rest < b.m) {
    carry = rest >> 127;
    rest <<= 1;
    e--;
  }
  for (int bit = 0; bit < 128; bit++) {
    quotient <<= 1;
    if (carry || rest >= b.m) {
      rest -= b.m;
      quotient |= 1;
    }
    carry = rest >> 127;
    rest <<= 1;
  }
  return {quotient, e, neg, a.inexact || b.inexact || carry || rest != 0};
}

int compare_magnitude(const Wide& a, const Wide& b) {
  if (a.m == 0 || b.m == 0) return (a.m != 0) - (b.m != 0);
  if (a.e != b.e) return a.e < b.e ? -1 : 1;
  return a.m < b.m ? -1 : a.m > b.m;
}

Wide add(const Wide& a, const Wide& b) {
  const bool swap = compare_magnitude(a, b) < 0;
  const Wide& large = swap ? b : a;
  const Wide& small = swap ? a : b;
  if (small.m == 0) {
    Wide r = large;
    r.inexact = a.inexact || b.inexact;
    return r;
  }
  bool lost = false;
  const u128 addend = shift_right_sticky(small.m, static_cast<u32>(large.e - small.e), lost);
  const bool inexact = a.inexact || b.inexact || lost;
  if (a.neg == b.neg) {
    const u128 sum = large.m + addend;
    if (sum >= large.m) return {sum, large.e, large.neg, inexact};
    const bool dropped = sum & 1;
    return {sum >> 1 | kFixedOne, large.e + 1, large.neg, inexact || dropped};
  }
  // What was shifted out makes the difference smaller: borrow one unit so that it stays a floor.
  const u128 difference = large.m - addend - (lost ? 1 : 0);
  return normalise(difference, large.e, large.neg, inexact);
}

Wide negate(Wide a) {
  a.neg = !a.neg;
  return a;
}

Wide from_fixed(Fixed q) { return normalise(q, 0, false, true); }

Fixed to_fixed(const Wide& a) {
  bool lost = false;
  return shift_right_sticky(a.m, static_cast<u32>(-a.e), lost);
}

Fixed multiply_fixed(Fixed a, Fixed b) {
  u128 high, low;
  multiply_full(a, b, high, low);
  return high << 1 | low >> 127;
}

namespace {

// Whether a magnitude with `half` and `rest` of the last place cut off is rounded up.
bool rounds_up(u32 rc, bool neg, bool odd, bool half, bool rest) {
  if (!half && !rest) return false;
  switch (rc) {
    case 0: return half && (rest || odd);
    case 1: return neg;
    case 2: return !neg;
  }
  return false;
}

struct Rounded {
  u64 m;
  bool carry, up, inexact;
};
Rounded round64(u128 m, bool sticky, u32 rc, bool neg) {
  const u64 high = static_cast<u64>(m >> 64), low = static_cast<u64>(m);
  const bool half = low >> 63, rest = (low << 1) != 0 || sticky;
  const bool up = rounds_up(rc, neg, high & 1, half, rest);
  const u64 sum = high + up;
  return {sum, up && sum == 0, up, half || rest};
}

F80 assemble(u64 m, i32 e, bool neg) {
  return {m, static_cast<u16>((neg ? 0x8000 : 0) | e)};
}

Result overflowed(u32 rc, bool neg) {
  const bool to_infinity = rc == 0 || (rc == 1 && neg) || (rc == 2 && !neg);
  const F80 value = to_infinity ? infinity(neg) : assemble(~u64{0}, 0x7ffe, neg);
  return {value, kOE | kPE, static_cast<u16>(to_infinity ? kC1 : 0)};
}

}  // namespace

Result pack(const Wide& w, u16 control) {
  constexpr i32 kWrap = 24576;
  const u32 rc = (control >> 10) & 3;
  if (w.m == 0) return {zero(w.neg), 0, 0};
  const Rounded r = round64(w.m, w.inexact, rc, w.neg);
  i32 e = w.e + 16383 + r.carry;
  const u64 m = r.carry ? kIntegerBit : r.m;
  const u16 inexact = r.inexact ? kPE : 0;
  const u16 c1 = r.up ? kC1 : 0;
  if (e >= 0x7fff) {
    if (control & kOE) return overflowed(rc, w.neg);
    e -= kWrap;
    // Beyond even the wrapped range (FSCALE): hardware delivers an infinity.
    if (e >= 0x7fff) return {infinity(w.neg), static_cast<u16>(kOE | kPE), kC1};
    return {assemble(m, e, w.neg), static_cast<u16>(kOE | inexact), c1};
  }
  if (e >= 1) return {assemble(m, e, w.neg), inexact, c1};
  if (!(control & kUE)) {
    e += kWrap;
    if (e < 1) return {zero(w.neg), static_cast<u16>(kUE | kPE), 0};
    return {assemble(m, e, w.neg), static_cast<u16>(kUE | inexact), c1};
  }
  bool sticky = w.inexact;
  const u128 shifted = shift_right_sticky(w.m, static_cast<u32>(1 - (w.e + 16383)), sticky);
  const Rounded d = round64(shifted, sticky, rc, w.neg);
  const u16 exc = d.inexact ? kUE | kPE : 0;
  const i32 denormal_e = d.m & kIntegerBit ? 1 : 0;
  return {assemble(d.m, denormal_e, w.neg), exc, static_cast<u16>(d.up ? kC1 : 0)};
}

}  // namespace twinstep::soft::x87
