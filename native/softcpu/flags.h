// Status flags in the host's own form.
//
// The host is x86-64 too, so an ALU handler lets the host's instruction compute the flags and keeps
// what LAHF and SETO give: two cheap instructions, and a conditional jump is one bit test. Where an
// instruction leaves a flag undefined the handler sets it itself (QUIRKS.md): two hosts stay equal.
#pragma once

#include "cpu.h"

namespace twinstep::soft {

inline constexpr u16 kHfOf = 0x0001, kHfCf = 0x0100, kHfPf = 0x0400, kHfAf = 0x1000,
                     kHfZf = 0x4000, kHfSf = 0x8000;
inline constexpr u16 kHfFixed = 0x0200;  // bit 1 of FLAGS reads as one
inline constexpr u16 kHfAll = kHfCf | kHfPf | kHfAf | kHfZf | kHfSf | kHfOf;

inline u64 host_to_flags(u16 hf) {
  return ((hf >> 8) & (CF | PF | AF | ZF | SF)) | (u64{hf & 1u} << 11);
}
inline u16 flags_to_host(u64 flags) {
  return static_cast<u16>(((flags & (CF | PF | AF | ZF | SF)) << 8) | kHfFixed |
                          ((flags >> 11) & 1));
}

inline u64 status_flags(Cpu& c) { return host_to_flags(c.host_flags); }
inline void set_status_flags(Cpu& c, u64 flags) { c.host_flags = flags_to_host(flags); }

// RF that an instruction has used up is not taken out of the state before the loop comes round: what an
// event pushes must not tell where a run was cut.
inline u64 get_rflags(Cpu& c) {
  const u64 used_up = c.resume_at == c.s.icount ? 0 : u64{RF};
  return (c.s.rflags & ~(kStatusFlags | used_up)) | status_flags(c) | 2;
}
inline void set_rflags(Cpu& c, u64 value) {
  c.s.rflags = value | 2;
  set_status_flags(c, value);
}

// Condition 0..15 as in Jcc.
template <int kCond>
inline bool condition(const Cpu& c) {
  const u16 hf = c.host_flags;
  bool yes = false;
  if constexpr ((kCond >> 1) == 0) yes = hf & kHfOf;
  if constexpr ((kCond >> 1) == 1) yes = hf & kHfCf;
  if constexpr ((kCond >> 1) == 2) yes = hf & kHfZf;
  if constexpr ((kCond >> 1) == 3) yes = hf & (kHfCf | kHfZf);
  if constexpr ((kCond >> 1) == 4) yes = hf & kHfSf;
  if constexpr ((kCond >> 1) == 5) yes = hf & kHfPf;
  if constexpr ((kCond >> 1) == 6) yes = ((hf >> 15) ^ hf) & 1;
  if constexpr ((kCond >> 1) == 7) yes = (hf & kHfZf) || (((hf >> 15) ^ hf) & 1);
  return (kCond & 1) ? !yes : yes;
}

}  // namespace twinstep::soft
