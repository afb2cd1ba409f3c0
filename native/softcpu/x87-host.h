// The host's x87 as an arithmetic unit: one operation under a given control word, from clean flags.
//
// Only what IEEE 754 and the SDM fix is done here, with operands that are numbers: every x86 host
// gives the same bits. The guest's own masks are loaded too: an unmasked overflow or underflow
// gives the result with its exponent wrapped (SDM vol. 1 8.5.4, 8.5.5), which the host does for us.
// FNCLEX removes the pending exception before any waiting instruction can see it.
//
// With the control word a process starts with, which is the host's own, an operation just runs;
// only if the host's sticky flags then hold one the guest's `status` has not is it run again from
// clean flags. The flags of a Result are therefore complete, but may repeat some the guest has
// already.
#pragma once

#include "x87.h"

namespace twinstep::soft::x87 {

// In the order of ModRM.reg of the D8 group (2 and 3 are FCOM, FCOMP).
enum Op : u8 { kAdd = 0, kMul = 1, kSub = 4, kSubR = 5, kDiv = 6, kDivR = 7 };
enum Source : u8 { kExtended, kSingle, kDouble };

// `b` points to an 80-, 32- or 64-bit operand in memory. Result of a `op` b.
Result host_binary(Op op, Source source, F80 a, const void* b, u16 control, u16 status);
Result host_sqrt(F80 a, u16 control);
Result host_round(F80 a, u16 control);

// Stores. With an unmasked underflow, overflow or invalid operation `bits` means nothing.
struct Stored {
  u64 bits;
  u16 exc;
  u16 c1;
};
Stored host_to_single(F80 a, u16 control, u16 status);
Stored host_to_double(F80 a, u16 control, u16 status);
// Run with masked exceptions (only IE and PE can occur); invalid gives the integer indefinite.
template <class T> Stored host_to_integer(F80 a, u16 control);
template <class T> Stored host_truncate(F80 a, u16 control);
Stored host_to_bcd(F80 a, u16 control, u8 out[10]);

}  // namespace twinstep::soft::x87
