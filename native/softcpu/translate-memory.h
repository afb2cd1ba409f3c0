// Memory for translations: what is written is never executable, what is executable never writable.
//
// One memfd is mapped twice, once to run from and once to write through; behind the runnable mapping
// lies plain memory for what running code looks up (ExitSlot), in reach of a 32-bit displacement.
#pragma once

#include <cstddef>

#include "cpu.h"

namespace twinstep::soft::translate {

// Of one end of a translation, where it leads to another page: the page that was linked there.
struct ExitSlot {
  u64 physical;
};

class CodeMemory {
 public:
  static constexpr size_t kHotBytes = 24 << 20, kColdBytes = 24 << 20, kSlotBytes = 2 << 20;

  CodeMemory();
  ~CodeMemory();
  CodeMemory(const CodeMemory&) = delete;
  CodeMemory& operator=(const CodeMemory&) = delete;

  // Why this host cannot have it, in words; nullptr if it can.
  const char* why_not() const { return why_not_; }
  const u8* hot() const { return runs_; }
  const u8* cold() const { return runs_ + kHotBytes; }
  ExitSlot* slots() const { return reinterpret_cast<ExitSlot*>(runs_ + kHotBytes + kColdBytes); }
  u8* writable(const u8* runs) const { return written_ + (runs - runs_); }
  // Gives the pages back; all is gone.
  void clear();

 private:
  int fd_ = -1;
  u8* runs_ = nullptr;
  u8* written_ = nullptr;
  const char* why_not_ = nullptr;
};

}  // namespace twinstep::soft::translate
