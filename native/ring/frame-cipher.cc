// See frame-cipher.h. Source: EVP_EncryptInit(3), section on AEAD modes.
#include "ring/frame-cipher.h"

#include <openssl/evp.h>

namespace twinstep::ring {

std::unique_ptr<FrameCipher> FrameCipher::make(const uint8_t key[kKeyBytes], uint32_t direction) {
  EVP_CIPHER_CTX* sealer = EVP_CIPHER_CTX_new();
  EVP_CIPHER_CTX* opener = EVP_CIPHER_CTX_new();
  std::unique_ptr<FrameCipher> made(new FrameCipher(sealer, opener, direction));
  if (sealer == nullptr || opener == nullptr) return nullptr;
  // The nonce length is 12 unless said otherwise.
  const EVP_CIPHER* kind = EVP_aes_256_gcm();
  if (EVP_EncryptInit_ex(sealer, kind, nullptr, key, nullptr) != 1) return nullptr;
  if (EVP_DecryptInit_ex(opener, kind, nullptr, key, nullptr) != 1) return nullptr;
  return made;
}

FrameCipher::FrameCipher(EVP_CIPHER_CTX* sealer, EVP_CIPHER_CTX* opener, uint32_t direction)
    : sealer_(sealer), opener_(opener), nonce_{} {
  for (int i = 0; i < 4; i++) nonce_[i] = static_cast<uint8_t>(direction >> (24 - 8 * i));
}

FrameCipher::~FrameCipher() {
  EVP_CIPHER_CTX_free(sealer_);
  EVP_CIPHER_CTX_free(opener_);
}

void FrameCipher::set_counter(uint64_t counter) {
  for (int i = 0; i < 8; i++) nonce_[4 + i] = static_cast<uint8_t>(counter >> (56 - 8 * i));
}

bool FrameCipher::seal(uint64_t counter, uint8_t* frame, const uint8_t* plain, size_t bytes) {
  set_counter(counter);
  uint8_t* body = frame + kHeaderBytes;
  int done = 0;
  return EVP_EncryptInit_ex(sealer_, nullptr, nullptr, nullptr, nonce_) == 1 &&
         EVP_EncryptUpdate(sealer_, nullptr, &done, frame, kHeaderBytes) == 1 &&
         EVP_EncryptUpdate(sealer_, body, &done, plain, static_cast<int>(bytes)) == 1 &&
         EVP_EncryptFinal_ex(sealer_, body + bytes, &done) == 1 &&
         EVP_CIPHER_CTX_ctrl(sealer_, EVP_CTRL_AEAD_GET_TAG, kTagBytes, body + bytes) == 1;
}

bool FrameCipher::open(uint64_t counter, const uint8_t* frame, size_t bytes, uint8_t* plain) {
  set_counter(counter);
  const uint8_t* body = frame + kHeaderBytes;
  uint8_t tag[kTagBytes];  // the library wants it writable
  for (size_t i = 0; i < kTagBytes; i++) tag[i] = body[bytes + i];
  uint8_t none;
  int done = 0;
  return EVP_DecryptInit_ex(opener_, nullptr, nullptr, nullptr, nonce_) == 1 &&
         EVP_DecryptUpdate(opener_, nullptr, &done, frame, kHeaderBytes) == 1 &&
         EVP_DecryptUpdate(opener_, plain, &done, body, static_cast<int>(bytes)) == 1 &&
         EVP_CIPHER_CTX_ctrl(opener_, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag) == 1 &&
         EVP_DecryptFinal_ex(opener_, &none, &done) == 1;
}

}  // namespace twinstep::ring
