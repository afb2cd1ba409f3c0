// See page-store.h.
#include "sync/page-store.h"

#include <unistd.h>

#include <cerrno>

namespace twinstep::sync {
namespace {

using memory::kPageBytes;

int write_all(int fd, const uint8_t* bytes, size_t length, uint64_t offset) {
  for (size_t at = 0; at < length;) {
    const ssize_t put = pwrite(fd, bytes + at, length - at, static_cast<off_t>(offset + at));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return put == 0 ? EIO : errno;
    at += static_cast<size_t>(put);
  }
  return 0;
}

}  // namespace

int store_pages(const memory::Mapping& memory, digest::MemoryDigest& digest, const uint8_t* runs, size_t bytes) {
  const uint64_t pages = memory.bytes() / kPageBytes;
  for (size_t at = 0; at < bytes;) {
    if (bytes - at < kPageRunHeadBytes) return EINVAL;
    const uint8_t* const head = runs + at;
    const uint64_t first = head[0] | head[1] << 8 | head[2] << 16 | uint64_t{head[3]} << 24;
    const uint64_t count = head[4] | uint64_t{head[5]} << 8;
    const bool is_data = head[6] != 0;
    at += kPageRunHeadBytes;
    const uint64_t length = is_data ? count * kPageBytes : 0;
    if (first > pages || count > pages - first || length > bytes - at) return EINVAL;
    if (!is_data) {
      if (count > 0 && !memory::clear_pages(memory, first, count)) return errno;
      for (uint64_t page = 0; page < count; page++) digest.put(first + page, nullptr);
      continue;
    }
    if (const int error = write_all(memory.file(), runs + at, length, first * kPageBytes); error != 0) return error;
    for (uint64_t page = 0; page < count; page++) digest.put(first + page, runs + at + page * kPageBytes);
    at += length;
  }
  return 0;
}

}  // namespace twinstep::sync
