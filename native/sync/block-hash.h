// The hash of a block, for threads that a process ends without waiting for. Before it is gone, exit() takes OpenSSL down
// (OPENSSL_cleanup(3)): from then on there are no hashes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace twinstep::sync {

// Half of a SHA-256: two boards' blocks are never equal by chance. That of a block of zeros is zeros.
inline constexpr size_t kHashBytes = 16;

bool is_zero(const uint8_t* bytes, size_t length);

// False: the process ends.
bool hash_block(const uint8_t* bytes, size_t length, uint8_t* to);

}  // namespace twinstep::sync
