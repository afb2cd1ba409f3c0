// What the addon exports. One line a class; every environment (main thread, worker) gets its own.
#include <napi.h>

#include "napi/guest-memory-napi.h"
#include "napi/ring-cipher-napi.h"
#include "napi/ring-napi.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("GuestMemory", twinstep::napi::GuestMemory::define(env));
  exports.Set("PacketRing", twinstep::napi::PacketRing::define(env));
  exports.Set("lookUpInterface", Napi::Function::New<twinstep::napi::PacketRing::look_up>(env));
  exports.Set("FrameCipher", twinstep::napi::FrameCipher::define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(twinstep, init)
