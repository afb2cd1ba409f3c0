// Comparison: FCOM FUCOM FICOM FTST FXAM to the condition codes, FCOMI FUCOMI to EFLAGS.
// SDM vol. 2 of each; an unmasked exception leaves codes, flags and the stack as they were.
#include "flags.h"
#include "x87.h"

namespace twinstep::soft::x87 {
namespace {

constexpr u16 kUnordered = kC0 | kC2 | kC3;

// Raised flags of comparing a with b. `quiet_nan`: FUCOM, which accepts quiet NaNs.
u16 compare_flags(F80 a, F80 b, bool quiet_nan, bool narrow_denormal) {
  if (is_unsupported(a) || is_unsupported(b) || is_snan(a) || is_snan(b)) return kIE;
  if (is_nan(a) || is_nan(b)) return quiet_nan ? 0 : kIE;
  return is_denormal(a) || is_denormal(b) || narrow_denormal ? kDE : 0;
}

u16 compare_code(F80 a, F80 b) {
  return is_odd_one(a) || is_odd_one(b) ? kUnordered : order(a, b);
}

void set_codes(Fpu& f, u16 codes) {
  f.status = static_cast<u16>((f.status & ~kConditions) | codes);
}

void pops(Fpu& f, u32 count) {
  for (u32 k = 0; k < count; k++) pop(f);
}

void codes_from(Fpu& f, F80 b, bool missing, bool quiet_nan, bool narrow_denormal, u32 pop_count) {
  if (missing) {
    if (!stack_underflow(f)) return;
    set_codes(f, kUnordered);
  } else {
    const F80 a = get(f, 0);
    const u16 exc = compare_flags(a, b, quiet_nan, narrow_denormal);
    clear_c1(f);
    if (signal(f, exc)) return;
    set_codes(f, compare_code(a, b));
  }
  pops(f, pop_count);
}

template <bool kQuiet, u32 kPops>
void to_codes(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  const u32 n = i.modrm & 7;
  codes_from(f, get(f, n), empty(f, 0) || empty(f, n), kQuiet, false, kPops);
}

template <u32 kPops>
void with_single(Cpu& c, const Insn& i) {
  enter(c);
  const u32 v = read<u32>(c, operand(c, i, 4, false));
  codes_from(c.s.fpu, from_single(v), empty(c.s.fpu, 0), false, is_denormal_single(v), kPops);
}
template <u32 kPops>
void with_double(Cpu& c, const Insn& i) {
  enter(c);
  const u64 v = read<u64>(c, operand(c, i, 8, false));
  codes_from(c.s.fpu, from_double(v), empty(c.s.fpu, 0), false, is_denormal_double(v), kPops);
}
template <u32 kPops, class T>
void with_integer(Cpu& c, const Insn& i) {
  enter(c);
  const T v = static_cast<T>(read<std::make_unsigned_t<T>>(c, operand(c, i, sizeof(T), false)));
  codes_from(c.s.fpu, from_integer(v), empty(c.s.fpu, 0), false, false, kPops);
}

template <bool kQuiet, bool kPop>
void to_flags(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  const u32 n = i.modrm & 7;
  u16 codes = kUnordered;
  if (empty(f, 0) || empty(f, n)) {
    if (!stack_underflow(f)) return;
  } else {
    const F80 a = get(f, 0), b = get(f, n);
    clear_c1(f);
    if (signal(f, compare_flags(a, b, kQuiet, false))) return;
    codes = compare_code(a, b);
  }
  // C3 C2 C0 as FNSTSW and SAHF would bring them over.
  u64 flags = 0;
  if (codes & kC3) flags |= ZF;
  if (codes & kC2) flags |= PF;
  if (codes & kC0) flags |= CF;
  set_status_flags(c, flags);
  if (kPop) pop(f);
}

void test(Cpu& c, const Insn&) {
  enter(c);
  codes_from(c.s.fpu, zero(false), empty(c.s.fpu, 0), false, false, 0);
}

void examine(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  const F80 a = get(f, 0);
  u16 codes = kC2;  // an ordinary number
  if (empty(f, 0)) codes = kC3 | kC0;
  else if (is_unsupported(a)) codes = 0;
  else if (is_nan(a)) codes = kC0;
  else if (is_infinity(a)) codes = kC2 | kC0;
  else if (is_zero(a)) codes = kC3;
  else if (is_denormal(a)) codes = kC3 | kC2;
  set_codes(f, static_cast<u16>(codes | (negative(a) ? kC1 : 0)));
}

Handler memory_form(const Insn& i, bool popping) {
  switch (i.opcode) {
    case 0xd8: return popping ? step<with_single<1>> : step<with_single<0>>;
    case 0xda: return popping ? step<with_integer<1, i32>> : step<with_integer<0, i32>>;
    case 0xdc: return popping ? step<with_double<1>> : step<with_double<0>>;
    case 0xde: return popping ? step<with_integer<1, i16>> : step<with_integer<0, i16>>;
  }
  return nullptr;
}

}  // namespace

Handler select_compare(const Insn& i) {
  const u32 group = (i.modrm >> 3) & 7;
  if (i.flags & kMemory) {
    return group == 2 || group == 3 ? memory_form(i, group == 3) : nullptr;
  }
  switch (i.opcode << 8 | group) {
    case 0xd802: case 0xdc02: return step<to_codes<false, 0>>;
    case 0xd803: case 0xdc03: case 0xde02: return step<to_codes<false, 1>>;
    case 0xdd04: return step<to_codes<true, 0>>;
    case 0xdd05: return step<to_codes<true, 1>>;
    case 0xdb05: return step<to_flags<true, false>>;
    case 0xdb06: return step<to_flags<false, false>>;
    case 0xdf05: return step<to_flags<true, true>>;
    case 0xdf06: return step<to_flags<false, true>>;
  }
  switch (i.opcode << 8 | i.modrm) {
    case 0xdae9: return step<to_codes<true, 2>>;
    case 0xded9: return step<to_codes<false, 2>>;
    case 0xd9e4: return step<test>;
    case 0xd9e5: return step<examine>;
  }
  return nullptr;
}

}  // namespace twinstep::soft::x87
