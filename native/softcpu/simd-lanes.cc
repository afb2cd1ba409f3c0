// Integer operations within lanes: one host intrinsic serves the MMX and the SSE form.
//
// An MMX operation runs on the low half of a vector. Where lanes meet (packing, horizontal sums)
// both operands go into one vector first, so that its low half is the MMX result.
#include "simd.h"

namespace twinstep::soft::simd {
namespace {

using Vector = __m128i;

template <auto kOp, bool kMem>
void mmx(Cpu& c, const Insn& i) {
  need_mmx(c);
  const u64 b = source_mm<kMem>(c, i);
  mmx_mode(c);
  set_mm(c, i.reg, to64(kOp(from64(get_mm(c, i.reg)), from64(b))));
}
template <auto kOp, bool kMem>
void sse(Cpu& c, const Insn& i) {
  need_sse(c);
  const Vector b = source128<kMem>(c, i);
  set_xmm(c, i.reg, kOp(get_xmm(c, i.reg), b));
}

// Operations in which lanes of one operand meet: kOp(ab, ab) has what is wanted in its low half.
template <auto kOp, bool kMem>
void mmx_paired(Cpu& c, const Insn& i) {
  need_mmx(c);
  const u64 b = source_mm<kMem>(c, i);
  mmx_mode(c);
  const Vector both = _mm_unpacklo_epi64(from64(get_mm(c, i.reg)), from64(b));
  set_mm(c, i.reg, to64(kOp(both, both)));
}

// PUNPCKL takes 32 bits of memory in its MMX form, PUNPCKH 64.
template <auto kOp, bool kMem>
void mmx_unpack_low(Cpu& c, const Insn& i) {
  need_mmx(c);
  u64 b = 0;
  if constexpr (kMem) b = load_memory<u32>(c, i);
  else b = get_mm(c, i.rm);
  mmx_mode(c);
  set_mm(c, i.reg, to64(kOp(from64(get_mm(c, i.reg)), from64(b))));
}
// The high halves' interleaving is the high half of the low halves' as a 128-bit vector.
template <auto kLow, bool kMem>
void mmx_unpack_high(Cpu& c, const Insn& i) {
  need_mmx(c);
  const u64 b = source_mm<kMem>(c, i);
  mmx_mode(c);
  const Vector r = kLow(from64(get_mm(c, i.reg)), from64(b));
  set_mm(c, i.reg, to64(_mm_unpackhi_epi64(r, r)));
}

// PSHUFB of eight bytes: bit 3 of an index does not count.
template <bool kMem>
void pshufb_mmx(Cpu& c, const Insn& i) {
  need_mmx(c);
  const u64 b = source_mm<kMem>(c, i);
  mmx_mode(c);
  const Vector mask = from64(b & 0x8787878787878787);
  set_mm(c, i.reg, to64(_mm_shuffle_epi8(from64(get_mm(c, i.reg)), mask)));
}

#define OP2(NAME) [](Vector a, Vector b) { return _mm_##NAME(a, b); }
#define OP1(NAME) [](Vector, Vector b) { return _mm_##NAME(b); }
#define SSE_ONLY(MAP, OPCODE, F) SIMD_ROW(MAP, k66, OPCODE, sse, F)
#define BOTH(MAP, OPCODE, F) SIMD_ROW(MAP, kNP, OPCODE, mmx, F), SIMD_ROW(MAP, k66, OPCODE, sse, F)
#define PAIRED(MAP, OPCODE, F) \
  SIMD_ROW(MAP, kNP, OPCODE, mmx_paired, F), SIMD_ROW(MAP, k66, OPCODE, sse, F)
#define UNPACK(OPCODE, LOW, HIGH)                       \
  SIMD_ROW(kMap0F, kNP, OPCODE, mmx_unpack_low, LOW),    \
  SIMD_ROW(kMap0F, k66, OPCODE, sse, LOW),               \
  SIMD_ROW(kMap0F, kNP, OPCODE + 8, mmx_unpack_high, LOW), \
  SIMD_ROW(kMap0F, k66, OPCODE + 8, sse, HIGH)

const Row kRows[] = {
    UNPACK(0x60, OP2(unpacklo_epi8), OP2(unpackhi_epi8)),
    UNPACK(0x61, OP2(unpacklo_epi16), OP2(unpackhi_epi16)),
    UNPACK(0x62, OP2(unpacklo_epi32), OP2(unpackhi_epi32)),
    SSE_ONLY(kMap0F, 0x6c, OP2(unpacklo_epi64)),
    SSE_ONLY(kMap0F, 0x6d, OP2(unpackhi_epi64)),
    PAIRED(kMap0F, 0x63, OP2(packs_epi16)),
    PAIRED(kMap0F, 0x67, OP2(packus_epi16)),
    PAIRED(kMap0F, 0x6b, OP2(packs_epi32)),
    BOTH(kMap0F, 0x64, OP2(cmpgt_epi8)),
    BOTH(kMap0F, 0x65, OP2(cmpgt_epi16)),
    BOTH(kMap0F, 0x66, OP2(cmpgt_epi32)),
    BOTH(kMap0F, 0x74, OP2(cmpeq_epi8)),
    BOTH(kMap0F, 0x75, OP2(cmpeq_epi16)),
    BOTH(kMap0F, 0x76, OP2(cmpeq_epi32)),
    BOTH(kMap0F, 0xd1, OP2(srl_epi16)),
    BOTH(kMap0F, 0xd2, OP2(srl_epi32)),
    BOTH(kMap0F, 0xd3, OP2(srl_epi64)),
    BOTH(kMap0F, 0xd4, OP2(add_epi64)),
    BOTH(kMap0F, 0xd5, OP2(mullo_epi16)),
    BOTH(kMap0F, 0xd8, OP2(subs_epu8)),
    BOTH(kMap0F, 0xd9, OP2(subs_epu16)),
    BOTH(kMap0F, 0xda, OP2(min_epu8)),
    BOTH(kMap0F, 0xdb, OP2(and_si128)),
    BOTH(kMap0F, 0xdc, OP2(adds_epu8)),
    BOTH(kMap0F, 0xdd, OP2(adds_epu16)),
    BOTH(kMap0F, 0xde, OP2(max_epu8)),
    BOTH(kMap0F, 0xdf, OP2(andnot_si128)),
    BOTH(kMap0F, 0xe0, OP2(avg_epu8)),
    BOTH(kMap0F, 0xe1, OP2(sra_epi16)),
    BOTH(kMap0F, 0xe2, OP2(sra_epi32)),
    BOTH(kMap0F, 0xe3, OP2(avg_epu16)),
    BOTH(kMap0F, 0xe4, OP2(mulhi_epu16)),
    BOTH(kMap0F, 0xe5, OP2(mulhi_epi16)),
    BOTH(kMap0F, 0xe8, OP2(subs_epi8)),
    BOTH(kMap0F, 0xe9, OP2(subs_epi16)),
    BOTH(kMap0F, 0xea, OP2(min_epi16)),
    BOTH(kMap0F, 0xeb, OP2(or_si128)),
    BOTH(kMap0F, 0xec, OP2(adds_epi8)),
    BOTH(kMap0F, 0xed, OP2(adds_epi16)),
    BOTH(kMap0F, 0xee, OP2(max_epi16)),
    BOTH(kMap0F, 0xef, OP2(xor_si128)),
    BOTH(kMap0F, 0xf1, OP2(sll_epi16)),
    BOTH(kMap0F, 0xf2, OP2(sll_epi32)),
    BOTH(kMap0F, 0xf3, OP2(sll_epi64)),
    BOTH(kMap0F, 0xf4, OP2(mul_epu32)),
    BOTH(kMap0F, 0xf5, OP2(madd_epi16)),
    BOTH(kMap0F, 0xf6, OP2(sad_epu8)),
    BOTH(kMap0F, 0xf8, OP2(sub_epi8)),
    BOTH(kMap0F, 0xf9, OP2(sub_epi16)),
    BOTH(kMap0F, 0xfa, OP2(sub_epi32)),
    BOTH(kMap0F, 0xfb, OP2(sub_epi64)),
    BOTH(kMap0F, 0xfc, OP2(add_epi8)),
    BOTH(kMap0F, 0xfd, OP2(add_epi16)),
    BOTH(kMap0F, 0xfe, OP2(add_epi32)),
    // SSSE3
    SIMD_ROW(kMap38, kNP, 0x00, pshufb_mmx),
    SSE_ONLY(kMap38, 0x00, OP2(shuffle_epi8)),
    PAIRED(kMap38, 0x01, OP2(hadd_epi16)),
    PAIRED(kMap38, 0x02, OP2(hadd_epi32)),
    PAIRED(kMap38, 0x03, OP2(hadds_epi16)),
    BOTH(kMap38, 0x04, OP2(maddubs_epi16)),
    PAIRED(kMap38, 0x05, OP2(hsub_epi16)),
    PAIRED(kMap38, 0x06, OP2(hsub_epi32)),
    PAIRED(kMap38, 0x07, OP2(hsubs_epi16)),
    BOTH(kMap38, 0x08, OP2(sign_epi8)),
    BOTH(kMap38, 0x09, OP2(sign_epi16)),
    BOTH(kMap38, 0x0a, OP2(sign_epi32)),
    BOTH(kMap38, 0x0b, OP2(mulhrs_epi16)),
    BOTH(kMap38, 0x1c, OP1(abs_epi8)),
    BOTH(kMap38, 0x1d, OP1(abs_epi16)),
    BOTH(kMap38, 0x1e, OP1(abs_epi32)),
    // SSE4.1, SSE4.2
    SSE_ONLY(kMap38, 0x28, OP2(mul_epi32)),
    SSE_ONLY(kMap38, 0x29, OP2(cmpeq_epi64)),
    SSE_ONLY(kMap38, 0x2b, OP2(packus_epi32)),
    SSE_ONLY(kMap38, 0x37, OP2(cmpgt_epi64)),
    SSE_ONLY(kMap38, 0x38, OP2(min_epi8)),
    SSE_ONLY(kMap38, 0x39, OP2(min_epi32)),
    SSE_ONLY(kMap38, 0x3a, OP2(min_epu16)),
    SSE_ONLY(kMap38, 0x3b, OP2(min_epu32)),
    SSE_ONLY(kMap38, 0x3c, OP2(max_epi8)),
    SSE_ONLY(kMap38, 0x3d, OP2(max_epi32)),
    SSE_ONLY(kMap38, 0x3e, OP2(max_epu16)),
    SSE_ONLY(kMap38, 0x3f, OP2(max_epu32)),
    SSE_ONLY(kMap38, 0x40, OP2(mullo_epi32)),
    SSE_ONLY(kMap38, 0x41, OP1(minpos_epu16)),
};

// ---- 0F 71..73: shifts by an immediate ----------------------------------------------------------
template <auto kOp>
void shift_mmx(Cpu& c, const Insn& i) {
  need_mmx(c);
  mmx_mode(c);
  set_mm(c, i.rm, to64(kOp(from64(get_mm(c, i.rm)), from64(immediate(i)))));
}
template <auto kOp>
void shift_sse(Cpu& c, const Insn& i) {
  need_sse(c);
  set_xmm(c, i.rm, kOp(get_xmm(c, i.rm), from64(immediate(i))));
}
template <auto kOp>
Handler shift_row(bool wide) {
  return wide ? step<shift_sse<kOp>> : step<shift_mmx<kOp>>;
}

using u128 = unsigned __int128;
template <bool kLeft>
void shift_bytes(Cpu& c, const Insn& i) {
  need_sse(c);
  u128 v;
  memcpy(&v, &c.s.xmm[i.rm], 16);
  const u32 count = immediate(i);
  if (count > 15) v = 0;
  else v = kLeft ? v << (8 * count) : v >> (8 * count);
  memcpy(&c.s.xmm[i.rm], &v, 16);
}

}  // namespace

std::span<const Row> rows_lanes() { return kRows; }

Handler select_packed_shift(const Insn& i) {
  const Prefix p = prefix_of(i);
  if ((i.flags & kMemory) || (p != kNP && p != k66)) return nullptr;
  const bool wide = p == k66;
  switch (i.opcode << 4 | group_of(i)) {
    case 0x712: return shift_row<OP2(srl_epi16)>(wide);
    case 0x714: return shift_row<OP2(sra_epi16)>(wide);
    case 0x716: return shift_row<OP2(sll_epi16)>(wide);
    case 0x722: return shift_row<OP2(srl_epi32)>(wide);
    case 0x724: return shift_row<OP2(sra_epi32)>(wide);
    case 0x726: return shift_row<OP2(sll_epi32)>(wide);
    case 0x732: return shift_row<OP2(srl_epi64)>(wide);
    case 0x736: return shift_row<OP2(sll_epi64)>(wide);
    case 0x733: return wide ? step<shift_bytes<false>> : nullptr;
    case 0x737: return wide ? step<shift_bytes<true>> : nullptr;
  }
  return nullptr;
}

}  // namespace twinstep::soft::simd
