// Conversions: between floating formats, to and from integers in XMM, MMX and general registers.
#include "simd-mxcsr.h"

namespace twinstep::soft::simd {
namespace {

// ---- within XMM: the source is 128 bits or its low half -----------------------------------------
template <auto kOp, Tiny kTiny, bool kMem>
void from_low(Cpu& c, const Insn& i) {
  need_sse(c);
  const __m128i b = from64(source_low<u64, kMem>(c, i));
  set_xmm(c, i.reg, run(c, kTiny, kOp, get_xmm(c, i.reg), b));
}

// ---- general registers --------------------------------------------------------------------------
#define FROM_GENERAL(NAME, INSN, T)                                   \
  __m128i NAME(__m128i a, T v) {                                      \
    asm volatile(INSN " %1, %0" : "+x"(a) : "r"(v));                  \
    return a;                                                         \
  }
FROM_GENERAL(int_to_ss, "cvtsi2ssl", u32)
FROM_GENERAL(long_to_ss, "cvtsi2ssq", u64)
FROM_GENERAL(int_to_sd, "cvtsi2sdl", u32)
FROM_GENERAL(long_to_sd, "cvtsi2sdq", u64)

#define TO_GENERAL(NAME, INSN, T)                                     \
  u64 NAME(__m128i, __m128i b) {                                      \
    T v;                                                              \
    asm volatile(INSN " %1, %0" : "=r"(v) : "x"(b));                  \
    return v;                                                         \
  }
TO_GENERAL(ss_to_int, "cvtss2si", u32)
TO_GENERAL(ss_to_long, "cvtss2si", u64)
TO_GENERAL(sd_to_int, "cvtsd2si", u32)
TO_GENERAL(sd_to_long, "cvtsd2si", u64)
TO_GENERAL(ss_cut_int, "cvttss2si", u32)
TO_GENERAL(ss_cut_long, "cvttss2si", u64)
TO_GENERAL(sd_cut_int, "cvttsd2si", u32)
TO_GENERAL(sd_cut_long, "cvttsd2si", u64)

#define F1(NAME, T) [](__m128i a, T v) { return NAME(a, v); }
#define F2(NAME) [](__m128i a, __m128i b) { return NAME(a, b); }

template <auto kInt, auto kLong_, bool kMem>
void from_general(Cpu& c, const Insn& i) {
  need_sse(c);
  const __m128i a = get_xmm(c, i.reg);
  if (i.op_bits == 64) {
    const u64 v = kMem ? load_memory<u64>(c, i) : c.s.gpr[i.rm];
    set_xmm(c, i.reg, run(c, Tiny::none, kLong_, a, v));
  } else {
    const u32 v = kMem ? load_memory<u32>(c, i) : static_cast<u32>(c.s.gpr[i.rm]);
    set_xmm(c, i.reg, run(c, Tiny::none, kInt, a, v));
  }
}
template <class T, auto kInt, auto kLong_, bool kMem>
void to_general(Cpu& c, const Insn& i) {
  need_sse(c);
  const __m128i b = from64(source_low<T, kMem>(c, i));
  const u64 v = i.op_bits == 64 ? run(c, Tiny::none, kLong_, b, b) : run(c, Tiny::none, kInt, b, b);
  c.s.gpr[i.reg] = v;
}

// ---- MMX ----------------------------------------------------------------------------------------
// Upper lanes are zeros, which convert without a flag. The memory forms of CVTPI2PS and CVTPI2PD
// touch no MMX register and do not switch to MMX mode.
template <bool kMem>
void cvtpi2ps(Cpu& c, const Insn& i) {
  if constexpr (kMem) need_sse(c);
  else need_both(c);
  const __m128i b = from64(source_mm<kMem>(c, i));
  const __m128i r = run(c, Tiny::none, SSE_WRAP(cvtdq2ps), b, b);
  if constexpr (!kMem) mmx_mode(c);
  c.s.xmm[i.reg].q[0] = to64(r);
}
template <bool kMem>
void cvtpi2pd(Cpu& c, const Insn& i) {
  if constexpr (kMem) need_sse(c);
  else need_both(c);
  const __m128i b = from64(source_mm<kMem>(c, i));
  if constexpr (!kMem) mmx_mode(c);
  set_xmm(c, i.reg, op_cvtdq2pd(b, b));
}
template <auto kOp, bool kMem>
void ps_to_mmx(Cpu& c, const Insn& i) {
  need_both(c);
  const __m128i b = from64(source_low<u64, kMem>(c, i));
  const __m128i r = run(c, Tiny::none, kOp, b, b);
  mmx_mode(c);
  set_mm(c, i.reg, to64(r));
}
template <auto kOp, bool kMem>
void pd_to_mmx(Cpu& c, const Insn& i) {
  need_both(c);
  const __m128i b = source128<kMem>(c, i);
  const __m128i r = run(c, Tiny::none, kOp, b, b);
  mmx_mode(c);
  set_mm(c, i.reg, to64(r));
}

const Row kRows[] = {
    SIMD_ROW(kMap0F, kNP, 0x5a, from_low, SSE_WRAP(cvtps2pd), Tiny::none),
    SIMD_ROW(kMap0F, k66, 0x5a, packed, SSE_WRAP(cvtpd2ps), Tiny::ps),
    SIMD_ROW(kMap0F, kF3, 0x5a, scalar, u32, SSE_WRAP(cvtss2sd), Tiny::none),
    SIMD_ROW(kMap0F, kF2, 0x5a, scalar, u64, SSE_WRAP(cvtsd2ss), Tiny::ss),
    SIMD_ROW(kMap0F, kNP, 0x5b, packed, SSE_WRAP(cvtdq2ps), Tiny::none),
    SIMD_ROW(kMap0F, k66, 0x5b, packed, SSE_WRAP(cvtps2dq), Tiny::none),
    SIMD_ROW(kMap0F, kF3, 0x5b, packed, SSE_WRAP(cvttps2dq), Tiny::none),
    SIMD_ROW(kMap0F, k66, 0xe6, packed, SSE_WRAP(cvttpd2dq), Tiny::none),
    SIMD_ROW(kMap0F, kF3, 0xe6, from_low, SSE_WRAP(cvtdq2pd), Tiny::none),
    SIMD_ROW(kMap0F, kF2, 0xe6, packed, SSE_WRAP(cvtpd2dq), Tiny::none),
    SIMD_ROW(kMap0F, kF3, 0x2a, from_general, F1(int_to_ss, u32), F1(long_to_ss, u64)),
    SIMD_ROW(kMap0F, kF2, 0x2a, from_general, F1(int_to_sd, u32), F1(long_to_sd, u64)),
    SIMD_ROW(kMap0F, kF3, 0x2c, to_general, u32, F2(ss_cut_int), F2(ss_cut_long)),
    SIMD_ROW(kMap0F, kF2, 0x2c, to_general, u64, F2(sd_cut_int), F2(sd_cut_long)),
    SIMD_ROW(kMap0F, kF3, 0x2d, to_general, u32, F2(ss_to_int), F2(ss_to_long)),
    SIMD_ROW(kMap0F, kF2, 0x2d, to_general, u64, F2(sd_to_int), F2(sd_to_long)),
    SIMD_ROW(kMap0F, kNP, 0x2a, cvtpi2ps),
    SIMD_ROW(kMap0F, k66, 0x2a, cvtpi2pd),
    SIMD_ROW(kMap0F, kNP, 0x2c, ps_to_mmx, SSE_WRAP(cvttps2dq)),
    SIMD_ROW(kMap0F, k66, 0x2c, pd_to_mmx, SSE_WRAP(cvttpd2dq)),
    SIMD_ROW(kMap0F, kNP, 0x2d, ps_to_mmx, SSE_WRAP(cvtps2dq)),
    SIMD_ROW(kMap0F, k66, 0x2d, pd_to_mmx, SSE_WRAP(cvtpd2dq)),
};

}  // namespace

std::span<const Row> rows_convert() { return kRows; }

}  // namespace twinstep::soft::simd
