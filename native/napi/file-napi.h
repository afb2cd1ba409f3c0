// Functions on open files, by descriptor.
#pragma once

#include <napi.h>

namespace twinstep::napi {

// Adds `lockFile` and `punchHole`.
void define_file_functions(Napi::Env env, Napi::Object exports);

}  // namespace twinstep::napi
