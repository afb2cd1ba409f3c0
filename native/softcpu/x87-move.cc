// Moves without rounding, and FST to narrower formats: FLD FST FXCH FCMOV FFREE, the constants.
#include "flags.h"
#include "x87-host.h"

namespace twinstep::soft::x87 {
namespace {

// ---- loads --------------------------------------------------------------------------------------
// A narrow signalling NaN is invalid, a narrow denormal raises DE; the 80-bit form takes any bits.
Result narrow(F80 v, bool denormal) {
  if (is_nan(v)) return choose_nan(v);
  return {v, static_cast<u16>(denormal ? kDE : 0), 0};
}

void load_single(Cpu& c, const Insn& i) {
  enter(c);
  const u32 v = read<u32>(c, operand(c, i, 4, false));
  commit_push(c.s.fpu, narrow(from_single(v), is_denormal_single(v)));
}
void load_double(Cpu& c, const Insn& i) {
  enter(c);
  const u64 v = read<u64>(c, operand(c, i, 8, false));
  commit_push(c.s.fpu, narrow(from_double(v), is_denormal_double(v)));
}
void load_extended(Cpu& c, const Insn& i) {
  enter(c);
  F80 v = {};
  const u64 at = operand(c, i, 10, false);
  check_alignment(c, at, 8);
  read_block(c, at, &v, 10);
  commit_push(c.s.fpu, {v, 0, 0});
}
void load_register(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  const u32 n = i.modrm & 7;
  if (!empty(f, n)) {
    commit_push(f, {get(f, n), 0, 0});
    return;
  }
  if (stack_underflow(f)) push(f, kIndefinite);
}

// Constants are held wider inside; `below` is the truncated value, `near` says what rounding to
// nearest makes of it (SDM vol. 1 8.3.8: RC applies).
struct Constant {
  u64 below;
  u16 se;
  bool exact, near_up;
};
constexpr Constant kConstants[7] = {
    {0x8000000000000000, 0x3fff, true, false},   // 1
    {0xd49a784bcd1b8afe, 0x4000, false, false},  // log2(10)
    {0xb8aa3b295c17f0bb, 0x3fff, false, true},   // log2(e)
    {0xc90fdaa22168c234, 0x4000, false, true},   // pi
    {0x9a209a84fbcff798, 0x3ffd, false, true},   // log10(2)
    {0xb17217f7d1cf79ab, 0x3ffe, false, true},   // ln(2)
    {0, 0, true, false},                         // 0
};
void load_constant(Cpu& c, const Insn& i) {
  enter(c);
  const Constant& k = kConstants[i.modrm & 7];
  const u32 rc = (c.s.fpu.control >> 10) & 3;
  const bool up = !k.exact && (rc == 2 || (rc == 0 && k.near_up));
  commit_push(c.s.fpu, {{k.below + up, k.se}, 0, 0});
}

// ---- stores -------------------------------------------------------------------------------------
// Memory is written before any flag changes, so that a page fault leaves no trace.
template <class T, bool kPop>
void store_narrow(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  const u64 at = operand(c, i, sizeof(T), true);
  constexpr T kNarrowIndefinite = static_cast<T>(sizeof(T) == 4 ? 0xffc00000 : 0xfff8000000000000);
  if (empty(f, 0)) {
    if (!(f.control & kIE)) {
      withhold_store(c, at, sizeof(T));
      stack_underflow(f);
      return;
    }
    write<T>(c, at, kNarrowIndefinite);
    stack_underflow(f);
  } else {
    const F80 a = get(f, 0);
    const Stored r = is_unsupported(a) ? Stored{kNarrowIndefinite, kIE, 0}
                     : sizeof(T) == 4  ? host_to_single(a, f.control, f.status)
                                       : host_to_double(a, f.control, f.status);
    const bool withheld = r.exc & ~f.control & (kIE | kOE | kUE);
    if (withheld) withhold_store(c, at, sizeof(T));
    else write<T>(c, at, static_cast<T>(r.bits));
    clear_c1(f);
    signal(f, static_cast<u16>(r.exc));
    if (withheld) return;
    f.status |= r.c1;
  }
  if (kPop) pop(f);
}

void store_extended(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  const u64 at = operand(c, i, 10, true);
  check_alignment(c, at, 8);
  const bool missing = empty(f, 0);
  if (missing && !(f.control & kIE)) {
    withhold_store(c, at, 10);
    stack_underflow(f);
    return;
  }
  const F80 v = missing ? kIndefinite : get(f, 0);
  write_block(c, at, &v, 10);
  clear_c1(f);
  if (missing) stack_underflow(f);
  pop(f);
}

// kQuiet is the alias D9 D8: an empty ST(0) is popped without a word.
template <bool kPop, bool kQuiet = false>
void store_register(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  const u32 n = i.modrm & 7;
  clear_c1(f);
  if (!empty(f, 0)) {
    put(f, n, get(f, 0));
  } else if (!kQuiet) {
    if (!stack_underflow(f)) return;
    put(f, n, kIndefinite);
  }
  if (kPop) pop(f);
}

// ---- within the stack ---------------------------------------------------------------------------
void exchange(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  const u32 n = i.modrm & 7;
  clear_c1(f);
  const bool no_top = empty(f, 0), no_other = empty(f, n);
  if ((no_top || no_other) && !stack_underflow(f)) return;
  const F80 a = no_top ? kIndefinite : get(f, 0), b = no_other ? kIndefinite : get(f, n);
  put(f, 0, b);
  put(f, n, a);
}

template <int kCond>
void conditional(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  const u32 n = i.modrm & 7;
  if (empty(f, 0) || empty(f, n)) {
    if (stack_underflow(f)) put(f, 0, kIndefinite);
  } else if (condition<kCond>(c)) {
    put(f, 0, get(f, n));
  }
}

template <bool kPop>
void release(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  clear_c1(f);
  set_empty(f, i.modrm & 7);
  if (kPop) pop(f);
}

template <int kStep>
void turn(Cpu& c, const Insn&) {
  enter(c);
  Fpu& f = c.s.fpu;
  clear_c1(f);
  set_top(f, top(f) + static_cast<u32>(kStep));
}

Handler memory_form(const Insn& i, u32 group) {
  switch (i.opcode << 8 | group) {
    case 0xd900: return step<load_single>;
    case 0xd902: return step<store_narrow<u32, false>>;
    case 0xd903: return step<store_narrow<u32, true>>;
    case 0xdb05: return step<load_extended>;
    case 0xdb07: return step<store_extended>;
    case 0xdd00: return step<load_double>;
    case 0xdd02: return step<store_narrow<u64, false>>;
    case 0xdd03: return step<store_narrow<u64, true>>;
  }
  return nullptr;
}

}  // namespace

Handler select_move(const Insn& i) {
  const u32 group = (i.modrm >> 3) & 7;
  if (i.flags & kMemory) return memory_form(i, group);
  if (i.opcode == 0xd9 && i.modrm >= 0xe8 && i.modrm <= 0xee) return step<load_constant>;
  if (i.opcode == 0xd9 && i.modrm == 0xf6) return step<turn<-1>>;
  if (i.opcode == 0xd9 && i.modrm == 0xf7) return step<turn<1>>;
  switch (i.opcode << 8 | group) {
    case 0xd900: return step<load_register>;
    case 0xd901: case 0xdd01: case 0xdf01: return step<exchange>;
    case 0xd903: return step<store_register<true, true>>;
    case 0xdd03: case 0xdf02: case 0xdf03: return step<store_register<true>>;
    case 0xdd02: return step<store_register<false>>;
    case 0xdd00: return step<release<false>>;
    case 0xdf00: return step<release<true>>;
    case 0xda00: return step<conditional<2>>;
    case 0xda01: return step<conditional<4>>;
    case 0xda02: return step<conditional<6>>;
    case 0xda03: return step<conditional<10>>;
    case 0xdb00: return step<conditional<3>>;
    case 0xdb01: return step<conditional<5>>;
    case 0xdb02: return step<conditional<7>>;
    case 0xdb03: return step<conditional<11>>;
  }
  return nullptr;
}

}  // namespace twinstep::soft::x87
