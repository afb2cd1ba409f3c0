// Converts arguments, drives the poll handles, guards lifetime; the work is in ring/.
//
// Lifetime: JavaScript may close() at any moment, also inside a callback; the environment may be torn
// down with the ring open (a worker that is terminated). Poll handles may be freed only after the
// event loop has confirmed, so they are a heap object of their own that outlives the rest.
#include "napi/ring-napi.h"

#include <cmath>

namespace twinstep::napi {
namespace {

uint32_t whole(const Napi::Object& options, const char* name, uint32_t max) {
  const Napi::Value value = options.Get(name);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 1 && number <= max && std::floor(number) == number)) {
    throw Napi::TypeError::New(value.Env(), std::string(name) + " must be a whole number from 1 to " +
                                                std::to_string(max));
  }
  return static_cast<uint32_t>(number);
}

ring::Mac mac_of(const Napi::Value& value) {
  ring::Mac mac{};
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
      value.As<Napi::Uint8Array>().ByteLength() != mac.size()) {
    throw Napi::TypeError::New(value.Env(), "a MAC address is a Uint8Array of 6 bytes");
  }
  std::copy_n(value.As<Napi::Uint8Array>().Data(), mac.size(), mac.begin());
  return mac;
}

[[noreturn]] void fail(Napi::Env env, const ring::Failure& failure) {
  auto error = Napi::Error::New(env, failure.words);
  error.Set("errno", Napi::Number::New(env, failure.error));
  throw error;
}

Napi::Value look_up_interface(Napi::Env env, const std::string& name) {
  ring::Interface found;
  if (ring::look_up(name, found).error != 0) return env.Null();
  auto result = Napi::Object::New(env);
  auto mac = Napi::Uint8Array::New(env, found.mac.size());
  std::copy(found.mac.begin(), found.mac.end(), mac.Data());
  result.Set("mac", mac);
  result.Set("up", Napi::Boolean::New(env, found.up));
  result.Set("mtu", Napi::Number::New(env, found.mtu));
  return result;
}

}  // namespace

Napi::Value PacketRing::look_up(const Napi::CallbackInfo& info) {
  return look_up_interface(info.Env(), info[0].As<Napi::String>().Utf8Value());
}

struct PacketRing::Polls {
  uv_poll_t packets;
  uv_poll_t link;
  int open = 0;
  PacketRing* owner;  // null once the ring is closed
  // Keep the descriptors open until the loop has let go of them.
  std::shared_ptr<ring::PacketSocket> socket;
  std::unique_ptr<ring::LinkWatch> watch;
  napi_async_cleanup_hook_handle hook = nullptr;

  static void closed(uv_handle_t* handle) {
    auto* self = static_cast<Polls*>(handle->data);
    if (--self->open > 0) return;
    // Tells an environment that is being torn down that we are done; otherwise takes the hook out.
    napi_remove_async_cleanup_hook(self->hook);
    delete self;
  }
};

Napi::Function PacketRing::define(Napi::Env env) {
  return DefineClass(env, "PacketRing",
                     {InstanceAccessor<&PacketRing::get_interface>("interface"),
                      InstanceMethod<&PacketRing::counters>("counters"),
                      InstanceMethod<&PacketRing::start>("start"),
                      InstanceMethod<&PacketRing::send>("send"),
                      InstanceMethod<&PacketRing::set_destination>("setDestination"),
                      InstanceMethod<&PacketRing::close>("close")});
}

PacketRing::PacketRing(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PacketRing>(info) {
  const Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsObject()) {
    throw Napi::TypeError::New(env, "PacketRing needs options");
  }
  const auto options = info[0].As<Napi::Object>();
  if (!options.Get("interface").IsString()) {
    throw Napi::TypeError::New(env, "interface must be a string");
  }
  name_ = options.Get("interface").As<Napi::String>().Utf8Value();
  ring::PacketSocket::Options wanted;
  wanted.ethertype = static_cast<uint16_t>(whole(options, "ethertype", 0xffff));
  wanted.payload_bytes_max = whole(options, "payloadBytesMax", 0xffff);
  wanted.receive_slots = whole(options, "receiveSlots", 1 << 16);
  wanted.send_slots = send_slots_ = whole(options, "sendSlots", 1 << 12);
  ring::Interface found;
  if (const auto failure = ring::look_up(name_, found); failure.error != 0) fail(env, failure);
  wanted.interface = found.index;
  wanted.mac = found.mac;
  auto watch = ring::LinkWatch::open(found.index);
  if (!watch.watch) fail(env, watch.failure);
  auto opened = ring::PacketSocket::open(wanted);
  if (!opened.socket) fail(env, opened.failure);
  socket_ = std::move(opened.socket);
  watch_ = std::move(watch.watch);
  if (options.Has("sender")) socket_->set_wanted_sender(mac_of(options.Get("sender")));
}

PacketRing::~PacketRing() { shut(); }

ring::PacketSocket& PacketRing::open_socket(const Napi::CallbackInfo& info) {
  if (!socket_) throw Napi::TypeError::New(info.Env(), "this PacketRing is closed");
  return *socket_;
}

// { mac, up, mtu } as they are now; null when the interface has gone.
Napi::Value PacketRing::get_interface(const Napi::CallbackInfo& info) {
  open_socket(info);
  return look_up_interface(info.Env(), name_);
}

Napi::Value PacketRing::counters(const Napi::CallbackInfo& info) {
  const auto now = open_socket(info).counters();
  auto result = Napi::Object::New(info.Env());
  const auto set = [&](const char* name, uint64_t value) {
    result.Set(name, Napi::Number::New(info.Env(), static_cast<double>(value)));
  };
  set("overrun", now.overrun);
  set("oversized", now.oversized);
  set("foreign", now.foreign);
  set("unsent", now.unsent);
  return result;
}

Napi::Value PacketRing::share(uint8_t* data, size_t bytes,
                              Napi::Reference<Napi::ArrayBuffer>& keep) {
  // SAFETY: the finalizer's copy keeps the memory as long as the engine may reach the bytes.
  auto* held = new std::shared_ptr<ring::PacketSocket>(socket_);
  const auto view = Napi::ArrayBuffer::New(
      Env(), data, bytes,
      [](Napi::Env, void*, std::shared_ptr<ring::PacketSocket>* owner) { delete owner; }, held);
  keep = Napi::Persistent(view);
  return view;
}

// start({ frames(count), writable(), link() }) -> the shared buffers.
Napi::Value PacketRing::start(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto& socket = open_socket(info);
  if (polls_ != nullptr) throw Napi::TypeError::New(env, "this PacketRing has been started");
  if (info.Length() != 1 || !info[0].IsObject()) {
    throw Napi::TypeError::New(env, "start needs { frames, writable, link }");
  }
  const auto handler = info[0].As<Napi::Object>();
  const auto callback = [&](const char* name) {
    if (!handler.Get(name).IsFunction()) {
      throw Napi::TypeError::New(env, std::string(name) + " must be a function");
    }
    return Napi::Persistent(handler.Get(name).As<Napi::Function>());
  };
  frames_callback_ = callback("frames");
  writable_callback_ = callback("writable");
  link_callback_ = callback("link");
  context_ = std::make_unique<Napi::AsyncContext>(env, "twinstep:ring");

  auto result = Napi::Object::New(env);
  result.Set("ring", share(socket.ring(), socket.ring_bytes(), ring_buffer_));
  result.Set("staging", share(socket.staging(), socket.staging_bytes(), staging_buffer_));
  result.Set("sendStride", Napi::Number::New(env, socket.send_stride()));
  auto frames = Napi::ArrayBuffer::New(env, sizeof(*frames_));
  frames_ = static_cast<std::array<ring::FrameRef, kBatchFrames>*>(frames.Data());
  frames_buffer_ = Napi::Persistent(frames);
  result.Set("frames", Napi::Uint32Array::New(env, 2 * kBatchFrames, frames, 0));
  auto lengths = Napi::ArrayBuffer::New(env, send_slots_ * sizeof(uint32_t));
  lengths_ = static_cast<uint32_t*>(lengths.Data());
  lengths_buffer_ = Napi::Persistent(lengths);
  result.Set("lengths", Napi::Uint32Array::New(env, send_slots_, lengths, 0));

  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  auto* polls = new Polls;
  polls->owner = this;
  polls->socket = socket_;
  polls->watch = std::move(watch_);
  polls->packets.data = polls->link.data = polls;
  uv_poll_init(loop, &polls->packets, socket.fd());
  uv_poll_init(loop, &polls->link, polls->watch->fd());
  polls->open = 2;
  polls_ = polls;
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle, void* data) {
        auto* torn = static_cast<Polls*>(data);
        if (torn->owner != nullptr) torn->owner->shut();
      },
      polls, &polls->hook);
  watch_packets();
  uv_poll_start(&polls->link, UV_READABLE, [](uv_poll_t* handle, int, int) {
    auto* self = static_cast<Polls*>(handle->data);
    if (self->owner != nullptr) self->owner->on_link();
  });
  Ref();  // an open ring is held by the event loop, not by whoever made it
  return result;
}

void PacketRing::watch_packets() {
  const int events = UV_READABLE | (wants_writable_ ? UV_WRITABLE : 0);
  uv_poll_start(&polls_->packets, events, [](uv_poll_t* handle, int status, int happened) {
    auto* self = static_cast<Polls*>(handle->data);
    if (self->owner != nullptr) self->owner->on_packets(status, happened);
  });
}

void PacketRing::on_packets(int status, int events) {
  // Held here, because a callback may close the ring under us.
  const std::shared_ptr<ring::PacketSocket> socket = socket_;
  const Napi::HandleScope scope(Env());
  if (status < 0) {
    // The interface went down: the socket says so once, and works again when it is back up.
    socket->take_error();
    watch_packets();
  }
  if ((events & UV_WRITABLE) != 0) {
    wants_writable_ = false;
    watch_packets();
    call(writable_callback_, {});
  }
  // All that has arrived, but not for ever: timers and the other descriptors want their turn.
  for (int batch = 0; batch < 4 && socket_; batch++) {
    const size_t count = socket->receive(frames_->data(), frames_->size());
    if (count == 0) break;
    call(frames_callback_, {Napi::Number::New(Env(), static_cast<double>(count))});
    if (!socket_) return;
    socket->release();
    if (count < frames_->size()) break;
  }
  if (socket_) socket->release();
}

void PacketRing::on_link() {
  const Napi::HandleScope scope(Env());
  const auto news = polls_->watch->read();
  if (news.changed) call(link_callback_, {});
}

void PacketRing::call(Napi::FunctionReference& callback,
                      std::initializer_list<napi_value> arguments) {
  try {
    callback.MakeCallback(Value(), arguments, *context_);
  } catch (const Napi::Error& error) {
    napi_fatal_exception(Env(), error.Value());
  }
}

// send(first, count) -> how many were dealt with; then writable() is called once there is room.
Napi::Value PacketRing::send(const Napi::CallbackInfo& info) {
  auto& socket = open_socket(info);
  if (polls_ == nullptr) throw Napi::TypeError::New(info.Env(), "send before start");
  const uint32_t first = info[0].As<Napi::Number>().Uint32Value();
  const uint32_t count = info[1].As<Napi::Number>().Uint32Value();
  if (first >= send_slots_ || count > send_slots_) {
    throw Napi::RangeError::New(info.Env(), "send of slots that do not exist");
  }
  const uint32_t done = socket.send(first, count, lengths_);
  if (done < count && !wants_writable_) {
    wants_writable_ = true;
    watch_packets();
  }
  return Napi::Number::New(info.Env(), done);
}

void PacketRing::set_destination(const Napi::CallbackInfo& info) {
  open_socket(info).set_destination(mac_of(info[0]));
}

void PacketRing::close(const Napi::CallbackInfo&) { shut(); }

// Views left in JavaScript become empty; descriptors close when the loop has let go of them. Safe to
// call twice, from inside a callback, and while the environment is torn down.
void PacketRing::shut() {
  if (!socket_) return;
  for (auto* buffer : {&ring_buffer_, &staging_buffer_}) {
    if (buffer->IsEmpty()) continue;
    const Napi::HandleScope scope(Env());
    buffer->Value().Detach();
    buffer->Reset();
  }
  frames_buffer_.Reset();
  lengths_buffer_.Reset();
  frames_callback_.Reset();
  writable_callback_.Reset();
  link_callback_.Reset();
  socket_.reset();
  watch_.reset();
  if (polls_ == nullptr) return;
  polls_->owner = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&polls_->packets), Polls::closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&polls_->link), Polls::closed);
  polls_ = nullptr;
  Unref();
}

}  // namespace twinstep::napi
