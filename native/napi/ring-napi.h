// The JavaScript face of the packet socket: batches of frames as positions in one shared buffer,
// called from the event loop when the kernel has something.
#pragma once

#include <napi.h>
#include <uv.h>

#include <array>
#include <memory>

#include "ring/link-watch.h"
#include "ring/packet-socket.h"

namespace twinstep::napi {

class PacketRing : public Napi::ObjectWrap<PacketRing> {
 public:
  static Napi::Function define(Napi::Env env);
  // lookUpInterface(name) -> { mac, up, mtu }, or null when there is none that is Ethernet.
  static Napi::Value look_up(const Napi::CallbackInfo& info);
  explicit PacketRing(const Napi::CallbackInfo& info);
  ~PacketRing();

 private:
  // Both poll handles live here, and live on until the event loop has let go of them.
  struct Polls;
  // Frames in one call of the callback; more are waiting in the ring and come with the next.
  static constexpr size_t kBatchFrames = 64;

  Napi::Value get_interface(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);
  Napi::Value start(const Napi::CallbackInfo& info);
  Napi::Value send(const Napi::CallbackInfo& info);
  void set_destination(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  ring::PacketSocket& open_socket(const Napi::CallbackInfo& info);
  Napi::Value share(uint8_t* data, size_t bytes, Napi::Reference<Napi::ArrayBuffer>& keep);
  void on_packets(int status, int events);
  void on_link();
  void watch_packets();
  void call(Napi::FunctionReference& callback, std::initializer_list<napi_value> arguments);
  void shut();

  std::shared_ptr<ring::PacketSocket> socket_;
  std::unique_ptr<ring::LinkWatch> watch_;
  std::string name_;
  Polls* polls_ = nullptr;
  bool wants_writable_ = false;
  std::array<ring::FrameRef, kBatchFrames>* frames_ = nullptr;  // inside frames_buffer_
  uint32_t* lengths_ = nullptr;                                 // inside lengths_buffer_
  uint32_t send_slots_ = 0;
  Napi::Reference<Napi::ArrayBuffer> ring_buffer_;
  Napi::Reference<Napi::ArrayBuffer> staging_buffer_;
  Napi::Reference<Napi::ArrayBuffer> frames_buffer_;
  Napi::Reference<Napi::ArrayBuffer> lengths_buffer_;
  Napi::FunctionReference frames_callback_;
  Napi::FunctionReference writable_callback_;
  Napi::FunctionReference link_callback_;
  std::unique_ptr<Napi::AsyncContext> context_;
};

}  // namespace twinstep::napi
