// What belongs to an engine beside the virtual CPU: RAM, page records, translations, blocks, exits.
// Nothing here is guest state; all of it can be dropped at any boundary.
#pragma once

#include <memory>
#include <vector>

#include "block.h"
#include "cpu.h"
#include "engine.h"
#include "flags.h"
#include "mmu.h"

namespace twinstep::soft {

// One record a 4 KiB page of RAM.
struct PageInfo {
  Block* blocks;      // decoded from bytes of this page
  u64 code_lines;     // 64-byte lines that hold decoded bytes
  u64 table;          // page table role: linear base | level 1..4, kTableMixed; 0 none
  u64 write_linear;   // linear page of cached write translations, | 1 if there are several
  u32 table_epoch;    // `table` counts only if equal to Core::table_epoch
  u32 pad;
};
inline constexpr u64 kTableLevel = 7, kTableMixed = 7;

// Entries of a direct-mapped cache, and which of them were ever filled: what drops some looks at those only.
template <class Entry, u32 kEntries>
struct Bank {
  Entry at[kEntries];
  u64 used[kEntries / 64] = {};
  void fill(const Entry* e) { used[(e - at) >> 6] |= u64{1} << ((e - at) & 63); }
  template <class F>
  void each(F f) {
    for (u32 n = 0; n < kEntries / 64; ++n) {
      for (u64 left = used[n]; left != 0; left &= left - 1) f(at[64 * n + __builtin_ctzll(left)]);
    }
  }
};

// Cached translations of one set of page tables.
struct AddressSpace {
  u64 key = ~u64{0};  // CR3 base, or kUnpaged
  u64 last_use = 0;
  Bank<TlbEntry, kTlbEntries> data[3];
  Bank<ExecEntry, kExecEntries> exec[2];  // supervisor, user
};
inline constexpr u64 kUnpaged = 1;
inline constexpr u32 kSpaces = 4;

enum class Access : u8 { Read, Write, Fetch };

struct EngineExit {};  // thrown where an instruction must wait for the machine

// A mode of code: what a code_key stands for.
struct CodeMode {
  u64 cs_base;
  u32 cs_limit;
  u8 bits;
};

struct BlockArena {
  std::vector<std::unique_ptr<u8[]>> chunks;
  size_t used = 0;  // in the last chunk
  static constexpr size_t kChunkBytes = 1 << 20;
  static constexpr size_t kChunksMax = 96;
  void* take(size_t bytes);
  bool full() const { return chunks.size() >= kChunksMax; }
  void clear();
};

inline constexpr u32 kHashEntries = 1 << 16;
inline constexpr size_t kModesMax = 4096;

namespace translate {
class Translator;
}

struct Core {
  Core(u8* ram_base, u64 bytes);
  ~Core();

  Cpu cpu;

  // RAM. An "offset" is a place in `ram`; guest-physical addresses above 4 GiB are mapped down.
  u8* ram;
  u64 ram_bytes, low_bytes;
  PageInfo* pages;
  std::vector<u64> dirty;

  // Translations.
  AddressSpace spaces[kSpaces];
  AddressSpace* space = nullptr;
  TlbEntry none[kTlbEntries];  // never matches: every access takes the slow path
  u64 space_clock = 0;
  u32 table_epoch = 1;
  u32 table_entry_bytes = 8;
  bool paging = false, align_check = false, watch = false;

  // Blocks.
  BlockArena arena;
  Block* hash[kHashEntries] = {};
  std::vector<CodeMode> modes;
  Block* scratch;
  Insn* patched = nullptr;  // where stop_after_current put its mark
  Handler patched_fn = nullptr;
  std::unique_ptr<translate::Translator> translator;  // none: all is interpreted
  const char* translates_not = nullptr;               // why, in words

  // Exits.
  std::atomic<bool> kicked{false};
  ExitRecord exit{};
  std::vector<ExitRecord> posted;
  size_t posted_next = 0;
  u64 reads[128];         // values supplied so far for the waiting instruction
  u32 reads_count = 0, reads_next = 0;
  bool waiting = false;   // a PortIn or MmioRead exit is out

  // RAM (mmu.cc)
  bool to_offset(u64 physical, u64& offset) const {
    if (physical < low_bytes) {
      offset = physical;
      return true;
    }
    offset = physical - (u64{1} << 32) + low_bytes;
    return physical >= (u64{1} << 32) && offset < ram_bytes;
  }
  void mark_dirty(u64 offset) { dirty[offset >> 18] |= u64{1} << ((offset >> 12) & 63); }

  // Translation (walk.cc). Faults, or gives the physical address; fills no cache.
  struct Translation {
    u64 physical;
    bool writable;  // and the dirty bit is set: later stores need no walk
  };
  Translation translate(u64 linear, Access access, Priv priv);
  bool is_table(const PageInfo& p) const { return p.table != 0 && p.table_epoch == table_epoch; }
  void table_written(u64 offset, u32 bytes);  // call before the store
  void flush_all();
  void clear_space(AddressSpace& a);
  void drop_linear(u64 page);
  void drop_range(u64 base, u64 bytes);
  void drop_writes_to(u64 offset);            // before a page becomes special
  void select_space(u64 key);

  // Fetch translation, cached: the physical page of a linear address (which goes into CR2).
  u64 fetch_page(u64 linear);

  // Data (mmu.cc)
  TlbEntry& fill(u64 linear, Access access, Priv priv);
  void store_special(u64 offset, const void* from, u32 bytes);  // into code or table pages
  u64 mmio_read(u64 physical, u32 bytes);
  void mmio_write(u64 physical, u32 bytes, u64 value);

  // Blocks (blocks.cc)
  Block* find_block();               // for s.rip; faults
  Block* build_block(u64 page);
  void insert(Block* b);
  void link(const Insn* from, Block* to);
  void kill(Block* b);
  void code_written(u64 offset, u32 bytes);
  void drop_all_blocks();
  Block* cut_block(const Block* b, u32 count);
  u32 code_key_for(u64 cs_base, u32 cs_limit, u8 bits);
  void stop_after_current();
  void restore_patch();

  // Positions.
  bool stops_at_delivery = false;    // a run ends where a fault or an NMI was delivered
  bool delivered = false;            // since the boundary before
  u64 faults_at = ~u64{0};           // s.icount for which s.faults_here counts
  void rewind_to_current();          // undo the entry accounting of instructions not retired
  u64 retired_before_current() const;
};

// Why no CPU could be in this state, in words; nullptr if one could (state.cc).
const char* impossible(const State& s);
// Positions end here, a century or more from power-on; no sum of positions overflows.
inline constexpr u64 kIcountMax = u64{1} << 62;

// The run loop (run.cc).
const ExitRecord& run_core(Core& k, u64 limit);
bool can_take_interrupt(const Core& k);
void take_nmi(Core& k);
inline bool shadowed(const Cpu& c) { return c.shadow_at == c.s.icount; }
inline bool debug_held(const Cpu& c) { return c.debug_held_at == c.s.icount; }
// Bytes a breakpoint covers, by its four bits of DR7 (SDM 17.2.4).
inline u64 breakpoint_bytes(u32 control) { return control >> 2 == 2 ? 8 : (control >> 2) + 1; }

inline Core& core_of(Cpu& c) { return *c.core; }

}  // namespace twinstep::soft
