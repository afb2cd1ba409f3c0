// See page-scan.h.
#include "sync/page-scan.h"

#include <algorithm>
#include <cstring>

namespace twinstep::sync {
namespace {

using memory::kPageBytes;

// A hole that is shorter does not end a list of hashes.
constexpr uint64_t kShortHolePages = 512;

bool is_set(const uint8_t* bitmap, uint64_t page) { return (bitmap[page / 8] >> (page % 8) & 1) != 0; }

// The first page from `page` on whose bit is set, or `end`.
uint64_t next_set(const uint8_t* bitmap, uint64_t page, uint64_t end) {
  while (page < end && !is_set(bitmap, page)) page += bitmap[page / 8] == 0 ? 8 - page % 8 : 1;
  return std::min(page, end);
}

bool keep_page(RunBuffer& runs, uint32_t number, const uint8_t* from) {
  uint8_t* const place = runs.place(number, kPageBytes, kPageRunBytesMax);
  if (place == nullptr) return false;
  std::memcpy(place, from, kPageBytes);
  runs.keep(number, kPageBytes);
  return true;
}

}  // namespace

PageScan scan_pages(const memory::Mapping& memory, memory::Extents& touched, uint64_t first, const uint8_t* bitmap,
                    size_t bitmap_bytes, RunBuffer& runs) {
  const uint64_t end = std::min<uint64_t>(memory.bytes() / kPageBytes, bitmap_bytes * 8);
  PageScan scan;
  for (scan.next = first; scan.next < end && scan.looked_at < kPagesAJob;) {
    const uint64_t page = next_set(bitmap, scan.next, end);
    scan.next = page;
    if (page >= end) break;
    const auto number = static_cast<uint32_t>(page);
    const uint8_t* const from = memory.data() + page * kPageBytes;
    const bool is_real = touched.next(page) == page;
    const bool holds = is_real && !is_zero(from, kPageBytes);
    if (!(holds ? keep_page(runs, number, from) : runs.keep_zeros(number, 1))) return scan;
    if (is_real) scan.looked_at++;
    scan.next = page + 1;
  }
  return scan;
}

PageSurvey survey_pages(const memory::Mapping& memory, memory::Extents& touched, uint64_t first,
                        PageHash& hash, uint8_t* hashes) {
  const uint64_t end = memory.bytes() / kPageBytes;
  PageSurvey found;
  uint32_t looked_at = 0;
  for (uint64_t page = first; page < end && found.hashed < kPageHashesAJob && looked_at < kPageHashesAJob;) {
    const uint64_t real = touched.next(page);
    if (real > page && found.hashed == 0) {
      found.zeros += real - page;
      page = real;
      continue;
    }
    if (real - page >= kShortHolePages) break;
    uint8_t* const to = hashes + found.hashed * kHashBytes;
    const uint8_t* const from = memory.data() + page * kPageBytes;
    const bool holds = real == page && !is_zero(from, kPageBytes);
    if (real == page) looked_at++;
    page++;
    if (!holds && found.hashed == 0) {
      found.zeros++;
      continue;
    }
    if (!holds) {
      std::memset(to, 0, kHashBytes);
    } else if (!hash.of(from, to)) {
      found.is_cut = true;
      return found;
    }
    found.hashed++;
  }
  return found;
}

PageComparison compare_pages(const memory::Mapping& memory, memory::Extents& touched, uint64_t first,
                             const uint8_t* hashes, uint64_t zeros, uint32_t hashed, PageHash& hash,
                             RunBuffer& runs) {
  constexpr uint8_t kZeros[kHashBytes] = {};
  const uint64_t pages = memory.bytes() / kPageBytes;
  const uint64_t hashes_from = std::min(pages, first + zeros);
  const uint64_t end = std::min(pages, hashes_from + hashed);
  PageComparison done;
  uint32_t looked_at = 0;
  for (done.next = first; done.next < end && looked_at < kPageHashesAJob; done.next++) {
    if (done.next < hashes_from) {
      // Equal as far as there is nothing here either.
      done.next = std::min(hashes_from, touched.next(done.next));
      if (done.next == end) break;
    }
    const uint64_t page = done.next;
    const auto number = static_cast<uint32_t>(page);
    const uint8_t* const theirs = page < hashes_from ? kZeros : hashes + (page - hashes_from) * kHashBytes;
    const bool are_zeros = std::memcmp(theirs, kZeros, kHashBytes) == 0;
    const uint8_t* const from = memory.data() + page * kPageBytes;
    const bool is_real = touched.next(page) == page;
    if (is_real) looked_at++;
    if (!is_real || is_zero(from, kPageBytes)) {
      if (!are_zeros && !runs.keep_zeros(number, 1)) return done;
      continue;
    }
    if (!are_zeros) {
      uint8_t ours[kHashBytes];
      if (!hash.of(from, ours)) {
        done.is_cut = true;
        return done;
      }
      done.compared++;
      if (std::memcmp(ours, theirs, kHashBytes) == 0) continue;
    }
    if (!keep_page(runs, number, from)) return done;
  }
  return done;
}

}  // namespace twinstep::sync
