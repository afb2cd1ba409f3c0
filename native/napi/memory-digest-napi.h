// The JavaScript face of the memory digest.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "digest/memory-digest.h"
#include "memory/guest-memory.h"

namespace twinstep::napi {

class MemoryDigest : public Napi::ObjectWrap<MemoryDigest> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit MemoryDigest(const Napi::CallbackInfo& info);

  // What a job on another thread needs; a TypeError for anything else.
  struct Shared {
    std::shared_ptr<memory::Mapping> memory;
    std::shared_ptr<digest::MemoryDigest> digest;
  };
  static Shared shared_of(Napi::Value value);

 private:
  Napi::Value token(const Napi::CallbackInfo& info);
  Napi::Value update(const Napi::CallbackInfo& info);
  Napi::Value page(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  // It; throws a TypeError once closed.
  digest::MemoryDigest& open(const Napi::CallbackInfo& info) const;

  std::shared_ptr<memory::Mapping> memory_;
  std::shared_ptr<digest::MemoryDigest> digest_;
  uint64_t token_ = 0;
  std::vector<uint64_t> words_;  // of the last update, kept for the next
};

}  // namespace twinstep::napi
