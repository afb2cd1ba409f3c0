// What the addon exports. One line a class; every environment (main thread, worker) gets its own.
#include <napi.h>

#include "napi/engine-napi.h"
#include "napi/guest-memory-napi.h"
#include "napi/memory-digest-napi.h"
#include "napi/tap-napi.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("GuestMemory", twinstep::napi::GuestMemory::define(env));
  exports.Set("MemoryDigest", twinstep::napi::MemoryDigest::define(env));
  exports.Set("SoftEngine", twinstep::napi::SoftEngine::define(env));
  exports.Set("kick", Napi::Function::New<twinstep::napi::SoftEngine::kick>(env, "kick"));
  exports.Set("Tap", twinstep::napi::Tap::define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(twinstep, init)
