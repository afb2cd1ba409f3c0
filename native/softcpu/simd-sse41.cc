// SSE4.1 without the float rounding: widening moves, blends, PTEST, MPSADBW.
#include "simd.h"

namespace twinstep::soft::simd {
namespace {

// PMOVSX, PMOVZX: kBytes of source, no alignment asked for.
template <u32 kBytes, auto kOp, bool kMem>
void widen(Cpu& c, const Insn& i) {
  need_sse(c);
  __m128i b;
  if constexpr (!kMem) b = get_xmm(c, i.rm);
  else if constexpr (kBytes == 8) b = from64(load_memory<u64>(c, i));
  else if constexpr (kBytes == 4) b = from64(load_memory<u32>(c, i));
  else b = from64(load_memory<u16>(c, i));
  set_xmm(c, i.reg, kOp(b));
}

// Mask bits come from the top bits of XMM0's lanes.
template <auto kOp, bool kMem>
void variable_blend(Cpu& c, const Insn& i) {
  need_sse(c);
  const __m128i b = source128<kMem>(c, i);
  set_xmm(c, i.reg, kOp(get_xmm(c, i.reg), b, get_xmm(c, 0)));
}

// kLaneBytes of every lane whose immediate bit is set come from the source.
template <u32 kLaneBytes, bool kMem>
void immediate_blend(Cpu& c, const Insn& i) {
  need_sse(c);
  const Xmm b = to_xmm(source128<kMem>(c, i));
  Xmm& a = c.s.xmm[i.reg];
  for (u32 n = 0; n < 16 / kLaneBytes; n++) {
    if (immediate(i) >> n & 1) memcpy(a.b + n * kLaneBytes, b.b + n * kLaneBytes, kLaneBytes);
  }
}

template <bool kMem>
void ptest(Cpu& c, const Insn& i) {
  need_sse(c);
  const __m128i b = source128<kMem>(c, i), a = get_xmm(c, i.reg);
  u64 flags = 0;
  if (_mm_testz_si128(a, b)) flags |= ZF;
  if (_mm_testc_si128(a, b)) flags |= CF;
  set_status_flags(c, flags);
}

template <bool kMem>
void mpsadbw(Cpu& c, const Insn& i) {
  need_sse(c);
  const Xmm b = to_xmm(source128<kMem>(c, i)), a = c.s.xmm[i.reg];
  const u32 m = immediate(i);
  const u8* block = b.b + 4 * (m & 3);
  const u8* window = a.b + (m & 4 ? 4 : 0);
  Xmm r;
  for (u32 n = 0; n < 8; n++) {
    u32 sum = 0;
    for (u32 k = 0; k < 4; k++) {
      const int d = window[n + k] - block[k];
      sum += static_cast<u32>(d < 0 ? -d : d);
    }
    r.w[n] = static_cast<u16>(sum);
  }
  c.s.xmm[i.reg] = r;
}

#define OP1(NAME) [](__m128i b) { return _mm_##NAME(b); }
#define BLEND_BYTES [](__m128i a, __m128i b, __m128i m) { return _mm_blendv_epi8(a, b, m); }
#define BLEND_AS(TO, FROM, OP)                                              \
  [](__m128i a, __m128i b, __m128i m) { return FROM(OP(TO(a), TO(b), TO(m))); }

const Row kRows[] = {
    SIMD_ROW(kMap38, k66, 0x10, variable_blend, BLEND_BYTES),
    SIMD_ROW(kMap38, k66, 0x14, variable_blend,
             BLEND_AS(_mm_castsi128_ps, _mm_castps_si128, _mm_blendv_ps)),
    SIMD_ROW(kMap38, k66, 0x15, variable_blend,
             BLEND_AS(_mm_castsi128_pd, _mm_castpd_si128, _mm_blendv_pd)),
    SIMD_ROW(kMap38, k66, 0x17, ptest),
    SIMD_ROW(kMap38, k66, 0x20, widen, 8, OP1(cvtepi8_epi16)),
    SIMD_ROW(kMap38, k66, 0x21, widen, 4, OP1(cvtepi8_epi32)),
    SIMD_ROW(kMap38, k66, 0x22, widen, 2, OP1(cvtepi8_epi64)),
    SIMD_ROW(kMap38, k66, 0x23, widen, 8, OP1(cvtepi16_epi32)),
    SIMD_ROW(kMap38, k66, 0x24, widen, 4, OP1(cvtepi16_epi64)),
    SIMD_ROW(kMap38, k66, 0x25, widen, 8, OP1(cvtepi32_epi64)),
    SIMD_ROW(kMap38, k66, 0x30, widen, 8, OP1(cvtepu8_epi16)),
    SIMD_ROW(kMap38, k66, 0x31, widen, 4, OP1(cvtepu8_epi32)),
    SIMD_ROW(kMap38, k66, 0x32, widen, 2, OP1(cvtepu8_epi64)),
    SIMD_ROW(kMap38, k66, 0x33, widen, 8, OP1(cvtepu16_epi32)),
    SIMD_ROW(kMap38, k66, 0x34, widen, 4, OP1(cvtepu16_epi64)),
    SIMD_ROW(kMap38, k66, 0x35, widen, 8, OP1(cvtepu32_epi64)),
    SIMD_ROW(kMap3A, k66, 0x0c, immediate_blend, 4),
    SIMD_ROW(kMap3A, k66, 0x0d, immediate_blend, 8),
    SIMD_ROW(kMap3A, k66, 0x0e, immediate_blend, 2),
    SIMD_ROW(kMap3A, k66, 0x42, mpsadbw),
};

}  // namespace

std::span<const Row> rows_sse41() { return kRows; }

}  // namespace twinstep::soft::simd
