// Arguments that several classes take, checked; a TypeError says which one is wrong.
#pragma once

#include <napi.h>

#include <cmath>
#include <cstdint>
#include <string>

namespace twinstep::napi {

inline constexpr double kDescriptorMax = 2147483647.0;
inline constexpr double kOffsetMax = 4503599627370495.0;  // 2^52 - 1: sums stay exact

// A whole number from 0 to `max`.
inline uint64_t whole(const Napi::CallbackInfo& info, size_t index, const char* what, double max) {
  const double value =
      info[index].IsNumber() ? info[index].As<Napi::Number>().DoubleValue() : -1;
  if (!(value >= 0 && value <= max && std::floor(value) == value)) {
    throw Napi::TypeError::New(info.Env(), std::string(what) + " must be a whole number >= 0");
  }
  return static_cast<uint64_t>(value);
}

// A whole number from 0 to `max`, which a double must hold exactly.
inline uint64_t whole(const Napi::Value& value, const std::string& what, uint64_t max) {
  if (!value.IsNumber()) throw Napi::TypeError::New(value.Env(), what + " must be a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= static_cast<double>(max) && std::floor(number) == number)) {
    throw Napi::RangeError::New(value.Env(), what + " must be a whole number from 0 to " +
                                                 std::to_string(max));
  }
  return static_cast<uint64_t>(number);
}
inline constexpr uint64_t kExactMax = (uint64_t{1} << 53) - 1;

inline Napi::Uint8Array bytes(const Napi::CallbackInfo& info, size_t index, const char* what) {
  if (!info[index].IsTypedArray() ||
      info[index].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw Napi::TypeError::New(info.Env(), std::string(what) + " must be a Uint8Array");
  }
  return info[index].As<Napi::Uint8Array>();
}

}  // namespace twinstep::napi
