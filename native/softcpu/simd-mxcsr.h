// Floating point under the guest's MXCSR, on the host's SSE unit.
//
// The host keeps its default control (round to nearest, all masked, no DAZ or FTZ). When the guest
// has the same, an operation just runs; the host's sticky flags are looked at afterwards, and only
// if they hold one the guest does not have yet is the operation run again from clean flags to see
// whether it was this one. A guest with other control pays for two LDMXCSR an operation.
//
// Everything runs with exceptions masked; unmasked ones are found in the flags. SDM vol. 1 11.5.
#pragma once

#include "simd.h"

namespace twinstep::soft::simd {

inline constexpr u32 kMxFlags = 0x3f, kMxDaz = 0x40, kMxMasks = 0x1f80, kMxRounding = 0x6000,
                     kMxFtz = 0x8000, kMxDefault = 0x1f80, kMxWritable = 0xffff;
inline constexpr u32 kMxIE = 1, kMxDE = 2, kMxZE = 4, kMxOE = 8, kMxUE = 16, kMxPE = 32;
inline constexpr u32 kMxBefore = kMxIE | kMxDE | kMxZE;

// Which lanes of a result may be tiny: with underflow unmasked an exact denormal result counts too,
// which the host's masked run does not report.
enum class Tiny : u8 { none, ss, sd, ps, pd };

// Ties a value to its place among the MXCSR accesses.
template <class T>
inline void pin(T& v) {
  if constexpr (sizeof(T) == 16) asm volatile("" : "+x"(v));
  else asm volatile("" : "+r"(v));
}
inline u32 host_mxcsr() {
  u32 v;
  asm volatile("stmxcsr %0" : "=m"(v));
  return v;
}
inline void load_host_mxcsr(u32 v) { asm volatile("ldmxcsr %0" : : "m"(v)); }

// Raises #XM (#UD if the system does not handle it) when `flags` has an unmasked one; else records.
void raise_or_record(Cpu& c, u32 flags);
bool has_tiny(Tiny lanes, __m128i v);
inline bool has_tiny(Tiny, u64) { return false; }

template <class F, class A, class B>
[[gnu::noinline]] auto run_slow(Cpu& c, Tiny tiny, F f, A a, B b) {
  const u32 guest = c.s.fpu.mxcsr;
  const bool underflow_masked = guest & (kMxUE << 7);
  u32 control = (guest & (kMxDaz | kMxRounding | kMxFtz)) | kMxMasks;
  if (!underflow_masked) control &= ~kMxFtz;
  const u32 host = host_mxcsr() & ~kMxFlags;
  load_host_mxcsr(control);
  pin(a);
  pin(b);
  auto r = f(a, b);
  pin(r);
  u32 flags = host_mxcsr() & kMxFlags;
  load_host_mxcsr(host);
  if (!underflow_masked && has_tiny(tiny, r)) flags |= kMxUE;
  raise_or_record(c, flags);
  return r;
}

// f(a, b) with the guest's rounding and flags.
template <class F, class A, class B>
inline auto run(Cpu& c, Tiny tiny, F f, A a, B b) {
  const u32 guest = c.s.fpu.mxcsr;
  if (__builtin_expect((guest & ~kMxFlags) == kMxDefault, 1)) {
    auto r = f(a, b);
    pin(r);
    if (__builtin_expect((host_mxcsr() & ~guest) == 0, 1)) return r;
  }
  return run_slow(c, tiny, f, a, b);
}

// Host instructions with their operand order kept: of two NaNs the first operand's comes out, so
// the compiler must not take ADDPS for commutative.
#define SSE_BINARY(NAME)                                       \
  inline __m128i op_##NAME(__m128i a, __m128i b) {             \
    asm volatile(#NAME " %1, %0" : "+x"(a) : "x"(b));          \
    return a;                                                  \
  }
// Unary: the result depends on b alone; scalar forms keep the rest of a.
#define SSE_UNARY(NAME) SSE_BINARY(NAME)

SSE_BINARY(addps) SSE_BINARY(addpd) SSE_BINARY(addss) SSE_BINARY(addsd)
SSE_BINARY(subps) SSE_BINARY(subpd) SSE_BINARY(subss) SSE_BINARY(subsd)
SSE_BINARY(mulps) SSE_BINARY(mulpd) SSE_BINARY(mulss) SSE_BINARY(mulsd)
SSE_BINARY(divps) SSE_BINARY(divpd) SSE_BINARY(divss) SSE_BINARY(divsd)
SSE_BINARY(minps) SSE_BINARY(minpd) SSE_BINARY(minss) SSE_BINARY(minsd)
SSE_BINARY(maxps) SSE_BINARY(maxpd) SSE_BINARY(maxss) SSE_BINARY(maxsd)
SSE_UNARY(sqrtps) SSE_UNARY(sqrtpd) SSE_UNARY(sqrtss) SSE_UNARY(sqrtsd)
SSE_BINARY(addsubps) SSE_BINARY(addsubpd)
SSE_BINARY(haddps) SSE_BINARY(haddpd) SSE_BINARY(hsubps) SSE_BINARY(hsubpd)
SSE_UNARY(cvtps2pd) SSE_UNARY(cvtpd2ps) SSE_BINARY(cvtss2sd) SSE_BINARY(cvtsd2ss)
SSE_UNARY(cvtdq2ps) SSE_UNARY(cvtps2dq) SSE_UNARY(cvttps2dq)
SSE_UNARY(cvtpd2dq) SSE_UNARY(cvttpd2dq) SSE_UNARY(cvtdq2pd)

// ---- shapes -------------------------------------------------------------------------------------
template <auto kOp, Tiny kTiny, bool kMem>
void packed(Cpu& c, const Insn& i) {
  need_sse(c);
  const __m128i b = source128<kMem>(c, i);
  set_xmm(c, i.reg, run(c, kTiny, kOp, get_xmm(c, i.reg), b));
}
template <class T, auto kOp, Tiny kTiny, bool kMem>  // T: u32 or u64, what a memory operand has
void scalar(Cpu& c, const Insn& i) {
  need_sse(c);
  const __m128i b = from64(source_low<T, kMem>(c, i));
  set_xmm(c, i.reg, run(c, kTiny, kOp, get_xmm(c, i.reg), b));
}
#define SSE_WRAP(OP) [](__m128i left, __m128i right) { return op_##OP(left, right); }

}  // namespace twinstep::soft::simd
