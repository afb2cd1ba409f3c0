// Two-operand arithmetic: FADD FMUL FSUB FSUBR FDIV FDIVR with their memory, pop and integer forms.
// SDM vol. 2 FADD.., vol. 1 8.5. C0, C2, C3 stay as they are (undefined there).
#include "x87-host.h"

namespace twinstep::soft::x87 {
namespace {

Result compute(Op op, Source source, F80 a, F80 wide, const void* raw, const Fpu& f) {
  if (is_odd_one(a) || is_odd_one(wide)) return choose_nan(a, wide);
  return host_binary(op, source, a, raw, f.control, f.status);
}

// ST(dst) = a op b, or the indefinite if an operand was empty.
void finish(Fpu& f, u32 dst, bool missing, const Result& r, bool then_pop) {
  if (!missing) {
    commit(f, dst, r, then_pop);
    return;
  }
  if (!stack_underflow(f)) return;
  put(f, dst, kIndefinite);
  if (then_pop) pop(f);
}

void with_memory(Fpu& f, Op op, Source source, F80 wide, const void* raw) {
  const bool missing = empty(f, 0);
  Result r = {};
  if (!missing) r = compute(op, source, get(f, 0), wide, raw, f);
  finish(f, 0, missing, r, false);
}

template <Op kOp>
void single(Cpu& c, const Insn& i) {
  enter(c);
  const u32 v = read<u32>(c, operand(c, i, 4, false));
  with_memory(c.s.fpu, kOp, kSingle, from_single(v), &v);
}

template <Op kOp>
void doubled(Cpu& c, const Insn& i) {
  enter(c);
  const u64 v = read<u64>(c, operand(c, i, 8, false));
  with_memory(c.s.fpu, kOp, kDouble, from_double(v), &v);
}

template <Op kOp, class T>
void integer(Cpu& c, const Insn& i) {
  enter(c);
  const T v = static_cast<T>(read<std::make_unsigned_t<T>>(c, operand(c, i, sizeof(T), false)));
  const F80 wide = from_integer(v);
  with_memory(c.s.fpu, kOp, kExtended, wide, &wide);
}

// D8: ST(0) = ST(0) op ST(i).
template <Op kOp>
void to_top(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  const u32 n = i.modrm & 7;
  const bool missing = empty(f, 0) || empty(f, n);
  const F80 b = get(f, n);
  Result r = {};
  if (!missing) r = compute(kOp, kExtended, get(f, 0), b, &b, f);
  finish(f, 0, missing, r, false);
}

// DC, DE: ST(i) = ST(i) op ST(0). The encodings of SUB and SUBR (DIV, DIVR) are as on D8.
template <Op kOp, bool kPop>
void to_other(Cpu& c, const Insn& i) {
  enter(c);
  Fpu& f = c.s.fpu;
  const u32 n = i.modrm & 7;
  const bool missing = empty(f, 0) || empty(f, n);
  const F80 b = get(f, 0);
  Result r = {};
  if (!missing) r = compute(kOp, kExtended, get(f, n), b, &b, f);
  finish(f, n, missing, r, kPop);
}

template <Op kOp>
Handler select_op(const Insn& i) {
  // DC and DE swap subtraction with its reverse: /4 is ST(i) = ST(0) - ST(i) (SDM vol. 2 FSUB).
  constexpr Op kOther = kOp == kSub ? kSubR : kOp == kSubR ? kSub
                      : kOp == kDiv ? kDivR : kOp == kDivR ? kDiv : kOp;
  const bool memory = i.flags & kMemory;
  switch (i.opcode) {
    case 0xd8: return memory ? step<single<kOp>> : step<to_top<kOp>>;
    case 0xda: return memory ? step<integer<kOp, i32>> : nullptr;
    case 0xdc: return memory ? step<doubled<kOp>> : step<to_other<kOther, false>>;
    case 0xde: return memory ? step<integer<kOp, i16>> : step<to_other<kOther, true>>;
  }
  return nullptr;
}

}  // namespace

Handler select_arith(const Insn& i) {
  if (i.opcode & 1) return nullptr;
  switch ((i.modrm >> 3) & 7) {
    case kAdd: return select_op<kAdd>(i);
    case kMul: return select_op<kMul>(i);
    case kSub: return select_op<kSub>(i);
    case kSubR: return select_op<kSubR>(i);
    case kDiv: return select_op<kDiv>(i);
    case kDivR: return select_op<kDivR>(i);
  }
  return nullptr;
}

}  // namespace twinstep::soft::x87
