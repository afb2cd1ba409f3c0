// A digest of all guest memory that costs only what was written since the last one.
//
// Every page has a hash mixed with its number; the digest is their sum modulo 2^64. A dirty page
// takes its old hash out and puts its new one in. A page that was never dirty is zero and hashes to
// nothing, so an untouched gigabyte costs nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "memory/guest-memory.h"

namespace twinstep::digest {

inline constexpr size_t kPageBytes = 4096;

// Equal contents, equal hash, on every host; one flipped bit changes it.
uint64_t hash_page(const uint8_t* page);

class MemoryDigest {
 public:
  explicit MemoryDigest(uint64_t bytes);

  // Bit n of `bitmap` set: page n of `memory` may have changed. Returns the digest. Where all 64 pages of a
  // word may have, `real` tells which of them to look at: looking at a page nobody touched would make it real.
  uint64_t update(const uint8_t* memory, const uint64_t* bitmap, size_t words, memory::Extents& real);
  // What page `index` holds now; null: zeros.
  void put(uint64_t index, const uint8_t* page);
  uint64_t value() const { return sum_; }
  // The hash of one page as of the last update: what tells two boards which page differs.
  uint64_t page(uint64_t index) const { return hashes_[index]; }
  uint64_t pages() const { return pages_; }

 private:
  // 64 pages that are zeros.
  void forget(uint64_t first);

  struct Free {
    void operator()(uint64_t* of) const { std::free(of); }
  };
  uint64_t pages_;
  // One a page, and real memory only where a page was ever dirty.
  std::unique_ptr<uint64_t[], Free> hashes_;
  uint64_t sum_ = 0;
};

}  // namespace twinstep::digest
