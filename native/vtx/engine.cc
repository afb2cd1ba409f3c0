// What both ways of running share: who holds the state, handing it over, and the calls between runs.
#include "vtx/engine.h"

#include <csignal>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "vtx/state.h"

namespace twinstep::vtx {

using soft::State;

// A kick, or the alarm of the branch counter. The handler does nothing; what counts is that the call
// comes back.
int kick_signal() { return SIGRTMIN + 5; }

namespace {

void ignore_signal() {
  static const bool done = [] {
    struct sigaction action{};
    action.sa_handler = [](int) {};
    action.sa_flags = SA_RESTART;
    sigaction(kick_signal(), &action, nullptr);
    return true;
  }();
  (void)done;
}

u64 low_part(u64 bytes) { return std::min<u64>(bytes, soft::Engine::kLowRamMax); }

}  // namespace

Engine::Engine(u8* ram, u64 ram_bytes, Positions positions, std::unique_ptr<BranchCounter> branches)
    : positions_(positions),
      ram_(ram),
      ram_bytes_(ram_bytes),
      low_bytes_(low_part(ram_bytes)),
      // Lent an instruction at a time: nothing gets warm there.
      reference_(ram, ram_bytes, {.translate = false}),
      kvm_(ram, ram_bytes, low_bytes_,
           {.exits_for_tsc = positions != Positions::Steps,
            .filters_msrs = positions != Positions::Steps}),
      dirty_((ram_bytes / 4096 + 63) / 64),
      branches_(std::move(branches)) {
  ignore_signal();
  const bool free = positions != Positions::Steps;
  load_cpuid(kvm_, {.tsc = free && !kvm_.tells_tsc(), .random = free, .xsave = free});
  kvm_.shared().kvm_valid_regs = KVM_SYNC_X86_REGS;
  if (free) reference_.stop_at_deliveries();
  reference_.get_state(state_);
}

Engine::~Engine() = default;

// ---- who holds the state ------------------------------------------------------------------------

void Engine::leave_kvm() {
  if (holder_ == Holder::Reference) return;
  if (positions_ == Positions::Steps || stepping_) {
    if (floating_loaded_) save_floating(kvm_, state_);
    state_.shadow = 0;
  } else {
    save_all(kvm_, state_);
    state_.halted = halted_;
    state_.in_shutdown = shutdown_;
    state_.nmi_pending = nmi_pending_;
  }
  if (positions_ != Positions::Steps) state_.icount = position_;
  state_.faults_here = 0;
  holder_ = Holder::Reference;
}

void Engine::to_reference() {
  if (holder_ == Holder::Reference) return;
  leave_kvm();
  if (const char* why = reference_.set_state(state_)) {
    throw Failure(std::string("KVM left a state no CPU can have: ") + why);
  }
}

bool Engine::run_kvm() {
  counters_.kvm_runs++;
  has_seen_ = true;
  return kvm_.run();
}

bool Engine::to_offset(u64 physical, u64& offset) const {
  offset = physical;
  if (physical < low_bytes_) return true;
  offset = physical - (u64{1} << 32) + low_bytes_;
  return physical >= u64{1} << 32 && offset < ram_bytes_;
}

// ---- the contract, but for run() ------------------------------------------------------------------

const soft::ExitRecord& Engine::run(u64 limit) { return run_any(limit, false); }

const soft::ExitRecord& Engine::run_near(u64 limit) { return run_any(limit, true); }

const soft::ExitRecord& Engine::run_any(u64 limit, bool near) {
  {
    std::lock_guard lock(runner_mutex_);
    runner_ = static_cast<pid_t>(syscall(SYS_gettid));
  }
  struct Leave {
    Engine& e;
    ~Leave() {
      std::lock_guard lock(e.runner_mutex_);
      e.runner_ = 0;
    }
  } leave{*this};
  return positions_ == Positions::Steps ? run_steps(limit) : run_free(limit, near);
}

// In steps the reference reports the kick. It is told first: whoever sees kicked_ finds it kicked.
void Engine::kick() noexcept {
  if (positions_ == Positions::Steps) reference_.kick();
  kicked_.store(true);
  if (positions_ == Positions::Steps) return;  // a step is over soon enough
  kvm_.shared().immediate_exit = 1;
  std::lock_guard lock(runner_mutex_);
  if (runner_ != 0) syscall(SYS_tgkill, getpid(), runner_, kick_signal());
}

void Engine::set_interrupt_line(bool raised) {
  line_ = raised;
  reference_.set_interrupt_line(raised);
}

void Engine::interrupt(u8 vector) {
  to_reference();
  forget_resume();
  reference_.interrupt(vector);
  halted_ = false;
}

// With a read out, KVM keeps the state; the NMI waits as it does on the software engine.
void Engine::nmi() {
  if (holder_ == Holder::Kvm && (waiting_ || answered_)) {
    nmi_pending_ = true;
    return;
  }
  to_reference();
  forget_resume();
  reference_.nmi();
}

// RF is of breakpoints, for one instruction. What of it is left at an exit is up to processor and KVM: between two
// iterations of a REP it is set, behind an instruction that KVM finished it stays. So without a breakpoint no frame and
// no state of a free run has it.
void Engine::forget_resume() {
  if (positions_ == Positions::Steps) return;
  State s;
  reference_.get_state(s);
  if (!(s.rflags & soft::RF) || (s.dr7 & 0xff)) return;
  s.rflags &= ~u64{soft::RF};
  if (const char* why = reference_.set_state(s)) throw Failure(why);
}

void Engine::reset() {
  to_reference();
  reference_.reset();
  reference_.get_state(state_);
  set_state(state_);
}

void Engine::get_state(State& out) {
  if (holder_ == Holder::Kvm && (waiting_ || answered_)) {
    out = state_;
    save_all(kvm_, out);
    out.halted = out.in_shutdown = out.faults_here = 0;
    out.nmi_pending = nmi_pending_;
    out.icount = position_;
    return;
  }
  to_reference();
  forget_resume();
  reference_.get_state(out);
}

const char* Engine::set_state(const State& in) {
  if (const char* why = reference_.set_state(in)) return why;
  if (waiting_ || answered_) {
    kvm_.take_dirty(dirty_.data());
    kvm_.drop_pending();
  }
  stepping_ = false;
  holder_ = Holder::Reference;
  state_ = in;
  loaded_ = State{};
  floating_loaded_ = false;
  flush_ = replaced_ = true;
  moved_ = waiting_ = answered_ = on_reference_ = must_run_ = read_answered_ = hand_over_counts_ = false;
  posted_.clear();
  posted_next_ = 0;
  position_ = in.icount;
  branches_seen_ = branches_ ? branches_->count() : 0;
  return nullptr;
}

u64 Engine::icount() const {
  if (positions_ != Positions::Steps) return position_;
  return holder_ == Holder::Reference ? reference_.icount() : state_.icount;
}

bool Engine::halted() {
  if (holder_ == Holder::Reference) return reference_.halted();
  return positions_ != Positions::Steps && !stepping_ && halted_;
}

// Time and random numbers are no business of KVM's: with KVM holding the rest, they are in state_.
void Engine::set_tsc(u64 base, u64 mult) {
  if (holder_ == Holder::Reference) {
    reference_.set_tsc(base, mult);
    return;
  }
  state_.tsc_base = base;
  state_.tsc_mult = mult;
  state_.tsc_icount = icount();
}

u64 tsc_at(const State& s, u64 icount) {
  using Wide = unsigned __int128;
  return s.tsc_base + static_cast<u64>(Wide{icount - s.tsc_icount} * s.tsc_mult >> 32);
}

u64 Engine::tsc() {
  State s;
  get_state(s);
  return tsc_at(s, s.icount);
}

void Engine::seed_entropy(const u64 seed[4]) {
  reference_.seed_entropy(seed);
  State s;
  reference_.get_state(s);
  std::memcpy(state_.rng, s.rng, sizeof s.rng);
}

// Of a memory that was replaced KVM forgets everything before it runs.
void Engine::memory_written(u64 physical, u64 bytes) {
  reference_.memory_written(physical, bytes);
  if (!replaced_) kvm_.pages_written(physical, bytes);
}

void Engine::take_dirty_pages(u64* bitmap, size_t words) {
  reference_.take_dirty_pages(bitmap, words);
  kvm_.take_dirty(dirty_.data());
  for (size_t n = 0; n < std::min(words, dirty_.size()); n++) bitmap[n] |= dirty_[n];
  std::fill(dirty_.begin(), dirty_.end(), 0);
}

}  // namespace twinstep::vtx
