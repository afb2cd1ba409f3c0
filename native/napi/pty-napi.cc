// Converts and forwards to pty/pty and serial/frame.
#include "napi/pty-napi.h"

#include <uv.h>

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstring>
#include <iterator>
#include <string>

#include "pty/pty.h"
#include "serial/frame.h"

namespace twinstep::napi {
namespace {

// As Node's own errors.
Napi::Error system_error(Napi::Env env, int error, const char* call) {
  const std::string code = uv_err_name(-error);
  const auto thrown = Napi::Error::New(env, code + ": " + uv_strerror(-error) + ", " + call);
  thrown.Value().Set("code", Napi::String::New(env, code));
  return thrown;
}

int descriptor(const Napi::CallbackInfo& info) {
  const double fd = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : -1;
  if (fd >= 0 && fd <= INT_MAX && std::floor(fd) == fd) return static_cast<int>(fd);
  throw Napi::TypeError::New(info.Env(), "fd must be a whole number >= 0");
}

// openPty(isRaw): { master, slave, path }, the descriptors the caller's to close.
Napi::Value open_pty(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsBoolean()) throw Napi::TypeError::New(env, "isRaw must be boolean");
  pty::Pair pair;
  int error = 0;
  if (!pty::open(info[0].As<Napi::Boolean>().Value(), pair, error)) {
    throw system_error(env, error, "openPty");
  }
  const auto result = Napi::Object::New(env);
  result.Set("master", Napi::Number::New(env, pair.master));
  result.Set("slave", Napi::Number::New(env, pair.slave));
  result.Set("path", Napi::String::New(env, pair.path));
  return result;
}

// makeRawTerminal(fd): the settings it had, as bytes for restoreTerminal.
Napi::Value make_raw_terminal(const Napi::CallbackInfo& info) {
  const int fd = descriptor(info);
  termios before{};
  int error = 0;
  if (!pty::make_raw(fd, before, error)) throw system_error(info.Env(), error, "makeRawTerminal");
  auto bytes = Napi::Uint8Array::New(info.Env(), sizeof before);
  std::memcpy(bytes.Data(), &before, sizeof before);
  return bytes;
}

// restoreTerminal(fd, settings)
void restore_terminal(const Napi::CallbackInfo& info) {
  const int fd = descriptor(info);
  termios before{};
  if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().ByteLength() != sizeof before) {
    throw Napi::TypeError::New(info.Env(), "settings must be what makeRawTerminal answered");
  }
  const auto bytes = info[1].As<Napi::Uint8Array>();
  std::memcpy(&before, bytes.Data(), sizeof before);
  int error = 0;
  if (!pty::restore(fd, before, error)) throw system_error(info.Env(), error, "restoreTerminal");
}

// setSerialFrame(fd, baud, dataBits, parity, stopBits)
void set_serial_frame(const Napi::CallbackInfo& info) {
  const int fd = descriptor(info);
  const auto number = [&](size_t n) {
    if (!info[n].IsNumber()) throw Napi::TypeError::New(info.Env(), "a frame is made of numbers");
    return info[n].As<Napi::Number>().Uint32Value();
  };
  const std::string name = info[3].IsString() ? info[3].As<Napi::String>().Utf8Value() : "";
  const char* const names[] = {"none", "odd", "even", "mark", "space"};
  const auto* const found = std::find(std::begin(names), std::end(names), name);
  if (found == std::end(names)) throw Napi::TypeError::New(info.Env(), "no parity: " + name);
  const auto parity = static_cast<serial::Parity>(found - std::begin(names));
  const serial::Frame frame{number(1), static_cast<uint8_t>(number(2)), parity,
                            static_cast<uint8_t>(number(4))};
  const int error = serial::set_frame(fd, frame);
  if (error != 0) throw system_error(info.Env(), error, "setSerialFrame");
}

}  // namespace

void define_pty_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("openPty", Napi::Function::New<open_pty>(env, "openPty"));
  exports.Set("makeRawTerminal", Napi::Function::New<make_raw_terminal>(env, "makeRawTerminal"));
  exports.Set("restoreTerminal", Napi::Function::New<restore_terminal>(env, "restoreTerminal"));
  exports.Set("setSerialFrame", Napi::Function::New<set_serial_frame>(env, "setSerialFrame"));
}

}  // namespace twinstep::napi
