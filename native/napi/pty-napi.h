// Pseudo-terminals and terminal settings, by descriptor.
#pragma once

#include <napi.h>

namespace twinstep::napi {

// Adds `openPty`, `makeRawTerminal`, `restoreTerminal` and `setSerialFrame`.
void define_pty_functions(Napi::Env env, Napi::Object exports);

}  // namespace twinstep::napi
