// The pages of a guest memory as sync-up looks at them. What was never touched is a hole in the memory's file and
// is not looked at: a look would make it real memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/guest-memory.h"
#include "sync/runs.h"

namespace twinstep::sync {

inline constexpr uint32_t kPagesAJob = 512;
inline constexpr uint32_t kPageRunBytesMax = 64 << 10;

struct PageScan {
  uint64_t next = 0;
  uint64_t looked_at = 0;  // pages that are real memory
};

// Pages from `first` on into `runs`: those whose bit is set in `bitmap` (one bit a page, in whole bytes), with the
// zeros among them; or, without a bitmap, all that are not zeros.
PageScan scan_pages(const memory::Mapping& memory, uint64_t first, const uint8_t* bitmap,
                    size_t bitmap_bytes, RunBuffer& runs);

}  // namespace twinstep::sync
