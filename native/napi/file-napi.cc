// Converts and forwards to file/file. Holes are punched on the thread pool, since a busy file system
// may take its time. That path speaks plain Node-API and looks at every status: an environment that
// is being terminated refuses all of them, and nobody is left to be told.
#include "napi/file-napi.h"

#include <uv.h>

#include <memory>
#include <string>

#include "file/file.h"
#include "napi/arguments.h"

namespace twinstep::napi {
namespace {

// As Node's own errors: code ENOSPC, message "ENOSPC: no space left on device, punchHole".
Napi::Error system_error(Napi::Env env, int error, const char* call) {
  const std::string code = uv_err_name(-error);
  const auto thrown = Napi::Error::New(env, code + ": " + uv_strerror(-error) + ", " + call);
  thrown.Value().Set("code", Napi::String::New(env, code));
  return thrown;
}

// lockFile(fd, isExclusive): false if somebody else holds it.
Napi::Value lock_file(const Napi::CallbackInfo& info) {
  const int fd = static_cast<int>(whole(info, 0, "fd", kDescriptorMax));
  if (!info[1].IsBoolean()) throw Napi::TypeError::New(info.Env(), "isExclusive must be boolean");
  int error = 0;
  const auto outcome = file::lock(fd, info[1].As<Napi::Boolean>().Value(), error);
  if (outcome == file::LockOutcome::failed) throw system_error(info.Env(), error, "lockFile");
  return Napi::Boolean::New(info.Env(), outcome == file::LockOutcome::locked);
}

struct Punch {
  int fd;
  uint64_t offset;
  uint64_t bytes;
  napi_deferred deferred;
  napi_async_work work;
  file::HoleOutcome outcome;
  int error;
};

void punch_on_pool(napi_env, void* data) {
  auto* punch = static_cast<Punch*>(data);
  punch->outcome = file::punch_hole(punch->fd, punch->offset, punch->bytes, punch->error);
}

void punch_done(napi_env env, napi_status, void* data) {
  const std::unique_ptr<Punch> punch(static_cast<Punch*>(data));
  napi_delete_async_work(env, punch->work);
  if (punch->outcome != file::HoleOutcome::failed) {
    napi_value result = nullptr;
    const bool is_punched = punch->outcome == file::HoleOutcome::punched;
    if (napi_get_boolean(env, is_punched, &result) != napi_ok) return;
    napi_resolve_deferred(env, punch->deferred, result);
    return;
  }
  try {
    const auto error = system_error(env, punch->error, "punchHole");
    napi_reject_deferred(env, punch->deferred, error.Value());
  } catch (const Napi::Error&) {
    // The environment is being terminated.
  }
}

// punchHole(fd, offset, bytes): a promise of false where the file system knows no holes.
Napi::Value punch_hole(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto punch = std::make_unique<Punch>();
  punch->fd = static_cast<int>(whole(info, 0, "fd", kDescriptorMax));
  punch->offset = whole(info, 1, "offset", kOffsetMax);
  punch->bytes = whole(info, 2, "bytes", kOffsetMax);
  napi_value promise = nullptr;
  const auto name = Napi::String::New(env, "twinstep:punchHole");
  if (napi_create_promise(env, &punch->deferred, &promise) != napi_ok ||
      napi_create_async_work(env, nullptr, name, punch_on_pool, punch_done, punch.get(),
                             &punch->work) != napi_ok) {
    throw Napi::Error::New(env);
  }
  if (napi_queue_async_work(env, punch->work) != napi_ok) throw Napi::Error::New(env);
  punch.release();
  return {env, promise};
}

}  // namespace

void define_file_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("lockFile", Napi::Function::New<lock_file>(env, "lockFile"));
  exports.Set("punchHole", Napi::Function::New<punch_hole>(env, "punchHole"));
}

}  // namespace twinstep::napi
