// The JavaScript face of the frame cipher.
#pragma once

#include <napi.h>

#include <memory>

#include "ring/frame-cipher.h"

namespace twinstep::napi {

class FrameCipher : public Napi::ObjectWrap<FrameCipher> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit FrameCipher(const Napi::CallbackInfo& info);

 private:
  void seal(const Napi::CallbackInfo& info);
  Napi::Value open(const Napi::CallbackInfo& info);

  std::unique_ptr<ring::FrameCipher> cipher_;
};

}  // namespace twinstep::napi
