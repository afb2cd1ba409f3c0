// Converts arguments and forwards to digest/memory-digest.
#include "napi/memory-digest-napi.h"

#include <cstring>
#include <mutex>
#include <unordered_map>

#include "napi/arguments.h"
#include "napi/guest-memory-napi.h"

namespace twinstep::napi {
namespace {

constexpr napi_type_tag kTag = {0x1f0a6c57e2b94d83, 0x83d5b07c4e2f9a16};

// Process-wide, as that of guest memory: one thread makes a digest, another goes on with it.
std::mutex registry_mutex;
std::unordered_map<uint64_t, std::weak_ptr<digest::MemoryDigest>> registry;
uint64_t last_token = 0;

uint64_t enter(const std::shared_ptr<digest::MemoryDigest>& digest) {
  const std::lock_guard lock(registry_mutex);
  std::erase_if(registry, [](const auto& entry) { return entry.second.expired(); });
  registry.emplace(++last_token, digest);
  return last_token;
}

std::shared_ptr<digest::MemoryDigest> found(uint64_t token) {
  const std::lock_guard lock(registry_mutex);
  const auto at = registry.find(token);
  return at == registry.end() ? nullptr : at->second.lock();
}

}  // namespace

Napi::Function MemoryDigest::define(Napi::Env env) {
  return DefineClass(env, "MemoryDigest",
                     {InstanceAccessor<&MemoryDigest::token>("token"),
                      InstanceMethod<&MemoryDigest::update>("update"),
                      InstanceMethod<&MemoryDigest::page>("page"),
                      InstanceMethod<&MemoryDigest::close>("close")});
}

// new MemoryDigest(memory), or (memory, token) for the one another thread made of the same memory. Holds its own
// reference to the mapping: closing the GuestMemory does not pull it away.
MemoryDigest::MemoryDigest(const Napi::CallbackInfo& info) : Napi::ObjectWrap<MemoryDigest>(info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 1 || info.Length() > 2) throw Napi::TypeError::New(env, "MemoryDigest needs a GuestMemory");
  memory_ = GuestMemory::mapping_of(info[0]);
  Value().TypeTag(&kTag);
  if (info.Length() == 1) {
    digest_ = std::make_shared<digest::MemoryDigest>(memory_->bytes());
    token_ = enter(digest_);
    return;
  }
  token_ = whole(info, 1, "token", kOffsetMax);
  digest_ = found(token_);
  const auto words = "no digest has token " + std::to_string(token_);
  if (!digest_) throw Napi::Error::New(env, words + ": all gone");
  if (digest_->pages() != memory_->bytes() / digest::kPageBytes) {
    throw Napi::RangeError::New(env, words + " of this size");
  }
}

MemoryDigest::Shared MemoryDigest::shared_of(Napi::Value value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) {
    throw Napi::TypeError::New(value.Env(), "expected a MemoryDigest");
  }
  const auto* const self = Unwrap(value.As<Napi::Object>());
  if (!self->digest_) throw Napi::TypeError::New(value.Env(), "this MemoryDigest is closed");
  return {self->memory_, self->digest_};
}

Napi::Value MemoryDigest::token(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(token_));
}

Napi::Value MemoryDigest::update(const Napi::CallbackInfo& info) {
  if (info.Length() != 1 || !info[0].IsTypedArray()) {
    throw Napi::TypeError::New(info.Env(), "update(bitmap: Uint8Array)");
  }
  const auto bitmap = info[0].As<Napi::Uint8Array>();
  if (bitmap.ByteLength() % 8 != 0 || bitmap.ByteLength() * 8 < open(info).pages()) {
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
  if (!(index >= 0 && index < static_cast<double>(open(info).pages()))) {
    throw Napi::RangeError::New(info.Env(), "no such page");
  }
  return Napi::BigInt::New(info.Env(), digest_->page(static_cast<uint64_t>(index)));
}

digest::MemoryDigest& MemoryDigest::open(const Napi::CallbackInfo& info) const {
  if (!digest_) throw Napi::TypeError::New(info.Env(), "this MemoryDigest is closed");
  return *digest_;
}

void MemoryDigest::close(const Napi::CallbackInfo&) {
  digest_.reset();
  memory_.reset();
}

}  // namespace twinstep::napi
