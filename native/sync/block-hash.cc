// See block-hash.h. Sources: EVP_Digest(3), EVP_EncryptInit(3) on AEAD modes, atexit(3): handlers run in reverse order
// of their registration.
#include "sync/block-hash.h"

#include <openssl/evp.h>

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <shared_mutex>

#include "memory/guest-memory.h"

namespace twinstep::sync {
namespace {

struct Gate {
  std::shared_mutex mutex;
  bool is_open = true;
};

// Never destroyed: threads may look at it for as long as there is a process.
Gate& gate() {
  static Gate* const made = [] {
    // Node has set OpenSSL up long before, so this runs before that is taken down. It waits for the blocks that are
    // being hashed, and no longer.
    std::atexit([] {
      const std::unique_lock lock(gate().mutex);
      gate().is_open = false;
    });
    return new Gate();
  }();
  return *made;
}

}  // namespace

bool is_zero(const uint8_t* bytes, size_t length) {
  return length == 0 || (bytes[0] == 0 && std::memcmp(bytes, bytes + 1, length - 1) == 0);
}

bool hash_block(const uint8_t* bytes, size_t length, uint8_t* to) {
  std::memset(to, 0, kHashBytes);
  if (is_zero(bytes, length)) return true;
  const std::shared_lock lock(gate().mutex);
  if (!gate().is_open) return false;
  uint8_t digest[EVP_MAX_MD_SIZE];
  EVP_Digest(bytes, length, digest, nullptr, EVP_sha256(), nullptr);
  std::memcpy(to, digest, kHashBytes);
  return true;
}

PageHash::PageHash(const uint8_t key[kKeyBytes]) {
  const std::shared_lock lock(gate().mutex);
  if (!gate().is_open) return;
  context_ = EVP_CIPHER_CTX_new();
  if (context_ != nullptr && EVP_EncryptInit_ex(context_, EVP_aes_128_gcm(), nullptr, key, nullptr) == 1) return;
  EVP_CIPHER_CTX_free(context_);
  context_ = nullptr;
}

PageHash::~PageHash() {
  const std::shared_lock lock(gate().mutex);
  // Else it goes with the process.
  if (gate().is_open) EVP_CIPHER_CTX_free(context_);
}

bool PageHash::of(const uint8_t* page, uint8_t* to) {
  constexpr uint8_t kNonce[12] = {};
  const std::shared_lock lock(gate().mutex);
  if (!gate().is_open || context_ == nullptr) return false;
  int done = 0;
  uint8_t none;
  // All of it is what GCM authenticates without encrypting it.
  return EVP_EncryptInit_ex(context_, nullptr, nullptr, nullptr, kNonce) == 1 &&
         EVP_EncryptUpdate(context_, nullptr, &done, page, memory::kPageBytes) == 1 &&
         EVP_EncryptFinal_ex(context_, &none, &done) == 1 &&
         EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, kHashBytes, to) == 1;
}

}  // namespace twinstep::sync
