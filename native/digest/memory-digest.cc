// See memory-digest.h. The mixing step is the 64 x 64 -> 128 bit multiplication folded by xor
// (as in the wyhash family); four independent lanes keep the multiplier busy.
#include "digest/memory-digest.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace twinstep::digest {
namespace {

// Odd constants with about half their bits set: the fractional digits of square roots of primes.
constexpr uint64_t kSecret[5] = {0x6a09e667f3bcc909, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
                                 0xa54ff53a5f1d36f1, 0x510e527fade682d1};

uint64_t mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t word(const uint8_t* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

bool is_zero(const uint8_t* page) {
  uint64_t any = 0;
  for (size_t at = 0; at < kPageBytes; at += 64) {
    for (size_t i = 0; i < 64; i += 8) any |= word(page + at + i);
    if (any != 0) return false;
  }
  return true;
}

}  // namespace

uint64_t hash_page(const uint8_t* page) {
  uint64_t lane[4] = {kSecret[0], kSecret[1], kSecret[2], kSecret[3]};
  for (size_t at = 0; at < kPageBytes; at += 64) {
    for (size_t i = 0; i < 4; i++) {
      // The lane is folded in after the product as well, so that a zero factor forgets nothing.
      const uint64_t a = word(page + at + i * 16);
      const uint64_t b = word(page + at + i * 16 + 8);
      lane[i] = std::rotl(lane[i], 23) * kSecret[4] + mix(a ^ lane[i] ^ kSecret[i], b ^ kSecret[4]) + b;
    }
  }
  return mix(lane[0] ^ kSecret[1], lane[1] ^ kSecret[2]) +
         mix(lane[2] ^ kSecret[3], lane[3] ^ kSecret[0]);
}

MemoryDigest::MemoryDigest(uint64_t bytes)
    : pages_(bytes / kPageBytes),
      hashes_(static_cast<uint64_t*>(std::calloc(std::max<uint64_t>(pages_, 1), sizeof(uint64_t)))) {
  if (!hashes_) throw std::bad_alloc();
}

uint64_t MemoryDigest::update(const uint8_t* memory, const uint64_t* bitmap, size_t words,
                              memory::Extents& real) {
  for (size_t w = 0; w < words; w++) {
    // All that the machine has, not what was just written: most of it may never have been touched.
    const bool may_be_hole = ~bitmap[w] == 0;
    if (may_be_hole && real.next(w * 64) >= w * 64 + 64) {
      forget(w * 64);
      continue;
    }
    for (uint64_t left = bitmap[w]; left != 0; left &= left - 1) {
      const uint64_t index = w * 64 + static_cast<uint64_t>(std::countr_zero(left));
      if (index >= pages_) return sum_;
      put(index, memory + index * kPageBytes);
    }
  }
  return sum_;
}

void MemoryDigest::put(uint64_t index, const uint8_t* page) {
  const bool is_nothing = page == nullptr || is_zero(page);
  // Mixing in the number makes two pages that changed places count.
  const uint64_t now = is_nothing ? 0 : mix(hash_page(page) ^ kSecret[0], (index + 1) * kSecret[1]) | 1;
  // What was nothing stays untouched: its hash costs no memory.
  if (now == hashes_[index]) return;
  sum_ += now - hashes_[index];
  hashes_[index] = now;
}

void MemoryDigest::forget(uint64_t first) {
  for (uint64_t index = first; index < first + 64 && index < pages_; index++) {
    if (hashes_[index] == 0) continue;
    sum_ -= hashes_[index];
    hashes_[index] = 0;
  }
}

}  // namespace twinstep::digest
