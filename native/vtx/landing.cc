#include "vtx/landing.h"

#include <algorithm>

namespace twinstep::vtx {

Landing::Next Landing::next(uint64_t now, uint64_t target) {
  if (now > target) {
    missed_++;
    return {Move::Missed, 0};
  }
  if (now == target) {
    landed_++;
    return {Move::There, 0};
  }
  // A run shorter than the margin could end beyond the target, and a period too short is refused.
  if (is_in_reach(now, target)) {
    steps_++;
    return {Move::Step, 0};
  }
  armed_ = target - margin_;
  return {Move::Run, armed_};
}

bool Landing::ended(uint64_t now, uint64_t target) {
  if (now >= armed_) skid_max_ = std::max(skid_max_, now - armed_);
  if (now < target) return true;
  missed_++;
  return false;
}

}  // namespace twinstep::vtx
