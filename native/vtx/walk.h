// Where an address of the guest's lies, by its own page tables, without touching them: to look at the
// instruction it is about to execute. Answers false where anything is missing; what that means is
// found out by executing.
#pragma once

#include "softcpu/cpu.h"

namespace twinstep::vtx {

class Walker {
 public:
  Walker(const soft::u8* ram, soft::u64 ram_bytes, soft::u64 low_bytes)
      : ram_(ram), ram_bytes_(ram_bytes), low_bytes_(low_bytes) {}
  bool physical(const soft::State& s, soft::u64 linear, soft::u64& out) const;
  // At most `bytes` bytes from `linear` on, fewer where the next page is missing.
  soft::u32 read(const soft::State& s, soft::u64 linear, soft::u8* to, soft::u32 bytes) const;

 private:
  bool entry(soft::u64 physical, soft::u32 bytes, soft::u64& out) const;
  const soft::u8* ram_;
  soft::u64 ram_bytes_, low_bytes_;
};

}  // namespace twinstep::vtx
