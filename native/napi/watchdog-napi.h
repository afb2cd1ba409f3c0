// The kernel calls of watchdog/ as plain functions; see native/index.ts for what they mean.
#pragma once

#include <napi.h>

namespace twinstep::napi {

Napi::Object define_watchdog(Napi::Env env);

}  // namespace twinstep::napi
