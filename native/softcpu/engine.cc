// The run loop, positions and exits.
//
// A boundary is a point between two instructions with s.rip and s.icount exact and cpu.cur null. The
// loop below stands at one each time round: it reports what is due there, or executes from there
// until something brings it back (limit, kick, exit, an instruction that changed the mode, a fault).
#include "engine.h"

#include <sys/mman.h>

#include <new>

#include "core.h"

namespace twinstep::soft {

[[noreturn]] void raise(u8 vector) { throw GuestFault{vector, false, 0}; }
[[noreturn]] void raise_error(u8 vector, u32 error) { throw GuestFault{vector, true, error}; }

// ---- positions -----------------------------------------------------------------------------------

u64 Core::retired_before_current() const {
  if (cpu.cur == nullptr) return cpu.s.icount;
  const Block* b = block_of(cpu.cur);
  return cpu.s.icount - (b->count - cpu.cur->index_in_block);
}

void Core::rewind_to_current() {
  if (cpu.cur == nullptr) return;
  cpu.s.icount = retired_before_current();
  leave(cpu, rip_of(cpu.cur));
}

u64 retired(Cpu& c) { return core_of(c).retired_before_current(); }

u64 tsc_now(Cpu& c) {
  const State& s = c.s;
  const unsigned __int128 ticks =
      static_cast<unsigned __int128>(retired(c) - s.tsc_icount) * s.tsc_mult;
  return s.tsc_base + static_cast<u64>(ticks >> 32);
}

// ---- modes ---------------------------------------------------------------------------------------

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
  c.tlb = k.align_check || k.watch ? k.none : k.space->data[c.access];
  c.exec = k.space->exec[c.cpl == 3];
  c.slow = (s.rflags & TF) || k.watch;
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
  if (k.waiting) {
    k.rewind_to_current();
    return nullptr;
  }
  update_mode(c);
  if (c.s.rflags & RF) c.resume_at = c.s.icount;
  c.cur = nullptr;
  return nullptr;
}

// ---- ports ---------------------------------------------------------------------------------------

bool port_in(Cpu& c, u16 port, u32 bytes, u64& value) {
  Core& k = core_of(c);
  if (k.reads_next < k.reads_count) {
    value = k.reads[k.reads_next++];
    return true;
  }
  k.exit = {Exit::PortIn, bytes, port, 0, 0};
  k.waiting = true;
  return false;
}

void port_out(Cpu& c, u16 port, u32 bytes, u64 value) {
  Core& k = core_of(c);
  k.posted.push_back({Exit::PortOut, bytes, port, value, 0});
  k.stop_after_current();
}

// ---- the loop ------------------------------------------------------------------------------------

Core::Core(u8* ram_base, u64 bytes)
    : ram(ram_base),
      ram_bytes(bytes),
      low_bytes(bytes < Engine::kLowRamMax ? bytes : Engine::kLowRamMax),
      dirty((bytes >> 18) + 1) {
  const size_t table = ((bytes >> 12) + 1) * sizeof(PageInfo);
  void* p = mmap(nullptr, table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  pages = static_cast<PageInfo*>(p);
  scratch = static_cast<Block*>(
      ::operator new(sizeof(Block) + (kBlockInsnsMax + 2) * sizeof(Insn), std::align_val_t{64}));
  for (AddressSpace& a : spaces) clear_space(a);
  for (TlbEntry& e : none) e = {~u64{0}, ~u64{0}, 0, 0};
  cpu.core = this;
}

Core::~Core() {
  munmap(pages, ((ram_bytes >> 12) + 1) * sizeof(PageInfo));
  ::operator delete(scratch, std::align_val_t{64});
}

namespace {

bool shadowed(const Cpu& c) { return c.shadow_at == c.s.icount; }

bool can_take_interrupt(const Core& k) {
  const Cpu& c = k.cpu;
  return (c.s.rflags & IF) && !shadowed(c) && !k.waiting && k.reads_count == 0 &&
         !c.s.in_shutdown;
}

const ExitRecord& report(Core& k, Exit reason) {
  k.exit = {reason, 0, 0, 0, k.cpu.s.icount};
  return k.exit;
}

const ExitRecord* report_posted(Core& k) {
  if (k.posted_next == k.posted.size()) {
    k.posted.clear();
    k.posted_next = 0;
    return nullptr;
  }
  k.exit = k.posted[k.posted_next++];
  k.exit.icount = k.cpu.s.icount;
  return &k.exit;
}

// What is due at this boundary before anything runs.
const ExitRecord* due(Core& k, u64 limit) {
  Cpu& c = k.cpu;
  if (const ExitRecord* e = report_posted(k)) return e;
  if (k.waiting) {
    k.exit.icount = c.s.icount;
    return &k.exit;
  }
  if (c.s.in_shutdown) return &report(k, Exit::Shutdown);
  if (c.s.icount >= limit) return &report(k, Exit::Limit);
  if (k.kicked.load(std::memory_order_relaxed) && k.kicked.exchange(false)) {
    return &report(k, Exit::Kick);
  }
  if (c.line && can_take_interrupt(k)) return &report(k, Exit::InterruptWindow);
  if (c.s.halted) return &report(k, Exit::Halt);
  return nullptr;
}

// Runs handlers until one returns to the boundary.
void execute(Cpu& c, const Insn* i) {
  while (i != nullptr) i = i->fn(c, i);
}

// Faults are delivered here, at the boundary before the instruction.
template <class F>
void guarded(Core& k, F&& body) {
  Cpu& c = k.cpu;
  try {
    body();
    k.restore_patch();
    if (!k.waiting) k.reads_count = 0;
  } catch (const GuestFault& fault) {
    k.restore_patch();
    k.rewind_to_current();
    k.posted.clear();
    k.reads_count = 0;
    c.debug_hits = 0;
    deliver_fault(c, fault);
    update_mode(c);
  } catch (const EngineExit&) {
    k.restore_patch();
    k.rewind_to_current();
    k.posted.clear();
  }
  k.reads_next = 0;
}

void run_fast(Core& k, u64 limit) {
  Cpu& c = k.cpu;
  guarded(k, [&] {
    Block* b = k.find_block();
    u64 fits = limit - c.s.icount;
    // One instruction only: an answered read must be used up by the instruction it was for, and an
    // interrupt is due as soon as the shadow ends.
    if (k.reads_count > 0 || (c.line && (c.s.rflags & IF) && shadowed(c))) {
      fits = 1;
      c.stop_at.store(0);
    }
    if (b->count > fits) {
      b = k.cut_block(b, static_cast<u32>(fits));
    } else if (b->page2 == kNoPage) {
      c.jump[jump_slot(b->rip)] = b;
    }
    c.s.icount += b->count;
    execute(c, b->insn);
  });
}

// Instruction breakpoints that match s.rip, as DR6 bits.
u64 breakpoints_here(const Core& k) {
  const State& s = k.cpu.s;
  u64 hits = 0;
  if (!k.watch || ((s.rflags & RF) && k.cpu.resume_at == s.icount)) return 0;
  for (u32 n = 0; n < 4; ++n) {
    if (!(s.dr7 >> (2 * n) & 3) || (s.dr7 >> (16 + 4 * n) & 15)) continue;
    if (s.dr[n] == k.cpu.cs_base + s.rip) hits |= u64{1} << n;
  }
  return hits;
}

// INT n and SYSCALL clear TF on the way and are not stepped over (SDM 17.3.1.4); SYSRET traps by
// itself where it sets TF.
bool clears_trap(const Insn& i) {
  if (i.map == 0) return i.opcode == 0xcc || i.opcode == 0xcd || i.opcode == 0xce || i.opcode == 0xf1;
  return i.map == 1 && (i.opcode == 0x05 || i.opcode == 0x07);
}

// One instruction, with single step and breakpoints.
void run_slow(Core& k) {
  Cpu& c = k.cpu;
  if (const u64 hits = breakpoints_here(k)) {
    deliver_debug_fault(c, hits);
    update_mode(c);
    return;
  }
  const bool stepped = c.s.rflags & TF;
  const u64 before = c.s.icount;
  bool own_trap = false;
  c.debug_hits = 0;
  guarded(k, [&] {
    const Block* b = k.cut_block(k.find_block(), 1);
    own_trap = clears_trap(b->insn[0]);
    c.limit = before + 1;
    c.s.icount += 1;
    execute(c, b->insn);
  });
  if (c.s.icount == before) return;
  u64 hits = c.debug_hits;
  if (stepped && (!own_trap || (c.s.rflags & TF))) hits |= u64{1} << 14;
  if (hits == 0) return;
  deliver_debug(c, hits);
  update_mode(c);
}

}  // namespace

static const ExitRecord& run_core(Core& k, u64 limit) {
  Cpu& c = k.cpu;
  for (;;) {
    // Ordered so that a kick from another thread either finds this store done or is seen in due().
    c.stop_at.store(limit);
    c.limit = limit;
    if (const ExitRecord* e = due(k, limit)) return *e;
    if ((c.s.rflags & RF) && c.resume_at != c.s.icount) c.s.rflags &= ~u64{RF};
    if (k.arena.full() || k.modes.size() > kModesMax) {
      k.drop_all_blocks();
      update_mode(c);
    }
    if (c.slow) {
      c.stop_at.store(0);
      run_slow(k);
    } else {
      run_fast(k, limit);
    }
  }
}

// ---- Engine --------------------------------------------------------------------------------------

struct Engine::Impl : Core {
  using Core::Core;
};

Engine::Engine(u8* ram, u64 ram_bytes) : impl_(std::make_unique<Impl>(ram, ram_bytes)) { reset(); }
Engine::~Engine() = default;

const ExitRecord& Engine::run(u64 limit_icount) { return run_core(*impl_, limit_icount); }

void Engine::kick() noexcept {
  impl_->kicked.store(true);
  impl_->cpu.stop_at.store(0);
}

void Engine::complete_read(u64 value) {
  Core& k = *impl_;
  if (!k.waiting || k.reads_count == std::size(k.reads)) return;
  k.reads[k.reads_count++] = value;
  k.waiting = false;
}

void Engine::set_interrupt_line(bool raised) { impl_->cpu.line = raised; }
bool Engine::can_interrupt() const { return can_take_interrupt(*impl_); }

void Engine::interrupt(u8 vector) {
  Cpu& c = impl_->cpu;
  c.s.halted = 0;
  deliver_interrupt(c, vector);
  clear_shadow(c);
  update_mode(c);
}

void Engine::nmi() {
  Cpu& c = impl_->cpu;
  if (c.s.nmi_blocked) return;
  c.s.halted = 0;
  deliver_nmi(c);
  clear_shadow(c);
  update_mode(c);
}

u64 Engine::icount() const { return impl_->cpu.s.icount; }
bool Engine::halted() const { return impl_->cpu.s.halted; }

void Engine::set_tsc(u64 base, u64 mult) {
  State& s = impl_->cpu.s;
  s.tsc_base = base;
  s.tsc_mult = mult;
  s.tsc_icount = s.icount;
}
u64 Engine::tsc() const { return tsc_now(impl_->cpu); }

void Engine::seed_entropy(const u64 seed[4]) { memcpy(impl_->cpu.s.rng, seed, 32); }

void Engine::memory_written(u64 physical, u64 bytes) {
  Core& k = *impl_;
  const u64 end = physical + bytes;
  for (u64 at = physical; at < end; at = (at & kPageMask) + 4096) {
    u64 offset;
    if (!k.to_offset(at, offset)) continue;
    const PageInfo& p = k.pages[offset >> 12];
    const u64 part = (end < (at & kPageMask) + 4096 ? end : (at & kPageMask) + 4096) - at;
    if (k.is_table(p)) k.flush_all();
    if (p.code_lines) k.code_written(offset, static_cast<u32>(part));
    k.mark_dirty(offset);
  }
}

void Engine::take_dirty_pages(u64* bitmap, size_t words) {
  Core& k = *impl_;
  for (size_t n = 0; n < words; ++n) bitmap[n] = n < k.dirty.size() ? k.dirty[n] : 0;
  std::fill(k.dirty.begin(), k.dirty.end(), 0);
  for (AddressSpace& a : k.spaces) {
    for (auto& bank : a.data) {
      for (TlbEntry& e : bank) e.write = ~u64{0};
    }
  }
}

// ---- state ---------------------------------------------------------------------------------------

static void reset_segments(State& s) {
  for (Segment& g : s.seg) g = {0, 0xffff, 0x93, 0, {}};
  s.seg[CS] = {0xffff0000, 0xffff, 0x9b, 0xf000, {}};
  s.ldtr = {0, 0xffff, 0x82, 0, {}};
  s.tr = {0, 0xffff, 0x8b, 0, {}};
}

// SDM vol. 3A 9.1.1, table 9-1.
void Engine::reset() {
  State s{};
  reset_segments(s);
  s.rip = 0xfff0;
  s.rflags = 2;
  s.gpr[RDX] = 0x600;
  s.gdt_limit = s.idt_limit = 0xffff;
  s.cr0 = CR0_CD | CR0_NW | CR0_ET;
  s.dr6 = 0xffff0ff0;
  s.dr7 = 0x400;
  s.pat = 0x0007040600070406;
  s.misc_enable = 1;
  s.apic_base = 0xfee00900;
  s.xcr0 = 1;
  s.fpu.control = 0x0040;
  for (Fpr& r : s.fpu.r) r = {};
  s.fpu.mxcsr = 0x1f80;
  s.tsc_mult = u64{1} << 32;
  s.icount = impl_->cpu.s.icount;
  s.tsc_icount = s.icount;
  memcpy(s.rng, impl_->cpu.s.rng, sizeof(s.rng));
  set_state(s);
}

void Engine::get_state(State& out) {
  Cpu& c = impl_->cpu;
  out = c.s;
  out.rflags = get_rflags(c);
  if (c.resume_at != c.s.icount) out.rflags &= ~u64{RF};
  out.interrupt_shadow = shadowed(c);
}

const char* Engine::set_state(const State& in) {
  if (in.gpr[kZeroReg] != 0) return "general register slot 16 is not zero";
  if ((in.cr0 & CR0_PG) && !(in.cr0 & CR0_PE)) return "CR0 has paging without protection";
  if ((in.efer & EFER_LMA) && !(in.cr0 & CR0_PG)) return "EFER has long mode without paging";
  if ((in.efer & EFER_LMA) && !(in.cr4 & CR4_PAE)) return "EFER has long mode without PAE";
  if (in.fpu.mxcsr & ~0xffffu) return "MXCSR has reserved bits";
  Core& k = *impl_;
  Cpu& c = k.cpu;
  c.s = in;
  c.cur = nullptr;
  set_rflags(c, in.rflags);
  c.shadow_at = in.interrupt_shadow ? in.icount : ~u64{0};
  c.resume_at = in.rflags & RF ? in.icount : ~u64{0};
  k.posted.clear();
  k.posted_next = 0;
  k.waiting = false;
  k.reads_count = k.reads_next = 0;
  k.flush_all();
  update_mode(c);
  return nullptr;
}

}  // namespace twinstep::soft
