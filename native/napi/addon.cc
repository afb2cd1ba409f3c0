// What the addon exports. One line a class; every environment (main thread, worker) gets its own.
#include <napi.h>

#include "napi/clock-napi.h"
#include "napi/engine-napi.h"
#include "napi/file-napi.h"
#include "napi/guest-memory-napi.h"
#include "napi/memory-digest-napi.h"
#include "napi/pty-napi.h"
#include "napi/tap-napi.h"
#include "napi/ring-cipher-napi.h"
#include "napi/ring-napi.h"
#include "napi/sync-worker-napi.h"
#include "napi/watchdog-napi.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  twinstep::napi::define_clock_function(env, exports);
  twinstep::napi::define_file_functions(env, exports);
  twinstep::napi::define_pty_functions(env, exports);
  exports.Set("GuestMemory", twinstep::napi::GuestMemory::define(env));
  exports.Set("MemoryDigest", twinstep::napi::MemoryDigest::define(env));
  exports.Set("SoftEngine", twinstep::napi::SoftEngine::define(env));
  exports.Set("SyncWorker", twinstep::napi::SyncWorker::define(env));
  exports.Set("VtxEngine", twinstep::napi::VtxEngine::define(env));
  exports.Set("kick", Napi::Function::New<twinstep::napi::kick_engine>(env, "kick"));
  exports.Set("probeKvm", Napi::Function::New<twinstep::napi::probe_kvm>(env, "probeKvm"));
  exports.Set("Tap", twinstep::napi::Tap::define(env));
  exports.Set("PacketRing", twinstep::napi::PacketRing::define(env));
  exports.Set("lookUpInterface", Napi::Function::New<twinstep::napi::PacketRing::look_up>(env));
  exports.Set("FrameCipher", twinstep::napi::FrameCipher::define(env));
  exports.Set("watchdog", twinstep::napi::define_watchdog(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(twinstep, init)
