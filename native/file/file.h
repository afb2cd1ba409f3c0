// What files can do that Node does not offer: advisory locks and holes.
//
// Sources: flock(2), fallocate(2).
#pragma once

#include <cstdint>

namespace twinstep::file {

enum class LockOutcome { locked, busy, failed };

// Locks the open file for as long as its description is open; `error` is errno when it failed.
// flock, not fcntl: it belongs to this opening of the file, so a second one in the same process is
// kept out too, and no other descriptor's close can lose it.
LockOutcome lock(int fd, bool is_exclusive, int& error);

enum class HoleOutcome { punched, unsupported, failed };

// Gives the blocks of the range back to the file system; it reads as zeros, the size stays.
HoleOutcome punch_hole(int fd, uint64_t offset, uint64_t bytes, int& error);

}  // namespace twinstep::file
