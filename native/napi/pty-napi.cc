// Converts and forwards to pty/pty.
#include "napi/pty-napi.h"

#include <uv.h>

#include <string>

#include "pty/pty.h"

namespace twinstep::napi {
namespace {

// openPty(isRaw): { master, slave, path }, the descriptors the caller's to close.
Napi::Value open_pty(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsBoolean()) throw Napi::TypeError::New(env, "isRaw must be boolean");
  pty::Pair pair;
  int error = 0;
  if (!pty::open(info[0].As<Napi::Boolean>().Value(), pair, error)) {
    const std::string code = uv_err_name(-error);
    const auto thrown = Napi::Error::New(env, code + ": " + uv_strerror(-error) + ", openPty");
    thrown.Value().Set("code", Napi::String::New(env, code));
    throw thrown;
  }
  const auto result = Napi::Object::New(env);
  result.Set("master", Napi::Number::New(env, pair.master));
  result.Set("slave", Napi::Number::New(env, pair.slave));
  result.Set("path", Napi::String::New(env, pair.path));
  return result;
}

}  // namespace

void define_pty_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("openPty", Napi::Function::New<open_pty>(env, "openPty"));
}

}  // namespace twinstep::napi
