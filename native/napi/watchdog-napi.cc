// Checks arguments, calls watchdog/, converts. A failed call throws an Error that carries
// the errno's name as `code`, as Node's own do.
#include "napi/watchdog-napi.h"

#include <cstring>
#include <string>

#include "watchdog/arp.h"
#include "watchdog/datagram.h"
#include "watchdog/process.h"
#include "watchdog/sentinel.h"
#include "watchdog/wdt.h"

namespace twinstep::napi {
namespace {

using Info = Napi::CallbackInfo;

[[noreturn]] void fail(Napi::Env env, const char* call, int error) {
  const char* name = strerrorname_np(error);
  const auto text = std::string(call) + ": " + strerror(error);
  Napi::Error thrown = Napi::Error::New(env, text);
  thrown.Set("code", Napi::String::New(env, name ? name : "UNKNOWN"));
  thrown.Set("errno", Napi::Number::New(env, error));
  throw thrown;
}

int integer(const Info& info, size_t index, const char* what) {
  if (info.Length() <= index || !info[index].IsNumber()) {
    throw Napi::TypeError::New(info.Env(), std::string(what) + " must be a number");
  }
  return info[index].As<Napi::Number>().Int32Value();
}

std::string text(const Info& info, size_t index, const char* what) {
  if (info.Length() <= index || !info[index].IsString()) {
    throw Napi::TypeError::New(info.Env(), std::string(what) + " must be a string");
  }
  return info[index].As<Napi::String>().Utf8Value();
}

watchdog::Ipv4 address(const Info& info, size_t index) {
  watchdog::Ipv4 bytes{};
  if (info.Length() > index && info[index].IsBuffer()) {
    const auto buffer = info[index].As<Napi::Buffer<uint8_t>>();
    if (buffer.Length() == bytes.size()) {
      std::memcpy(bytes.data(), buffer.Data(), bytes.size());
      return bytes;
    }
  }
  throw Napi::TypeError::New(info.Env(), "an IPv4 address must be a Buffer of 4 bytes");
}

// The station address in a Buffer of the caller, who may want it written.
Napi::Buffer<uint8_t> station(const Info& info, size_t index) {
  if (info.Length() > index && info[index].IsBuffer()) {
    const auto buffer = info[index].As<Napi::Buffer<uint8_t>>();
    if (buffer.Length() == std::tuple_size_v<watchdog::Mac>) return buffer;
  }
  throw Napi::TypeError::New(info.Env(), "a station address must be a Buffer of 6 bytes");
}

Napi::Value number(const Info& info, const char* call, const watchdog::Result& result) {
  if (result.error != 0) fail(info.Env(), call, result.error);
  return Napi::Number::New(info.Env(), static_cast<double>(result.value));
}

Napi::Value support(const Info& info) {
  const auto found = watchdog::support(integer(info, 0, "fd"));
  if (found.error != 0) fail(info.Env(), "WDIOC_GETSUPPORT", found.error);
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("options", Napi::Number::New(info.Env(), found.options));
  result.Set("firmwareVersion", Napi::Number::New(info.Env(), found.firmware_version));
  result.Set("identity", Napi::String::New(info.Env(), found.identity));
  return result;
}

Napi::Value boot_status(const Info& info) {
  return number(info, "WDIOC_GETBOOTSTATUS", watchdog::boot_status(integer(info, 0, "fd")));
}

Napi::Value timeout_seconds(const Info& info) {
  return number(info, "WDIOC_GETTIMEOUT", watchdog::timeout_seconds(integer(info, 0, "fd")));
}

Napi::Value set_timeout_seconds(const Info& info) {
  const int seconds = integer(info, 1, "seconds");
  const auto result = watchdog::set_timeout_seconds(integer(info, 0, "fd"), seconds);
  return number(info, "WDIOC_SETTIMEOUT", result);
}

Napi::Value keep_alive(const Info& info) {
  return number(info, "WDIOC_KEEPALIVE", watchdog::keep_alive(integer(info, 0, "fd")));
}

Napi::Value boot_clock_ms(const Info& info) {
  return Napi::Number::New(info.Env(), watchdog::boot_clock_ms());
}

Napi::Value start_sentinel(const Info& info) {
  return number(info, "sentinel", watchdog::start_sentinel(integer(info, 0, "fd")));
}

Napi::Value go_first(const Info& info) {
  const auto result = watchdog::go_first(integer(info, 0, "thread"), integer(info, 1, "priority"));
  return number(info, "scheduling", result);
}

Napi::Value forgo_core_dumps(const Info& info) {
  return number(info, "core dumps", watchdog::forgo_core_dumps());
}

Napi::Value arp_open(const Info& info) {
  return number(info, "ARP socket", watchdog::arp_open(text(info, 0, "interface")));
}

Napi::Value arp_ask(const Info& info) {
  watchdog::Mac to{};
  std::memcpy(to.data(), station(info, 2).Data(), to.size());
  const auto result = watchdog::arp_ask(integer(info, 0, "fd"), address(info, 1), to);
  return number(info, "ARP question", result);
}

Napi::Value arp_answers(const Info& info) {
  auto from = station(info, 2);
  watchdog::Mac heard{};
  std::memcpy(heard.data(), from.Data(), heard.size());
  const auto result = watchdog::arp_answers(integer(info, 0, "fd"), address(info, 1), heard);
  std::memcpy(from.Data(), heard.data(), heard.size());
  return number(info, "ARP answer", result);
}

Napi::Buffer<uint8_t> bytes(const Info& info, size_t index) {
  if (info.Length() > index && info[index].IsBuffer()) return info[index].As<Napi::Buffer<uint8_t>>();
  throw Napi::TypeError::New(info.Env(), "bytes must be in a Buffer");
}

uint16_t port(const Info& info, size_t index) {
  const int value = integer(info, index, "port");
  if (value >= 0 && value <= 0xffff) return static_cast<uint16_t>(value);
  throw Napi::RangeError::New(info.Env(), "a port is 0 to 65535");
}

Napi::Value datagram_open(const Info& info) {
  return number(info, "UDP socket", watchdog::datagram_open(address(info, 0), port(info, 1)));
}

Napi::Value datagram_port(const Info& info) {
  return number(info, "UDP socket", watchdog::datagram_port(integer(info, 0, "fd")));
}

Napi::Value datagram_say(const Info& info) {
  const auto what = bytes(info, 3);
  const auto result = watchdog::datagram_say(integer(info, 0, "fd"), address(info, 1),
                                             port(info, 2), what.Data(), what.Length());
  // Refused is an answer: who speaks to a network that is gone does so two hundred times a second.
  return Napi::Boolean::New(info.Env(), result.error == 0);
}

Napi::Value datagram_hear(const Info& info) {
  auto into = bytes(info, 1);
  auto from = bytes(info, 2);
  watchdog::Ipv4 station{};
  if (from.Length() != station.size()) {
    throw Napi::TypeError::New(info.Env(), "an IPv4 address must be a Buffer of 4 bytes");
  }
  const auto result =
      watchdog::datagram_hear(integer(info, 0, "fd"), into.Data(), into.Length(), station);
  if (result.value >= 0) std::memcpy(from.Data(), station.data(), station.size());
  return number(info, "UDP datagram", result);
}

Napi::Value terminal_read(const Info& info) {
  auto into = bytes(info, 1);
  return number(info, "read", watchdog::terminal_read(integer(info, 0, "fd"), into.Data(), into.Length()));
}

}  // namespace

Napi::Object define_watchdog(Napi::Env env) {
  Napi::Object all = Napi::Object::New(env);
  const auto add = [&](const char* name, Napi::Value (*function)(const Info&)) {
    all.Set(name, Napi::Function::New(env, function, name));
  };
  add("support", support);
  add("bootStatus", boot_status);
  add("timeoutSeconds", timeout_seconds);
  add("setTimeoutSeconds", set_timeout_seconds);
  add("keepAlive", keep_alive);
  add("bootClockMs", boot_clock_ms);
  add("startSentinel", start_sentinel);
  add("goFirst", go_first);
  add("forgoCoreDumps", forgo_core_dumps);
  add("arpOpen", arp_open);
  add("arpAsk", arp_ask);
  add("arpAnswers", arp_answers);
  add("datagramOpen", datagram_open);
  add("datagramPort", datagram_port);
  add("datagramSay", datagram_say);
  add("datagramHear", datagram_hear);
  add("terminalRead", terminal_read);
  return all;
}

}  // namespace twinstep::napi
