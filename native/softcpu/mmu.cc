// Data accesses that miss the inline path: translation, page crossing, MMIO, special pages.
#include "mmu.h"

#include <algorithm>

#include "core.h"

namespace twinstep::soft {

namespace {

constexpr u32 kUnusable = 1u << 16, kCode = 8, kExpandDown = 4, kWritable = 2, kBig = 1u << 14;

bool is_canonical(u64 a) { return static_cast<u64>(static_cast<i64>(a << 16) >> 16) == a; }

[[noreturn]] void bad_address(Cpu& c, bool stack) {
  const bool ss = stack || (c.cur && (c.cur->flags & kMemory) && c.cur->seg == SS);
  raise_error(ss ? SSV : GP, 0);
}

// Alignment checks and data breakpoints; only reached while one of them is on, because then the
// current bank never matches.
void check_special(Core& k, u64 linear, u32 size, bool write, Priv priv) {
  // Parts of a block of another size check nothing: whoever moves blocks does.
  const bool natural = size <= 16 && (size & (size - 1)) == 0;
  if (k.align_check && priv == Priv::User && natural && (linear & (size - 1))) {
    raise_error(ACV, 0);
  }
  if (!k.watch) return;
  const State& s = k.cpu.s;
  for (u32 n = 0; n < 4; ++n) {
    const u32 control = s.dr7 >> (16 + 4 * n) & 15;
    if (!(s.dr7 >> (2 * n) & 3) || !(control & 1)) continue;
    if (!write && (control & 3) == 1) continue;
    const u64 length = breakpoint_bytes(control), at = s.dr[n] & ~(length - 1);
    if (linear < at + length && at < linear + size) {
      k.cpu.debug_hits |= u64{1} << n;
      k.stop_after_current();
    }
  }
}

TlbEntry& entry_for(Core& k, u64 linear, Access access, Priv priv) {
  TlbEntry& e = tlb_entry(k.space->data[static_cast<u8>(priv)].at, linear);
  const u64 page = linear & kPageMask;
  const u64 tag = access == Access::Write ? e.write : e.read;
  if ((tag | 1) == (page | 1)) return e;
  return k.fill(linear, access, priv);
}

// One page, no faults left to expect but those of translation.
void read_piece(Core& k, u64 linear, u8* to, u32 size, Priv priv) {
  const TlbEntry& e = entry_for(k, linear, Access::Read, priv);
  if (e.read == (linear & kPageMask)) {
    memcpy(to, reinterpret_cast<const void*>(e.addend + linear), size);
    return;
  }
  u64 physical = e.physical + (linear & 0xfff);
  while (size > 0) {
    const u32 part = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
    const u64 value = k.mmio_read(physical, part);
    memcpy(to, &value, part);
    to += part;
    physical += part;
    size -= part;
  }
}

void write_piece(Core& k, u64 linear, const u8* from, u32 size, Priv priv) {
  TlbEntry& e = entry_for(k, linear, Access::Write, priv);
  const u64 page = linear & kPageMask;
  if (e.write == page) {
    memcpy(reinterpret_cast<void*>(e.addend + linear), from, size);
    return;
  }
  u64 physical = e.physical + (linear & 0xfff);
  u64 offset;
  if (k.to_offset(physical, offset)) {
    k.store_special(offset, from, size);
    const PageInfo& p = k.pages[offset >> 12];
    if (!k.is_table(p) && p.code_lines == 0) e.write = ~u64{0};  // ordinary again: fill next time
    return;
  }
  while (size > 0) {
    const u32 part = size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
    u64 value = 0;
    memcpy(&value, from, part);
    k.mmio_write(physical, part, value);
    from += part;
    physical += part;
    size -= part;
  }
}

u64 wrap(const Core& k, u64 linear) {
  return (k.cpu.s.efer & EFER_LMA) ? linear : linear & 0xffffffff;
}

// Both pages of a crossing access are checked before anything moves.
template <class Piece>
void access(Core& k, u64 linear, u32 size, Access how, Priv priv, bool stack, Piece piece) {
  Cpu& c = k.cpu;
  if ((c.s.efer & EFER_LMA) && !(is_canonical(linear) && is_canonical(linear + size - 1))) {
    bad_address(c, stack);
  }
  linear = wrap(k, linear);
  if (k.align_check || k.watch) check_special(k, linear, size, how == Access::Write, priv);
  const u32 first = std::min<u64>(size, 4096 - (linear & 0xfff));
  if (first == size) {
    piece(linear, 0, size);
    return;
  }
  const u64 second = wrap(k, linear + first);
  entry_for(k, linear, how, priv);
  entry_for(k, second, how, priv);
  piece(linear, 0, first);
  piece(second, first, size - first);
}

void read_any(Core& k, u64 linear, void* to, u32 size, Priv priv, bool stack) {
  access(k, linear, size, Access::Read, priv, stack, [&](u64 at, u32 from, u32 bytes) {
    read_piece(k, at, static_cast<u8*>(to) + from, bytes, priv);
  });
}

void write_any(Core& k, u64 linear, const void* from, u32 size, Priv priv, bool stack) {
  access(k, linear, size, Access::Write, priv, stack, [&](u64 at, u32 start, u32 bytes) {
    write_piece(k, at, static_cast<const u8*>(from) + start, bytes, priv);
  });
}

Priv present(const Cpu& c) { return static_cast<Priv>(c.access); }

}  // namespace

void read_slow(Cpu& c, u64 linear, void* to, u32 size, Priv priv) {
  read_any(core_of(c), linear, to, size, priv, false);
}
void write_slow(Cpu& c, u64 linear, const void* from, u32 size, Priv priv) {
  write_any(core_of(c), linear, from, size, priv, false);
}
void read_slow_stack(Cpu& c, u64 linear, void* to, u32 size) {
  read_any(core_of(c), linear, to, size, present(c), true);
}
void write_slow_stack(Cpu& c, u64 linear, const void* from, u32 size) {
  write_any(core_of(c), linear, from, size, present(c), true);
}
void probe_stack_write(Cpu& c, u64 linear, u32 size) {
  Core& k = core_of(c);
  access(k, linear, size, Access::Write, present(c), true,
         [&](u64 at, u32, u32) { entry_for(k, at, Access::Write, present(c)); });
}

// Every page is translated before the first byte moves; blocks are at most a few pages.
static void touch(Cpu& c, u64 linear, u32 bytes, Access how) {
  Core& k = core_of(c);
  const u64 last = linear + bytes - 1;
  if ((c.s.efer & EFER_LMA) && !(is_canonical(linear) && is_canonical(last))) {
    bad_address(c, false);
  }
  for (u64 at = linear;; at = (at & kPageMask) + 4096) {
    entry_for(k, wrap(k, at), how, present(c));
    if ((at & kPageMask) == (last & kPageMask)) return;
  }
}

void probe_write(Cpu& c, u64 linear, u32 bytes) { touch(c, linear, bytes, Access::Write); }

void read_block(Cpu& c, u64 linear, void* to, u32 bytes) {
  if (bytes == 0) return;
  touch(c, linear, bytes, Access::Read);
  u8* out = static_cast<u8*>(to);
  while (bytes > 0) {
    const u32 part = std::min<u64>(bytes, 4096 - (linear & 0xfff));
    read_any(core_of(c), linear, out, part, present(c), false);
    linear += part;
    out += part;
    bytes -= part;
  }
}

void write_block(Cpu& c, u64 linear, const void* from, u32 bytes) {
  if (bytes == 0) return;
  touch(c, linear, bytes, Access::Write);
  const u8* in = static_cast<const u8*>(from);
  while (bytes > 0) {
    const u32 part = std::min<u64>(bytes, 4096 - (linear & 0xfff));
    write_any(core_of(c), linear, in, part, present(c), false);
    linear += part;
    in += part;
    bytes -= part;
  }
}

TlbEntry& Core::fill(u64 linear, Access access, Priv priv) {
  const u64 page = linear & kPageMask;
  const u64 physical = translate(linear, access, priv).physical & kPageMask;
  Bank<TlbEntry, kTlbEntries>& bank = space->data[static_cast<u8>(priv)];
  TlbEntry& e = tlb_entry(bank.at, linear);
  bank.fill(&e);
  if ((e.read | 1) != (page | 1)) e.read = ~u64{0};
  if ((e.write | 1) != (page | 1)) e.write = ~u64{0};
  e.physical = physical;
  u64 offset;
  if (!to_offset(physical, offset)) {
    e.addend = 0;
    (access == Access::Write ? e.write : e.read) = page | 1;
    return e;
  }
  e.addend = reinterpret_cast<u64>(ram) + offset - page;
  if (access == Access::Read) {
    e.read = page;
    return e;
  }
  PageInfo& p = pages[offset >> 12];
  if (is_table(p) || p.code_lines != 0) {
    e.write = page | 1;
    return e;
  }
  p.table = 0;
  if (p.write_linear != page && p.write_linear != 0) {
    p.write_linear |= 1;
  } else {
    p.write_linear = page == 0 ? 1 : page;
  }
  mark_dirty(offset);
  e.write = page;
  return e;
}

void Core::store_special(u64 offset, const void* from, u32 bytes) {
  PageInfo& p = pages[offset >> 12];
  if (is_table(p)) table_written(offset, bytes);
  memcpy(ram + offset, from, bytes);
  mark_dirty(offset);
  if (p.code_lines != 0) code_written(offset, bytes);
}

u64 Core::mmio_read(u64 physical, u32 bytes) {
  if (reads_next < reads_count) return reads[reads_next++];
  exit = {Exit::MmioRead, bytes, physical, 0, 0};
  waiting = true;
  throw EngineExit{};
}

void Core::mmio_write(u64 physical, u32 bytes, u64 value) {
  posted.push_back({Exit::MmioWrite, bytes, physical, value, 0});
  stop_after_current();
}

// ---- operands -----------------------------------------------------------------------------------

// SDM 5.3 (limits), 5.8 (type checks happen at load; what is left is writability and readability).
static u64 segmented(Cpu& c, Seg which, u64 offset, u32 bytes, bool write) {
  const Segment& g = c.s.seg[which];
  const u8 vector = which == SS ? SSV : GP;
  if (g.attr & kUnusable) raise_error(vector, 0);
  if (c.s.cr0 & CR0_PE && !(c.s.rflags & VM)) {
    const bool code = g.attr & kCode;
    if (write ? code || !(g.attr & kWritable) : code && !(g.attr & kWritable)) {
      raise_error(vector, 0);
    }
  }
  const u64 last = offset + bytes - 1;
  if ((g.attr & (kCode | kExpandDown)) == kExpandDown) {
    const u64 top = g.attr & kBig ? 0xffffffff : 0xffff;
    if (offset <= g.limit || last > top) raise_error(vector, 0);
  } else if (last > g.limit) {
    raise_error(vector, 0);
  }
  return (g.base + offset) & 0xffffffff;
}

u64 segment_address(Cpu& c, Seg which, u64 offset, u32 bytes, bool write) {
  if (c.code_bits != 64) return segmented(c, which, offset, bytes, write);
  const u64 linear = offset + (which >= FS ? c.s.seg[which].base : 0);
  if (!is_canonical(linear) || !is_canonical(linear + bytes - 1)) {
    raise_error(which == SS ? SSV : GP, 0);
  }
  return linear;
}

u64 operand_part(Cpu& c, const Insn& i, u32 skip, u32 bytes, bool write) {
  u64 offset = c.s.gpr[i.base] + (c.s.gpr[i.index] << i.scale) + i.disp + skip;
  if (i.addr_bits == 32) offset &= 0xffffffff;
  if (i.addr_bits == 16) offset &= 0xffff;
  return segment_address(c, static_cast<Seg>(i.seg), offset, bytes, write);
}

u64 operand(Cpu& c, const Insn& i, u32 bytes, bool write) {
  return operand_part(c, i, 0, bytes, write);
}

}  // namespace twinstep::soft
