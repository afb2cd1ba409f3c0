// Page tables: walking them, and noticing when the guest changes one.
//
// Every page a cached translation was read from carries a mark (level and linear base). Stores into
// marked pages come through table_written, which drops what depended on the old entry. So cached
// translations are never stale, and the guest sees a CPU without a TLB: the one behaviour that does
// not depend on what happens to be cached. Sources: SDM vol. 3A chapter 4.
#include <algorithm>

#include "core.h"

namespace twinstep::soft {

namespace {

enum Pte : u64 {
  kPresent = 1, kWrite = 2, kUser = 4, kAccessed = 0x20, kDirty = 0x40, kLarge = 0x80,
  kNoExecute = u64{1} << 63,
};
constexpr u64 kFrame = 0x000000fffffff000;     // 40 physical bits, as CPUID says
constexpr u64 kReserved = 0x000fff0000000000;  // above them

struct Level {
  u8 shift, bits, number;
};
constexpr Level kLongLevels[] = {{39, 9, 4}, {30, 9, 3}, {21, 9, 2}, {12, 9, 1}};
constexpr Level kPaeLevels[] = {{30, 2, 3}, {21, 9, 2}, {12, 9, 1}};
constexpr Level kTwoLevels[] = {{22, 10, 2}, {12, 10, 1}};

// The path of one walk, for the accessed and dirty bits once all checks have passed.
struct Path {
  u64 offset[4];
  u64 entry[4];
  u32 count = 0;
  u64 rights = kWrite | kUser;
  u64 no_execute = 0;
};

[[noreturn]] void page_fault(Cpu& c, u64 linear, Access access, Priv priv, u32 why) {
  u32 error = why;
  if (access == Access::Write) error |= 2;
  if (priv == Priv::User) error |= 4;
  const bool nx = (c.s.efer & EFER_NXE) && (c.s.cr4 & CR4_PAE);
  if (access == Access::Fetch && (nx || (c.s.cr4 & CR4_SMEP))) error |= 16;
  c.s.cr2 = linear;
  raise_error(PFV, error);
}

bool allowed(const State& s, const Path& p, Access access, Priv priv) {
  const bool user_page = p.rights & kUser;
  if (access == Access::Fetch) {
    if (p.no_execute) return false;
    return priv == Priv::User ? user_page : !(user_page && (s.cr4 & CR4_SMEP));
  }
  if (priv == Priv::User) {
    return user_page && (access == Access::Read || (p.rights & kWrite));
  }
  if (user_page && priv == Priv::Supervisor && (s.cr4 & CR4_SMAP)) return false;
  return access == Access::Read || (p.rights & kWrite) || !(s.cr0 & CR0_WP);
}

// Bits that must be zero in an entry (SDM 4.4.2, 4.5.4); `leaf_shift` is that of a large page or 0.
u64 reserved_bits(const State& s, const Level& level, bool large) {
  const bool long_mode = s.efer & EFER_LMA;
  u64 mask = kReserved;
  if (!long_mode) mask |= u64{0x7ff} << 52;
  if (!(s.efer & EFER_NXE)) mask |= kNoExecute;
  if (!long_mode && level.number == 3) return mask;  // PDPTE: checked when CR3 is loaded
  if (large && level.number == 4) mask |= kLarge;
  if (large && (level.number == 2 || level.number == 3)) {
    mask |= (u64{1} << level.shift) - (u64{1} << 13);
  }
  return mask;
}

}  // namespace

// Marks the page at `offset` as a table of `level` covering linear memory from `base`.
static void mark_table(Core& k, u64 offset, u64 base, u8 level) {
  PageInfo& p = k.pages[offset >> 12];
  const u64 role = base | level;
  if (k.is_table(p)) {
    if (p.table != role) p.table = kTableMixed;
    return;
  }
  p.table = role;
  p.table_epoch = k.table_epoch;
  k.drop_writes_to(offset);
}

static u64 read_entry(Core& k, u64 offset, u32 bytes) {
  u64 entry = 0;
  memcpy(&entry, k.ram + offset, bytes);
  return entry;
}

static void set_entry_bits(Core& k, u64 offset, u64 bits) {
  k.ram[offset] = static_cast<u8>(k.ram[offset] | bits);
  k.mark_dirty(offset);
  if (k.pages[offset >> 12].code_lines) k.code_written(offset, 1);
}

Core::Translation Core::translate(u64 linear, Access access, Priv priv) {
  const State& s = cpu.s;
  if (!paging) return {linear & 0xffffffff, true};
  const bool long_mode = s.efer & EFER_LMA;
  const bool wide = s.cr4 & CR4_PAE;
  const Level* level = long_mode ? kLongLevels : wide ? kPaeLevels : kTwoLevels;
  const u32 entry_bytes = wide ? 8 : 4;
  u64 table = long_mode ? s.cr3 & kFrame : wide ? s.cr3 & 0xffffffe0 : s.cr3 & 0xfffff000;
  Path path;
  u64 physical = 0;
  for (;; ++level) {
    const u64 index = (linear >> level->shift) & ((u64{1} << level->bits) - 1);
    u64 offset;
    if (!to_offset(table + index * entry_bytes, offset)) page_fault(cpu, linear, access, priv, 0);
    const u64 entry = read_entry(*this, offset, entry_bytes);
    if (!(entry & kPresent)) {
      // What is absent is never cached, so the table needs no mark for it.
      page_fault(cpu, linear, access, priv, 0);
    }
    const u32 covers = level->shift + level->bits;
    mark_table(*this, offset, covers >= 48 ? 0 : linear & ~((u64{1} << covers) - 1), level->number);
    const bool large = (entry & kLarge) && level->number > 1 && (wide || (s.cr4 & CR4_PSE));
    if (wide && (entry & reserved_bits(s, *level, large))) page_fault(cpu, linear, access, priv, 9);
    path.offset[path.count] = offset;
    path.entry[path.count++] = entry;
    if (long_mode || level->number < 3) {  // PDPTEs of PAE have no rights and no accessed bit
      path.rights &= entry;
      path.no_execute |= wide ? entry & kNoExecute : 0;
    }
    if (level->number == 1 || (large && (long_mode || level->number == 2))) {
      const u64 low = (u64{1} << level->shift) - 1;
      u64 frame = wide ? entry & kFrame : entry & 0xfffff000;
      if (!wide && level->number == 2) {  // 4 MiB page, PSE-36
        if (entry & (1u << 21)) page_fault(cpu, linear, access, priv, 9);
        frame = (entry & 0xffc00000) | ((entry >> 13 & 0xff) << 32);
      }
      physical = (frame & ~low) | (linear & low);
      break;
    }
    table = wide ? entry & kFrame : entry & 0xfffff000;
  }
  if (!allowed(s, path, access, priv)) page_fault(cpu, linear, access, priv, 1);
  for (u32 n = 0; n < path.count; ++n) {
    const bool pdpte = !long_mode && wide && n == 0;
    if (!pdpte && !(path.entry[n] & kAccessed)) set_entry_bits(*this, path.offset[n], kAccessed);
  }
  const u32 leaf = path.count - 1;
  if (access == Access::Write && !(path.entry[leaf] & kDirty)) {
    set_entry_bits(*this, path.offset[leaf], kDirty);
  }
  return {physical, access == Access::Write};
}

void Core::table_written(u64 offset, u32 bytes) {
  PageInfo& p = pages[offset >> 12];
  const u64 role = p.table;
  const u32 level = role & kTableLevel;
  const u32 step = table_entry_bytes;
  for (u64 at = offset & ~u64{step - 1}; at < offset + bytes; at += step) {
    const u64 old = read_entry(*this, at, step);
    if (!(old & kPresent)) continue;
    const u64 index = (at & 0xfff) / step;
    const u32 entry_shift = step == 8 ? 12 + 9 * (level - 1) : 12 + 10 * (level - 1);
    const u64 base = (role & ~u64{0xfff}) + (index << (entry_shift & 63));
    if (level == 1) {
      drop_linear(base);
    } else if (level == 2) {
      drop_range(base, u64{1} << entry_shift);
      u64 child;
      if (!(old & kLarge) && to_offset(old & kFrame, child)) {
        PageInfo& under = pages[child >> 12];
        if (under.table == (base | 1)) under.table = 0;
      }
    } else {
      flush_all();
      return;
    }
  }
}

// ---- the cached translations --------------------------------------------------------------------

static void forget(TlbEntry& e) { e.read = e.write = ~u64{0}; }
static void forget(ExecEntry& e) { e.tag = ~u64{0}; }

void Core::clear_space(AddressSpace& a) {
  const auto clear = [](auto& bank) {
    bank.each([](auto& e) { forget(e); });
    memset(bank.used, 0, sizeof(bank.used));
  };
  for (auto& bank : a.data) clear(bank);
  for (auto& bank : a.exec) clear(bank);
}

void Core::flush_all() {
  for (AddressSpace& a : spaces) clear_space(a);
  ++table_epoch;
  stop_after_current();
}

// A translation of the page the running code lies on may have gone: look again before going on.
static void recheck_code(Core& k, u64 base, u64 bytes) {
  if (k.cpu.cur == nullptr) return;
  const Block* b = block_of(k.cpu.cur);
  if (b->linear - base < bytes || b->linear + b->bytes - 1 - base < bytes) k.stop_after_current();
}

void Core::drop_linear(u64 page) {
  for (AddressSpace& a : spaces) {
    for (auto& bank : a.data) {
      TlbEntry& e = tlb_entry(bank.at, page);
      if ((e.read | 1) == (page | 1) || (e.write | 1) == (page | 1)) forget(e);
    }
    for (auto& bank : a.exec) {
      ExecEntry& e = bank.at[(page >> 12) & (kExecEntries - 1)];
      if (e.tag == page) forget(e);
    }
  }
  recheck_code(*this, page, 4096);
}

void Core::drop_range(u64 base, u64 bytes) {
  for (AddressSpace& a : spaces) {
    for (auto& bank : a.data) {
      bank.each([&](TlbEntry& e) {
        if (e.read - base < bytes || e.write - base < bytes) forget(e);
      });
    }
    for (auto& bank : a.exec) {
      bank.each([&](ExecEntry& e) {
        if (e.tag - base < bytes) forget(e);
      });
    }
  }
  recheck_code(*this, base, bytes);
}

// Stores to this page must come through the slow path from now on.
void Core::drop_writes_to(u64 offset) {
  PageInfo& p = pages[offset >> 12];
  if (p.write_linear == 0) return;
  const u64 host_page = reinterpret_cast<u64>(ram) + (offset & kPageMask);
  auto demote = [&](TlbEntry& e) {
    if (e.write != ~u64{0} && !(e.write & 1) && e.addend + e.write == host_page) e.write |= 1;
  };
  const bool several = p.write_linear & 1;
  for (AddressSpace& a : spaces) {
    for (auto& bank : a.data) {
      if (several) {
        bank.each(demote);
      } else {
        demote(tlb_entry(bank.at, p.write_linear & kPageMask));
      }
    }
  }
  p.write_linear = 0;
}

void Core::select_space(u64 key) {
  ++space_clock;
  AddressSpace* oldest = &spaces[0];
  for (AddressSpace& a : spaces) {
    if (a.key == key) {
      oldest = &a;
      break;
    }
    if (a.last_use < oldest->last_use) oldest = &a;
  }
  if (oldest->key != key) {
    clear_space(*oldest);
    oldest->key = key;
  }
  oldest->last_use = space_clock;
  space = oldest;
}

u64 Core::fetch_page(u64 linear) {
  const u64 page = linear & kPageMask;
  ExecEntry& e = cpu.exec[(page >> 12) & (kExecEntries - 1)];
  if (e.tag == page) return e.physical;
  const bool long_mode = cpu.s.efer & EFER_LMA;
  if (long_mode && static_cast<u64>(static_cast<i64>(page << 16) >> 16) != page) {
    raise_gp0();
  }
  const Priv priv = cpu.cpl == 3 ? Priv::User : Priv::Supervisor;
  const u64 physical = translate(linear, Access::Fetch, priv).physical & kPageMask;
  space->exec[cpu.exec == space->exec[1].at].fill(&e);
  e.tag = page;
  e.physical = physical;
  return physical;
}

}  // namespace twinstep::soft
