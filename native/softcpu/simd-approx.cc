// RCPPS RCPSS RSQRTPS RSQRTSS: approximations that differ between host models, hence our own.
//
// The guest sees the exact quotient or root rounded to 12 significant bits
// (relative error at most 2^-12; the SDM allows 1.5 * 2^-12). Integers only, no exception, MXCSR is
// not read: denormal operands count as zeros and results below the normal range are zeros.
#include "simd.h"

namespace twinstep::soft::simd {
namespace {

constexpr u32 kSign = 0x80000000, kInfinity = 0x7f800000, kQuiet = 0x00400000;
constexpr u32 kIndefinite = 0xffc00000;
constexpr u32 kKept = 11;  // fraction bits of a result

// 1.f as a 24-bit integer.
constexpr u32 significand(u32 v) { return (v & 0x7fffff) | 0x800000; }

// `scaled` is a significand in [2^11, 2^12]; exponent is the biased one it has at 2^11.
u32 assemble(u32 sign, i32 exponent, u32 scaled) {
  if (scaled == 2u << kKept) {
    scaled >>= 1;
    exponent++;
  }
  if (exponent <= 0) return sign;
  return sign | static_cast<u32>(exponent) << 23 | (scaled - (1u << kKept)) << (23 - kKept);
}

u32 reciprocal(u32 v) {
  const u32 sign = v & kSign, magnitude = v & ~kSign;
  if (magnitude > kInfinity) return v | kQuiet;
  if (magnitude == kInfinity) return sign;
  if (magnitude < 0x800000) return sign | kInfinity;
  // 1 / (m * 2^(e-127)), m in [1, 2): for m = 1 a power of two, else (2/m) * 2^(126-e).
  const i32 e = static_cast<i32>(magnitude >> 23);
  const u32 m = significand(magnitude);
  if (m == 0x800000) return assemble(sign, 254 - e, 1u << kKept);
  const u64 two = u64{2} << (23 + kKept);
  return assemble(sign, 253 - e, static_cast<u32>((two + m / 2) / m));
}

u32 root(u64 v) {
  u64 r = 0;
  for (u64 bit = u64{1} << 31; bit != 0; bit >>= 1) {
    if ((r | bit) * (r | bit) <= v) r |= bit;
  }
  return static_cast<u32>(r);
}

u32 reciprocal_root(u32 v) {
  const u32 sign = v & kSign, magnitude = v & ~kSign;
  if (magnitude > kInfinity) return v | kQuiet;
  if (magnitude < 0x800000) return sign | kInfinity;
  if (sign) return kIndefinite;
  if (magnitude == kInfinity) return 0;
  // v = m * 2^(2k), m in [1, 4): the result is (2 / sqrt m) * 2^(-k-1), or a power of two at m = 1.
  const i32 e = static_cast<i32>(magnitude >> 23) - 127;
  const bool odd = e & 1;
  const i32 k = (e - odd) / 2;
  const u64 m = u64{significand(magnitude)} << odd;  // 23 fraction bits
  if (m == 0x800000) return assemble(0, 127 - k, 1u << kKept);
  // 2 / sqrt(m) with kKept + 1 fraction bits, truncated; then rounded.
  const u64 square = (u64{4} << (23 + 2 * (kKept + 1))) / m;
  return assemble(0, 126 - k, (root(square) + 1) >> 1);
}

template <u32 (*kFunction)(u32), bool kMem>
void packed(Cpu& c, const Insn& i) {
  need_sse(c);
  Xmm v = to_xmm(source128<kMem>(c, i));
  for (u32& lane : v.d) lane = kFunction(lane);
  c.s.xmm[i.reg] = v;
}
template <u32 (*kFunction)(u32), bool kMem>
void scalar(Cpu& c, const Insn& i) {
  need_sse(c);
  c.s.xmm[i.reg].d[0] = kFunction(source_low<u32, kMem>(c, i));
}

const Row kRows[] = {
    SIMD_ROW(kMap0F, kNP, 0x52, packed, reciprocal_root),
    SIMD_ROW(kMap0F, kF3, 0x52, scalar, reciprocal_root),
    SIMD_ROW(kMap0F, kNP, 0x53, packed, reciprocal),
    SIMD_ROW(kMap0F, kF3, 0x53, scalar, reciprocal),
};

}  // namespace

std::span<const Row> rows_approx() { return kRows; }

}  // namespace twinstep::soft::simd
