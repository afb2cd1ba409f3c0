#include "vtx/step-policy.h"

namespace twinstep::vtx {

using soft::Insn;
using soft::u8;

namespace {

u8 group_of(const Insn& i) { return i.modrm >> 3 & 7; }

bool is_string(const Insn& i) {
  return i.map == 0 && ((i.opcode >= 0xa4 && i.opcode <= 0xa7) || (i.opcode >= 0xaa && i.opcode <= 0xaf));
}

// What sees or changes the step itself: RFLAGS as a whole, IF, events, ports, HLT.
bool is_private_one_byte(const Insn& i) {
  switch (i.opcode) {
    case 0x6c: case 0x6d: case 0x6e: case 0x6f:  // INS, OUTS
    case 0x9c: case 0x9d:                        // PUSHF, POPF
    case 0xcc: case 0xcd: case 0xce: case 0xf1:  // INT
    case 0xf4: case 0xfa: case 0xfb:             // HLT, CLI, STI
      return true;
    default: return false;
  }
}

bool is_private_two_byte(const Insn& i) {
  if (i.opcode == 0xc7) return group_of(i) != 1;  // CMPXCHG8B stays
  return i.opcode == 0x00 || i.opcode == 0x01;    // system, XGETBV, XSETBV
}

bool is_private(const Insn& i) {
  return (i.map == 0 && is_private_one_byte(i)) || (i.map == 1 && is_private_two_byte(i));
}

bool is_left_open_one_byte(const Insn& i) {
  switch (i.opcode) {
    case 0x27: case 0x2f: case 0x37: case 0x3f: case 0xd4: case 0xd5:  // decimal: undefined flags
    case 0x69: case 0x6b:                                              // IMUL: undefined flags
    case 0xc0: case 0xc1: case 0xd0: case 0xd1: case 0xd2: case 0xd3:  // shifts: undefined flags
    case 0xd6:                                                         // SALC
      return true;
    case 0xf6: case 0xf7: return group_of(i) >= 4;                     // MUL, DIV: undefined flags
    default: return false;
  }
}

bool is_left_open_two_byte(const Insn& i) {
  switch (i.opcode) {
    case 0x52: case 0x53:                        // RSQRTPS, RCPPS: up to the processor
    case 0xa3: case 0xab: case 0xb3: case 0xba: case 0xbb:  // BT..: undefined flags
    case 0xa4: case 0xa5: case 0xac: case 0xad:  // SHLD, SHRD: undefined flags
    case 0xae:                                   // FXSAVE, XSAVE, MXCSR, CLFLUSH
    case 0xaf:                                   // IMUL
    case 0xbc: case 0xbd:                        // BSF, BSR: TZCNT and LZCNT on newer hardware
      return true;
    default: return false;
  }
}

bool is_left_open(const Insn& i) {
  return (i.map == 0 && is_left_open_one_byte(i)) || (i.map == 1 && is_left_open_two_byte(i));
}

// With a repeat prefix, hosts differ in what one step is, and in where the last one ends. A near branch with an
// operand prefix: Intel ignores it in 64-bit mode, AMD does not.
bool is_step_unclear(const Insn& i) {
  return is_repeated(i) || ((i.flow & soft::kEndsBlock) && (i.flags & soft::kHas66));
}

}  // namespace

bool is_ordinary(const Insn& i) {
  if (is_step_unclear(i) || is_private(i) || is_left_open(i)) return false;
  return soft::select_integer(i) != nullptr || soft::select_simd(i) != nullptr;
}

bool is_steppable(const Insn& i) {
  if (is_step_unclear(i) || is_private(i)) return false;
  const bool is_cpuid = i.map == 1 && i.opcode == 0xa2;
  return is_cpuid || soft::select_integer(i) != nullptr || is_floating(i);
}

bool is_floating(const Insn& i) {
  if (soft::select_integer(i) != nullptr) return false;
  return soft::select_simd(i) != nullptr || soft::select_x87(i) != nullptr;
}

bool changes_translation(const Insn& i) {
  return i.map == 1 && (i.opcode == 0x01 || i.opcode == 0x22 || i.opcode == 0x30);
}

bool stores_string(const Insn& i) {
  if (i.map != 0) return false;
  return i.opcode == 0x6c || i.opcode == 0x6d || i.opcode == 0xa4 || i.opcode == 0xa5 ||
         i.opcode == 0xaa || i.opcode == 0xab;
}

bool is_repeated(const Insn& i) { return i.rep != 0 && is_string(i); }

bool is_plain_repeat(const Insn& i) {
  return is_repeated(i) && i.opcode != 0xa6 && i.opcode != 0xa7 && i.opcode < 0xae;
}

uint64_t iterations_of(const Insn& i, uint64_t rcx) {
  const uint64_t left = i.addr_bits == 64 ? rcx : rcx & ((uint64_t{1} << i.addr_bits) - 1);
  return left == 0 ? 1 : left;
}

bool is_conditional_branch(const Insn& i) {
  if (i.map == 0) return (i.opcode >= 0x70 && i.opcode <= 0x7f) || (i.opcode >= 0xe0 && i.opcode <= 0xe3);
  return i.map == 1 && i.opcode >= 0x80 && i.opcode <= 0x8f;
}

bool always_exits(const Insn& i) {
  if (i.map == 0) {
    return (i.opcode >= 0x6c && i.opcode <= 0x6f) || (i.opcode >= 0xe4 && i.opcode <= 0xe7) ||
           (i.opcode >= 0xec && i.opcode <= 0xef) || i.opcode == 0xf4;
  }
  return i.map == 1 && (i.opcode == 0x31 || i.opcode == 0x30 || i.opcode == 0x32 ||
                        (i.opcode == 0x01 && i.modrm == 0xf9));
}

}  // namespace twinstep::vtx
