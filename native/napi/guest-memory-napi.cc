// Converts arguments, guards lifetime, forwards to memory/guest-memory.
#include "napi/guest-memory-napi.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "napi/arguments.h"

namespace twinstep::napi {
namespace {

constexpr napi_type_tag kTag = {0x7d1f0c3a5b924e61, 0x9a8857c2e04d1b36};

// A whole number that a double holds exactly: sizes and tokens both do.
uint64_t whole(const Napi::Value& value, const char* what) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= 9007199254740991.0 && std::floor(number) == number)) {
    throw Napi::TypeError::New(value.Env(), std::string(what) + " must be a whole number >= 0");
  }
  return static_cast<uint64_t>(number);
}

}  // namespace

Napi::Function GuestMemory::define(Napi::Env env) {
  return DefineClass(env, "GuestMemory",
                     {InstanceAccessor<&GuestMemory::buffer>("buffer"),
                      InstanceAccessor<&GuestMemory::banks>("banks"),
                      InstanceAccessor<&GuestMemory::size>("bytes"),
                      InstanceAccessor<&GuestMemory::token>("token"),
                      InstanceMethod<&GuestMemory::read>("read"),
                      InstanceMethod<&GuestMemory::write>("write"),
                      InstanceMethod<&GuestMemory::clear_pages>("clearPages"),
                      InstanceMethod<&GuestMemory::real_pages>("realPages"),
                      InstanceMethod<&GuestMemory::close>("close")});
}

// new GuestMemory({ bytes }) creates, new GuestMemory({ token }) attaches.
GuestMemory::GuestMemory(const Napi::CallbackInfo& info) : Napi::ObjectWrap<GuestMemory>(info) {
  const Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsObject()) {
    throw Napi::TypeError::New(env, "GuestMemory needs { bytes } or { token }");
  }
  const auto options = info[0].As<Napi::Object>();
  const bool creates = options.Has("bytes");
  auto result = creates ? memory::create(whole(options.Get("bytes"), "bytes"))
                        : memory::attach(whole(options.Get("token"), "token"));
  if (!result.mapping) {
    if (creates) throw Napi::RangeError::New(env, result.error);
    throw Napi::Error::New(env, result.error);
  }
  mapping_ = std::move(result.mapping);
  Value().TypeTag(&kTag);
}

// Not before somebody asks: the engine takes each for memory of its own that has just grown by as much, and collects its
// garbage at once, for tens of milliseconds.
Napi::Array GuestMemory::made_banks(Napi::Env env) {
  if (!banks_.IsEmpty()) return banks_.Value();
  auto banks = Napi::Array::New(env);
  for (uint64_t at = 0; at < mapping_->bytes(); at += memory::kBankBytes) banks.Set(banks.Length(), bank(env, at));
  banks.Freeze();
  banks_ = Napi::Persistent(banks);
  return banks;
}

Napi::ArrayBuffer GuestMemory::bank(Napi::Env env, uint64_t at) {
  // SAFETY: the finalizer's copy keeps the mapping as long as the engine may reach the bytes.
  auto* keep = new std::shared_ptr<memory::Mapping>(mapping_);
  return Napi::ArrayBuffer::New(
      env, mapping_->data() + at, std::min(memory::kBankBytes, mapping_->bytes() - at),
      [](Napi::Env, void*, std::shared_ptr<memory::Mapping>* held) { delete held; }, keep);
}

std::shared_ptr<memory::Mapping> GuestMemory::mapping_of(Napi::Value value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kTag)) {
    throw Napi::TypeError::New(value.Env(), "expected a GuestMemory");
  }
  auto mapping = Unwrap(value.As<Napi::Object>())->mapping_;
  if (!mapping) throw Napi::TypeError::New(value.Env(), "this GuestMemory is closed");
  return mapping;
}

const memory::Mapping& GuestMemory::open(const Napi::CallbackInfo& info) const {
  if (!mapping_) throw Napi::TypeError::New(info.Env(), "this GuestMemory is closed");
  return *mapping_;
}

Napi::Value GuestMemory::buffer(const Napi::CallbackInfo& info) {
  open(info);
  if (mapping_->bytes() <= memory::kBankBytes) return made_banks(info.Env()).Get(uint32_t{0});
  throw Napi::RangeError::New(info.Env(), "this GuestMemory has several banks: no buffer has all of it");
}

Napi::Value GuestMemory::banks(const Napi::CallbackInfo& info) {
  open(info);
  return made_banks(info.Env());
}

Napi::Value GuestMemory::size(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(open(info).bytes()));
}

Napi::Value GuestMemory::token(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(open(info).token()));
}

// The place of so many bytes at an offset; a RangeError where they are not all inside.
uint8_t* GuestMemory::place(const Napi::CallbackInfo& info, size_t bytes) const {
  const uint64_t size = open(info).bytes();
  const uint64_t at = whole(info[0], "at");
  if (bytes <= size && at <= size - bytes) return mapping_->data() + at;
  throw Napi::RangeError::New(info.Env(), std::to_string(bytes) + " bytes at " + std::to_string(at) + " of " +
                                              std::to_string(size) + " bytes of memory");
}

// read(at, into)
void GuestMemory::read(const Napi::CallbackInfo& info) {
  auto into = bytes(info, 1, "into");
  const uint8_t* const from = place(info, into.ByteLength());
  std::memcpy(into.Data(), from, into.ByteLength());
}

// write(at, from)
void GuestMemory::write(const Napi::CallbackInfo& info) {
  const auto from = bytes(info, 1, "from");
  uint8_t* const to = place(info, from.ByteLength());
  std::memcpy(to, from.Data(), from.ByteLength());
}

// clearPages(first, count)
void GuestMemory::clear_pages(const Napi::CallbackInfo& info) {
  const uint64_t pages = open(info).bytes() / memory::kPageBytes;
  const uint64_t first = whole(info[0], "first");
  const uint64_t count = whole(info[1], "count");
  if (first > pages || count > pages - first) throw Napi::RangeError::New(info.Env(), "no such pages");
  if (count > 0 && !memory::clear_pages(*mapping_, first, count)) {
    throw Napi::Error::New(info.Env(), "the pages cannot be given back");
  }
}

// realPages(page): { first, end }, both the number of pages where there are none any more.
Napi::Value GuestMemory::real_pages(const Napi::CallbackInfo& info) {
  const uint64_t pages = open(info).bytes() / memory::kPageBytes;
  const uint64_t from = std::min(whole(info[0], "page"), pages);
  memory::Extents extents(*mapping_);
  const uint64_t first = extents.next(from);
  auto found = Napi::Object::New(info.Env());
  found.Set("first", Napi::Number::New(info.Env(), static_cast<double>(first)));
  found.Set("end", Napi::Number::New(info.Env(), static_cast<double>(first == pages ? pages : extents.end())));
  return found;
}

// Detaches the buffers first, so views left in JavaScript become empty rather than dangling. The
// memory itself goes when the last mapping, here or in another thread, is gone. Safe to call twice.
void GuestMemory::close(const Napi::CallbackInfo&) {
  if (!mapping_) return;
  if (!banks_.IsEmpty()) {
    const auto banks = banks_.Value();
    for (uint32_t n = 0; n < banks.Length(); n++) banks.Get(n).As<Napi::ArrayBuffer>().Detach();
    banks_.Reset();
  }
  mapping_.reset();
}

}  // namespace twinstep::napi
