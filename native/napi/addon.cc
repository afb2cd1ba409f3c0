// What the addon exports. One line a class; every environment (main thread, worker) gets its own.
#include <napi.h>

#include "napi/guest-memory-napi.h"
#include "napi/watchdog-napi.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("GuestMemory", twinstep::napi::GuestMemory::define(env));
  exports.Set("watchdog", twinstep::napi::define_watchdog(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(twinstep, init)
