// Converts arguments and forwards to digest/memory-digest.
#include "napi/memory-digest-napi.h"

#include <cstring>

#include "napi/guest-memory-napi.h"

namespace twinstep::napi {

Napi::Function MemoryDigest::define(Napi::Env env) {
  return DefineClass(env, "MemoryDigest",
                     {InstanceMethod<&MemoryDigest::update>("update"),
                      InstanceMethod<&MemoryDigest::page>("page")});
}

// Holds its own reference to the mapping: closing the GuestMemory does not pull it away.
MemoryDigest::MemoryDigest(const Napi::CallbackInfo& info) : Napi::ObjectWrap<MemoryDigest>(info) {
  if (info.Length() != 1) throw Napi::TypeError::New(info.Env(), "MemoryDigest needs a GuestMemory");
  memory_ = GuestMemory::mapping_of(info[0]);
  digest_ = std::make_unique<digest::MemoryDigest>(memory_->bytes());
}

Napi::Value MemoryDigest::update(const Napi::CallbackInfo& info) {
  if (info.Length() != 1 || !info[0].IsTypedArray()) {
    throw Napi::TypeError::New(info.Env(), "update(bitmap: Uint8Array)");
  }
  const auto bitmap = info[0].As<Napi::Uint8Array>();
  if (bitmap.ByteLength() % 8 != 0 || bitmap.ByteLength() * 8 < digest_->pages()) {
    throw Napi::RangeError::New(info.Env(), "bitmap: one bit a page, in whole 64-bit words");
  }
  words_.resize(bitmap.ByteLength() / 8);
  std::memcpy(words_.data(), bitmap.Data(), bitmap.ByteLength());
  memory::Extents real(*memory_);
  return Napi::BigInt::New(info.Env(),
                           digest_->update(memory_->data(), words_.data(), words_.size(), real));
}

Napi::Value MemoryDigest::page(const Napi::CallbackInfo& info) {
  const double index = info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
  if (!(index >= 0 && index < static_cast<double>(digest_->pages()))) {
    throw Napi::RangeError::New(info.Env(), "no such page");
  }
  return Napi::BigInt::New(info.Env(), digest_->page(static_cast<uint64_t>(index)));
}

}  // namespace twinstep::napi
