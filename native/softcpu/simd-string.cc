// PCMPESTRI PCMPESTRM PCMPISTRI PCMPISTRM (SDM vol. 1 10.12, vol. 2 4.1) and CRC32.
#include "simd.h"

namespace twinstep::soft::simd {
namespace {

struct Strings {
  i32 a[16], b[16];  // elements, sign- or zero-extended
  u32 count;         // elements an operand has: 16 or 8
  u32 a_length, b_length;
};

enum Aggregation : u8 { kEqualAny, kRanges, kEqualEach, kEqualOrdered };

void take_elements(const Xmm& v, u32 format, i32 out[16]) {
  for (u32 n = 0; n < (format & 1 ? 8 : 16); n++) {
    switch (format) {
      case 0: out[n] = v.b[n]; break;
      case 1: out[n] = v.w[n]; break;
      case 2: out[n] = static_cast<i8>(v.b[n]); break;
      case 3: out[n] = static_cast<i16>(v.w[n]); break;
    }
  }
}

u32 implicit_length(const i32* v, u32 count) {
  u32 n = 0;
  while (n < count && v[n] != 0) n++;
  return n;
}

// |EAX| or |RAX|, at most `count`.
u32 explicit_length(u64 reg, bool wide, u32 count) {
  const i64 v = wide ? static_cast<i64>(reg) : static_cast<i32>(reg);
  const u64 magnitude = v < 0 ? -static_cast<u64>(v) : static_cast<u64>(v);
  return magnitude > count ? count : static_cast<u32>(magnitude);
}

// Whether element j of b satisfies the aggregation; invalid elements as table 4-6 of vol. 2 says.
bool aggregate(const Strings& s, u32 how, u32 j) {
  const bool b_valid = j < s.b_length;
  switch (how) {
    case kEqualAny:
      for (u32 n = 0; b_valid && n < s.a_length; n++) {
        if (s.a[n] == s.b[j]) return true;
      }
      return false;
    case kRanges:
      for (u32 n = 0; b_valid && n + 1 < s.a_length; n += 2) {
        if (s.a[n] <= s.b[j] && s.b[j] <= s.a[n + 1]) return true;
      }
      return false;
    case kEqualEach:
      return (j < s.a_length) == b_valid && (!b_valid || s.a[j] == s.b[j]);
  }
  for (u32 n = 0; n < s.a_length && j + n < s.count; n++) {
    if (j + n >= s.b_length || s.a[n] != s.b[j + n]) return false;
  }
  return true;
}

u32 compare(const Strings& s, u32 m) {
  u32 bits = 0;
  for (u32 j = 0; j < s.count; j++) bits |= u32{aggregate(s, m >> 2 & 3, j)} << j;
  const u32 all = (1u << s.count) - 1;
  if ((m >> 4 & 3) == 1) bits ^= all;
  if ((m >> 4 & 3) == 3) bits ^= (1u << s.b_length) - 1;
  return bits;
}

void set_flags(Cpu& c, const Strings& s, u32 bits) {
  u64 flags = 0;
  if (bits != 0) flags |= CF;
  if (s.b_length < s.count) flags |= ZF;
  if (s.a_length < s.count) flags |= SF;
  if (bits & 1) flags |= OF;
  set_status_flags(c, flags);
}

void give_index(Cpu& c, u32 bits, u32 count, bool most) {
  u32 index = count;
  if (bits != 0) index = static_cast<u32>(most ? 31 - __builtin_clz(bits) : __builtin_ctz(bits));
  c.s.gpr[RCX] = index;
}

void give_mask(Cpu& c, u32 bits, u32 count, bool expand) {
  Xmm r = {};
  r.q[0] = expand ? 0 : bits;
  for (u32 n = 0; expand && n < count; n++) {
    if (!(bits >> n & 1)) continue;
    if (count == 16) r.b[n] = 0xff;
    else r.w[n] = 0xffff;
  }
  c.s.xmm[0] = r;
}

template <bool kExplicit, bool kIndex, bool kMem>
void pcmpstr(Cpu& c, const Insn& i) {
  need_sse(c);
  const __m128i second = kMem ? load_unaligned(c, i) : get_xmm(c, i.rm);
  const u32 m = immediate(i);
  Strings s;
  s.count = m & 1 ? 8 : 16;
  take_elements(c.s.xmm[i.reg], m & 3, s.a);
  take_elements(to_xmm(second), m & 3, s.b);
  if (kExplicit) {
    s.a_length = explicit_length(c.s.gpr[RAX], i.op_bits == 64, s.count);
    s.b_length = explicit_length(c.s.gpr[RDX], i.op_bits == 64, s.count);
  } else {
    s.a_length = implicit_length(s.a, s.count);
    s.b_length = implicit_length(s.b, s.count);
  }
  const u32 bits = compare(s, m);
  if (kIndex) give_index(c, bits, s.count, m & 0x40);
  else give_mask(c, bits, s.count, m & 0x40);
  set_flags(c, s, bits);
}

const Row kRows[] = {
    SIMD_ROW(kMap3A, k66, 0x60, pcmpstr, true, false),
    SIMD_ROW(kMap3A, k66, 0x61, pcmpstr, true, true),
    SIMD_ROW(kMap3A, k66, 0x62, pcmpstr, false, false),
    SIMD_ROW(kMap3A, k66, 0x63, pcmpstr, false, true),
};

// ---- CRC32 --------------------------------------------------------------------------------------
u32 crc(u32 sum, u8 v) { return _mm_crc32_u8(sum, v); }
u32 crc(u32 sum, u16 v) { return _mm_crc32_u16(sum, v); }
u32 crc(u32 sum, u32 v) { return _mm_crc32_u32(sum, v); }
u32 crc(u32 sum, u64 v) { return static_cast<u32>(_mm_crc32_u64(sum, v)); }

template <class T>
void crc32(Cpu& c, const Insn& i) {
  const T v = i.flags & kMemory ? load_memory<T>(c, i) : get_rm<T>(c, &i);
  c.s.gpr[i.reg] = crc(static_cast<u32>(c.s.gpr[i.reg]), v);
}

}  // namespace

std::span<const Row> rows_string() { return kRows; }

Handler select_crc32(const Insn& i) {
  if (prefix_of(i) != kF2) return nullptr;
  if (i.opcode == 0xf0) return step<crc32<u8>>;
  switch (i.op_bits) {
    case 16: return step<crc32<u16>>;
    case 32: return step<crc32<u32>>;
  }
  return step<crc32<u64>>;
}

}  // namespace twinstep::soft::simd
