// Guest memory: anonymous shared memory that any thread of this process can map by a token.
//
// A memfd, not malloc, because the vCPU thread, the thread that talks to the outside and the sync-up
// all look at the same bytes, each through a mapping of its own: closing one never pulls memory from
// under another. The file is sealed against resizing, so no access inside a mapping can ever fault.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace twinstep::memory {

inline constexpr uint64_t kPageBytes = 4096;
// What the bitmaps of its pages allow: they are gone through many times a second (docs/decisions/0056).
inline constexpr uint64_t kBytesMax = uint64_t{64} << 30;
// JavaScript sees it in banks of so much: Node 20 makes no view above 4 GiB, and here RAM parts in guest-physical
// space (soft::Engine::kLowRamMax). The mapping is one piece.
inline constexpr uint64_t kBankBytes = uint64_t{3} << 30;

// One mapping of one guest memory. Unmapped when the last holder lets go.
class Mapping {
 public:
  Mapping(uint8_t* data, uint64_t bytes, uint64_t token, std::shared_ptr<const int> file);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  uint8_t* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  // Names the memory (not the mapping) in this process; never reused, unlike a file descriptor.
  uint64_t token() const { return token_; }
  int file() const { return *file_; }

 private:
  uint8_t* data_;
  uint64_t bytes_;
  uint64_t token_;
  std::shared_ptr<const int> file_;
};

// Which pages of a memory are real: all others were never touched, or given back, and read as zeros. Remembers
// where it is, so that asking page after page costs a call an extent.
class Extents {
 public:
  explicit Extents(const Mapping& memory) : memory_(memory) {}
  // The first page from `page` on that is real, or the number of pages.
  uint64_t next(uint64_t page);
  // Behind the last page of the run that was found last.
  uint64_t end() const { return until_; }

 private:
  const Mapping& memory_;
  uint64_t from_ = 0;   // of the extent that was found last
  uint64_t until_ = 0;
  uint64_t asked_ = 0;  // from here to from_ is a hole
};

struct MapResult {
  std::shared_ptr<Mapping> mapping;  // null on failure
  std::string error;                 // then: what failed, in words
};

// New zeroed memory of `bytes` (a multiple of kPageBytes, 1 page to kBytesMax).
MapResult create(uint64_t bytes);
// Another mapping of the memory `token` names; fails once every mapping of it is gone.
MapResult attach(uint64_t token);

// Pages that are zeros from here on, and cost no memory until they are touched. False: errno says why.
bool clear_pages(const Mapping& memory, uint64_t first, uint64_t count);

}  // namespace twinstep::memory
