// Runs that end at an exact count of branches: the counter, its alarm, and the last stretch in single steps
// (landing.h has the rule). Where no branches are counted a run just goes on to the next exit.
#include "vtx/engine.h"

namespace twinstep::vtx {

void Engine::go_on(u64 limit) {
  if (positions_ != Positions::Branches) {
    enter();
    return;
  }
  const Landing::Next next = landing_.next(position_, limit);
  switch (next.move) {
    case Landing::Move::Run:
      run_to_alarm(next.alarm - position_);
      if (!landing_.ended(position_, limit)) miss();
      return;
    case Landing::Move::Step: step_counted(); return;
    default: return;  // due() looks at the limit first
  }
}

void Engine::check_landing(u64 limit) {
  if (landing_.next(position_, limit).move == Landing::Move::Missed) miss();
}

void Engine::miss() {
  throw Failure("the branch counter's alarm came " + std::to_string(landing_.skid_max()) +
                " branches late: this processor cannot land");
}

void Engine::open_counter() {
  OpenedCounter opened = open_branch_counter(kick_signal());
  if (!opened.counter) throw Failure(opened.why);
  branches_ = std::move(opened.counter);
  landing_ = Landing(branches_->skid() + 64);
  branches_seen_ = branches_->count();
}

void Engine::count_branches() {
  if (!branches_) return;
  const u64 now = branches_->count();
  position_ += now - branches_seen_;
  branches_seen_ = now;
}

void Engine::counted_on_reference() {
  if (positions_ == Positions::Branches) position_++;
}

void Engine::run_to_alarm(u64 branches) {
  if (!branches_->alarm_after(branches)) {
    step_counted();
    return;
  }
  if (branches_->is_stepped()) {
    // A counter without hardware: the run is steps, the alarm comes when it says so.
    const u64 before = counters_.exits;
    while (!branches_->rings() && counters_.exits == before && !on_reference_ && !kicked_.load()) {
      step_counted();
      if (is_shut_down() || halted()) break;
    }
  } else {
    enter();
  }
  branches_->no_alarm();
}

// One instruction towards the target: by the hardware if it may, else by the software engine.
void Engine::step_counted() {
  if (!stepping_) to_reference();
  if (may_step(~u64{0}) && step_hardware()) {
    count_branches();
    return;
  }
  to_reference();
  on_reference_ = must_run_ = true;
}

}  // namespace twinstep::vtx
