// Converts and forwards to clock/clock. A failed call throws an Error that carries the errno's name as
// `code`, as Node's own do.
#include "napi/clock-napi.h"

#include <cstring>
#include <string>

#include "clock/clock.h"

namespace twinstep::napi {
namespace {

Napi::Value kernel_clock(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  const auto state = clock::kernel_clock();
  if (state.error != 0) {
    const char* name = strerrorname_np(state.error);
    auto thrown = Napi::Error::New(env, std::string("adjtimex: ") + strerror(state.error));
    thrown.Set("code", Napi::String::New(env, name ? name : "UNKNOWN"));
    throw thrown;
  }
  auto answer = Napi::Object::New(env);
  answer.Set("maxErrorUs", Napi::Number::New(env, static_cast<double>(state.max_error_us)));
  answer.Set("estimatedErrorUs",
             Napi::Number::New(env, static_cast<double>(state.estimated_error_us)));
  answer.Set("offsetUs", Napi::Number::New(env, static_cast<double>(state.offset_us)));
  answer.Set("isUnsynchronised", Napi::Boolean::New(env, state.is_unsynchronised));
  return answer;
}

}  // namespace

void define_clock_function(Napi::Env env, Napi::Object exports) {
  exports.Set("kernelClock", Napi::Function::New<kernel_clock>(env, "kernelClock"));
}

}  // namespace twinstep::napi
