// From bytes to Insn: prefixes, opcode, ModRM, SIB, displacement, immediates. Knows the layout of
// every instruction and nothing of what it does; a translator to host code will use it as it is.
#pragma once

#include "cpu.h"

namespace twinstep::soft {

enum class Decode : u8 {
  Ok,
  Short,   // needs bytes beyond `available`
  TooLong, // more than 15 bytes: #GP(0)
  Invalid, // #UD
};

// `rip` is the address the bytes stand at (relative to CS). Fills everything but fn and the
// dispatcher's fields; `len` is right also for Invalid.
Decode decode(const u8* bytes, u32 available, u8 code_bits, u64 rip, Insn& out);

// decode() and the choice of a handler; Invalid also where no family knows the instruction.
Decode decode_and_select(const u8* bytes, u32 available, u8 code_bits, u64 rip, Insn& out);

}  // namespace twinstep::soft
