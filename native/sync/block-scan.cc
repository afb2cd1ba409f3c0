// See block-scan.h.
#include "sync/block-scan.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace twinstep::sync {
namespace {

// A hole that is shorter does not end a list of hashes.
constexpr uint64_t kShortHoleBlocks = 64;

uint32_t bytes_of(const Image& image, uint64_t block) {
  return static_cast<uint32_t>(std::min<uint64_t>(kBlockBytes, image.bytes - block * kBlockBytes));
}

// The first block from `block` on that may hold something, or `end`.
uint64_t next_data(const Image& image, uint64_t block, uint64_t end) {
  if (block >= end) return end;
  const off_t at = lseek(image.fd, static_cast<off_t>(block * kBlockBytes), SEEK_DATA);
  if (at < 0) {
    // Any other answer is of a file system that knows no holes.
    if (errno != ENXIO) return block;
    // No more of it; and where the file has become shorter, reading will tell.
    struct stat now;
    const bool is_whole = fstat(image.fd, &now) == 0 && static_cast<uint64_t>(now.st_size) >= image.bytes;
    return is_whole ? end : block;
  }
  return std::min(end, std::max(block, static_cast<uint64_t>(at) / kBlockBytes));
}

bool read_block(const Image& image, uint64_t block, uint8_t* bytes, Failure& failure) {
  const uint32_t length = bytes_of(image, block);
  for (uint32_t at = 0; at < length;) {
    const auto offset = static_cast<off_t>(block * kBlockBytes + at);
    const ssize_t got = pread(image.fd, bytes + at, length - at, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      failure = {got == 0 ? -1 : errno, block};
      return false;
    }
    at += static_cast<uint32_t>(got);
  }
  return true;
}

}  // namespace

Survey survey(const Image& image, uint64_t first, uint64_t end, uint8_t* hashes) {
  Survey found;
  const auto bytes = std::make_unique<uint8_t[]>(kBlockBytes);
  uint32_t reads = 0;
  for (uint64_t block = first; block < end && found.hashed < kBlocksAJob && reads < kBlocksAJob;) {
    const uint64_t data = next_data(image, block, end);
    if (data > block && found.hashed == 0) {
      found.zeros += data - block;
      block = data;
      continue;
    }
    uint8_t* const to = hashes + found.hashed * kHashBytes;
    if (data > block) {
      if (data - block >= kShortHoleBlocks) break;
      std::memset(to, 0, kHashBytes);
    } else {
      if (!read_block(image, block, bytes.get(), found.failure)) return found;
      reads++;
      const uint32_t length = bytes_of(image, block);
      found.bytes_read += length;
      if (found.hashed == 0 && is_zero(bytes.get(), length)) {
        found.zeros++;
        block++;
        continue;
      }
      if (!hash_block(bytes.get(), length, to)) {
        found.failure = {ECANCELED, block};
        return found;
      }
    }
    found.hashed++;
    block++;
  }
  return found;
}

Comparison compare(const Image& image, uint64_t first, const uint8_t* hashes, uint64_t zeros,
                   uint32_t hashed, RunBuffer& runs) {
  constexpr uint8_t kZeros[kHashBytes] = {};
  Comparison done;
  const uint64_t hashes_from = first + zeros;
  const uint64_t end = hashes_from + hashed;
  uint32_t reads = 0;
  for (done.next = first; done.next < end && reads < kBlocksAJob;) {
    const uint64_t block = done.next;
    const auto number = static_cast<uint32_t>(block);
    const uint8_t* const theirs =
        block < hashes_from ? kZeros : hashes + (block - hashes_from) * kHashBytes;
    const bool are_zeros = std::memcmp(theirs, kZeros, kHashBytes) == 0;
    const uint64_t data = next_data(image, block, block < hashes_from ? hashes_from : end);
    if (data > block) {
      // A hole here: equal over there as far as there are zeros.
      if (!are_zeros && !runs.keep_zeros(number, 1)) return done;
      done.next = block < hashes_from ? data : block + 1;
      continue;
    }
    const uint32_t length = bytes_of(image, block);
    uint8_t* const place = runs.place(number, length, kRunBytesMax);
    if (place == nullptr) return done;
    if (!read_block(image, block, place, done.failure)) return done;
    reads++;
    done.bytes_read += length;
    uint8_t ours[kHashBytes];
    if (!hash_block(place, length, ours)) {
      done.failure = {ECANCELED, block};
      return done;
    }
    if (std::memcmp(ours, theirs, kHashBytes) != 0) {
      if (std::memcmp(ours, kZeros, kHashBytes) != 0) {
        runs.keep(number, length);
      } else if (!runs.keep_zeros(number, 1)) {
        return done;
      }
    }
    done.next++;
  }
  return done;
}

}  // namespace twinstep::sync
