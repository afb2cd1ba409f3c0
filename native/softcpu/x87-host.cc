// See x87-host.h. Each block starts and ends with an empty host stack and the host's control word.
#include "x87-host.h"

namespace twinstep::soft::x87 {
namespace {

using Ten = char[10];
constexpr u16 kHostControl = 0x037f;

// Reserved precision control (01) means extended.
u16 loaded_control(u16 control) {
  const u16 pc = (control >> 8) & 3;
  return static_cast<u16>((control & 0x0fff) | (pc == 1 ? 0x0300 : 0));
}

Ten& ten(F80& v) { return reinterpret_cast<Ten&>(v); }

Result result(F80 value, u16 status) {
  return {value, static_cast<u16>(status & kAllFlags), static_cast<u16>(status & kC1)};
}

}  // namespace

// SAFETY (all blocks below): operands are ten, four or eight readable bytes, the stack is used two
// deep and left empty, the control word is restored, no exception stays pending.
#define X87_BEGIN "fnclex\n\tfldcw %[cw]\n\t"
#define X87_END "\n\tfnstsw %[sw]\n\tfnclex\n\tfstpt %[out]\n\tfldcw %[host]"

#define X87_BINARY(PUSH_B, TYPE, BODY)                                                            \
  do {                                                                                            \
    if constexpr (sizeof(PUSH_B) > 1) {                                                           \
      asm volatile(X87_BEGIN PUSH_B "fldt %[a]\n\t" BODY                                          \
                   "\n\tfnstsw %[sw]\n\tfnclex\n\tfstpt %[out]\n\tfstp %%st(0)\n\tfldcw %[host]" \
                   : [out] "=m"(ten(out)), [sw] "=m"(status)                                      \
                   : [a] "m"(ten(a)), [b] "m"(*static_cast<const TYPE*>(b)), [cw] "m"(cw),        \
                     [host] "m"(kHostControl)                                                     \
                   : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");        \
    } else {                                                                                      \
      asm volatile(X87_BEGIN "fldt %[a]\n\t" BODY X87_END                                         \
                   : [out] "=m"(ten(out)), [sw] "=m"(status)                                      \
                   : [a] "m"(ten(a)), [b] "m"(*static_cast<const TYPE*>(b)), [cw] "m"(cw),        \
                     [host] "m"(kHostControl)                                                     \
                   : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");        \
    }                                                                                             \
  } while (0)

#define X87_THREE_WIDTHS(NAME)                                                  \
  switch (source) {                                                             \
    case kExtended:                                                             \
      X87_BINARY("fldt %[b]\n\t", Ten, NAME " %%st(1), %%st");                  \
      break;                                                                    \
    case kSingle:                                                               \
      X87_BINARY("", float, NAME "s %[b]");                                     \
      break;                                                                    \
    case kDouble:                                                               \
      X87_BINARY("", double, NAME "l %[b]");                                    \
      break;                                                                    \
  }                                                                             \
  break

Result host_binary(Op op, Source source, F80 a, const void* b, u16 control) {
  const u16 cw = loaded_control(control);
  F80 out = {};
  u16 status = 0;
  switch (op) {
    case kAdd: X87_THREE_WIDTHS("fadd");
    case kMul: X87_THREE_WIDTHS("fmul");
    case kSub: X87_THREE_WIDTHS("fsub");
    case kSubR: X87_THREE_WIDTHS("fsubr");
    case kDiv: X87_THREE_WIDTHS("fdiv");
    case kDivR: X87_THREE_WIDTHS("fdivr");
  }
  return result(out, status);
}

#define X87_UNARY(BODY)                                                                    \
  const u16 cw = loaded_control(control);                                                  \
  F80 out = {};                                                                            \
  u16 status = 0;                                                                          \
  asm volatile(X87_BEGIN "fldt %[a]\n\t" BODY X87_END                                      \
               : [out] "=m"(ten(out)), [sw] "=m"(status)                                   \
               : [a] "m"(ten(a)), [cw] "m"(cw), [host] "m"(kHostControl)                   \
               : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");     \
  return result(out, status)

Result host_sqrt(F80 a, u16 control) {
  X87_UNARY("fsqrt");
}
Result host_round(F80 a, u16 control) {
  X87_UNARY("frndint");
}

// FST without pop, so that the stack depth does not depend on what was unmasked.
#define X87_STORE(INSN, T, CONTROL)                                                               \
  const u16 cw = loaded_control(CONTROL);                                                         \
  T out = 0;                                                                                      \
  u16 status = 0;                                                                                 \
  asm volatile(X87_BEGIN "fldt %[a]\n\t" INSN                                                     \
               " %[out]\n\tfnstsw %[sw]\n\tfnclex\n\tfstp %%st(0)\n\tfldcw %[host]"               \
               : [out] "+m"(out), [sw] "=m"(status)                                               \
               : [a] "m"(ten(a)), [cw] "m"(cw), [host] "m"(kHostControl)                          \
               : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");            \
  return Stored {                                                                                 \
    static_cast<u64>(out), static_cast<u16>(status & kAllFlags), static_cast<u16>(status & kC1)   \
  }

Stored host_to_single(F80 a, u16 control) {
  X87_STORE("fsts", u32, control);
}
Stored host_to_double(F80 a, u16 control) {
  X87_STORE("fstl", u64, control);
}

// Popping stores always pop here: everything is masked.
#define X87_STORE_POP(INSN, T)                                                                    \
  const u16 cw = loaded_control(control | kAllFlags);                                             \
  T out = {};                                                                                     \
  u16 status = 0;                                                                                 \
  asm volatile(X87_BEGIN "fldt %[a]\n\t" INSN " %[out]\n\tfnstsw %[sw]\n\tfldcw %[host]"          \
               : [out] "+m"(out), [sw] "=m"(status)                                               \
               : [a] "m"(ten(a)), [cw] "m"(cw), [host] "m"(kHostControl)                          \
               : "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");            \
  const u16 exc = status & kAllFlags, c1 = status & kC1

template <> Stored host_to_integer<i16>(F80 a, u16 control) {
  X87_STORE_POP("fistps", u16);
  return {out, exc, c1};
}
template <> Stored host_to_integer<i32>(F80 a, u16 control) {
  X87_STORE_POP("fistpl", u32);
  return {out, exc, c1};
}
template <> Stored host_to_integer<i64>(F80 a, u16 control) {
  X87_STORE_POP("fistpll", u64);
  return {out, exc, c1};
}
template <> Stored host_truncate<i16>(F80 a, u16 control) {
  X87_STORE_POP("fisttps", u16);
  return {out, exc, c1};
}
template <> Stored host_truncate<i32>(F80 a, u16 control) {
  X87_STORE_POP("fisttpl", u32);
  return {out, exc, c1};
}
template <> Stored host_truncate<i64>(F80 a, u16 control) {
  X87_STORE_POP("fisttpll", u64);
  return {out, exc, c1};
}

Stored host_to_bcd(F80 a, u16 control, u8 bytes[10]) {
  X87_STORE_POP("fbstp", F80);
  memcpy(bytes, &out, 10);
  return {0, exc, c1};
}

}  // namespace twinstep::soft::x87
