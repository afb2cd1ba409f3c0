// The blocks of a disk image as sync-up looks at them: holes and zeros, hashes, and what differs from another
// board's. Reads past whoever writes meanwhile: the owner marks what is written and looks there again.
//
// Sources: lseek(2) SEEK_DATA and SEEK_HOLE.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sync/block-hash.h"
#include "sync/runs.h"

namespace twinstep::sync {

inline constexpr uint32_t kBlockBytes = 64 << 10;
// What one job reads at most: the owner hears of progress, and a stop is soon heeded.
inline constexpr uint32_t kBlocksAJob = 32;
// Blocks that travel together.
inline constexpr uint32_t kRunBytesMax = 7 * kBlockBytes;

struct Image {
  int fd;
  uint64_t bytes;
};

// `error` is an errno, 0 for none, -1 when the file is shorter than it was; then `at_block` is where. ECANCELED: the
// process ends.
struct Failure {
  int error = 0;
  uint64_t at_block = 0;
};

// Zeros are in no file system's way: the first `zeros` blocks, and behind them blocks with hashes.
struct Survey {
  uint64_t zeros = 0;
  uint32_t hashed = 0;
  uint64_t bytes_read = 0;
  Failure failure;
};

// From `first` up to `end`, as far as one job goes; `hashes` has room for kBlocksAJob. At least one block, unless
// first is end.
Survey survey(const Image& image, uint64_t first, uint64_t end, uint8_t* hashes);

struct Comparison {
  uint64_t next = 0;
  uint64_t bytes_read = 0;
  Failure failure;
};

// What another board has from `first` on (as of a survey), against what is here. Where they differ the blocks here
// go into `runs`. Goes as far as one job, or the room, goes: `next` is where to go on.
Comparison compare(const Image& image, uint64_t first, const uint8_t* hashes, uint64_t zeros,
                   uint32_t hashed, RunBuffer& runs);

}  // namespace twinstep::sync
