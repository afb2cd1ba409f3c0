// AES-256-GCM of frames in one direction, one key for the life of the object. The same bytes as
// logchan/cipher.ts on node:crypto, at a tenth of the cost: the key is expanded once, and nothing is
// allocated for a frame. Uses the OpenSSL that Node has linked in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

struct evp_cipher_ctx_st;

namespace twinstep::ring {

inline constexpr size_t kKeyBytes = 32;
inline constexpr size_t kTagBytes = 16;
inline constexpr size_t kHeaderBytes = 16;

class FrameCipher {
 public:
  // Null when the library refuses the key or has no such cipher.
  static std::unique_ptr<FrameCipher> make(const uint8_t key[kKeyBytes], uint32_t direction);
  ~FrameCipher();
  FrameCipher(const FrameCipher&) = delete;
  FrameCipher& operator=(const FrameCipher&) = delete;

  // frame: header already in place, room for header + bytes + tag. False only if the library fails.
  bool seal(uint64_t counter, uint8_t* frame, const uint8_t* plain, size_t bytes);
  // frame: header, sealed bytes, tag; `bytes` is what opens. False: not authentic.
  bool open(uint64_t counter, const uint8_t* frame, size_t bytes, uint8_t* plain);

 private:
  FrameCipher(evp_cipher_ctx_st* sealer, evp_cipher_ctx_st* opener, uint32_t direction);
  void set_counter(uint64_t counter);

  evp_cipher_ctx_st* sealer_;
  evp_cipher_ctx_st* opener_;
  uint8_t nonce_[12];
};

}  // namespace twinstep::ring
