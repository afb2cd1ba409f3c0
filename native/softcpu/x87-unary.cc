// D9 F0..FF and friends without transcendentals: FCHS FABS FSQRT FRNDINT FSCALE FXTRACT FPREM
// FPREM1.
#include "x87-host.h"
#include "x87-wide.h"

namespace twinstep::soft::x87 {
namespace {

void change_sign(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  clear_c1(f);
  if (!empty(f, 0)) {
    const F80 a = get(f, 0);
    put(f, 0, with_sign(a, !negative(a)));
  } else if (stack_underflow(f)) {
    put(f, 0, kIndefinite);
  }
}
void absolute(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  clear_c1(f);
  if (!empty(f, 0)) put(f, 0, with_sign(get(f, 0), false));
  else if (stack_underflow(f)) put(f, 0, kIndefinite);
}

template <Result (*kHost)(F80, u16)>
void host_unary(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  if (empty(f, 0)) {
    if (stack_underflow(f)) put(f, 0, kIndefinite);
    return;
  }
  const F80 a = get(f, 0);
  commit(f, 0, is_odd_one(a) ? choose_nan(a) : kHost(a, f.control));
}

// ---- two operands in ST(0) and ST(1), result in ST(0) -------------------------------------------
bool operands_missing(Fpu& f) {
  if (!empty(f, 0) && !empty(f, 1)) return false;
  if (stack_underflow(f)) put(f, 0, kIndefinite);
  return true;
}

u16 denormal_flag(F80 a, F80 b) { return is_denormal(a) || is_denormal(b) ? kDE : 0; }

// Truncated towards zero; beyond +-2^17 every result is zero or infinite anyway.
i32 scale_of(F80 b) {
  if (is_zero(b)) return 0;
  const i32 e = static_cast<i32>(exponent(b)) - 16383;
  if (e < 0) return 0;
  const i32 magnitude = e > 16 ? 1 << 17 : static_cast<i32>(b.m >> (63 - e));
  return negative(b) ? -magnitude : magnitude;
}

Result scaled(F80 a, F80 b, u16 control) {
  if (is_odd_one(a) || is_odd_one(b)) return choose_nan(a, b);
  if (is_infinity(b)) {
    if (negative(b) ? is_infinity(a) : is_zero(a)) return {kIndefinite, kIE, 0};
    const F80 value = negative(b) ? zero(negative(a)) : infinity(negative(a));
    return {value, static_cast<u16>(is_denormal(a) ? kDE : 0), 0};
  }
  const u16 de = denormal_flag(a, b);
  if (is_infinity(a) || is_zero(a)) return {a, de, 0};
  Wide w = to_wide(a);
  w.e += scale_of(b);
  Result r = pack(w, control);
  r.exc |= de;
  return r;
}

void scale(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  if (operands_missing(f)) return;
  commit(f, 0, scaled(get(f, 0), get(f, 1), f.control));
}

void extract(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  const bool missing = empty(f, 0);
  if (missing || !empty(f, 7)) {
    const bool masked = missing ? stack_underflow(f) : stack_overflow(f);
    if (!masked) return;
    put(f, 0, kIndefinite);
    push(f, kIndefinite);
    return;
  }
  const F80 a = get(f, 0);
  Result power = {}, fraction = {};
  if (is_odd_one(a)) {
    power = fraction = choose_nan(a);
  } else if (is_infinity(a)) {
    power.value = infinity(false);
    fraction.value = a;
  } else if (is_zero(a)) {
    power = {infinity(true), kZE, 0};
    fraction.value = a;
  } else {
    const Wide w = to_wide(a);
    power = {from_integer(w.e), static_cast<u16>(is_denormal(a) ? kDE : 0), 0};
    fraction.value = with_sign({static_cast<u64>(w.m >> 64), 0x3fff}, negative(a));
  }
  if (commit(f, 0, power)) push(f, fraction.value);
}

// ---- remainders ---------------------------------------------------------------------------------
struct Remainder {
  Result r;
  u64 quotient;
  bool complete;
};

// |a| = ma * 2^(ea-63), |b| = mb * 2^(eb-63), d = ea - eb. Exact: integers only.
Remainder remainder_of(F80 a, F80 b, bool nearest, u16 control) {
  if (is_odd_one(a) || is_odd_one(b)) return {choose_nan(a, b), 0, true};
  if (is_infinity(a) || is_zero(b)) return {{kIndefinite, kIE, 0}, 0, true};
  const u16 de = denormal_flag(a, b);
  if (is_zero(a)) return {{a, de, 0}, 0, true};
  if (is_infinity(b)) {
    Result r = pack(to_wide(a), control);
    r.exc |= de;
    return {r, 0, true};
  }
  const Wide wa = to_wide(a), wb = to_wide(b);
  const u64 ma = static_cast<u64>(wa.m >> 64), mb = static_cast<u64>(wb.m >> 64);
  const i32 d = wa.e - wb.e;
  u64 quotient = 0;
  i32 e = wb.e;
  u128 rest = ma;
  bool neg = negative(a), complete = true;
  if (d < -1 || (d < 0 && !nearest)) {
    rest = ma;
    e = wa.e;
  } else if (d < 0) {  // d == -1: |a| < |b|, only the rounding of a quotient below one is open
    const u128 twice_b = static_cast<u128>(mb) << 1;
    // In units of 2^(ea-63): |b| = 2 mb; |a| > |b|/2 means ma > mb.
    e = wa.e;
    if (ma > mb) {
      rest = twice_b - ma;
      quotient = 1;
      neg = !neg;
    }
  } else {
    // A long reduction takes 32 to 63 bits off at a time: what remains is a multiple of 32 bits.
    const i32 steps = d < 64 ? d : 32 + (d & 31);
    complete = d < 64;
    if (!complete) e = wb.e + d - steps;
    for (i32 k = 0;; k++) {
      quotient <<= 1;
      if (rest >= mb) {
        rest -= mb;
        quotient |= 1;
      }
      if (k == steps) break;
      rest <<= 1;
    }
    if (complete && nearest) {
      const u128 twice = rest << 1;
      if (twice > mb || (twice == mb && (quotient & 1))) {
        rest = mb - rest;
        quotient++;
        neg = !neg;
      }
    }
  }
  if (rest == 0) return {{zero(negative(a)), de, 0}, quotient, complete};
  Result r = pack(normalise(rest, e + 64, neg, false), control);
  r.exc |= de;
  return {r, quotient, complete};
}

template <bool kNearest>
void partial_remainder(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  f.status = static_cast<u16>(f.status & ~kC2);
  if (operands_missing(f)) return;
  const Remainder m = remainder_of(get(f, 0), get(f, 1), kNearest, f.control);
  clear_c1(f);
  if (!commit(f, 0, m.r) || is_odd_one(m.r.value)) return;  // C0 and C3 stay without a quotient
  u16 codes = m.complete ? 0 : kC2;
  if (m.complete && (m.quotient & 4)) codes |= kC0;
  if (m.complete && (m.quotient & 2)) codes |= kC3;
  if (m.complete && (m.quotient & 1)) codes |= kC1;
  f.status = static_cast<u16>((f.status & ~kConditions) | codes);
}

}  // namespace

Handler select_unary(const Insn& i) {
  if ((i.flags & kMemory) || i.opcode != 0xd9) return nullptr;
  switch (i.modrm) {
    case 0xe0: return step<change_sign>;
    case 0xe1: return step<absolute>;
    case 0xf4: return step<extract>;
    case 0xf5: return step<partial_remainder<true>>;
    case 0xf8: return step<partial_remainder<false>>;
    case 0xfa: return step<host_unary<host_sqrt>>;
    case 0xfc: return step<host_unary<host_round>>;
    case 0xfd: return step<scale>;
  }
  return select_transcendental(i);
}

}  // namespace twinstep::soft::x87
