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
#define X87_CLEAR "fnclex\n\t"
#define X87_RESTORE "fldcw %[host]"
#define X87_CLOBBERS "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)"

#define X87_BINARY(BEGIN, CLEAR, RESTORE, PUSH, TYPE, BODY, DROP)                                  \
  asm volatile(BEGIN PUSH "fldt %[a]\n\t" BODY "\n\tfnstsw %[sw]\n\t" CLEAR "fstpt %[out]\n\t"     \
               DROP RESTORE                                                                       \
               : [out] "=m"(ten(out)), [sw] "=m"(status)                                          \
               : [a] "m"(ten(a)), [b] "m"(*static_cast<const TYPE*>(b)), [cw] "m"(cw),            \
                 [host] "m"(kHostControl)                                                         \
               : X87_CLOBBERS)

#define X87_FAST_OR_FULL(PUSH, TYPE, BODY, DROP)                                                  \
  if constexpr (kFast) X87_BINARY("", "", "", PUSH, TYPE, BODY, DROP);                            \
  else X87_BINARY(X87_BEGIN, X87_CLEAR, X87_RESTORE, PUSH, TYPE, BODY, DROP)

#define X87_THREE_WIDTHS(NAME)                                                                    \
  switch (source) {                                                                               \
    case kExtended:                                                                               \
      X87_FAST_OR_FULL("fldt %[b]\n\t", Ten, NAME " %%st(1), %%st", "fstp %%st(0)\n\t");           \
      break;                                                                                      \
    case kSingle:                                                                                 \
      X87_FAST_OR_FULL("", float, NAME "s %[b]", "");                                             \
      break;                                                                                      \
    case kDouble:                                                                                 \
      X87_FAST_OR_FULL("", double, NAME "l %[b]", "");                                            \
      break;                                                                                      \
  }                                                                                               \
  break

namespace {

template <bool kFast>
Result binary(Op op, Source source, F80 a, const void* b, u16 control) {
  [[maybe_unused]] const u16 cw = loaded_control(control);
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

}  // namespace

Result host_binary(Op op, Source source, F80 a, const void* b, u16 control, u16 status) {
  if (control == kHostControl) {
    const Result r = binary<true>(op, source, a, b, control);
    if (!(r.exc & ~status)) return r;
  }
  return binary<false>(op, source, a, b, control);
}

#define X87_UNARY(BODY)                                                                    \
  const u16 cw = loaded_control(control);                                                  \
  F80 out = {};                                                                            \
  u16 status = 0;                                                                          \
  asm volatile(X87_BEGIN "fldt %[a]\n\t" BODY                                              \
               "\n\tfnstsw %[sw]\n\tfnclex\n\tfstpt %[out]\n\tfldcw %[host]"                  \
               : [out] "=m"(ten(out)), [sw] "=m"(status)                                   \
               : [a] "m"(ten(a)), [cw] "m"(cw), [host] "m"(kHostControl)                   \
               : X87_CLOBBERS);                                                            \
  return result(out, status)

Result host_sqrt(F80 a, u16 control) {
  X87_UNARY("fsqrt");
}
Result host_round(F80 a, u16 control) {
  X87_UNARY("frndint");
}

// FST without pop, so that the stack depth does not depend on what was unmasked.
#define X87_STORE(BEGIN, CLEAR, RESTORE, INSN)                                                    \
  asm volatile(BEGIN "fldt %[a]\n\t" INSN " %[out]\n\tfnstsw %[sw]\n\t" CLEAR                     \
               "fstp %%st(0)\n\t" RESTORE                                                         \
               : [out] "+m"(out), [sw] "=m"(status)                                               \
               : [a] "m"(ten(a)), [cw] "m"(cw), [host] "m"(kHostControl)                          \
               : X87_CLOBBERS)

namespace {

template <class T, bool kFast>
Stored narrow(F80 a, u16 control) {
  [[maybe_unused]] const u16 cw = loaded_control(control);
  T out = 0;
  u16 status = 0;
  if constexpr (kFast && sizeof(T) == 4) X87_STORE("", "", "", "fsts");
  else if constexpr (kFast) X87_STORE("", "", "", "fstl");
  else if constexpr (sizeof(T) == 4) X87_STORE(X87_BEGIN, X87_CLEAR, X87_RESTORE, "fsts");
  else X87_STORE(X87_BEGIN, X87_CLEAR, X87_RESTORE, "fstl");
  return {out, static_cast<u16>(status & kAllFlags), static_cast<u16>(status & kC1)};
}

template <class T>
Stored narrow_best(F80 a, u16 control, u16 status) {
  if (control == kHostControl) {
    const Stored r = narrow<T, true>(a, control);
    if (!(r.exc & ~status)) return r;
  }
  return narrow<T, false>(a, control);
}

}  // namespace

Stored host_to_single(F80 a, u16 control, u16 status) {
  return narrow_best<u32>(a, control, status);
}
Stored host_to_double(F80 a, u16 control, u16 status) {
  return narrow_best<u64>(a, control, status);
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
