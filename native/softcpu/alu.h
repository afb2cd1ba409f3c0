// Arithmetic with flags, by the host's own instructions. One template per instruction and operand
// size; the flags come out in host form (flags.h), undefined ones set to what QUIRKS.md says.
#pragma once

#include "cpu.h"
#include "flags.h"

namespace twinstep::soft {

#define TWINSTEP_TAKE_FLAGS "\n\tlahf\n\tseto %%al"

#define TWINSTEP_BINARY(name, instruction)                                        \
  template <class T>                                                              \
  inline T name(Cpu& c, T a, T b) {                                               \
    u32 hf;                                                                       \
    asm(instruction " %[b], %[a]" TWINSTEP_TAKE_FLAGS                             \
        : [a] "+&r"(a), "=&a"(hf)                                                 \
        : [b] "r"(b)                                                              \
        : "cc");                                                                  \
    c.host_flags = static_cast<u16>(hf);                                          \
    return a;                                                                     \
  }
TWINSTEP_BINARY(host_add, "add")
TWINSTEP_BINARY(host_sub, "sub")
#undef TWINSTEP_BINARY

// With carry in. Bit 8 of the host form is CF.
#define TWINSTEP_CARRY(name, instruction)                                         \
  template <class T>                                                              \
  inline T name(Cpu& c, T a, T b) {                                               \
    u32 hf;                                                                       \
    asm("btw $8, %[f]\n\t" instruction " %[b], %[a]" TWINSTEP_TAKE_FLAGS          \
        : [a] "+&r"(a), "=&a"(hf)                                                 \
        : [b] "r"(b), [f] "m"(c.host_flags)                                       \
        : "cc");                                                                  \
    c.host_flags = static_cast<u16>(hf);                                          \
    return a;                                                                     \
  }
TWINSTEP_CARRY(host_adc, "adc")
TWINSTEP_CARRY(host_sbb, "sbb")
#undef TWINSTEP_CARRY

// INC and DEC keep CF: it is put back into the host's before them.
#define TWINSTEP_STEP(name, instruction)                                          \
  template <class T>                                                              \
  inline T name(Cpu& c, T a) {                                                    \
    u32 hf;                                                                       \
    asm("btw $8, %[f]\n\t" instruction " %[a]" TWINSTEP_TAKE_FLAGS                \
        : [a] "+&r"(a), "=&a"(hf)                                                 \
        : [f] "m"(c.host_flags)                                                   \
        : "cc");                                                                  \
    c.host_flags = static_cast<u16>(hf);                                          \
    return a;                                                                     \
  }
TWINSTEP_STEP(host_inc, "inc")
TWINSTEP_STEP(host_dec, "dec")
TWINSTEP_STEP(host_neg, "neg")
#undef TWINSTEP_STEP

// SF, ZF, PF of a result; CF, OF, AF clear: AND, OR, XOR, TEST.
template <class T>
inline u16 logic_flags(T a) {
  u32 hf;
  asm("test %[a], %[a]\n\tlahf" : "=a"(hf) : [a] "r"(a) : "cc");
  return static_cast<u16>(hf & (kHfSf | kHfZf | kHfPf)) | kHfFixed;
}

enum AluOp { kAdd, kOr, kAdc, kSbb, kAnd, kSub, kXor, kCmp, kTest };

template <int kOp, class T>
inline T alu(Cpu& c, T a, T b) {
  if constexpr (kOp == kAdd) return host_add<T>(c, a, b);
  if constexpr (kOp == kAdc) return host_adc<T>(c, a, b);
  if constexpr (kOp == kSbb) return host_sbb<T>(c, a, b);
  if constexpr (kOp == kSub || kOp == kCmp) return host_sub<T>(c, a, b);
  T r = a;
  if constexpr (kOp == kOr) r = a | b;
  if constexpr (kOp == kAnd || kOp == kTest) r = a & b;
  if constexpr (kOp == kXor) r = a ^ b;
  c.host_flags = logic_flags<T>(r);
  return r;
}

}  // namespace twinstep::soft
