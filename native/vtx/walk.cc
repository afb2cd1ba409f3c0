#include "vtx/walk.h"

#include <algorithm>
#include <cstring>

namespace twinstep::vtx {

using soft::State;
using soft::u32;
using soft::u64;
using soft::u8;

namespace {

constexpr u64 kPresent = 1, kLarge = 1 << 7;
constexpr u64 kFrame = 0x000ffffffffff000;

}  // namespace

bool Walker::entry(u64 physical, u32 bytes, u64& out) const {
  u64 offset = physical;
  if (physical >= low_bytes_) {
    if (physical < u64{1} << 32) return false;
    offset = physical - (u64{1} << 32) + low_bytes_;
  }
  if (offset + bytes > ram_bytes_) return false;
  out = 0;
  std::memcpy(&out, ram_ + offset, bytes);
  return true;
}

// SDM vol. 3A 4.3 (32-bit), 4.4 (PAE), 4.5 (four levels).
bool Walker::physical(const State& s, u64 linear, u64& out) const {
  out = linear;
  if (!(s.cr0 & soft::CR0_PG)) return true;
  const bool wide = s.cr4 & soft::CR4_PAE;
  const bool four = s.efer & soft::EFER_LMA;
  const u32 bits = wide ? 9 : 10;
  const u32 entry_bytes = wide ? 8 : 4;
  u64 table = four ? s.cr3 & kFrame : wide ? s.cr3 & 0xffffffe0 : s.cr3 & 0xfffff000;
  if (!four) linear &= 0xffffffff;
  for (u32 level = four ? 4 : wide ? 3 : 2; level > 0; level--) {
    const u32 shift = 12 + bits * (level - 1);
    const u64 index = linear >> shift & ((u64{1} << bits) - 1);
    u64 e;
    if (!entry(table + index * entry_bytes, entry_bytes, e) || !(e & kPresent)) return false;
    const bool pointer = !four && wide && level == 3;
    const bool may_be_large = level == 2 || (four && level == 3);
    const bool large = (e & kLarge) && may_be_large && !pointer && (wide || (s.cr4 & soft::CR4_PSE));
    if (level == 1 || large) {
      const u64 inside = (u64{1} << shift) - 1;
      u64 base = e & kFrame & ~inside;
      if (large && !wide) base = (e & 0xffc00000) | (e >> 13 & 0xff) << 32;  // PSE-36
      out = base | (linear & inside);
      return true;
    }
    table = e & kFrame;
  }
  return false;
}

u32 Walker::read(const State& s, u64 linear, u8* to, u32 bytes) const {
  u32 done = 0;
  while (done < bytes) {
    const u64 at = linear + done;
    const u32 part = std::min<u32>(bytes - done, 4096 - static_cast<u32>(at & 4095));
    u64 where;
    if (!physical(s, at, where)) break;
    u64 last;
    if (!entry(where + part - 1, 1, last)) break;
    for (u32 n = 0; n < part; n++) {
      u64 byte;
      entry(where + n, 1, byte);
      to[done + n] = static_cast<u8>(byte);
    }
    done += part;
  }
  return done;
}

}  // namespace twinstep::vtx
