// Formats, NaN choice, comparison and the tag word: what needs no arithmetic unit.
#include "x87.h"

namespace twinstep::soft::x87 {

bool commit_push(Fpu& f, const Result& r) {
  clear_c1(f);
  if (!empty(f, 7)) {
    if (stack_overflow(f)) push(f, kIndefinite);
    return false;
  }
  // A load with an unmasked DE still pushes: its result is exact.
  if (signal(f, r.exc) && (r.exc & ~f.control & kIE)) return false;
  f.status |= r.c1;
  push(f, r.value);
  return true;
}

// SDM vol. 1 table 4-7, x87 column. Two NaNs of one kind: the larger significand wins, and of equal
// ones the positive. Unsupported formats are invalid whatever the other operand is.
Result choose_nan(F80 a, F80 b) {
  if (is_unsupported(a) || is_unsupported(b)) return {kIndefinite, kIE, 0};
  const u16 exc = is_snan(a) || is_snan(b) ? kIE : 0;
  if (!is_nan(b)) return {quiet(a), exc, 0};
  if (!is_nan(a)) return {quiet(b), exc, 0};
  if (is_snan(a) != is_snan(b)) return {is_snan(a) ? b : a, exc, 0};
  if (a.m != b.m) return {quiet(a.m > b.m ? a : b), exc, 0};
  return {quiet(negative(a) ? b : a), exc, 0};
}

Result choose_nan(F80 a) {
  if (is_unsupported(a)) return {kIndefinite, kIE, 0};
  return {quiet(a), static_cast<u16>(is_snan(a) ? kIE : 0), 0};
}

namespace {

// sign, biased exponent and fraction of a narrower format with `bits` fraction bits and `bias`.
F80 widen(bool sign, u32 exp, u64 fraction, u32 bits, i32 bias, u32 exp_max) {
  const u16 top_bit = sign ? 0x8000 : 0;
  const u64 shifted = fraction << (63 - bits);
  if (exp == exp_max) return {kIntegerBit | shifted, static_cast<u16>(top_bit | 0x7fff)};
  if (exp != 0) {
    const u32 e = exp + static_cast<u32>(16383 - bias);
    return {kIntegerBit | shifted, static_cast<u16>(top_bit | e)};
  }
  if (fraction == 0) return {0, top_bit};
  const int up = __builtin_clzll(shifted);
  return {shifted << up, static_cast<u16>(top_bit | (16383 - bias + 1 - up))};
}

}  // namespace

F80 from_single(u32 v) {
  return widen(v >> 31, (v >> 23) & 0xff, v & 0x7fffff, 23, 127, 0xff);
}
F80 from_double(u64 v) {
  return widen(v >> 63, (v >> 52) & 0x7ff, v & 0xfffffffffffff, 52, 1023, 0x7ff);
}
F80 from_integer(i64 v) {
  if (v == 0) return zero(false);
  const u64 magnitude = v < 0 ? -static_cast<u64>(v) : static_cast<u64>(v);
  const int up = __builtin_clzll(magnitude);
  return {magnitude << up, static_cast<u16>((v < 0 ? 0x8000 : 0) | (16383 + 63 - up))};
}

u16 order(F80 a, F80 b) {
  if (is_zero(a) && is_zero(b)) return kC3;
  if (negative(a) != negative(b)) return negative(a) ? kC0 : 0;
  // Denormals have the scale of exponent 1.
  const u32 ea = exponent(a) ? exponent(a) : 1, eb = exponent(b) ? exponent(b) : 1;
  if (ea == eb && a.m == b.m) return kC3;
  // A zero has the scale of a denormal; numbers are otherwise normalised, so exponents decide
  // first.
  const bool less = ea != eb ? ea < eb : a.m < b.m;
  return less != negative(a) ? kC0 : 0;
}

u16 full_tags(const Fpu& f) {
  u32 tags = 0;
  for (u32 p = 0; p < 8; p++) {
    u32 kind = 3;
    if ((f.tag >> p) & 1) {
      const F80 v = {f.r[p].mantissa, f.r[p].sign_exponent};
      const bool special = exponent(v) == 0x7fff || exponent(v) == 0 || is_unsupported(v);
      kind = is_zero(v) ? 1 : special ? 2 : 0;
    }
    tags |= kind << (2 * p);
  }
  return static_cast<u16>(tags);
}

void init(Fpu& f) {
  f.control = 0x037f;
  f.status = 0;
  f.tag = 0;
  f.opcode = 0;
  f.ip = f.dp = 0;
  f.cs = f.ds = 0;
}

}  // namespace twinstep::soft::x87
