// The kernel's wall clock.
#pragma once

#include <napi.h>

namespace twinstep::napi {

// Adds `kernelClock`.
void define_clock_function(Napi::Env env, Napi::Object exports);

}  // namespace twinstep::napi
