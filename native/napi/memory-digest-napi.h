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

 private:
  Napi::Value update(const Napi::CallbackInfo& info);
  Napi::Value page(const Napi::CallbackInfo& info);

  std::shared_ptr<memory::Mapping> memory_;
  std::unique_ptr<digest::MemoryDigest> digest_;
  std::vector<uint64_t> words_;  // of the last update, kept for the next
};

}  // namespace twinstep::napi
