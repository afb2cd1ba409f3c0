// See page-scan.h.
#include "sync/page-scan.h"

#include <algorithm>
#include <cstring>

namespace twinstep::sync {
namespace {

using memory::kPageBytes;

bool is_zero(const uint8_t* page) {
  return page[0] == 0 && std::memcmp(page, page + 1, kPageBytes - 1) == 0;
}

bool is_set(const uint8_t* bitmap, uint64_t page) { return (bitmap[page / 8] >> (page % 8) & 1) != 0; }

// The first page from `page` on whose bit is set, or `end`.
uint64_t next_set(const uint8_t* bitmap, uint64_t page, uint64_t end) {
  while (page < end && !is_set(bitmap, page)) page += bitmap[page / 8] == 0 ? 8 - page % 8 : 1;
  return std::min(page, end);
}

}  // namespace

PageScan scan_pages(const memory::Mapping& memory, uint64_t first, const uint8_t* bitmap,
                    size_t bitmap_bytes, RunBuffer& runs) {
  uint64_t end = memory.bytes() / kPageBytes;
  if (bitmap != nullptr) end = std::min<uint64_t>(end, bitmap_bytes * 8);
  memory::Extents touched(memory);
  PageScan scan;
  for (scan.next = first; scan.next < end && scan.looked_at < kPagesAJob;) {
    const uint64_t page =
        bitmap == nullptr ? touched.next(scan.next) : next_set(bitmap, scan.next, end);
    scan.next = page;
    if (page >= end) break;
    const auto number = static_cast<uint32_t>(page);
    const uint8_t* const from = memory.data() + page * kPageBytes;
    const bool is_real = touched.next(page) == page;
    if (!is_real || is_zero(from)) {
      if (bitmap != nullptr && !runs.keep_zeros(number, 1)) return scan;
    } else {
      uint8_t* const place = runs.place(number, kPageBytes, kPageRunBytesMax);
      if (place == nullptr) return scan;
      std::memcpy(place, from, kPageBytes);
      runs.keep(number, kPageBytes);
    }
    if (is_real) scan.looked_at++;
    scan.next = page + 1;
  }
  return scan;
}

}  // namespace twinstep::sync
