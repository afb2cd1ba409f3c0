// The run loop.
//
// A boundary is a point between two instructions with s.rip and s.icount exact and cpu.cur null.
// The loop stands at one each time round: it reports what is due there, or executes from there
// until something brings it back (limit, kick, exit, a change of mode, a fault).
#include "core.h"
#include "sys.h"
#include "translate.h"

namespace twinstep::soft {

// Between two instructions, with nothing holding events back. A read that is out, or answered but
// not used up, means: still inside one.
static bool open_to_events(const Core& k) {
  const State& s = k.cpu.s;
  return !shadowed(k.cpu) && !k.waiting && k.reads_count == 0 && !(s.in_shutdown | s.debug_pending);
}

bool can_take_interrupt(const Core& k) { return (k.cpu.s.rflags & IF) && open_to_events(k); }

// SDM 6.7.1: one further NMI is remembered while one is served.
static bool nmi_due(const Core& k) {
  return k.cpu.s.nmi_pending && !k.cpu.s.nmi_blocked && open_to_events(k);
}

void take_nmi(Core& k) {
  Cpu& c = k.cpu;
  if (!nmi_due(k)) return;
  c.s.nmi_pending = 0;
  c.s.halted = 0;
  deliver_nmi(c);
  clear_shadow(c);
  update_mode(c);
  k.delivered = true;
}

namespace {

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
  // Not with an answered read in hand: what stands at this boundary could not be saved then.
  if (k.reads_count == 0 && k.kicked.load(std::memory_order_relaxed) && k.kicked.exchange(false)) {
    return &report(k, Exit::Kick);
  }
  if (nmi_due(k)) return nullptr;
  if (c.line && can_take_interrupt(k)) return &report(k, Exit::InterruptWindow);
  if (c.s.halted) return &report(k, Exit::Halt);
  return nullptr;
}

// A handler that faults before it retires anything can go on so for ever, at one position that no
// limit ends. A real CPU hangs then, until it is reset; this one shuts down.
constexpr u16 kFaultsMax = 10000;
bool may_fault_again(Core& k) {
  State& s = k.cpu.s;
  k.delivered = true;
  if (k.faults_at != s.icount) s.faults_here = 0;
  k.faults_at = s.icount;
  if (++s.faults_here < kFaultsMax) return true;
  shut_down(k.cpu);
  return false;
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
    if (may_fault_again(k)) deliver_fault(c, fault);
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
    // event is due as soon as the shadow ends.
    const bool held = (c.line && (c.s.rflags & IF)) || (c.s.nmi_pending && !c.s.nmi_blocked);
    if (k.reads_count > 0 || (held && shadowed(c))) {
      fits = 1;
      c.stop_at.store(0);
    }
    if (b->count > fits) {
      b = k.cut_block(b, static_cast<u32>(fits));
    } else if (b->page2 == kNoPage) {
      c.jump[jump_slot(b->rip)] = b;
    }
    c.s.icount += b->count;
    twinstep_soft_execute(&c, b->insn);
  });
}

// Instruction breakpoints that match s.rip, as DR6 bits. Behind MOV SS and POP SS there are none, as if
// RF were set (SDM 6.8.3).
u64 breakpoints_here(const Core& k) {
  const State& s = k.cpu.s;
  u64 hits = 0;
  if (!k.watch || ((s.rflags & RF) && k.cpu.resume_at == s.icount) || debug_held(k.cpu)) return 0;
  const u64 linear = k.cpu.code_bits == 64 ? s.rip : (k.cpu.cs_base + s.rip) & 0xffffffff;
  for (u32 n = 0; n < 4; ++n) {
    if (!(s.dr7 >> (2 * n) & 3) || (s.dr7 >> (16 + 4 * n) & 15)) continue;
    if (s.dr[n] == linear) hits |= u64{1} << n;
  }
  return hits;
}

// INT n and SYSCALL clear TF on the way and are not stepped over (SDM 17.3.1.4); SYSRET traps by
// itself where it sets TF.
bool clears_trap(const Insn& i) {
  if (i.map == 0) return (i.opcode >= 0xcc && i.opcode <= 0xce) || i.opcode == 0xf1;
  return i.map == 1 && (i.opcode == 0x05 || i.opcode == 0x07);
}

// A #DB that waited for this boundary: behind a MOV SS that held it back, before the first instruction
// of a task, behind a SYSRET.
u64 take_pending(Cpu& c) {
  const u64 pending = c.s.debug_pending;
  c.s.debug_pending = 0;
  return (pending & kDr6Breakpoints) | (pending & kPendingTask ? kDr6Bt : 0) |
         (pending & kPendingStep ? kDr6Bs : 0);
}

// Behind the instruction: SDM 6.8.3. A MOV SS or POP SS drops its own step, and what it read or wrote
// where a breakpoint watches is reported one boundary later.
void debug_trap(Core& k, u64 hits, bool stepped) {
  Cpu& c = k.cpu;
  if (debug_held(c)) {
    c.s.debug_pending |= static_cast<u8>(hits);
    return;
  }
  hits |= take_pending(c) | (stepped ? kDr6Bs : 0);
  if (hits == 0) return;
  deliver_debug(c, hits);
  update_mode(c);
}

// One instruction, with single step and breakpoints.
void run_slow(Core& k) {
  Cpu& c = k.cpu;
  if (c.s.debug_pending && !debug_held(c)) {
    if (may_fault_again(k)) deliver_debug(c, take_pending(c));
    update_mode(c);
    return;
  }
  if (const u64 hits = breakpoints_here(k)) {
    if (may_fault_again(k)) deliver_debug_fault(c, hits);
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
    twinstep_soft_execute(&c, b->insn);
  });
  if (c.s.icount == before) return;
  debug_trap(k, c.debug_hits, stepped && (!own_trap || (c.s.rflags & TF)));
}

}  // namespace

const ExitRecord& run_core(Core& k, u64 limit) {
  Cpu& c = k.cpu;
  k.delivered = false;
  for (;;) {
    if (k.delivered && k.stops_at_delivery && !c.s.in_shutdown) return report(k, Exit::Limit);
    // Ordered so that a kick from another thread either finds this store done or is seen in due().
    c.stop_at.store(limit);
    c.limit = limit;
    if (const ExitRecord* e = due(k, limit)) return *e;
    take_nmi(k);
    if (k.delivered && k.stops_at_delivery) continue;
    if ((c.s.rflags & RF) && c.resume_at != c.s.icount) c.s.rflags &= ~u64{RF};
    if (k.arena.full() || k.modes.size() > kModesMax || (k.translator && k.translator->full())) {
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

}  // namespace twinstep::soft
