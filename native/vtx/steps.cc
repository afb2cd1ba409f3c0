// One instruction at a time, each counted: ordinary ones by a single step of the hardware, the rest by
// the software engine.
//
// A step that faults must leave no trace: hardware would deliver the fault with the host's trap flag on
// the guest's stack, and run on without stepping. So the hardware gets an interrupt table without
// entries. A fault then ends the step as a triple fault, before anything has changed; the registers of
// before are put back and the software engine executes the instruction, fault and all.
#include <algorithm>
#include <cstring>

#include "softcpu/decode.h"
#include "softcpu/sys.h"
#include "vtx/engine.h"
#include "vtx/step-policy.h"
#include "vtx/state.h"
#include "vtx/walk.h"

namespace twinstep::vtx {

using soft::Exit;
using soft::ExitRecord;
using soft::Insn;
using soft::State;

u8 code_bits(const State& s) {
  if (soft::code64(s)) return 64;
  return s.seg[soft::CS].attr & soft::kAttrBig ? 32 : 16;
}

namespace {

constexpr u64 kOperandMax = 16;  // bytes, of what could be used on a page table

u64 code_address(const State& s) {
  if (soft::code64(s)) return s.rip;
  return (s.seg[soft::CS].base + s.rip) & 0xffffffff;
}

// Parts of a state that load_system() hands over; CR2 is nothing an ordinary instruction sees.
bool same_system(const State& a, const State& b) {
  return std::memcmp(a.seg, b.seg, sizeof a.seg) == 0 &&
         std::memcmp(&a.ldtr, &b.ldtr, 2 * sizeof a.ldtr) == 0 && a.cr0 == b.cr0 &&
         a.cr3 == b.cr3 && a.cr4 == b.cr4 && a.efer == b.efer;
}

u64 operand_address(const Insn& i, const State& s) {
  u64 at = s.gpr[i.base] + (s.gpr[i.index] << i.scale) + i.disp;
  if (i.addr_bits == 32) at &= 0xffffffff;
  if (i.addr_bits == 16) at &= 0xffff;
  return at + s.seg[i.seg].base;
}

// An access that may lie on two pages. Some hosts store the first half before the second half faults.
bool is_near_page_end(const Insn& i, const State& s) {
  return (i.flags & soft::kMemory) && (operand_address(i, s) & 4095) > 4096 - 16;
}

}  // namespace

bool Engine::fetch(const State& s, u8* bytes, u32& available) {
  available = Walker(ram_, ram_bytes_, low_bytes_).read(s, code_address(s), bytes, 15);
  return available > 0;
}

// The reference is about to execute this, and may write a page table with it: KVM, which sees only what the
// guest writes under it, is told. Stacks are no page tables; what DMA wrote comes by memory_written().
void Engine::tell_written(const State& s, const Insn& i) {
  if (!kvm_.tables_follow()) return;
  u64 at;
  if (stores_string(i)) {
    at = s.gpr[soft::RDI] + s.seg[soft::ES].base;
  } else if (i.flags & soft::kMemory) {
    at = operand_address(i, s);
  } else {
    return;
  }
  const Walker walker(ram_, ram_bytes_, low_bytes_);
  for (const u64 each : {at, at + kOperandMax - 1}) {
    u64 physical;
    if (walker.physical(s, soft::code64(s) ? each : each & 0xffffffff, physical)) {
      kvm_.pages_written(physical, 1);
    }
    if ((at & 4095) <= 4096 - kOperandMax) return;
  }
}

// Nothing is due at this boundary, and nothing but the instruction itself can happen in it.
bool Engine::may_step(u64 limit) {
  if (kicked_.load()) return false;
  if (on_reference_) return false;
  if (holder_ == Holder::Reference) reference_.get_state(state_);
  const State& s = state_;
  if (positions_ == Positions::Steps && s.icount >= limit) return false;
  // RF is in force for one instruction and of breakpoints only; there are none (below).
  if (positions_ != Positions::Branches && (s.rflags & soft::RF)) return false;
  if (s.rflags & (soft::TF | soft::VM)) return false;
  if (line_ && (s.rflags & soft::IF)) return false;
  if (s.dr7 & 0xff) return false;
  if (s.halted | s.shadow | s.debug_pending | s.in_shutdown | s.nmi_pending) return false;
  return s.faults_here == 0;
}

// With shadow paging KVM keeps tables of its own, made from the guest's, and looks at them again where it saw the
// guest write. Memory that came from elsewhere it never saw.
void Engine::forget_tables() {
  if (!replaced_) return;
  replaced_ = false;
  if (!kvm_.shadows_tables() || !has_seen_) return;
  has_seen_ = false;
  kvm_.take_dirty(dirty_.data());
  kvm_.forget_all();
}

// KVM forgets translations when paging changes: change it; loading the state changes it back.
void Engine::forget_translations(bool stepping) {
  State other = state_;
  other.cr4 ^= soft::CR4_PGE;
  load_system(kvm_, other, stepping);
  flush_ = false;
}

// Hands the state to KVM, as far as it differs from what KVM has.
void Engine::begin_steps() {
  if (holder_ == Holder::Kvm) return;
  forget_tables();
  if (flush_ || !same_system(state_, loaded_)) {
    if (flush_) forget_translations(true);
    load_system(kvm_, state_, true);
    loaded_ = state_;
  }
  load_registers(kvm_, state_);
  kvm_.shared().request_interrupt_window = 0;  // of a free run; a step would end there instead
  kvm_.single_step(true);
  stepping_ = true;
  floating_loaded_ = false;
  holder_ = Holder::Kvm;
}

// The step ended in something else. A triple fault resets the vCPU of some hosts, so nothing that KVM
// holds counts any more but the floating point registers.
void Engine::take_step_back(bool pending) {
  counters_.steps_taken_back++;
  if (floating_loaded_) save_floating(kvm_, state_);
  floating_loaded_ = false;
  if (pending) {
    kvm_.take_dirty(dirty_.data());
    kvm_.single_step(false);
    kvm_.drop_pending();
  }
  loaded_ = State{};
  flush_ = true;
}

// Some processors report a step before the instruction has run (a missing page in between). And some
// instructions change nothing: then once more does no harm. What stands still after that is left to
// the software engine, which knows the difference.
bool Engine::step_kvm() {
  constexpr int kTriesMax = 3;
  const State before = state_;
  for (int n = 0; n < kTriesMax; n++) {
    while (!run_kvm()) {
    }
    const u32 reason = kvm_.shared().exit_reason;
    if (reason != KVM_EXIT_DEBUG) {
      counters_.last_other_exit = reason;
      take_step_back(reason == KVM_EXIT_MMIO);
      return false;
    }
    take_registers(kvm_.shared().s.regs.regs, state_);
    const bool moved = std::memcmp(before.gpr, state_.gpr, 16 * 8) != 0 ||
                       before.rip != state_.rip || ((before.rflags ^ state_.rflags) & ~u64{soft::RF}) != 0;
    if (moved) return true;
  }
  counters_.standing_steps++;
  return false;
}

// True: one instruction is done. False: the software engine is to do it.
bool Engine::step_hardware() {
  u8 bytes[15];
  u32 available;
  Insn i;
  if (!fetch(state_, bytes, available)) return false;
  const auto decoded = soft::decode_and_select(bytes, available, code_bits(state_), state_.rip, i);
  // With counted branches a step does what the hardware did on the board that ran through here, whatever that is.
  const bool as_hardware = positions_ == Positions::Branches;
  if (decoded != soft::Decode::Ok || !(as_hardware ? is_steppable(i) : is_ordinary(i))) return false;
  if (!as_hardware && is_near_page_end(i, state_)) return false;
  begin_steps();
  if (!floating_loaded_ && is_floating(i)) {
    load_floating(kvm_, state_);
    floating_loaded_ = true;
  }
  if (!step_kvm()) return false;
  counters_.hardware_steps++;
  if (positions_ == Positions::Steps) state_.icount++;
  if (branches_) branches_->stepped(is_conditional_branch(i));
  return true;
}

// The software engine's decoded form may be older than what the hardware has stored there.
void Engine::forget_code_at(const State& s) {
  const Walker walker(ram_, ram_bytes_, low_bytes_);
  const u64 first = code_address(s);
  u64 physical;
  if (walker.physical(s, first, physical)) reference_.forget_code(physical, 15);
  const u64 next_page = (first | 4095) + 1;
  if (next_page - first < 15 && walker.physical(s, next_page, physical)) {
    reference_.forget_code(physical, 15);
  }
}

const ExitRecord& Engine::step_reference(u64 limit) {
  to_reference();
  State s;
  reference_.get_state(s);
  look_at(s);
  const bool was_kicked = kicked_.exchange(false);
  const ExitRecord& e = reference_.run(std::min(limit, s.icount + 1));
  // It has its reasons to report a kick later; until then it stays one.
  if (was_kicked && e.reason != Exit::Kick) kicked_.store(true);
  counters_.reference_steps += e.icount - s.icount;
  on_reference_ = e.reason != Exit::Limit && e.reason != Exit::Kick;
  return e;
}

const ExitRecord& Engine::run_steps(u64 limit) {
  for (;;) {
    while (may_step(limit) && step_hardware()) {
    }
    const ExitRecord& e = step_reference(limit);
    if (e.reason != Exit::Limit || e.icount >= limit) return e;
  }
}

}  // namespace twinstep::vtx
