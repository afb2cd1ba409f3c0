// A TAP interface on the event loop: frames come in batches, one callback a wake-up.
#pragma once

#include <napi.h>
#include <uv.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "tap/tap.h"

namespace twinstep::napi {

class Tap : public Napi::ObjectWrap<Tap> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit Tap(const Napi::CallbackInfo& info);
  ~Tap() override;

 private:
  // The handle on the loop. It outlives this object by the time the loop takes to let go of it.
  struct Watch {
    uv_poll_t poll;
    Tap* owner;
    napi_async_cleanup_hook_handle cleanup;
  };
  struct Counters {
    uint64_t rx_frames = 0;
    uint64_t rx_bytes = 0;
    uint64_t rx_failed = 0;
    uint64_t tx_frames = 0;
    uint64_t tx_bytes = 0;
    uint64_t tx_dropped[6] = {};  // by tap::WriteOutcome
  };

  void start(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  Napi::Value info(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  void begin_watch(Napi::Env env);
  void release();
  void readable();
  void gone();
  void call(Napi::FunctionReference& callback, Napi::Value argument);

  static void on_poll(uv_poll_t* poll, int status, int events);
  static void let_go(Watch* watch);

  std::optional<tap::Tap> tap_;
  Watch* watch_ = nullptr;
  std::unique_ptr<Napi::AsyncContext> context_;
  Napi::FunctionReference on_frames_;
  Napi::FunctionReference on_gone_;
  std::vector<uint8_t> buffer_;
  Counters counters_;
};

}  // namespace twinstep::napi
