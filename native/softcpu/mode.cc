// Positions, the mode that follows from control registers and segments, ports, construction.
#include <sys/mman.h>

#include <cstdlib>
#include <new>

#include "core.h"
#include "translate.h"

namespace twinstep::soft {

[[noreturn]] void raise(u8 vector) { throw GuestFault{vector, false, 0}; }
[[noreturn]] void raise_error(u8 vector, u32 error) { throw GuestFault{vector, true, error}; }

Core::Core(u8* ram_base, u64 bytes)
    : ram(ram_base),
      ram_bytes(bytes),
      low_bytes(bytes < Engine::kLowRamMax ? bytes : Engine::kLowRamMax),
      dirty((bytes >> 18) + 1) {
  const size_t table = ((bytes >> 12) + 1) * sizeof(PageInfo);
  void* p = mmap(nullptr, table, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  pages = static_cast<PageInfo*>(p);
  scratch = static_cast<Block*>(
      ::operator new(sizeof(Block) + (kBlockInsnsMax + 2) * sizeof(Insn), std::align_val_t{64}));
  for (AddressSpace& a : spaces) {
    for (auto& bank : a.data) memset(bank.at, 0xff, sizeof(bank.at));  // no tag is a page
    for (auto& bank : a.exec) memset(bank.at, 0xff, sizeof(bank.at));
  }
  for (TlbEntry& e : none) e = {~u64{0}, ~u64{0}, 0, 0};
  cpu.core = this;
}

Core::~Core() {
  munmap(pages, ((ram_bytes >> 12) + 1) * sizeof(PageInfo));
  ::operator delete(scratch, std::align_val_t{64});
}

// ---- positions ----------------------------------------------------------------------------------

u64 Core::retired_before_current() const {
  if (cpu.cur == nullptr) return cpu.s.icount;
  const Block* b = block_of(cpu.cur);
  return cpu.s.icount - (b->count - cpu.cur->index_in_block);
}

void Core::rewind_to_current() {
  if (cpu.cur == nullptr) return;
  cpu.s.icount = retired_before_current();
  if ((cpu.cur->flow & kRepeats) && cpu.s.icount != cpu.repeat_from) set_resume(cpu);
  leave(cpu, rip_of(cpu.cur));
}

u64 retired(Cpu& c) { return core_of(c).retired_before_current(); }

u64 tsc_now(Cpu& c) {
  const State& s = c.s;
  const unsigned __int128 ticks =
      static_cast<unsigned __int128>(retired(c) - s.tsc_icount) * s.tsc_mult;
  return s.tsc_base + static_cast<u64>(ticks >> 32);
}

// ---- modes --------------------------------------------------------------------------------------

static u8 width_of(const State& s, const Segment& g) {
  constexpr u32 kL = 1u << 13, kDb = 1u << 14;
  if ((s.efer & EFER_LMA) && (s.seg[CS].attr & kL)) return 64;
  return g.attr & kDb ? 32 : 16;
}

static void update_code_key(Core& k) {
  Cpu& c = k.cpu;
  const Segment& cs = c.s.seg[CS];
  const u64 base = c.code_bits == 64 ? 0 : cs.base;
  const u32 limit = c.code_bits == 64 ? ~0u : cs.limit;
  if (c.code_key < k.modes.size()) {
    const CodeMode& m = k.modes[c.code_key];
    if (m.bits == c.code_bits && m.cs_base == base && m.cs_limit == limit) return;
  }
  c.cs_base = base;
  c.code_key = k.code_key_for(base, limit, c.code_bits);
}

void update_mode(Cpu& c) {
  Core& k = core_of(c);
  const State& s = c.s;
  const bool pe = s.cr0 & CR0_PE;
  c.cpl = pe ? s.seg[SS].attr >> 5 & 3 : 0;
  c.code_bits = width_of(s, s.seg[CS]);
  c.stack_bits = width_of(s, s.seg[SS]);
  update_code_key(k);
  k.paging = s.cr0 & CR0_PG;
  k.table_entry_bytes = s.cr4 & CR4_PAE ? 8 : 4;
  const u64 key = k.paging ? s.cr3 & 0x000fffffffffffe0 : kUnpaged;
  if (k.space == nullptr || k.space->key != key) k.select_space(key);
  const bool smap = (s.cr4 & CR4_SMAP) && !(s.rflags & AC);
  const Priv priv = c.cpl == 3 ? Priv::User : smap ? Priv::Supervisor : Priv::SupervisorAc;
  c.access = static_cast<u8>(priv);
  k.align_check = c.cpl == 3 && (s.cr0 & CR0_AM) && (s.rflags & AC);
  k.watch = s.dr7 & 0xff;
  c.sse_off = (s.cr0 & (CR0_EM | CR0_TS)) || !(s.cr4 & CR4_OSFXSR);
  c.tlb = k.align_check || k.watch ? k.none : k.space->data[c.access].at;
  c.exec = k.space->exec[c.cpl == 3].at;
  c.slow = (s.rflags & TF) || k.watch || s.debug_pending;
  if (c.slow) c.stop_at.store(0);
}

void paging_changed(Cpu& c) {
  core_of(c).flush_all();
  update_mode(c);
}

static u64 next_rip(const Cpu& c, const Insn* i) {
  const u64 rip = rip_of(i) + i->len;
  return c.code_bits == 64 ? rip : rip & 0xffffffff;
}

void begin_flow(Cpu& c, const Insn* i) {
  c.cur = i;
  c.s.rip = next_rip(c, i);
  c.s.rflags &= ~u64{RF};
}

const Insn* end_flow(Cpu& c) {
  Core& k = core_of(c);
  // A handler of step_flow for an instruction that decode.cc lets a block go on behind.
  if (c.cur != nullptr && !(c.cur->flow & kEndsBlock)) abort();
  if (k.waiting) {
    k.rewind_to_current();
    return nullptr;
  }
  update_mode(c);
  if (c.s.rflags & RF) c.resume_at = c.s.icount;
  c.cur = nullptr;
  return nullptr;
}

// ---- ports --------------------------------------------------------------------------------------

// SDM 17.2.4: with CR4.DE, R/W = 2 watches ports; a trap, as for data.
static void watch_port(Core& k, u16 port, u32 bytes) {
  const State& s = k.cpu.s;
  if (!k.watch || !(s.cr4 & CR4_DE)) return;
  for (u32 n = 0; n < 4; ++n) {
    const u32 control = s.dr7 >> (16 + 4 * n) & 15;
    if (!(s.dr7 >> (2 * n) & 3) || (control & 3) != 2) continue;
    const u64 length = breakpoint_bytes(control), at = s.dr[n] & ~(length - 1);
    if (port < at + length && at < u64{port} + bytes) k.cpu.debug_hits |= u64{1} << n;
  }
}

bool port_in(Cpu& c, u16 port, u32 bytes, u64& value) {
  Core& k = core_of(c);
  if (k.reads_next < k.reads_count) {
    value = k.reads[k.reads_next++];
    watch_port(k, port, bytes);
    return true;
  }
  k.exit = {Exit::PortIn, bytes, port, 0, 0};
  k.waiting = true;
  return false;
}

void port_out(Cpu& c, u16 port, u32 bytes, u64 value) {
  Core& k = core_of(c);
  k.posted.push_back({Exit::PortOut, bytes, port, value, 0});
  watch_port(k, port, bytes);
  k.stop_after_current();
}

}  // namespace twinstep::soft
