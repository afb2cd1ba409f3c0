// Integers and packed decimals in memory: FILD FIST FISTP FISTTP FBLD FBSTP.
#include "x87-host.h"

namespace twinstep::soft::x87 {
namespace {

template <class T>
void load(Cpu& c, const Insn& i) {
  enter(c);
  const T v = static_cast<T>(read<std::make_unsigned_t<T>>(c, operand(c, i, sizeof(T), false)));
  commit_push(c.s.fpu, {from_integer(v), 0, 0});
}

template <class T>
constexpr u64 kIntegerIndefinite = 1ull << (8 * sizeof(T) - 1);

template <class T, bool kTruncate, bool kPop>
void store(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  const u64 at = operand(c, i, sizeof(T), true);
  const bool missing = empty(f, 0);
  Stored r = {kIntegerIndefinite<T>, kIE, 0};
  if (!missing && !is_odd_one(get(f, 0))) {
    r = kTruncate ? host_truncate<T>(get(f, 0), f.control) : host_to_integer<T>(get(f, 0),
                                                                                f.control);
  }
  const bool withheld = r.exc & ~f.control & kIE;
  using U = std::make_unsigned_t<T>;
  if (withheld) withhold_store(c, at, sizeof(T));
  else write<U>(c, at, static_cast<U>(r.bits));
  clear_c1(f);
  if (missing) stack_underflow(f);
  else signal(f, r.exc);
  if (withheld) return;
  f.status |= r.c1;
  if (kPop) pop(f);
}

// Nibbles above nine are counted as what they are: 10 is ten (undefined in the SDM).
void load_bcd(Cpu& c, const Insn& i) {
  enter(c);
  u8 b[10];
  const u64 at = operand(c, i, 10, false);
  check_alignment(c, at, 8);
  read_block(c, at, b, 10);
  u64 value = 0;
  for (int k = 8; k >= 0; k--) value = value * 100 + (b[k] >> 4) * 10u + (b[k] & 15);
  commit_push(c.s.fpu, {with_sign(from_integer(static_cast<i64>(value)), b[9] >> 7), 0, 0});
}

void store_bcd(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  const u64 at = operand(c, i, 10, true);
  check_alignment(c, at, 8);
  const bool missing = empty(f, 0);
  u8 b[10] = {0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff};
  Stored r = {0, kIE, 0};
  if (!missing && !is_odd_one(get(f, 0))) r = host_to_bcd(get(f, 0), f.control, b);
  const bool withheld = r.exc & ~f.control & kIE;
  if (withheld) withhold_store(c, at, 10);
  else write_block(c, at, b, 10);
  clear_c1(f);
  if (missing) stack_underflow(f);
  else signal(f, r.exc);
  if (withheld) return;
  f.status |= r.c1;
  pop(f);
}

}  // namespace

Handler select_convert(const Insn& i) {
  if (!(i.flags & kMemory)) return nullptr;
  switch (i.opcode << 8 | ((i.modrm >> 3) & 7)) {
    case 0xdb00: return step<load<i32>>;
    case 0xdb01: return step<store<i32, true, true>>;
    case 0xdb02: return step<store<i32, false, false>>;
    case 0xdb03: return step<store<i32, false, true>>;
    case 0xdd01: return step<store<i64, true, true>>;
    case 0xdf00: return step<load<i16>>;
    case 0xdf01: return step<store<i16, true, true>>;
    case 0xdf02: return step<store<i16, false, false>>;
    case 0xdf03: return step<store<i16, false, true>>;
    case 0xdf04: return step<load_bcd>;
    case 0xdf05: return step<load<i64>>;
    case 0xdf06: return step<store_bcd>;
    case 0xdf07: return step<store<i64, false, true>>;
  }
  return nullptr;
}

}  // namespace twinstep::soft::x87
