// One entry an opcode: what follows it, and how its operand size comes about (SDM vol. 2 app. A).
#pragma once

#include <array>

#include "cpu.h"

namespace twinstep::soft {

enum Form : u16 {
  kModrm = 1,
  kImm8 = 2,        // sign-extended
  kImmZ = 4,        // 16 or 32 bits, sign-extended
  kImmV = 8,        // as wide as the operand
  kImm16 = 0x10,
  kImmFar = 0x20,   // offset, selector
  kImmEnter = 0x40, // 16 bits, 8 bits
  kMoffs = 0x80,
  kRel8 = 0x100,
  kRelZ = 0x200,
  kWide = 0x400,    // 64 bits by default in 64-bit mode (66 makes it 16)
  kWideOnly = 0x800,  // 64 bits in 64-bit mode whatever the prefixes
  kNot64 = 0x1000,
  kNone = 0x2000,   // undefined in every mode
  kOpReg = 0x4000,  // low opcode bits name a register
};

using Table = std::array<u16, 256>;

constexpr void fill_forms(Table& t, u32 from, u32 to, u32 form) {
  for (u32 n = from; n <= to; ++n) t[n] = static_cast<u16>(form);
}

constexpr Table one_byte_table() {
  Table t{};
  for (u32 row = 0; row < 0x40; row += 8) {
    fill_forms(t, row, row + 3, kModrm);
    t[row + 4] = kImm8;
    t[row + 5] = kImmZ;
    fill_forms(t, row + 6, row + 7, kNot64);
  }
  fill_forms(t, 0x40, 0x4f, kNot64 | kOpReg);
  fill_forms(t, 0x50, 0x5f, kWide | kOpReg);
  fill_forms(t, 0x60, 0x61, kNot64);
  t[0x62] = kModrm | kNot64;
  t[0x63] = kModrm;
  t[0x68] = kImmZ | kWide;
  t[0x69] = kModrm | kImmZ;
  t[0x6a] = kImm8 | kWide;
  t[0x6b] = kModrm | kImm8;
  fill_forms(t, 0x70, 0x7f, kRel8 | kWideOnly);
  t[0x80] = kModrm | kImm8;
  t[0x81] = kModrm | kImmZ;
  t[0x82] = kModrm | kImm8 | kNot64;
  t[0x83] = kModrm | kImm8;
  fill_forms(t, 0x84, 0x8e, kModrm);
  t[0x8f] = kModrm | kWide;
  fill_forms(t, 0x90, 0x97, kOpReg);
  t[0x9a] = kImmFar | kNot64;
  fill_forms(t, 0x9c, 0x9d, kWide);
  fill_forms(t, 0xa0, 0xa3, kMoffs);
  t[0xa8] = kImm8;
  t[0xa9] = kImmZ;
  fill_forms(t, 0xb0, 0xb7, kImm8 | kOpReg);
  fill_forms(t, 0xb8, 0xbf, kImmV | kOpReg);
  fill_forms(t, 0xc0, 0xc1, kModrm | kImm8);
  t[0xc2] = kImm16 | kWideOnly;
  t[0xc3] = kWideOnly;
  fill_forms(t, 0xc4, 0xc5, kModrm | kNot64);
  t[0xc6] = kModrm | kImm8;
  t[0xc7] = kModrm | kImmZ;
  t[0xc8] = kImmEnter | kWide;
  t[0xc9] = kWide;
  t[0xca] = kImm16;
  t[0xcd] = kImm8;
  t[0xce] = kNot64;
  fill_forms(t, 0xd0, 0xd3, kModrm);
  fill_forms(t, 0xd4, 0xd5, kImm8 | kNot64);
  t[0xd6] = kNot64;
  fill_forms(t, 0xd8, 0xdf, kModrm);
  fill_forms(t, 0xe0, 0xe3, kRel8 | kWideOnly);
  fill_forms(t, 0xe4, 0xe7, kImm8);
  fill_forms(t, 0xe8, 0xe9, kRelZ | kWideOnly);
  t[0xea] = kImmFar | kNot64;
  t[0xeb] = kRel8 | kWideOnly;
  fill_forms(t, 0xf6, 0xf7, kModrm);
  fill_forms(t, 0xfe, 0xff, kModrm);
  return t;
}

constexpr Table two_byte_table() {
  Table t{};
  fill_forms(t, 0x00, 0xff, kModrm);
  fill_forms(t, 0x04, 0x0c, 0);
  t[0x04] = t[0x0a] = t[0x0c] = t[0x0e] = t[0x0f] = kNone;
  fill_forms(t, 0x20, 0x23, kModrm | kWideOnly);
  fill_forms(t, 0x24, 0x27, kNone);
  fill_forms(t, 0x30, 0x37, 0);
  t[0x36] = t[0x39] = kNone;
  fill_forms(t, 0x3b, 0x3f, kNone);
  fill_forms(t, 0x70, 0x73, kModrm | kImm8);
  t[0x77] = 0;
  fill_forms(t, 0x80, 0x8f, kRelZ | kWideOnly);
  fill_forms(t, 0xa0, 0xa1, kWide);
  t[0xa2] = 0;
  t[0xa4] = t[0xac] = kModrm | kImm8;
  fill_forms(t, 0xa6, 0xa7, kNone);
  fill_forms(t, 0xa8, 0xa9, kWide);
  t[0xaa] = 0;
  t[0xba] = kModrm | kImm8;
  t[0xc2] = kModrm | kImm8;
  fill_forms(t, 0xc4, 0xc6, kModrm | kImm8);
  fill_forms(t, 0xc8, 0xcf, kOpReg);
  return t;
}

inline constexpr Table kOneByte = one_byte_table();
inline constexpr Table kTwoByte = two_byte_table();

}  // namespace twinstep::soft
