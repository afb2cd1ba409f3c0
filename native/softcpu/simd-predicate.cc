// Floating-point operations with an immediate: CMPPS.., ROUNDPS.. (one handler an immediate, chosen
// when the instruction is decoded) and the dot products.
#include "simd-mxcsr.h"

#include <type_traits>
#include <utility>

namespace twinstep::soft::simd {
namespace {

#define WITH_IMMEDIATE(TYPE, INSN)                                                    \
  template <int kImmediate>                                                           \
  struct TYPE {                                                                       \
    __m128i operator()(__m128i a, __m128i b) const {                                  \
      asm volatile(INSN " %2, %1, %0" : "+x"(a) : "x"(b), "i"(kImmediate));           \
      return a;                                                                       \
    }                                                                                 \
  }

WITH_IMMEDIATE(CmpPs, "cmpps");
WITH_IMMEDIATE(CmpPd, "cmppd");
WITH_IMMEDIATE(CmpSs, "cmpss");
WITH_IMMEDIATE(CmpSd, "cmpsd");
WITH_IMMEDIATE(RoundPs, "roundps");
WITH_IMMEDIATE(RoundPd, "roundpd");
WITH_IMMEDIATE(RoundSs, "roundss");
WITH_IMMEDIATE(RoundSd, "roundsd");

template <class T, auto kOp, bool kMem>
void shape(Cpu& c, const Insn& i) {
  if constexpr (std::is_same_v<T, Xmm>) packed<kOp, Tiny::none, kMem>(c, i);
  else scalar<T, kOp, Tiny::none, kMem>(c, i);
}

// Handler of Op<immediate modulo the number of immediates>; the bits above are ignored.
template <template <int> class Op, class T, size_t... kN>
Handler choose(const Insn& i, std::index_sequence<kN...>) {
  static constexpr Handler kReg[] = {step<shape<T, Op<kN>{}, false>>...};
  static constexpr Handler kMem[] = {step<shape<T, Op<kN>{}, true>>...};
  const u32 n = immediate(i) % sizeof...(kN);
  return i.flags & kMemory ? kMem[n] : kReg[n];
}

constexpr std::make_index_sequence<8> kEight;
constexpr std::make_index_sequence<16> kSixteen;

// ---- DPPS, DPPD ---------------------------------------------------------------------------------
// Products, then pairwise sums, in the order of SDM vol. 2; products not chosen count as +0.0 and
// raise nothing. The immediate's low bits choose where the sum goes.
__m128i lanes32(u32 mask) {
  const auto lane = [mask](u32 n) { return mask >> n & 1 ? -1 : 0; };
  return _mm_set_epi32(lane(3), lane(2), lane(1), lane(0));
}
__m128i lanes64(u32 mask) {
  return _mm_set_epi64x(mask & 2 ? -1 : 0, mask & 1 ? -1 : 0);
}

template <bool kMem>
void dpps(Cpu& c, const Insn& i) {
  need_sse(c);
  const u32 m = immediate(i);
  const __m128i chosen = lanes32(m >> 4);
  const __m128i b = _mm_and_si128(source128<kMem>(c, i), chosen);
  const __m128i a = _mm_and_si128(get_xmm(c, i.reg), chosen);
  const __m128i product = _mm_and_si128(run(c, Tiny::ps, SSE_WRAP(mulps), a, b), chosen);
  // Lanes 0 and 2 hold the sums of pairs afterwards; 1 and 3 are kept out, lest they raise
  // something.
  const __m128i odd = _mm_and_si128(_mm_shuffle_epi32(product, _MM_SHUFFLE(3, 3, 1, 1)),
                                    lanes32(5));
  const __m128i even = _mm_and_si128(product, lanes32(5));
  const __m128i pairs = run(c, Tiny::ps, SSE_WRAP(addps), even, odd);
  const __m128i high = _mm_shuffle_epi32(pairs, _MM_SHUFFLE(2, 2, 2, 2));
  const __m128i sum = run(c, Tiny::ss, SSE_WRAP(addss), pairs, high);
  set_xmm(c, i.reg, _mm_and_si128(_mm_shuffle_epi32(sum, 0), lanes32(m)));
}

template <bool kMem>
void dppd(Cpu& c, const Insn& i) {
  need_sse(c);
  const u32 m = immediate(i);
  const __m128i chosen = lanes64(m >> 4);
  const __m128i b = _mm_and_si128(source128<kMem>(c, i), chosen);
  const __m128i a = _mm_and_si128(get_xmm(c, i.reg), chosen);
  const __m128i product = _mm_and_si128(run(c, Tiny::pd, SSE_WRAP(mulpd), a, b), chosen);
  const __m128i high = _mm_unpackhi_epi64(product, product);
  const __m128i sum = run(c, Tiny::sd, SSE_WRAP(addsd), product, high);
  set_xmm(c, i.reg, _mm_and_si128(_mm_unpacklo_epi64(sum, sum), lanes64(m)));
}

}  // namespace

Handler select_compare(const Insn& i) {
  switch (prefix_of(i)) {
    case kNP: return choose<CmpPs, Xmm>(i, kEight);
    case k66: return choose<CmpPd, Xmm>(i, kEight);
    case kF3: return choose<CmpSs, u32>(i, kEight);
    case kF2: return choose<CmpSd, u64>(i, kEight);
  }
  return nullptr;
}

Handler select_round(const Insn& i) {
  if (prefix_of(i) != k66) return nullptr;
  switch (i.opcode) {
    case 0x08: return choose<RoundPs, Xmm>(i, kSixteen);
    case 0x09: return choose<RoundPd, Xmm>(i, kSixteen);
    case 0x0a: return choose<RoundSs, u32>(i, kSixteen);
    case 0x0b: return choose<RoundSd, u64>(i, kSixteen);
    case 0x40: return i.flags & kMemory ? step<dpps<true>> : step<dpps<false>>;
    case 0x41: return i.flags & kMemory ? step<dppd<true>> : step<dppd<false>>;
  }
  return nullptr;
}

}  // namespace twinstep::soft::simd
