// What the programs core-*.cc share: a guest in long mode with its count of instructions, and the ways
// of cutting a run into slices in which every test is repeated.
#pragma once
#include "sys-rig.h"

namespace twinstep::soft::test {

#define LOAD(rig, at, name) (rig).load(at, guest_##name, guest_##name##_end)

struct LongRig : Rig {
  explicit LongRig(const u8* begin, const u8* end, u8 cpl = 0) {
    long_mode(cpl == 0 ? kCode : kUserCode, cpl);
    load(s.rip, begin, end);
    from = s.icount;
  }
  u64 counted() const { return engine.icount() - from; }
  u64 from;
};
#define RIG(name, guest) LongRig name(guest_##guest, guest_##guest##_end)

void run_positions();
void run_translations();
void run_links();

}  // namespace twinstep::soft::test
