// MMX and SSE internals: when they may run, their operands, and the tables handlers are found in.
//
// Lane operations are host intrinsics (the host always has SSE4.2; AVX is never used). Files of
// this family include this header first: the pragma gives them the instructions without a build
// flag. SDM vol. 1 ch. 9-12, vol. 2 per instruction, vol. 3 ch. 13.
#pragma once

#pragma GCC target("sse4.2")

#include <immintrin.h>

#include <span>

#include "ops.h"
#include "x87.h"

namespace twinstep::soft::simd {

// ---- gates --------------------------------------------------------------------------------------
// SDM vol. 3 table 13-1. The order of checks is #UD, #NM, pending x87, then memory.
inline void need_sse(Cpu& c) {
  constexpr u64 kOn = CR4_OSFXSR;
  if ((c.s.cr0 & CR0_EM) || !(c.s.cr4 & kOn)) raise_ud();
  if (c.s.cr0 & CR0_TS) raise(NM);
}
inline void need_mmx(Cpu& c) {
  if (c.s.cr0 & CR0_EM) raise_ud();
  if (c.s.cr0 & CR0_TS) raise(NM);
  if ((c.s.fpu.status & x87::kES) && (c.s.cr0 & CR0_NE)) raise(MF);
}
// SSE instructions that also touch MMX registers.
inline void need_both(Cpu& c) {
  need_sse(c);
  if ((c.s.fpu.status & x87::kES) && (c.s.cr0 & CR0_NE)) raise(MF);
}

// ---- registers ----------------------------------------------------------------------------------
// An MMX instruction makes all eight registers valid with TOP 0 (SDM vol. 1 9.6.2). Called once
// nothing can fault any more.
inline void mmx_mode(Cpu& c) {
  c.s.fpu.tag = 0xff;
  c.s.fpu.status &= 0xc7ff;
}
inline u64 get_mm(const Cpu& c, u32 n) { return c.s.fpu.r[n & 7].mantissa; }
inline void set_mm(Cpu& c, u32 n, u64 v) {
  c.s.fpu.r[n & 7].mantissa = v;
  c.s.fpu.r[n & 7].sign_exponent = 0xffff;
}
inline __m128i get_xmm(const Cpu& c, u32 n) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(&c.s.xmm[n]));
}
inline void set_xmm(Cpu& c, u32 n, __m128i v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(&c.s.xmm[n]), v);
}
inline __m128i from64(u64 v) { return _mm_cvtsi64_si128(static_cast<i64>(v)); }
inline u64 to64(__m128i v) { return static_cast<u64>(_mm_cvtsi128_si64(v)); }
inline __m128i to_vector(const Xmm& v) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(&v));
}
inline Xmm to_xmm(__m128i v) {
  Xmm r;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(&r), v);
  return r;
}

// ---- memory -------------------------------------------------------------------------------------
template <class T>
inline T load_memory(Cpu& c, const Insn& i) {
  if ((i.flags & kLong) && i.addr_bits == 64 && i.seg < FS) {
    if (const u8* p = hit_read<T>(c, fast_address<Ea::Index>(c, &i))) return load_host<T>(p);
  }
  return read<T>(c, operand(c, i, sizeof(T), false));
}
template <class T>
inline void store_memory(Cpu& c, const Insn& i, T v) {
  write<T>(c, operand(c, i, sizeof(T), true), v);
}
inline u64 aligned_operand(Cpu& c, const Insn& i, bool write) {
  const u64 a = operand(c, i, 16, write);
  if (a & 15) raise_gp0();
  return a;
}
inline __m128i load_aligned(Cpu& c, const Insn& i) {
  if ((i.flags & kLong) && i.addr_bits == 64 && i.seg < FS) {
    const u64 a = fast_address<Ea::Index>(c, &i);
    const u8* p = a & 15 ? nullptr : hit_read<Xmm>(c, a);
    if (p) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  return to_vector(read<Xmm>(c, aligned_operand(c, i, false)));
}
inline __m128i load_unaligned(Cpu& c, const Insn& i) { return to_vector(load_memory<Xmm>(c, i)); }
inline void store_aligned(Cpu& c, const Insn& i, __m128i v) {
  write<Xmm>(c, aligned_operand(c, i, true), to_xmm(v));
}
inline void store_unaligned(Cpu& c, const Insn& i, __m128i v) {
  store_memory<Xmm>(c, i, to_xmm(v));
}

// Second operands.
template <bool kMem>
inline __m128i source128(Cpu& c, const Insn& i) {
  if constexpr (kMem) return load_aligned(c, i);
  else return get_xmm(c, i.rm);
}
template <class T, bool kMem>  // T: u32 or u64, the low part of a register
inline T source_low(Cpu& c, const Insn& i) {
  if constexpr (kMem) return load_memory<T>(c, i);
  else return static_cast<T>(c.s.xmm[i.rm].q[0]);
}
template <bool kMem>
inline u64 source_mm(Cpu& c, const Insn& i) {
  if constexpr (kMem) return load_memory<u64>(c, i);
  else return get_mm(c, i.rm);
}

inline u32 immediate(const Insn& i) { return static_cast<u8>(i.imm); }
inline void set_gpr(Cpu& c, u32 n, u64 v, const Insn& i) {
  c.s.gpr[n] = i.op_bits == 64 ? v : static_cast<u32>(v);
}

// ---- tables -------------------------------------------------------------------------------------
// Mandatory prefixes; a REP prefix hides 66.
enum Prefix : u8 { kNP, k66, kF3, kF2 };
inline Prefix prefix_of(const Insn& i) {
  if (i.rep == 0xf3) return kF3;
  if (i.rep == 0xf2) return kF2;
  return i.flags & kHas66 ? k66 : kNP;
}

inline constexpr u8 kMap0F = 1, kMap38 = 2, kMap3A = 3;

// One opcode: its handler with a register and with a memory operand; null is #UD.
struct Row {
  u8 map;
  Prefix prefix;
  u8 opcode;
  Handler reg, mem;
};

// FUNC<ARGS..., kMem> as a row.
#define SIMD_ROW(MAP, PREFIX, OPCODE, FUNC, ...)                             \
  Row {                                                                      \
    MAP, PREFIX, OPCODE, step<FUNC<__VA_ARGS__ __VA_OPT__(, ) false>>,       \
        step<FUNC<__VA_ARGS__ __VA_OPT__(, ) true>>                          \
  }

std::span<const Row> rows_lanes();    // simd-lanes.cc: integer lanes, MMX and SSE alike
std::span<const Row> rows_shuffle();  // simd-shuffle.cc
std::span<const Row> rows_move();     // simd-move.cc
std::span<const Row> rows_float();    // simd-float.cc: add .. sqrt, logic
std::span<const Row> rows_convert();  // simd-convert.cc
std::span<const Row> rows_approx();   // simd-approx.cc: RCP, RSQRT
std::span<const Row> rows_sse41();    // simd-sse41.cc
std::span<const Row> rows_string();   // simd-string.cc: PCMPxSTRx
// Those that need more than prefix and opcode: immediates and groups.
Handler select_compare(const Insn& i);  // CMPPS and the like (simd-float.cc)
Handler select_round(const Insn& i);    // ROUNDPS and the like
Handler select_packed_shift(const Insn& i);    // 0F 71..73
Handler select_state(const Insn& i);    // simd-state.cc: FXSAVE, XSAVE, MXCSR, fences, hints
Handler select_crc32(const Insn& i);

}  // namespace twinstep::soft::simd
