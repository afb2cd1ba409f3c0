// The pages of a guest memory as sync-up looks at them. What was never touched is a hole in the memory's file and
// is not looked at: a look would make it real memory. Where holes are is known from when it was asked (`touched`):
// what is written after that is no part of what a job finds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/guest-memory.h"
#include "sync/block-hash.h"
#include "sync/runs.h"

namespace twinstep::sync {

inline constexpr uint32_t kPagesAJob = 512;
// What of them is only hashed goes faster.
inline constexpr uint32_t kPageHashesAJob = 16384;
inline constexpr uint32_t kPageRunBytesMax = 64 << 10;

struct PageScan {
  uint64_t next = 0;
  uint64_t looked_at = 0;  // pages that are real memory
};

// Pages from `first` on whose bit is set in `bitmap` (one bit a page, in whole bytes) into `runs`, with the zeros
// among them.
PageScan scan_pages(const memory::Mapping& memory, memory::Extents& touched, uint64_t first, const uint8_t* bitmap,
                    size_t bitmap_bytes, RunBuffer& runs);

// As a survey of blocks: the first `zeros` pages, and behind them pages with hashes, that of a page of zeros zeros.
struct PageSurvey {
  uint64_t zeros = 0;
  uint32_t hashed = 0;
  bool is_cut = false;  // The process ends.
};

// From `first` on, as far as one job goes; `hashes` has room for kPageHashesAJob. At least one page.
PageSurvey survey_pages(const memory::Mapping& memory, memory::Extents& touched, uint64_t first,
                        PageHash& hash, uint8_t* hashes);

struct PageComparison {
  uint64_t next = 0;
  uint64_t compared = 0;  // by their hashes
  bool is_cut = false;
};

// What another memory has from `first` on (as of a survey), against what is here. Where they differ the pages here
// go into `runs`. Goes as far as one job, or the room, goes: `next` is where to go on.
PageComparison compare_pages(const memory::Mapping& memory, memory::Extents& touched, uint64_t first,
                             const uint8_t* hashes, uint64_t zeros, uint32_t hashed, PageHash& hash,
                             RunBuffer& runs);

}  // namespace twinstep::sync
