// Retired conditional branches of the guest, counted by the processor, with an alarm.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace twinstep::vtx {

class BranchCounter {
 public:
  virtual ~BranchCounter() = default;
  // Branches of guests on this thread since the counter was made; exact at every exit.
  virtual uint64_t count() = 0;
  // The guest is stopped soon after `branches` from now. False: the host takes no such alarm, none is set.
  virtual bool alarm_after(uint64_t branches) = 0;
  virtual void no_alarm() = 0;
  // Branches by which an alarm may come late.
  virtual uint64_t skid() const = 0;

  // For counters without hardware, which are told every step and whose runs are steps (tests).
  virtual bool is_stepped() const { return false; }
  virtual void stepped(bool was_branch) {}
  virtual bool rings() { return false; }
};

struct OpenedCounter {
  std::unique_ptr<BranchCounter> counter;  // null where the host has none
  std::string why;                         // then: why not, in words
};

// Counts steps, and rings up to `skid` branches late, as a generator of the given seed decides.
std::unique_ptr<BranchCounter> make_stepped_counter(uint64_t skid, uint64_t seed);

// The host's own, by perf events, for the calling thread. `signal` interrupts KVM_RUN at an alarm.
OpenedCounter open_branch_counter(int signal);

}  // namespace twinstep::vtx
