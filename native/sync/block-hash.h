// The hash of a block or a page, for threads that a process ends without waiting for. Before it is gone, exit() takes
// OpenSSL down (OPENSSL_cleanup(3)): from then on there are no hashes.
#pragma once

#include <cstddef>
#include <cstdint>

struct evp_cipher_ctx_st;

namespace twinstep::sync {

// Half of a SHA-256: two boards' blocks are never equal by chance. That of a block of zeros is zeros.
inline constexpr size_t kHashBytes = 16;

bool is_zero(const uint8_t* bytes, size_t length);

// False: the process ends.
bool hash_block(const uint8_t* bytes, size_t length, uint8_t* to);

// The hash of pages under a key that whoever fills them does not know: AES-128-GMAC, several times as fast as SHA-256.
// For two pages that differ at most 257 of all 2^128 values of what the key makes give the same (NIST SP 800-38D).
// That holds for pages chosen without the key alone, so a key is for one sync-up. The nonce stays the same: nobody
// sees a hash who does not have the pages too.
class PageHash {
 public:
  static constexpr size_t kKeyBytes = 16;
  explicit PageHash(const uint8_t key[kKeyBytes]);
  ~PageHash();
  PageHash(const PageHash&) = delete;
  PageHash& operator=(const PageHash&) = delete;

  // Of one page, which may be written meanwhile: of something, then. False: the process ends.
  bool of(const uint8_t* page, uint8_t* to);

 private:
  evp_cipher_ctx_st* context_ = nullptr;
};

}  // namespace twinstep::sync
