// Checks that everything lies inside the buffers it is said to lie in, and forwards.
#include "napi/ring-cipher-napi.h"

namespace twinstep::napi {
namespace {

struct Bytes {
  uint8_t* data;
  size_t length;
};

Bytes bytes_of(const Napi::Value& value) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  const napi_status status = napi_get_typedarray_info(value.Env(), value, &type, &length, &data,
                                                      nullptr, nullptr);
  if (status != napi_ok || type != napi_uint8_array) {
    throw Napi::TypeError::New(value.Env(), "expected a Uint8Array");
  }
  return {static_cast<uint8_t*>(data), length};
}

size_t place(const Napi::Value& value) {
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= 0xffffffffu)) {
    throw Napi::RangeError::New(value.Env(), "an offset outside its buffer");
  }
  return static_cast<size_t>(number);
}

uint64_t counter_of(const Napi::Value& value) {
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= 281474976710655.0)) {
    throw Napi::RangeError::New(value.Env(), "a counter of more than 48 bits");
  }
  return static_cast<uint64_t>(number);
}

}  // namespace

Napi::Function FrameCipher::define(Napi::Env env) {
  return DefineClass(env, "FrameCipher",
                     {InstanceMethod<&FrameCipher::seal>("seal"),
                      InstanceMethod<&FrameCipher::open>("open")});
}

// new FrameCipher(key, direction)
FrameCipher::FrameCipher(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FrameCipher>(info) {
  const Bytes key = bytes_of(info[0]);
  if (key.length != ring::kKeyBytes) {
    throw Napi::RangeError::New(info.Env(), "a key of another length");
  }
  cipher_ = ring::FrameCipher::make(key.data, info[1].As<Napi::Number>().Uint32Value());
  if (!cipher_) throw Napi::Error::New(info.Env(), "this OpenSSL has no AES-256-GCM");
}

// seal(counter, frame, plain, bytes)
void FrameCipher::seal(const Napi::CallbackInfo& info) {
  const uint64_t counter = counter_of(info[0]);
  const Bytes frame = bytes_of(info[1]);
  const Bytes plain = bytes_of(info[2]);
  const size_t bytes = place(info[3]);
  if (bytes > plain.length || ring::kHeaderBytes + bytes + ring::kTagBytes > frame.length) {
    throw Napi::RangeError::New(info.Env(), "no room to seal");
  }
  if (!cipher_->seal(counter, frame.data, plain.data, bytes)) {
    throw Napi::Error::New(info.Env(), "AES-256-GCM failed to seal");
  }
}

// open(counter, frame, start, end, plain) -> bytes, or -1
Napi::Value FrameCipher::open(const Napi::CallbackInfo& info) {
  const uint64_t counter = counter_of(info[0]);
  const Bytes frame = bytes_of(info[1]);
  const size_t start = place(info[2]);
  const size_t end = place(info[3]);
  const Bytes plain = bytes_of(info[4]);
  if (start > end || end > frame.length) {
    throw Napi::RangeError::New(info.Env(), "a frame outside its buffer");
  }
  const size_t around = ring::kHeaderBytes + ring::kTagBytes;
  double opened = -1;
  if (end - start >= around && end - start - around <= plain.length) {
    const size_t bytes = end - start - around;
    if (cipher_->open(counter, frame.data + start, bytes, plain.data)) {
      opened = static_cast<double>(bytes);
    }
  }
  return Napi::Number::New(info.Env(), opened);
}

}  // namespace twinstep::napi
