// How a run is made to end at an exact count of branches, with a counter whose alarm comes late.
//
// An alarm set for count n rings when the count is anywhere from n to n + skid. So the run is armed
// for `margin` (> skid) before the target, and what is left is done in single steps; so is a way too
// short for an alarm that every host takes. A run that ends at the target has missed it, too: how far
// behind its last branch it stands nobody knows. Only decisions are here: no counter, no guest, so the
// same code runs against hardware and against tests.
// Sources: research into record and replay on branch counters, docs/decisions/0050.
#pragma once

#include <cstdint>

namespace twinstep::vtx {

class Landing {
 public:
  enum class Move {
    Run,    // let the guest run, with the alarm at `alarm`
    Step,   // one instruction
    There,  // the count is the target
    Missed, // the alarm came later than the margin allows: this CPU cannot be trusted
  };
  struct Next {
    Move move;
    uint64_t alarm;  // count at which the alarm is to ring; only for Run
  };

  // The longest of the shortest periods Linux knows: 32 on Haswell, 128 on Broadwell and with an erratum.
  static constexpr uint64_t kShortest = 128;

  explicit Landing(uint64_t margin = 128) : margin_(margin) {}

  Next next(uint64_t now, uint64_t target);
  // After each run that was ordered, however it ended. False: beyond what the margin allows.
  bool ended(uint64_t now, uint64_t target);

  // Closer to its target a run is single steps.
  uint64_t reach() const { return margin_ + kShortest; }
  bool is_in_reach(uint64_t now, uint64_t target) const { return target - now <= reach(); }

  uint64_t margin() const { return margin_; }
  uint64_t landed() const { return landed_; }
  uint64_t missed() const { return missed_; }
  uint64_t skid_max() const { return skid_max_; }  // latest alarm seen, in branches
  uint64_t steps() const { return steps_; }

 private:
  uint64_t margin_;
  uint64_t armed_ = 0;  // alarm of the run that was ordered last; 0: none
  uint64_t landed_ = 0, missed_ = 0, skid_max_ = 0, steps_ = 0;
};

}  // namespace twinstep::vtx
