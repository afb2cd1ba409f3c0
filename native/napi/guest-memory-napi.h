// The JavaScript face of guest memory; other classes of the addon take the mapping from it.
#pragma once

#include <napi.h>

#include <memory>

#include "memory/guest-memory.h"

namespace twinstep::napi {

class GuestMemory : public Napi::ObjectWrap<GuestMemory> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit GuestMemory(const Napi::CallbackInfo& info);

  // The mapping behind a JavaScript value; throws a TypeError for anything else or a closed one.
  static std::shared_ptr<memory::Mapping> mapping_of(Napi::Value value);

 private:
  // The mapping; throws a TypeError once closed.
  const memory::Mapping& open(const Napi::CallbackInfo& info) const;
  Napi::ArrayBuffer bank(Napi::Env env, uint64_t at);
  Napi::Array made_banks(Napi::Env env);
  uint8_t* place(const Napi::CallbackInfo& info, size_t bytes) const;
  Napi::Value buffer(const Napi::CallbackInfo& info);
  Napi::Value banks(const Napi::CallbackInfo& info);
  Napi::Value size(const Napi::CallbackInfo& info);
  Napi::Value token(const Napi::CallbackInfo& info);
  void read(const Napi::CallbackInfo& info);
  void write(const Napi::CallbackInfo& info);
  void clear_pages(const Napi::CallbackInfo& info);
  Napi::Value real_pages(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<memory::Mapping> mapping_;
  Napi::Reference<Napi::Array> banks_;
};

}  // namespace twinstep::napi
