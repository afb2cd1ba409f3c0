// SSE on the host's own unit: XMM registers stay in Cpu::s, an instruction runs on the host's xmm0.
//
// Everything here gives the same bits on every x86-64 host; what does not (RCPPS, ...), MMX, and most string
// compares stay the interpreter's. The gates (CR0.TS and the like) are looked at once in a run of host code.
//
// Floating point runs under the host's default control, so the guest must have the same; any other is left to
// the interpreter. Flags add up in the host's MXCSR and are put into the guest's where host code is left
// (merge_float): before the first operation those the guest does not have are cleared.
#include "translate-unit.h"

namespace twinstep::soft::translate {

namespace {

constexpr u32 kMxFlags = 0x3f, kMxDefault = 0x1f80;
const Place kScratch = field(offsetof(Cpu, scratch));
const Place kMxcsr = field(kStateAt + offsetof(State, fpu) + offsetof(Fpu, mxcsr));

Place xmm(u8 n, u32 half = 0) { return field(kStateAt + offsetof(State, xmm) + 16u * n + 8u * half); }
static_assert((kStateAt + offsetof(State, xmm)) % 16 == 0 && alignof(Cpu) % 16 == 0);

constexpr u8 kNone = 0, k66 = 0x66, kF2 = 0xf2, kF3 = 0xf3;
u8 prefix_of(const Insn& i) { return i.rep != 0 ? i.rep : i.flags & kHas66 ? k66 : kNone; }
Op op_of(const Insn& i) { return {prefix_of(i), i.map, i.opcode}; }

void load_xmm(Unit& u, u8 n) { u.e.insn(4, op1(0x28), 0, xmm(n)); }
void store_xmm(Unit& u, u8 n) { u.e.insn(4, op1(0x29), 0, xmm(n)); }

// A 16-byte operand that must be aligned.
Place aligned(Unit& u, const Place& m) {
  u.e.lea(8, hSI, m);
  u.e.test_constant(1, Place::reg(hSI), 15);
  u.leave_if(ccNE);
  return Place::at(hSI, 0);
}
Place lookup_aligned(Unit& u, const Insn& i, bool write) {
  u.clobber();
  return aligned(u, u.lookup(i, 16, write));
}

Place source(Unit& u, const Insn& i, u32 bytes) {
  if (!has_memory(i)) return xmm(i.rm);
  return bytes == 16 ? lookup_aligned(u, i, false) : u.lookup(i, bytes, false);
}

bool has_immediate(const Insn& i) { return i.map == 1 && (i.opcode == 0x70 || i.opcode == 0xc6); }

// ---- shapes -------------------------------------------------------------------------------------

template <u32 kBytes, bool kFloat>
void operate(Unit& u, const Insn& i) {
  u.ready_simd(kFloat);
  const Place from = source(u, i, kBytes);
  load_xmm(u, i.reg);
  u.e.insn(4, op_of(i), 0, from);
  if (has_immediate(i)) u.e.byte(static_cast<u8>(i.imm));
  store_xmm(u, i.reg);
}

template <u32 kBytes>
void compare(Unit& u, const Insn& i) {  // UCOMISx, COMISx
  u.ready_simd(true);
  const Place from = source(u, i, kBytes);
  load_xmm(u, i.reg);
  u.e.insn(4, op_of(i), 0, from);
  u.set(FlagKind::Full, fAll);
}

void compare_strings(Unit& u, const Insn& i) {  // PCMPISTRI; the operand in memory may lie anywhere
  u.ready_simd(false);
  const Place from = has_memory(i) ? u.lookup(i, 16, false) : xmm(i.rm);
  load_xmm(u, i.reg);
  u.e.insn(4, op_of(i), 0, from);
  u.e.byte(i.imm & 0x7f);
  u.e.touched |= 1u << hCX;
  u.set(FlagKind::Full, fAll);
}

void shift(Unit& u, const Insn& i) {  // 71..73
  u.ready_simd(false);
  load_xmm(u, i.rm);
  u.e.insn(4, op_of(i), group_of(i), Place::reg(0));
  u.e.byte(static_cast<u8>(i.imm));
  store_xmm(u, i.rm);
}

void mask(Unit& u, const Insn& i) {  // PMOVMSKB, MOVMSKPx
  u.ready_simd(false);
  load_xmm(u, i.rm);
  u.define(i.reg, 8, [&](u8 to) { u.e.insn(4, op_of(i), to, Place::reg(0)); });
}

template <bool kAligned>
void load(Unit& u, const Insn& i) {
  u.ready_simd(false);
  if (!has_memory(i)) u.e.insn(4, op1(0x28), 0, xmm(i.rm));
  else if (kAligned) u.e.insn(4, op1(0x28), 0, lookup_aligned(u, i, false));
  else u.e.insn(4, op1(0x10), 0, u.lookup(i, 16, false));
  store_xmm(u, i.reg);
}
template <bool kAligned>
void store(Unit& u, const Insn& i) {
  u.ready_simd(false);
  if (!has_memory(i)) {
    load_xmm(u, i.reg);
    return store_xmm(u, i.rm);
  }
  const Place to = kAligned ? lookup_aligned(u, i, true) : u.lookup(i, 16, true);
  load_xmm(u, i.reg);
  u.e.insn(4, op1(0x11), 0, to);
}

// Between memory or the low part of a register and the low part: from memory the rest is cleared.
template <u32 kBytes>
void load_scalar(Unit& u, const Insn& i) {
  u.ready_simd(false);
  if (has_memory(i)) {
    u.e.insn(4, {kBytes == 4 ? kF3 : kF2, 1, 0x10}, 0, u.lookup(i, kBytes, false));
    return store_xmm(u, i.reg);
  }
  u.e.load(kBytes, hAX, xmm(i.rm));
  u.e.store(kBytes, xmm(i.reg), hAX);
}
template <u32 kBytes>
void store_scalar(Unit& u, const Insn& i) {
  u.ready_simd(false);
  const Place to = has_memory(i) ? u.lookup(i, kBytes, true) : xmm(i.rm);
  u.e.load(kBytes, hAX, xmm(i.reg));
  u.e.store(kBytes, to, hAX);
}
void load_low(Unit& u, const Insn& i) {  // MOVQ, either source
  u.ready_simd(false);
  u.e.insn(4, {kF3, 1, 0x7e}, 0, source(u, i, 8));
  store_xmm(u, i.reg);
}
void store_low(Unit& u, const Insn& i) {
  if (has_memory(i)) return store_scalar<8>(u, i);
  u.ready_simd(false);
  u.e.insn(4, {kF3, 1, 0x7e}, 0, xmm(i.reg));
  store_xmm(u, i.rm);
}

template <u32 kHalf>
void load_half(Unit& u, const Insn& i) {  // 12, 16; from a register the other half
  u.ready_simd(false);
  u.e.load(8, hAX, has_memory(i) ? u.lookup(i, 8, false) : xmm(i.rm, 1 - kHalf));
  u.e.store(8, xmm(i.reg, kHalf), hAX);
}
template <u32 kHalf>
void store_half(Unit& u, const Insn& i) {
  u.ready_simd(false);
  const Place to = u.lookup(i, 8, true);
  u.e.load(8, hAX, xmm(i.reg, kHalf));
  u.e.store(8, to, hAX);
}

u32 general_bytes(const Insn& i) { return i.op_bits == 64 ? 8 : 4; }
void from_general(Unit& u, const Insn& i) {  // MOVD, MOVQ
  u.ready_simd(false);
  const u32 bytes = general_bytes(i);
  u.e.insn(bytes, {k66, 1, 0x6e}, 0, has_memory(i) ? u.lookup(i, bytes, false) : place(i.rm));
  store_xmm(u, i.reg);
}
void to_general(Unit& u, const Insn& i) {
  u.ready_simd(false);
  const u32 bytes = general_bytes(i);
  if (!has_memory(i)) return u.define(i.rm, bytes, [&](u8 to) { u.e.load(bytes, to, xmm(i.reg)); });
  const Place to = u.lookup(i, bytes, true);
  u.e.load(bytes, hAX, xmm(i.reg));
  u.e.store(bytes, to, hAX);
}

void convert_from_general(Unit& u, const Insn& i) {  // CVTSI2Sx
  u.ready_simd(true);
  const u32 bytes = general_bytes(i);
  const Place from = has_memory(i) ? u.lookup(i, bytes, false) : place(i.rm);
  load_xmm(u, i.reg);
  u.e.insn(bytes, op_of(i), 0, from);
  store_xmm(u, i.reg);
}
template <u32 kBytes>
void convert_to_general(Unit& u, const Insn& i) {  // CVTSx2SI, CVTTSx2SI
  u.ready_simd(true);
  const Place from = source(u, i, kBytes);
  u.define(i.reg, 8, [&](u8 to) { u.e.insn(general_bytes(i), op_of(i), to, from); });
}

// ---- which --------------------------------------------------------------------------------------

enum Which : u8 { kReg = 1, kMem = 2, kEither = 3 };

Plan simd(const Insn& i, Which which, Emit emit, bool is_float = false, u8 writes = 0) {
  const bool memory = has_memory(i);
  if (!(which & (memory ? kMem : kReg)) || (memory && !is_plain_address(i))) return {};
  Plan p{emit, 0, writes, memory, false};
  p.simd = is_float ? Simd::Float : Simd::Plain;
  return p;
}

// Lanes, logic and shuffles with prefix 66.
bool is_lanes(const Insn& i) {
  const u8 op = i.opcode;
  if (i.map == 1) {
    if (op >= 0x60 && op <= 0x6d) return true;
    if (op == 0x70 || (op >= 0x74 && op <= 0x76)) return true;
    if (op < 0xd1 || op > 0xfe) return false;
    return op != 0xd6 && op != 0xd7 && op != 0xe6 && op != 0xe7 && op != 0xf0 && op != 0xf7;
  }
  if (i.map != 2) return false;
  return op <= 0x0b || (op >= 0x1c && op <= 0x1e) || op == 0x28 || op == 0x29 || op == 0x2b ||
         (op >= 0x37 && op <= 0x41);
}

Plan plan_float(const Insn& i, u8 prefix) {
  switch (i.opcode) {
    case 0x51: case 0x58: case 0x59: case 0x5c: case 0x5d: case 0x5e: case 0x5f:
      if (prefix == kF3) return simd(i, kEither, operate<4, true>, true);
      if (prefix == kF2) return simd(i, kEither, operate<8, true>, true);
      return simd(i, kEither, operate<16, true>, true);
    case 0x5a:
      if (prefix == kF3) return simd(i, kEither, operate<4, true>, true);
      if (prefix == k66) return simd(i, kEither, operate<16, true>, true);
      return simd(i, kEither, operate<8, true>, true);
    case 0x5b: return prefix == kF2 ? Plan{} : simd(i, kEither, operate<16, true>, true);
    case 0x2e: case 0x2f:
      if (prefix == kNone) return simd(i, kEither, compare<4>, true, fAll);
      return prefix == k66 ? simd(i, kEither, compare<8>, true, fAll) : Plan{};
    case 0x2a:
      return prefix == kF2 || prefix == kF3 ? simd(i, kEither, convert_from_general, true) : Plan{};
    case 0x2c: case 0x2d:
      if (prefix == kF3) return simd(i, kEither, convert_to_general<4>, true);
      return prefix == kF2 ? simd(i, kEither, convert_to_general<8>, true) : Plan{};
    default: return {};
  }
}

Plan plan_moves(const Insn& i, u8 prefix) {
  const bool packed = prefix == kNone || prefix == k66;
  switch (i.opcode) {
    case 0x10:
      if (packed) return simd(i, kEither, load<false>);
      return prefix == kF3 ? simd(i, kEither, load_scalar<4>) : simd(i, kEither, load_scalar<8>);
    case 0x11:
      if (packed) return simd(i, kEither, store<false>);
      return prefix == kF3 ? simd(i, kEither, store_scalar<4>) : simd(i, kEither, store_scalar<8>);
    case 0x12: return packed ? simd(i, prefix == kNone ? kEither : kMem, load_half<0>) : Plan{};
    case 0x13: return packed ? simd(i, kMem, store_half<0>) : Plan{};
    case 0x16: return packed ? simd(i, prefix == kNone ? kEither : kMem, load_half<1>) : Plan{};
    case 0x17: return packed ? simd(i, kMem, store_half<1>) : Plan{};
    case 0x28: return packed ? simd(i, kEither, load<true>) : Plan{};
    case 0x29: return packed ? simd(i, kEither, store<true>) : Plan{};
    case 0x2b: return packed ? simd(i, kMem, store<true>) : Plan{};
    case 0x6f:
      if (prefix == k66) return simd(i, kEither, load<true>);
      return prefix == kF3 ? simd(i, kEither, load<false>) : Plan{};
    case 0x7f:
      if (prefix == k66) return simd(i, kEither, store<true>);
      return prefix == kF3 ? simd(i, kEither, store<false>) : Plan{};
    case 0x6e: return prefix == k66 ? simd(i, kEither, from_general) : Plan{};
    case 0x7e:
      if (prefix == k66) return simd(i, kEither, to_general);
      return prefix == kF3 ? simd(i, kEither, load_low) : Plan{};
    case 0xd6: return prefix == k66 ? simd(i, kEither, store_low) : Plan{};
    case 0xe7: return prefix == k66 ? simd(i, kMem, store<true>) : Plan{};
    case 0xf0: return prefix == kF2 ? simd(i, kMem, load<false>) : Plan{};
    default: return {};
  }
}

Plan plan_shift_constant(const Insn& i, u8 prefix) {
  static constexpr u8 kGroups[3] = {0x54, 0x54, 0xcc};
  const bool known = prefix == k66 && (kGroups[i.opcode - 0x71] >> group_of(i) & 1);
  return known ? simd(i, kReg, shift) : Plan{};
}

}  // namespace

// Before a SIMD instruction. What host code has looked at once stays so: the gates and the control word are
// changed by nothing that is translated.
void Unit::ready_simd(bool is_float) {
  if (!simd_ready) {
    clobber();
    e.alu_constant(1, aluCmp, field(offsetof(Cpu, sse_off)), 0);
    leave_if(ccNE);
    simd_ready = true;
  }
  if (!is_float || float_ready) return;
  clobber();
  e.load(4, hAX, kMxcsr);
  e.load(4, hSI, Place::reg(hAX));
  e.alu_constant(4, aluAnd, Place::reg(hSI), ~static_cast<i32>(kMxFlags));
  e.alu_constant(4, aluCmp, Place::reg(hSI), kMxDefault);
  leave_if(ccNE);
  e.insn(4, op1(0xae), 3, kScratch);             // STMXCSR
  e.insn(4, op0(0xf7), 2, Place::reg(hAX));      // NOT
  e.insn(4, op0(0x85), hAX, kScratch);           // flags the guest has not
  u8* none = e.jump_ahead(ccE);
  e.store_constant(4, kScratch, kMxDefault);
  e.insn(4, op1(0xae), 2, kScratch);             // LDMXCSR
  e.land(none);
  float_ready = true;
  leave_stub_ = nullptr;  // one from here on merges
}

// Spoils rSI and FLAGS.
void Unit::merge_float(Emitter& to) {
  if (!float_ready) return;
  to.insn(4, op1(0xae), 3, kScratch);
  to.load(4, hSI, kScratch);
  to.alu_to(4, aluOr, kMxcsr, hSI);
}

Plan plan_simd(const Insn& i) {
  if (i.map == 0 || i.map > 3 || (i.flags & kLock)) return {};
  const u8 prefix = prefix_of(i), op = i.opcode;
  if (i.map == 3) {
    return op == 0x63 && prefix == k66 ? simd(i, kEither, compare_strings, false, fAll) : Plan{};
  }
  if (i.map == 1 && op >= 0x71 && op <= 0x73) return plan_shift_constant(i, prefix);
  if (i.map == 1) {
    for (const auto ask : {plan_float, plan_moves}) {
      const Plan p = ask(i, prefix);
      if (p.emit != nullptr) return p;
    }
    const bool packed = prefix == kNone || prefix == k66;
    const bool logic = (op >= 0x54 && op <= 0x57) || op == 0x14 || op == 0x15 || op == 0xc6;
    if (packed && logic) return simd(i, kEither, operate<16, false>);
    if (packed && op == 0x50) return simd(i, kReg, mask);
    if (prefix == k66 && op == 0xd7) return simd(i, kReg, mask);
  }
  return prefix == k66 && is_lanes(i) ? simd(i, kEither, operate<16, false>) : Plan{};
}

}  // namespace twinstep::soft::translate
