#include "vtx/landing.h"

#include <algorithm>

namespace twinstep::vtx {

Landing::Next Landing::next(uint64_t now, uint64_t target) {
  if (armed_ != 0 && now >= armed_) skid_max_ = std::max(skid_max_, now - armed_);
  armed_ = 0;
  if (now > target) {
    missed_++;
    return {Move::Missed, 0};
  }
  if (now == target) {
    landed_++;
    return {Move::There, 0};
  }
  // A run shorter than the margin could end beyond the target.
  if (target - now <= margin_) {
    steps_++;
    return {Move::Step, 0};
  }
  armed_ = target - margin_;
  return {Move::Run, armed_};
}

}  // namespace twinstep::vtx
