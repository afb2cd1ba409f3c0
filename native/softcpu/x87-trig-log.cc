// The transcendental instructions: operand classes and exceptions as the tables of SDM vol. 2 give
// them; the numbers come from x87-transcend.cc. Results are rounded by RC to 64 bits, C1 says which
// way; PE is raised for every inexact result.
#include "x87-transcend.h"

namespace twinstep::soft::x87 {
namespace {

Result invalid() { return {kIndefinite, kIE, 0}; }
u16 denormal_flag(F80 a, F80 b) { return is_denormal(a) || is_denormal(b) ? kDE : 0; }

Result rounded(const Wide& w, u16 denormal, u16 control) {
  Result r = pack(w, control);
  r.exc |= denormal;
  return r;
}

// ---- one operand --------------------------------------------------------------------------------
Result exponential(F80 a, u16 control) {
  if (is_odd_one(a)) return choose_nan(a);
  if (is_zero(a)) return {a, 0, 0};
  if (is_infinity(a)) return {negative(a) ? with_sign(kOne, true) : a, 0, 0};
  const u16 de = is_denormal(a) ? kDE : 0;
  const Wide w = to_wide(a);
  // Beyond [-1, 1] the SDM leaves the result open: the operand stays.
  if (compare_magnitude(w, wide_integer(1)) > 0) return {a, de, 0};
  return rounded(two_to_minus_one(w), de, control);
}

void f2xm1(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  if (!empty(f, 0)) commit(f, 0, exponential(get(f, 0), f.control));
  else if (stack_underflow(f)) put(f, 0, kIndefinite);
}

void set_c2(Fpu& f, bool on) { f.status = static_cast<u16>((f.status & ~kC2) | (on ? kC2 : 0)); }

// Trigonometric functions leave ST(0) alone at and beyond 2^63 and say so in C2.
bool out_of_range(F80 a) {
  return exponent(a) >= 16383 + 63 && exponent(a) != 0x7fff && !is_unsupported(a);
}

enum class Trig { sine, cosine, tangent };

Result trig(Trig which, F80 a, u16 control) {
  if (is_odd_one(a)) return choose_nan(a);
  if (is_infinity(a)) return invalid();
  if (is_zero(a)) return {which == Trig::cosine ? kOne : a, 0, 0};
  const SineCosine sc = sine_cosine(to_wide(a));
  const Wide w = which == Trig::sine     ? sc.sine
                 : which == Trig::cosine ? sc.cosine
                                         : divide(sc.sine, sc.cosine);
  return rounded(w, is_denormal(a) ? kDE : 0, control);
}

template <Trig kWhich>
void fsin_fcos(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  clear_c1(f);
  set_c2(f, false);
  if (empty(f, 0)) {
    if (stack_underflow(f)) put(f, 0, kIndefinite);
    return;
  }
  const F80 a = get(f, 0);
  set_c2(f, out_of_range(a));
  if (!out_of_range(a)) commit(f, 0, trig(kWhich, a, f.control));
}

// FSINCOS and FPTAN: ST(0) becomes `first`, then `second` is pushed.
bool two_results_possible(Fpu& f) {
  clear_c1(f);
  set_c2(f, false);
  const bool missing = empty(f, 0);
  if (!missing && empty(f, 7)) return true;
  if (missing ? stack_underflow(f) : stack_overflow(f)) {
    put(f, 0, kIndefinite);
    push(f, kIndefinite);
  }
  return false;
}

void fsincos(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  if (!two_results_possible(f)) return;
  const F80 a = get(f, 0);
  set_c2(f, out_of_range(a));
  if (out_of_range(a)) return;
  Result sine = trig(Trig::sine, a, f.control);
  const Result cosine = trig(Trig::cosine, a, f.control);
  sine.exc |= cosine.exc;
  sine.c1 = cosine.c1;
  if (commit(f, 0, sine)) push(f, cosine.value);
}

void fptan(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  if (!two_results_possible(f)) return;
  const F80 a = get(f, 0);
  set_c2(f, out_of_range(a));
  if (out_of_range(a)) return;
  const Result r = trig(Trig::tangent, a, f.control);
  if (commit(f, 0, r)) push(f, is_nan(r.value) ? r.value : kOne);
}

// ---- two operands, one result in ST(1), one pop -------------------------------------------------
Result times_infinite_log(F80 y, bool log_negative) {
  if (is_zero(y)) return invalid();
  return {infinity(negative(y) != log_negative), denormal_flag(y, y), 0};
}

Result times_log(F80 y, const Wide& log, u16 denormal, u16 control) {
  if (is_infinity(y)) {
    if (log.m == 0) return invalid();
    return {infinity(negative(y) != log.neg), denormal, 0};
  }
  if (is_zero(y) || log.m == 0) return {zero(negative(y) != log.neg), denormal, 0};
  return rounded(multiply(to_wide(y), log), denormal, control);
}

Result log_of_zero(F80 y) {
  if (is_zero(y)) return invalid();
  if (is_infinity(y)) return {infinity(!negative(y)), 0, 0};
  return {infinity(!negative(y)), kZE, 0};
}

Result y_log2_x(F80 y, F80 x, u16 control) {
  if (is_odd_one(y) || is_odd_one(x)) return choose_nan(x, y);
  if (is_zero(x)) return log_of_zero(y);
  if (negative(x)) return invalid();
  if (is_infinity(x)) return times_infinite_log(y, false);
  return times_log(y, log2_of(to_wide(x)), denormal_flag(x, y), control);
}

// Outside of the SDM's range the function simply goes on.
Result y_log2_x_plus_1(F80 y, F80 x, u16 control) {
  if (is_odd_one(y) || is_odd_one(x)) return choose_nan(x, y);
  const bool minus_one_or_less = negative(x) && exponent(x) >= 0x3fff;
  if (minus_one_or_less) {
    return exponent(x) == 0x3fff && x.m == kIntegerBit ? log_of_zero(y) : invalid();
  }
  if (is_infinity(x)) return times_infinite_log(y, false);
  Wide log = {0, 0, negative(x), false};
  if (!is_zero(x)) log = log2_of_one_plus(to_wide(x));
  return times_log(y, log, denormal_flag(x, y), control);
}

Result arc(F80 y, F80 x, u16 control) {
  if (is_odd_one(y) || is_odd_one(x)) return choose_nan(x, y);
  const u16 de = denormal_flag(x, y);
  Wide angle;
  if (is_infinity(y)) {
    angle = is_infinity(x) ? pi_times(negative(x) ? 3 : 1, 2) : pi_times(1, 1);
  } else if (is_zero(y) || is_infinity(x)) {
    if (!negative(x)) return {zero(negative(y)), de, 0};
    angle = pi_times(1, 0);
  } else if (is_zero(x)) {
    angle = pi_times(1, 1);
  } else {
    angle = arc_tangent(to_wide(y), to_wide(x));
  }
  angle.neg = negative(y);
  return rounded(angle, de, control);
}

template <Result (*kFunction)(F80, F80, u16)>
void two_to_one(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  if (!empty(f, 0) && !empty(f, 1)) {
    commit(f, 1, kFunction(get(f, 1), get(f, 0), f.control), true);
  } else if (stack_underflow(f)) {
    put(f, 1, kIndefinite);
    pop(f);
  }
}

}  // namespace

Handler select_transcendental(const Insn& i) {
  switch (i.modrm) {
    case 0xf0: return step<f2xm1>;
    case 0xf1: return step<two_to_one<y_log2_x>>;
    case 0xf2: return step<fptan>;
    case 0xf3: return step<two_to_one<arc>>;
    case 0xf9: return step<two_to_one<y_log2_x_plus_1>>;
    case 0xfb: return step<fsincos>;
    case 0xfe: return step<fsin_fcos<Trig::sine>>;
    case 0xff: return step<fsin_fcos<Trig::cosine>>;
  }
  return nullptr;
}

}  // namespace twinstep::soft::x87
