// Letting the guest run until it leaves by itself, and counting that.
//
// A unit of position is an exit the guest caused and whose instruction has retired: a port or device
// memory access, HLT, a TSC or MSR access that user space answers; where no branches are counted an
// interrupt window it opened; where they are, a retired conditional branch. Both boards see the same
// units, whatever else made KVM come back in between (signals, missing pages, the host's interrupts).
#include <algorithm>
#include <cstring>

#include "softcpu/decode.h"
#include "softcpu/sys.h"
#include "vtx/engine.h"
#include "vtx/step-policy.h"
#include "vtx/state.h"

namespace twinstep::vtx {

using soft::Exit;
using soft::ExitRecord;
using soft::Insn;
using soft::State;

const ExitRecord& Engine::report(Exit reason) {
  exit_ = {reason, 0, 0, 0, position_};
  return exit_;
}

// What is due at this boundary before anything runs, in the order of softcpu/run.cc.
const ExitRecord* Engine::due(u64 limit) {
  if (waiting_) return &exit_;
  if (posted_next_ < posted_.size()) {
    exit_ = posted_[posted_next_++];
    exit_.icount = position_;
    return &exit_;
  }
  posted_.clear();
  posted_next_ = 0;
  if (is_shut_down()) return &report(Exit::Shutdown);
  if (position_ >= limit) return &report(Exit::Limit);
  if (answered_) return nullptr;
  if (kicked_.exchange(false)) return &report(Exit::Kick);
  if (has_nmi()) return nullptr;
  if (line_ && can_interrupt()) return &report(Exit::InterruptWindow);
  if (halted()) return &report(Exit::Halt);
  return nullptr;
}

// What was single-stepped last stands between two ordinary instructions (may_step).
bool Engine::is_shut_down() {
  if (holder_ == Holder::Kvm) return !stepping_ && shutdown_;
  reference_.get_state(state_);
  return state_.in_shutdown;
}

bool Engine::has_nmi() {
  if (holder_ == Holder::Kvm) return !stepping_ && nmi_pending_;
  reference_.get_state(state_);
  return state_.nmi_pending;
}

// `near`: within reach of the limit, the next unit is one.
const ExitRecord& Engine::run_free(u64 limit, bool near) {
  if (positions_ == Positions::Branches && !branches_) open_counter();
  // The counter is the thread's: what guests of other engines did on it between two runs is not ours.
  if (branches_) branches_seen_ = branches_->count();
  const bool must_land = positions_ == Positions::Branches && position_ < limit;
  near &= must_land;
  for (;;) {
    if (near && landing_.is_in_reach(position_, limit)) {
      limit = position_ + 1;
      near = false;
    }
    const ExitRecord* e = on_reference_ ? run_reference(limit) : nullptr;
    if (!e && on_reference_) continue;
    if (!e) e = due(limit);
    if (e) {
      if (must_land && e->reason == Exit::Limit) check_landing(limit);
      return *e;
    }
    if (answered_) {
      finish_read();
    } else if (has_nmi()) {
      to_reference();
      forget_resume();
      on_reference_ = must_run_ = true;
    } else {
      go_on(limit);
    }
  }
}

// ---- slices closed where no position is -----------------------------------------------------------

bool Engine::is_between() {
  if (positions_ != Positions::Exits || !moved_) return false;
  if (waiting_ || answered_ || on_reference_ || posted_next_ < posted_.size()) return false;
  if (is_shut_down() || halted()) return false;
  return holder_ == Holder::Reference || !is_delivering(kvm_);
}

void Engine::close_slice() {
  to_reference();
  State s;
  reference_.get_state(s);
  s.icount = ++position_;
  moved_ = false;
  if (const char* why = reference_.set_state(s)) throw Failure(why);
}

// ---- in the guest ---------------------------------------------------------------------------------

void Engine::to_kvm() {
  if (holder_ == Holder::Kvm && !stepping_) return;
  to_reference();
  reference_.get_state(state_);
  kvm_.single_step(false);
  forget_tables();
  if (flush_) forget_translations(false);
  load_all(kvm_, state_);
  stepping_ = floating_loaded_ = false;
  halted_ = state_.halted;
  shutdown_ = state_.in_shutdown;
  nmi_pending_ = state_.nmi_pending;
  holder_ = Holder::Kvm;
  loaded_ = State{};
}

void Engine::enter() {
  to_kvm();
  kvm_run& run = kvm_.shared();
  run.request_interrupt_window = line_;
  run.immediate_exit = 0;
  if (kicked_.load()) return;
  moved_ = true;
  if (!run_kvm()) {
    count_branches();
    return;
  }
  count_branches();
  take_exit();
}

void Engine::take_exit() {
  const kvm_run& run = kvm_.shared();
  switch (run.exit_reason) {
    case KVM_EXIT_IO:
      if (run.io.count != 1) {
        counters_.ports++;
        hand_over(true);
      } else {
        take_access();
      }
      return;
    case KVM_EXIT_MMIO: take_access(); return;
    case KVM_EXIT_HLT:
      halted_ = true;
      counters_.halts++;
      unit();
      return;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      // The last stretch of a landing has no such exit, so where one lands it is no unit (0057).
      counters_.windows++;
      if (positions_ == Positions::Exits) unit();
      return;
    case KVM_EXIT_SHUTDOWN: shutdown_ = true; return;
    case KVM_EXIT_X86_RDMSR:
      if (run.msr.index == kTscMsr && !(run.s.regs.regs.rflags & soft::TF)) {
        tell_tsc();
        return;
      }
      [[fallthrough]];
    case KVM_EXIT_X86_WRMSR:
      counters_.msrs++;
      hand_over(true);
      return;
    case KVM_EXIT_INTERNAL_ERROR: hand_over(false); return;
    case KVM_EXIT_SET_TPR:  // CR8 has fallen; there is no controller it would hold back, and no step sees this
    case KVM_EXIT_INTR:
    case KVM_EXIT_DEBUG: return;
    case KVM_EXIT_FAIL_ENTRY:
      throw Failure("KVM: the processor refused the guest's state, reason " +
                    std::to_string(run.fail_entry.hardware_entry_failure_reason));
    default: throw Failure("KVM: exit of unknown kind " + std::to_string(run.exit_reason));
  }
}

void Engine::unit() {
  moved_ = false;
  position_++;
  counters_.exits++;
}

// A port or device memory access, perhaps in several pieces: writes are collected until the
// instruction has retired, a read stops at once.
void Engine::take_access() {
  kvm_run& run = kvm_.shared();
  counters_.ports += run.exit_reason == KVM_EXIT_IO;
  counters_.memory += run.exit_reason == KVM_EXIT_MMIO;
  for (;;) {
    u64 value = 0;
    if (run.exit_reason == KVM_EXIT_IO) {
      const auto* data = reinterpret_cast<const u8*>(&run) + run.io.data_offset;
      const bool in = run.io.direction == KVM_EXIT_IO_IN;
      if (!in) std::memcpy(&value, data, run.io.size);
      exit_ = {in ? Exit::PortIn : Exit::PortOut, run.io.size, run.io.port, value, position_};
    } else {
      const auto& m = run.mmio;
      if (m.is_write) std::memcpy(&value, m.data, m.len);
      exit_ = {m.is_write ? Exit::MmioWrite : Exit::MmioRead, m.len, m.phys_addr, value, position_};
    }
    if (exit_.reason == Exit::PortIn || exit_.reason == Exit::MmioRead) {
      waiting_ = true;
      return;
    }
    posted_.push_back(exit_);
    if (kvm_.settle()) break;
  }
  unit();
}

void Engine::complete_read(u64 value) {
  if (on_reference_ || positions_ == Positions::Steps) {
    reference_.complete_read(value);
    read_answered_ = true;
    return;
  }
  if (!waiting_) return;
  kvm_run& run = kvm_.shared();
  if (run.exit_reason == KVM_EXIT_IO) {
    std::memcpy(reinterpret_cast<u8*>(&run) + run.io.data_offset, &value, run.io.size);
  } else {
    std::memcpy(run.mmio.data, &value, run.mmio.len);
  }
  waiting_ = false;
  answered_ = true;
}

void Engine::finish_read() {
  answered_ = false;
  if (kvm_.settle()) {
    unit();
  } else {
    take_access();
  }
}

bool Engine::can_interrupt() {
  if (waiting_ || answered_ || on_reference_busy()) return false;
  if (holder_ == Holder::Reference) return reference_.can_interrupt();
  if (stepping_) return state_.rflags & soft::IF;
  return kvm_.shared().ready_for_interrupt_injection && !shutdown_;
}

bool Engine::on_reference_busy() const {
  return positions_ != Positions::Steps && on_reference_ && (read_answered_ || must_run_);
}

// RDTSC, RDTSCP and RDMSR of the same: KVM puts the value into the registers and goes past the
// instruction. A Linux asks at every interrupt, so nothing is moved for it, least of all translations.
// With TF the trap behind it would be pending in KVM, where no state finds it: not here.
void Engine::tell_tsc() {
  kvm_run& run = kvm_.shared();
  const u32 reason = run.msr.reason;
  const u64 from = run.s.regs.regs.rip;
  run.msr.error = 0;
  run.msr.data = tsc_at(state_, position_);
  if (!kvm_.settle()) throw Failure("KVM: an answer with the time made another exit");
  // QEMU's SVM says RDTSC of RDTSCP; the length gives it away.
  const bool is_long = reason == kReasonRdtsc && run.s.regs.regs.rip - from > 2;
  if (reason == kReasonRdtscp || (is_long && is_rdtscp_at(from))) {
    kvm_regs r{};
    kvm_.get(KVM_GET_REGS, r, "registers");
    r.rcx = static_cast<u32>(state_.tsc_aux);
    kvm_.set(KVM_SET_REGS, r, "registers");
  }
  counters_.tsc++;
  unit();
}

bool Engine::is_rdtscp_at(u64 rip) {
  State s = state_;
  save_system(kvm_, s);
  s.rip = rip;
  u8 bytes[15];
  u32 available;
  Insn i;
  return fetch(s, bytes, available) &&
         soft::decode(bytes, available, code_bits(s), rip, i) == soft::Decode::Ok && i.map == 1 &&
         i.opcode == 0x01 && i.modrm == 0xf9;
}

// ---- one instruction on the software engine -------------------------------------------------------

// The instruction KVM stopped in is executed by the software engine, from its beginning. What is under
// way in KVM ends without effect: an MSR access changes registers only, which are put back.
void Engine::hand_over(bool counts) {
  State s = state_;
  save_all(kvm_, s);
  const u32 reason = kvm_.shared().exit_reason;
  const bool is_msr = reason == KVM_EXIT_X86_RDMSR || reason == KVM_EXIT_X86_WRMSR;
  if (!is_msr || !kvm_.settle()) {
    kvm_.take_dirty(dirty_.data());
    kvm_.drop_pending();
  }
  s.halted = s.in_shutdown = 0;
  s.nmi_pending = nmi_pending_;
  s.icount = position_;
  s.faults_here = 0;
  state_ = s;
  holder_ = Holder::Reference;
  if (const char* why = reference_.set_state(s)) {
    throw Failure(std::string("KVM left a state no CPU can have: ") + why);
  }
  on_reference_ = must_run_ = true;
  hand_over_counts_ = counts;
}

// Null: nothing to report, and perhaps nothing left to do here (on_reference_).
const ExitRecord* Engine::run_reference(u64 limit) {
  if (!read_answered_) {
    const ExitRecord& left = reference_.run(position_);  // writes still to be reported
    if (left.reason != Exit::Limit) return &left;
    if (!must_run_) {
      on_reference_ = false;
      return nullptr;
    }
  }
  if (position_ >= limit) return &report(Exit::Limit);
  State s;
  reference_.get_state(s);
  const Look look = look_at(s);
  const bool counts = read_answered_ || hand_over_counts_ || look.exits;
  must_run_ = read_answered_ = hand_over_counts_ = false;
  const ExitRecord& e = reference_.run(s.icount + look.iterations);
  counters_.reference_steps++;
  if (e.reason == Exit::PortIn || e.reason == Exit::MmioRead) return &e;
  State after;
  reference_.get_state(after);
  if (e.reason == Exit::InterruptWindow || e.reason == Exit::Shutdown) {
    on_reference_ = false;
    count_as_here(after);
    return nullptr;  // due() says the same, in its own order
  }
  const bool has_faulted = after.icount == s.icount;
  if (counts || e.reason == Exit::PortOut || e.reason == Exit::MmioWrite) {
    unit();
  } else if (look.branches && !has_faulted) {
    counted_on_reference();
  }
  count_as_here(after);
  must_run_ = (look.repeats && after.rip == s.rip) || after.debug_pending;
  if (e.reason != Exit::Limit) {
    exit_ = e;
    exit_.icount = position_;
    return &exit_;
  }
  return nullptr;
}

// The reference counts instructions, and none that faulted.
void Engine::count_as_here(State& s) {
  if (s.icount == position_) return;
  s.icount = position_;
  reference_.set_state(s);
}

Engine::Look Engine::look_at(const State& s) {
  u8 bytes[15];
  u32 available;
  Insn i;
  forget_code_at(s);
  if (!fetch(s, bytes, available) ||
      soft::decode(bytes, available, code_bits(s), s.rip, i) != soft::Decode::Ok) {
    return {};
  }
  tell_written(s, i);
  Look look;
  look.exits = always_exits(i);
  const u32 msr = static_cast<u32>(s.gpr[soft::RCX]);
  const bool is_msr = i.map == 1 && (i.opcode == 0x30 || i.opcode == 0x32);
  if (is_msr && is_fast_msr(msr)) look.exits = false;
  const bool is_tsc = i.map == 1 && (i.opcode == 0x31 || i.opcode == 0x01);
  if (is_tsc && !kvm_.tells_tsc()) look.exits = false;
  look.branches = is_conditional_branch(i);
  look.repeats = i.rep != 0 && i.map == 0 && ((i.opcode >= 0x6c && i.opcode <= 0x6f) || is_repeated(i));
  if (is_plain_repeat(i)) look.iterations = iterations_of(i, s.gpr[soft::RCX]);
  flush_ |= changes_translation(i);
  return look;
}

}  // namespace twinstep::vtx
