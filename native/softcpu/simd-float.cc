// Floating-point arithmetic, comparison, rounding and logic on XMM registers.
#include "simd-mxcsr.h"

namespace twinstep::soft::simd {

// SDM vol. 1 11.5.2, 11.5.3: an unmasked invalid, denormal or divide exception comes before any
// result, so the flags of the rounding step are not raised with it.
void raise_or_record(Cpu& c, u32 flags) {
  u32& mxcsr = c.s.fpu.mxcsr;
  const u32 unmasked = flags & ~(mxcsr >> 7) & kMxFlags;
  if (unmasked & kMxBefore) flags &= kMxBefore;
  mxcsr |= flags;
  if (!unmasked) return;
  if (c.s.cr4 & CR4_OSXMMEXCPT) raise(XM);
  raise_ud();
}

namespace {
bool tiny_single(u32 v) { return !(v & 0x7f800000) && (v & 0x7fffff); }
bool tiny_double(u64 v) { return !(v & 0x7ff0000000000000) && (v & 0xfffffffffffff); }
}  // namespace

bool has_tiny(Tiny lanes, __m128i vector) {
  const Xmm v = to_xmm(vector);
  switch (lanes) {
    case Tiny::none: return false;
    case Tiny::ss: return tiny_single(v.d[0]);
    case Tiny::sd: return tiny_double(v.q[0]);
    case Tiny::pd: return tiny_double(v.q[0]) || tiny_double(v.q[1]);
    case Tiny::ps: break;
  }
  return tiny_single(v.d[0]) || tiny_single(v.d[1]) || tiny_single(v.d[2]) || tiny_single(v.d[3]);
}

namespace {

// ---- arithmetic ---------------------------------------------------------------------------------
#define FOUR(OPCODE, NAME, TINY)                                                              \
  SIMD_ROW(kMap0F, kNP, OPCODE, packed, SSE_WRAP(NAME##ps), TINY(ps)),                            \
  SIMD_ROW(kMap0F, k66, OPCODE, packed, SSE_WRAP(NAME##pd), TINY(pd)),                            \
  SIMD_ROW(kMap0F, kF3, OPCODE, scalar, u32, SSE_WRAP(NAME##ss), TINY(ss)),                       \
  SIMD_ROW(kMap0F, kF2, OPCODE, scalar, u64, SSE_WRAP(NAME##sd), TINY(sd))
#define MAY(X) Tiny::X
#define NEVER(X) Tiny::none

// ---- COMISS, UCOMISS ----------------------------------------------------------------------------
#define COMPARE_FLAGS(NAME, INSN)                                               \
  u64 NAME(__m128i a, __m128i b) {                                              \
    u8 z, p, cf;                                                                \
    asm volatile(INSN " %4, %3" : "=@ccz"(z), "=@ccp"(p), "=@ccc"(cf) : "x"(a), "x"(b)); \
    return u64{z} * ZF | u64{p} * PF | u64{cf} * CF;                            \
  }
COMPARE_FLAGS(op_comiss, "comiss")
COMPARE_FLAGS(op_comisd, "comisd")
COMPARE_FLAGS(op_ucomiss, "ucomiss")
COMPARE_FLAGS(op_ucomisd, "ucomisd")

template <class T, auto kOp, bool kMem>
void ordered(Cpu& c, const Insn& i) {
  need_sse(c);
  const __m128i b = from64(source_low<T, kMem>(c, i));
  set_status_flags(c, run(c, Tiny::none, kOp, get_xmm(c, i.reg), b));
}

// ---- bitwise ------------------------------------------------------------------------------------
template <auto kOp, bool kMem>
void logic(Cpu& c, const Insn& i) {
  need_sse(c);
  const __m128i b = source128<kMem>(c, i);
  set_xmm(c, i.reg, kOp(get_xmm(c, i.reg), b));
}
#define BITS(NAME) [](__m128i a, __m128i b) { return _mm_##NAME(a, b); }
#define TWO(OPCODE, NAME)                                  \
  SIMD_ROW(kMap0F, kNP, OPCODE, logic, BITS(NAME)),        \
  SIMD_ROW(kMap0F, k66, OPCODE, logic, BITS(NAME))

const Row kRows[] = {
    FOUR(0x51, sqrt, NEVER),
    FOUR(0x58, add, MAY),
    FOUR(0x59, mul, MAY),
    FOUR(0x5c, sub, MAY),
    FOUR(0x5d, min, NEVER),
    FOUR(0x5e, div, MAY),
    FOUR(0x5f, max, NEVER),
    SIMD_ROW(kMap0F, k66, 0x7c, packed, SSE_WRAP(haddpd), Tiny::pd),
    SIMD_ROW(kMap0F, kF2, 0x7c, packed, SSE_WRAP(haddps), Tiny::ps),
    SIMD_ROW(kMap0F, k66, 0x7d, packed, SSE_WRAP(hsubpd), Tiny::pd),
    SIMD_ROW(kMap0F, kF2, 0x7d, packed, SSE_WRAP(hsubps), Tiny::ps),
    SIMD_ROW(kMap0F, k66, 0xd0, packed, SSE_WRAP(addsubpd), Tiny::pd),
    SIMD_ROW(kMap0F, kF2, 0xd0, packed, SSE_WRAP(addsubps), Tiny::ps),
    SIMD_ROW(kMap0F, kNP, 0x2e, ordered, u32, SSE_WRAP(ucomiss)),
    SIMD_ROW(kMap0F, k66, 0x2e, ordered, u64, SSE_WRAP(ucomisd)),
    SIMD_ROW(kMap0F, kNP, 0x2f, ordered, u32, SSE_WRAP(comiss)),
    SIMD_ROW(kMap0F, k66, 0x2f, ordered, u64, SSE_WRAP(comisd)),
    TWO(0x54, and_si128),
    TWO(0x55, andnot_si128),
    TWO(0x56, or_si128),
    TWO(0x57, xor_si128),
    SIMD_ROW(kMap0F, kNP, 0x14, logic, BITS(unpacklo_epi32)),
    SIMD_ROW(kMap0F, k66, 0x14, logic, BITS(unpacklo_epi64)),
    SIMD_ROW(kMap0F, kNP, 0x15, logic, BITS(unpackhi_epi32)),
    SIMD_ROW(kMap0F, k66, 0x15, logic, BITS(unpackhi_epi64)),
};

}  // namespace

std::span<const Row> rows_float() { return kRows; }

}  // namespace twinstep::soft::simd
