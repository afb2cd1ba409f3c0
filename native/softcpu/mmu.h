// Linear memory: the inline fast path of loads and stores, and what lies behind it.
//
// The TLB is a pure cache: every store into a page that a cached translation was read from takes
// the slow path and drops what it made stale. The guest therefore sees a CPU that walks its tables
// for every access, and no checkpoint, restore or cut of a run can change what it sees.
#pragma once

#include "cpu.h"

namespace twinstep::soft {

inline constexpr u64 kPageMask = ~u64{0xfff};

inline TlbEntry& tlb_entry(TlbEntry* bank, u64 linear) {
  return bank[(linear >> 12) & (kTlbEntries - 1)];
}

// Slow paths: translate, fault, cross pages, reach MMIO, and fill the TLB. `size` <= 16.
void read_slow(Cpu& c, u64 linear, void* to, u32 size, Priv priv);
void write_slow(Cpu& c, u64 linear, const void* from, u32 size, Priv priv);
// Adds the segment base after limit, type and canonical checks.
u64 segment_address(Cpu& c, Seg which, u64 offset, u32 bytes, bool write);
// The same for stack accesses, whose non-canonical addresses raise #SS.
void read_slow_stack(Cpu& c, u64 linear, void* to, u32 size);
void write_slow_stack(Cpu& c, u64 linear, const void* from, u32 size);
void probe_stack_write(Cpu& c, u64 linear, u32 size);  // faults as a write would

template <class T>
[[gnu::noinline]] T read_cold(Cpu& c, u64 linear) {
  T value;
  read_slow(c, linear, &value, sizeof(T), static_cast<Priv>(c.access));
  return value;
}
template <class T>
[[gnu::noinline]] void write_cold(Cpu& c, u64 linear, T value) {
  write_slow(c, linear, &value, sizeof(T), static_cast<Priv>(c.access));
}

// The last byte's page is compared with the first byte's tag: a crossing access misses.
template <class T>
inline T read(Cpu& c, u64 linear) {
  const TlbEntry& e = tlb_entry(c.tlb, linear);
  if (__builtin_expect(e.read == ((linear + sizeof(T) - 1) & kPageMask), 1)) {
    T value;
    memcpy(&value, reinterpret_cast<const void*>(e.addend + linear), sizeof(T));
    return value;
  }
  return read_cold<T>(c, linear);
}

template <class T>
inline void write(Cpu& c, u64 linear, T value) {
  const TlbEntry& e = tlb_entry(c.tlb, linear);
  if (__builtin_expect(e.write == ((linear + sizeof(T) - 1) & kPageMask), 1)) {
    memcpy(reinterpret_cast<void*>(e.addend + linear), &value, sizeof(T));
    return;
  }
  write_cold<T>(c, linear, value);
}

template <class T>
inline T read_as(Cpu& c, u64 linear, Priv priv) {
  T value;
  read_slow(c, linear, &value, sizeof(T), priv);
  return value;
}
template <class T>
inline void write_as(Cpu& c, u64 linear, T value, Priv priv) {
  write_slow(c, linear, &value, sizeof(T), priv);
}

}  // namespace twinstep::soft
