// Converts, guards lifetime, forwards to tap/tap.
//
// Lifetime: the object holds itself alive from start() to close(). The descriptor closes at once on close(); the
// uv handle a turn of the loop later, hence a Watch of its own. At the end of the environment an
// asynchronous cleanup hook does the same, so that a worker can end with a TAP open.
#include "napi/tap-napi.h"

#include <cstring>

namespace twinstep::napi {
namespace {

// One callback a wake-up takes at most this many; what is left wakes the loop again, after others.
constexpr size_t kBatchFrames = 64;

// By tap::WriteOutcome.
constexpr const char* kDropNames[6] = {"", "full", "down", "badLength", "gone", "failed"};

Napi::Error error_of(Napi::Env env, const tap::Failure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.words);
  error.Set("code", Napi::String::New(env, failure.code));
  return error;
}

Napi::Value number(Napi::Env env, uint64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

}  // namespace

Napi::Function Tap::define(Napi::Env env) {
  return DefineClass(
      env, "Tap",
      {InstanceMethod<&Tap::start>("start"), InstanceMethod<&Tap::write>("write"),
       InstanceMethod<&Tap::counters>("counters"), InstanceMethod<&Tap::info>("info"),
       InstanceMethod<&Tap::close>("close")});
}

// new Tap(name, onFrames, onGone)
Tap::Tap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Tap>(info) {
  const Napi::Env env = info.Env();
  if (info.Length() != 3 || !info[0].IsString() || !info[1].IsFunction() || !info[2].IsFunction()) {
    throw Napi::TypeError::New(env, "Tap needs a name and two functions");
  }
  tap::Failure failure{};
  tap_ = tap::Tap::open(info[0].As<Napi::String>().Utf8Value(), failure);
  if (!tap_) throw error_of(env, failure);
  on_frames_ = Napi::Persistent(info[1].As<Napi::Function>());
  on_gone_ = Napi::Persistent(info[2].As<Napi::Function>());
  context_ = std::make_unique<Napi::AsyncContext>(env, "twinstep:Tap");
  buffer_.resize(tap::kFrameBytesMax);
}

Tap::~Tap() {
  if (watch_ != nullptr) let_go(watch_);
}

// Until then nothing is called.
void Tap::start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!tap_) throw error_of(env, {"E_TAP_GONE", "this TAP is closed"});
  if (watch_ != nullptr) throw Napi::Error::New(env, "a TAP starts once");
  begin_watch(env);
  Ref();
}

void Tap::begin_watch(Napi::Env env) {
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) throw Napi::Error::New(env, "no event loop");
  auto watch = std::make_unique<Watch>();
  watch->owner = this;
  const int status = uv_poll_init(loop, &watch->poll, tap_->fd());
  if (status != 0) throw Napi::Error::New(env, uv_strerror(status));
  watch->poll.data = watch.get();
  watch_ = watch.release();
  const auto end = [](napi_async_cleanup_hook_handle, void* data) {
    auto* ending = static_cast<Watch*>(data);
    if (uv_is_closing(reinterpret_cast<uv_handle_t*>(&ending->poll)) == 0) let_go(ending);
  };
  if (napi_add_async_cleanup_hook(env, end, watch_, &watch_->cleanup) != napi_ok) {
    let_go(watch_);
    throw Napi::Error::New(env, "no cleanup hook");
  }
  uv_poll_start(&watch_->poll, UV_READABLE, on_poll);
}

// Takes the watch off the loop and forgets its owner; it deletes itself when the loop is done.
void Tap::let_go(Watch* watch) {
  uv_poll_stop(&watch->poll);
  if (watch->owner != nullptr) {
    watch->owner->watch_ = nullptr;
    watch->owner->tap_.reset();
    watch->owner = nullptr;
  }
  uv_close(reinterpret_cast<uv_handle_t*>(&watch->poll), [](uv_handle_t* handle) {
    auto* done = static_cast<Watch*>(handle->data);
    if (done->cleanup != nullptr) napi_remove_async_cleanup_hook(done->cleanup);
    delete done;
  });
}

void Tap::on_poll(uv_poll_t* poll, int status, int) {
  Tap* self = static_cast<Watch*>(poll->data)->owner;
  if (self == nullptr) return;
  const Napi::HandleScope scope(self->Env());
  try {
    // Keeps the object until we return, even if the callback closes it and forgets it.
    [[maybe_unused]] const Napi::Object alive = self->Value();
    // An error here is an interface deleted under us: nothing will come any more.
    if (status < 0) {
      self->gone();
    } else {
      self->readable();
    }
  } catch (const Napi::Error&) {
    // Only an environment that is being ended refuses us an array: nobody is left to be told.
  }
}

void Tap::readable() {
  const Napi::Env env = Env();
  const Napi::Array frames = Napi::Array::New(env);
  uint32_t count = 0;
  tap::ReadOutcome outcome = tap::ReadOutcome::none;
  while (count < kBatchFrames) {
    const tap::ReadResult result = tap_->read(buffer_.data(), buffer_.size());
    outcome = result.outcome;
    if (outcome != tap::ReadOutcome::frame) break;
    // A buffer each: a batch in one buffer would be kept, and copied between threads, as a whole.
    auto frame = Napi::Uint8Array::New(env, result.bytes);
    std::memcpy(frame.Data(), buffer_.data(), result.bytes);
    frames.Set(count++, frame);
    counters_.rx_frames++;
    counters_.rx_bytes += result.bytes;
  }
  if (outcome == tap::ReadOutcome::failed) counters_.rx_failed++;
  if (count > 0) call(on_frames_, frames);
  if (outcome == tap::ReadOutcome::gone && watch_ != nullptr) gone();
}

void Tap::gone() {
  release();
  call(on_gone_, Env().Undefined());
}

// Calls into JavaScript as an event does: ticks and promises follow, and what the callback throws is
// an uncaught exception of the process, not ours.
void Tap::call(Napi::FunctionReference& callback, Napi::Value argument) {
  const Napi::Env env = Env();
  napi_value receiver = Value();
  napi_value value = argument;
  const napi_status status =
      napi_make_callback(env, *context_, receiver, callback.Value(), 1, &value, nullptr);
  bool is_pending = false;
  if (status != napi_pending_exception) return;
  if (napi_is_exception_pending(env, &is_pending) != napi_ok || !is_pending) return;
  napi_value thrown = nullptr;
  if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok) napi_fatal_exception(env, thrown);
}

void Tap::release() {
  if (watch_ == nullptr) {
    tap_.reset();
    return;
  }
  let_go(watch_);
  Unref();
}

// The name of the reason why the frame was dropped, or undefined: it is on its way.
Napi::Value Tap::write(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsTypedArray() ||
      info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Napi::TypeError::New(env, "write needs a Uint8Array");
  }
  const auto frame = info[0].As<Napi::Uint8Array>();
  const size_t bytes = frame.ByteLength();
  const auto outcome = tap_ ? tap_->write(frame.Data(), bytes) : tap::WriteOutcome::gone;
  if (outcome == tap::WriteOutcome::sent) {
    counters_.tx_frames++;
    counters_.tx_bytes += bytes;
    return env.Undefined();
  }
  const auto index = static_cast<size_t>(outcome);
  counters_.tx_dropped[index]++;
  return Napi::String::New(env, kDropNames[index]);
}

Napi::Value Tap::counters(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object result = Napi::Object::New(env);
  result.Set("rxFrames", number(env, counters_.rx_frames));
  result.Set("rxBytes", number(env, counters_.rx_bytes));
  result.Set("rxFailed", number(env, counters_.rx_failed));
  result.Set("txFrames", number(env, counters_.tx_frames));
  result.Set("txBytes", number(env, counters_.tx_bytes));
  const Napi::Object dropped = Napi::Object::New(env);
  for (size_t i = 1; i < 6; i++) dropped.Set(kDropNames[i], number(env, counters_.tx_dropped[i]));
  result.Set("txDropped", dropped);
  return result;
}

Napi::Value Tap::info(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  tap::Failure failure{"E_TAP_GONE", "this TAP is closed"};
  const auto facts = tap_ ? tap_->info(failure) : std::nullopt;
  if (!facts) throw error_of(env, failure);
  const Napi::Object result = Napi::Object::New(env);
  auto mac = Napi::Uint8Array::New(env, facts->mac.size());
  std::memcpy(mac.Data(), facts->mac.data(), facts->mac.size());
  result.Set("name", facts->name);
  result.Set("mac", mac);
  result.Set("mtuBytes", number(env, facts->mtu_bytes));
  result.Set("isUp", Napi::Boolean::New(env, facts->is_up));
  return result;
}

void Tap::close(const Napi::CallbackInfo&) { release(); }

}  // namespace twinstep::napi
