// x87 internals: the 80-bit format, the register stack, and how exceptions reach the guest.
//
// Arithmetic that IEEE 754 fixes runs on the host's x87 under the guest's control word
// (x87-host.h); everything in which x86 models differ (NaN choice, unsupported formats,
// transcendentals, FPREM's step) is our own integer code. SDM vol. 1 ch. 8; choices are listed in
// QUIRKS.md.
#pragma once

#include "cpu.h"
#include "mmu.h"

namespace twinstep::soft::x87 {

using u128 = unsigned __int128;

// Status word. SF together with IE means a stack fault; C1 then says overflow (1) or underflow (0).
enum Status : u16 {
  kIE = 0x01, kDE = 0x02, kZE = 0x04, kOE = 0x08, kUE = 0x10, kPE = 0x20, kSF = 0x40, kES = 0x80,
  kC0 = 0x0100, kC1 = 0x0200, kC2 = 0x0400, kC3 = 0x4000, kBusy = 0x8000,
};
inline constexpr u16 kAllFlags = 0x3f;
inline constexpr u16 kBeforeResult = kIE | kDE | kZE;  // unmasked: nothing is written
inline constexpr u16 kConditions = kC0 | kC1 | kC2 | kC3;
inline constexpr u16 kControlFixed = 0x0040;     // FCW bit 6 reads as one
inline constexpr u16 kControlWritable = 0x1f3f;  // and these are stored; the rest reads as zero

struct F80 {
  u64 m;   // significand with explicit integer bit
  u16 se;  // sign and biased exponent
};

inline constexpr u64 kIntegerBit = 1ull << 63;
inline constexpr u64 kQuietBit = 1ull << 62;
inline constexpr F80 kIndefinite = {kIntegerBit | kQuietBit, 0xffff};
inline constexpr F80 kOne = {kIntegerBit, 0x3fff};
constexpr F80 infinity(bool sign) { return {kIntegerBit, static_cast<u16>(sign ? 0xffff
                                                                          : 0x7fff)}; }
constexpr F80 zero(bool sign) { return {0, static_cast<u16>(sign ? 0x8000 : 0)}; }

constexpr u32 exponent(F80 v) { return v.se & 0x7fff; }
constexpr bool negative(F80 v) { return v.se >> 15; }
constexpr bool is_zero(F80 v) { return exponent(v) == 0 && v.m == 0; }
// Pseudo-denormals (exponent 0 with integer bit) count as denormals.
constexpr bool is_denormal(F80 v) { return exponent(v) == 0 && v.m != 0; }
constexpr bool is_infinity(F80 v) { return exponent(v) == 0x7fff && v.m == kIntegerBit; }
// Unnormals, pseudo-infinities, pseudo-NaNs: no meaning since the 80387.
constexpr bool is_unsupported(F80 v) { return exponent(v) != 0 && !(v.m & kIntegerBit); }
constexpr bool is_nan(F80 v) {
  return exponent(v) == 0x7fff && (v.m & kIntegerBit) && v.m != kIntegerBit;
}
constexpr bool is_snan(F80 v) { return is_nan(v) && !(v.m & kQuietBit); }
constexpr bool is_odd_one(F80 v) { return is_nan(v) || is_unsupported(v); }
constexpr F80 quiet(F80 v) { return {v.m | kQuietBit, v.se}; }
constexpr F80 with_sign(F80 v, bool sign) {
  return {v.m, static_cast<u16>((v.se & 0x7fff) | (sign ? 0x8000 : 0))};
}

// What an operation came to: `exc` are newly raised flags, `c1` is kC1 if it rounded away from
// zero.
struct Result {
  F80 value;
  u16 exc;
  u16 c1;
};

// ---- register stack -----------------------------------------------------------------------------
inline u32 top(const Fpu& f) { return (f.status >> 11) & 7; }
inline void set_top(Fpu& f, u32 t) {
  f.status = static_cast<u16>((f.status & ~0x3800) | ((t & 7) << 11));
}
inline u32 slot(const Fpu& f, u32 n) { return (top(f) + n) & 7; }
inline bool empty(const Fpu& f, u32 n) { return !((f.tag >> slot(f, n)) & 1); }
inline F80 get(const Fpu& f, u32 n) {
  const Fpr& r = f.r[slot(f, n)];
  return {r.mantissa, r.sign_exponent};
}
inline void put(Fpu& f, u32 n, F80 v) {
  const u32 p = slot(f, n);
  f.r[p].mantissa = v.m;
  f.r[p].sign_exponent = v.se;
  f.tag = static_cast<u8>(f.tag | (1u << p));
}
inline void set_empty(Fpu& f, u32 n) { f.tag = static_cast<u8>(f.tag & ~(1u << slot(f, n))); }
inline void pop(Fpu& f) {
  set_empty(f, 0);
  set_top(f, top(f) + 1);
}
inline void push(Fpu& f, F80 v) {
  set_top(f, top(f) - 1);
  put(f, 0, v);
}

// ---- memory -------------------------------------------------------------------------------------
// Operands moved as blocks are checked for alignment here (SDM vol. 3 table 6-7).
inline void check_alignment(Cpu& c, u64 linear, u32 bytes) {
  constexpr u64 kOn = CR0_AM;
  if (!(linear & (bytes - 1)) || !(c.s.cr0 & kOn)) return;
  if ((c.s.rflags & AC) && c.cpl == 3) raise_error(ACV, 0);
}

// For a store that an unmasked exception holds back: it faults all the same.
inline void withhold_store(Cpu& c, u64 linear, u32 bytes) {
  check_alignment(c, linear, bytes == 10 ? 8 : bytes);
  probe_write(c, linear, bytes);
}

// ---- exceptions ---------------------------------------------------------------------------------
// ES and B say that some raised flag is unmasked; both follow flags and masks at once.
inline void update_summary(Fpu& f) {
  const bool pending = f.status & ~f.control & kAllFlags;
  f.status = static_cast<u16>((f.status & ~(kES | kBusy)) | (pending ? kES | kBusy : 0));
}
// Records flags; true if one of `exc` is unmasked.
inline bool signal(Fpu& f, u16 exc) {
  // What stops an operation before its result keeps the result's own flags away.
  if (exc & ~f.control & kBeforeResult) exc &= kBeforeResult | kSF;
  f.status |= exc;
  if (!(exc & ~f.control & kAllFlags)) return false;
  f.status |= kES | kBusy;
  return true;
}
inline void clear_c1(Fpu& f) { f.status = static_cast<u16>(f.status & ~kC1); }
// True if the masked response (an indefinite result) is due.
inline bool stack_underflow(Fpu& f) {
  clear_c1(f);
  return !signal(f, kIE | kSF);
}
inline bool stack_overflow(Fpu& f) {
  f.status |= kC1;
  return !signal(f, kIE | kSF);
}

// Every x87 instruction starts with one of these (SDM vol. 1 8.6, vol. 3 2.5): waiting ones deliver
// a pending exception. Without CR0.NE a PC routes it to IRQ 13; we ignore it (QUIRKS.md).
inline void enter_no_wait(Cpu& c) {
  if (c.s.cr0 & (CR0_EM | CR0_TS)) raise(NM);
}
inline void enter(Cpu& c) {
  enter_no_wait(c);
  if ((c.s.fpu.status & kES) && (c.s.cr0 & CR0_NE)) raise(MF);
}

// Writes an operation's result to ST(n) and pops if asked, unless an unmasked exception forbids it.
inline bool commit(Fpu& f, u32 n, const Result& r, bool then_pop = false) {
  clear_c1(f);
  if (signal(f, r.exc) && (r.exc & ~f.control & kBeforeResult)) return false;
  f.status |= r.c1;
  put(f, n, r.value);
  if (then_pop) pop(f);
  return true;
}
// Pushes an operation's result: a full stack comes before any other exception.
bool commit_push(Fpu& f, const Result& r);

// NaN and unsupported operands of a two-operand operation; only called when one is_odd_one.
Result choose_nan(F80 a, F80 b);
Result choose_nan(F80 a);

// Exact widening; a signalling NaN stays signalling and a denormal is normalised.
F80 from_single(u32 v);
F80 from_double(u64 v);
F80 from_integer(i64 v);
inline bool is_denormal_single(u32 v) { return !(v & 0x7f800000) && (v & 0x7fffff); }
inline bool is_denormal_double(u64 v) {
  return !(v & 0x7ff0000000000000) && (v & 0xfffffffffffff);
}

// Order of two ordinary numbers as FCOM reports it: 0 (a > b), kC0 (a < b), kC3 (equal).
u16 order(F80 a, F80 b);

u16 full_tags(const Fpu& f);
void init(Fpu& f);

// The family in parts; each returns nullptr for what it does not know.
Handler select_arith(const Insn& i);    // two operands, FCOM in memory form
Handler select_compare(const Insn& i);
Handler select_move(const Insn& i);
Handler select_convert(const Insn& i);  // integers and BCD in memory
Handler select_control(const Insn& i);
Handler select_unary(const Insn& i);    // D9 E0..FF
Handler select_transcendental(const Insn& i);  // asked by select_unary

}  // namespace twinstep::soft::x87
