// The Engine class: what its users may ask of the core between two runs.
#include "engine.h"

#include <algorithm>

#include "core.h"
#include "translate.h"

namespace twinstep::soft {

struct Engine::Impl : Core {
  using Core::Core;
};

Engine::Engine(u8* ram, u64 ram_bytes) : Engine(ram, ram_bytes, Options{}) {}

Engine::Engine(u8* ram, u64 ram_bytes, const Options& options)
    : impl_(std::make_unique<Impl>(ram, ram_bytes)) {
  Core& k = *impl_;
  if (options.translate) {
    k.translator = std::make_unique<translate::Translator>(options.warm);
    k.translates_not = k.translator->why_not();
    if (k.translates_not != nullptr) k.translator.reset();
  } else {
    k.translates_not = "asked for the interpreter";
  }
  const u64 seed[4] = {};
  seed_entropy(seed);
  reset();
}
Engine::~Engine() = default;

const char* Engine::translates_not() const { return impl_->translates_not; }

const ExitRecord& Engine::run(u64 limit_icount) {
  return run_core(*impl_, std::min(limit_icount, kIcountMax));
}

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
  impl_->cpu.s.nmi_pending = 1;
  take_nmi(*impl_);
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

// The generator must not start from zero and is slow to leave a pattern, so each word goes through
// the mixing function of splitmix64 (Steele, Lea, Flood), chained.
void Engine::seed_entropy(const u64 seed[4]) {
  u64 x = 0;
  for (u32 n = 0; n < 4; ++n) {
    x += seed[n] + 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    x ^= x >> 31;
    impl_->cpu.s.rng[n] = x;
  }
  if (x == 0) impl_->cpu.s.rng[3] = 1;
}

// More than devices and loaders write at once: all of it is new, as when a state is restored. To forget everything
// then costs less than to ask page after page, and makes no page's record real memory.
static constexpr u64 kManyBytes = u64{64} << 20;

static void all_written(Core& k, u64 physical, u64 bytes) {
  k.flush_all();
  k.drop_all_blocks();
  update_mode(k.cpu);
  const u64 end = physical + bytes;
  for (u64 at = physical & kPageMask; at < end; at += 4096) {
    u64 offset;
    if (k.to_offset(at, offset)) k.mark_dirty(offset);
  }
}

void Engine::memory_written(u64 physical, u64 bytes) {
  Core& k = *impl_;
  if (bytes >= kManyBytes && k.cpu.cur == nullptr) return all_written(k, physical, bytes);
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

void Engine::forget_code(u64 physical, u64 bytes) {
  Core& k = *impl_;
  const u64 end = physical + bytes;
  for (u64 at = physical; at < end; at = (at & kPageMask) + 4096) {
    u64 offset;
    if (!k.to_offset(at, offset)) continue;
    const u64 part = (end < (at & kPageMask) + 4096 ? end : (at & kPageMask) + 4096) - at;
    k.code_written(offset, static_cast<u32>(part));
  }
}

void Engine::stop_at_deliveries() { impl_->stops_at_delivery = true; }

void Engine::take_dirty_pages(u64* bitmap, size_t words) {
  Core& k = *impl_;
  for (size_t n = 0; n < words; ++n) bitmap[n] = n < k.dirty.size() ? k.dirty[n] : 0;
  std::fill(k.dirty.begin(), k.dirty.end(), 0);
  for (AddressSpace& a : k.spaces) {
    for (auto& bank : a.data) {
      bank.each([](TlbEntry& e) { e.write = ~u64{0}; });
    }
  }
}

// ---- state --------------------------------------------------------------------------------------

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
  out.shadow = static_cast<u8>((shadowed(c) ? kShadowInterrupts : 0) |
                               (debug_held(c) ? kShadowDebug : 0));
  if (impl_->faults_at != c.s.icount) out.faults_here = 0;
}

const char* Engine::set_state(const State& in) {
  if (const char* why = impossible(in)) return why;
  Core& k = *impl_;
  Cpu& c = k.cpu;
  c.s = in;
  c.cur = nullptr;
  set_rflags(c, in.rflags);
  c.shadow_at = in.shadow & kShadowInterrupts ? in.icount : ~u64{0};
  c.debug_held_at = in.shadow & kShadowDebug ? in.icount : ~u64{0};
  c.resume_at = in.rflags & RF ? in.icount : ~u64{0};
  k.faults_at = in.icount;
  k.posted.clear();
  k.posted_next = 0;
  k.waiting = false;
  k.reads_count = k.reads_next = 0;
  k.flush_all();
  update_mode(c);
  return nullptr;
}

}  // namespace twinstep::soft
