// What the oracle knows of MMX and SSE instructions.
#include "oracle.h"

namespace twinstep::soft::oracle {
namespace {

using F = Family;
using U = Undefined;
constexpr u32 kRm = kReg | kMem;

std::string label(const char* name, u8 prefix, u8 map, u8 opcode) {
  char text[64];
  snprintf(text, sizeof text, "%s %02x:%u:%02x", name, prefix, map, opcode);
  return text;
}

void add(std::vector<Entry>& out, const char* name, F family, u8 prefix, u8 map, u8 opcode,
         u32 flags,
         u8 bytes, Data data = Data::integer, int group = -1, Kind kind = Kind::plain) {
  Entry e{label(name, prefix, map, opcode), family, prefix, map, opcode, group, flags | kNoRep,
          bytes};
  e.data = data;
  e.kind = kind;
  out.push_back(e);
}

// The same operation on MMX and XMM registers.
void both(std::vector<Entry>& out, const char* name, u8 map, u8 opcode, u32 flags = 0) {
  add(out, name, F::mmx, 0, map, opcode, kRm | flags, 8);
  add(out, name, F::sse, 0x66, map, opcode, kRm | kAligned | flags, 16);
}

void lanes(std::vector<Entry>& out) {
  for (u8 op = 0x60; op <= 0x6b; op++) {
    const bool low = op <= 0x62;
    add(out, "pack", F::mmx, 0, 1, op, kRm, low ? 4 : 8);
    add(out, "pack", F::sse, 0x66, 1, op, kRm | kAligned, 16);
  }
  add(out, "punpcklqdq", F::sse, 0x66, 1, 0x6c, kRm | kAligned, 16);
  add(out, "punpckhqdq", F::sse, 0x66, 1, 0x6d, kRm | kAligned, 16);
  for (const u8 op : {0x74, 0x75, 0x76}) both(out, "pcmpeq", 1, op);
  for (u32 op = 0xd1; op <= 0xfe; op++) {
    const bool other = op == 0xd6 || op == 0xd7 || op == 0xe6 || op == 0xe7 || op == 0xf0 ||
        op == 0xf7;
    if (other || (op & 15) == 0 || op == 0xff) continue;
    both(out, "lanes", 1, static_cast<u8>(op));
  }
  both(out, "pavgb", 1, 0xe0);
  for (u32 op = 0x00; op <= 0x0b; op++) both(out, "ssse3", 2, static_cast<u8>(op));
  for (const u8 op : {0x1c, 0x1d, 0x1e}) both(out, "pabs", 2, op);
  both(out, "palignr", 3, 0x0f, kImm8);
  for (const u8 op : {0x28, 0x29, 0x2b, 0x37, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x40,
                      0x41, 0x10, 0x14, 0x15, 0x17}) {
    add(out, "sse4", F::sse, 0x66, 2, op, kRm | kAligned, 16);
  }
  static constexpr u8 kWidenBytes[6] = {8, 4, 2, 8, 4, 8};
  for (u8 n = 0; n < 6; n++) {
    add(out, "pmovsx", F::sse, 0x66, 2, u8(0x20 + n), kRm, kWidenBytes[n]);
    add(out, "pmovzx", F::sse, 0x66, 2, u8(0x30 + n), kRm, kWidenBytes[n]);
  }
  static constexpr u8 kShiftGroups[3] = {0x54, 0x54, 0xcc};  // bits: groups with an operation
  for (u8 n = 0; n < 3; n++) {
    for (int g = 0; g < 8; g++) {
      const bool known = (kShiftGroups[n] >> g & 1) || (n == 2 && (g == 2 || g == 6));
      if (!known && g != 1) continue;
      add(out, "shift imm", F::mmx, 0, 1, u8(0x71 + n), kReg | kImm8, 0, Data::integer, g);
      add(out, "shift imm", F::sse, 0x66, 1, u8(0x71 + n), kReg | kImm8, 0, Data::integer, g);
    }
  }
}

void shuffles(std::vector<Entry>& out) {
  add(out, "pshufw", F::mmx, 0, 1, 0x70, kRm | kImm8, 8);
  for (const u8 p : {0x66, 0xf3, 0xf2}) add(out, "pshuf", F::sse, p, 1, 0x70, kRm | kImm8 |
                                            kAligned, 16);
  add(out, "shufps", F::sse, 0, 1, 0xc6, kRm | kImm8 | kAligned, 16);
  add(out, "shufpd", F::sse, 0x66, 1, 0xc6, kRm | kImm8 | kAligned, 16);
  add(out, "pinsrw", F::mmx, 0, 1, 0xc4, kRm | kImm8 | kWide, 2);
  add(out, "pinsrw", F::sse, 0x66, 1, 0xc4, kRm | kImm8 | kWide, 2);
  add(out, "pinsrb", F::sse, 0x66, 3, 0x20, kRm | kImm8, 1);
  add(out, "insertps", F::sse, 0x66, 3, 0x21, kRm | kImm8, 4);
  add(out, "pinsrd", F::sse, 0x66, 3, 0x22, kRm | kImm8 | kWide, 0);
  add(out, "pextrw", F::mmx, 0, 1, 0xc5, kReg | kImm8 | kWide, 0);
  add(out, "pextrw", F::sse, 0x66, 1, 0xc5, kReg | kImm8 | kWide, 0);
  add(out, "pextrb", F::sse, 0x66, 3, 0x14, kRm | kImm8, 1);
  add(out, "pextrw", F::sse, 0x66, 3, 0x15, kRm | kImm8, 2);
  add(out, "pextrd", F::sse, 0x66, 3, 0x16, kRm | kImm8 | kWide, 0);
  add(out, "extractps", F::sse, 0x66, 3, 0x17, kRm | kImm8, 4);
  add(out, "pmovmskb", F::mmx, 0, 1, 0xd7, kReg, 0);
  add(out, "pmovmskb", F::sse, 0x66, 1, 0xd7, kReg, 0);
  add(out, "movmskps", F::sse, 0, 1, 0x50, kReg, 0);
  add(out, "movmskpd", F::sse, 0x66, 1, 0x50, kReg, 0);
  add(out, "movsldup", F::sse, 0xf3, 1, 0x12, kRm | kAligned, 16);
  add(out, "movshdup", F::sse, 0xf3, 1, 0x16, kRm | kAligned, 16);
  add(out, "movddup", F::sse, 0xf2, 1, 0x12, kRm, 8);
  for (const u8 op : {0x0c, 0x0d, 0x0e, 0x42}) {
    add(out, "blend", F::sse, 0x66, 3, op, kRm | kImm8 | kAligned, 16);
  }
  for (const u8 op : {0x60, 0x61, 0x62, 0x63}) {
    add(out, "pcmpstr", F::sse, 0x66, 3, op, kRm | kImm8 | (op < 0x62 ? u32{kWide} : 0u), 16,
        Data::integer,
        -1, Kind::string_compare);
  }
}

void moves(std::vector<Entry>& out) {
  for (const u8 op : {0x10, 0x11}) {
    add(out, "movups", F::sse, 0, 1, op, kRm, 16);
    add(out, "movupd", F::sse, 0x66, 1, op, kRm, 16);
    add(out, "movss", F::sse, 0xf3, 1, op, kRm, 4);
    add(out, "movsd", F::sse, 0xf2, 1, op, kRm, 8);
  }
  for (const u8 op : {0x12, 0x16}) {
    add(out, "movlps", F::sse, 0, 1, op, kRm, 8);
    add(out, "movlpd", F::sse, 0x66, 1, op, kMem, 8);
    add(out, "movlps store", F::sse, 0, 1, u8(op + 1), kMem, 8);
    add(out, "movlpd store", F::sse, 0x66, 1, u8(op + 1), kMem, 8);
  }
  for (const u8 op : {0x28, 0x29}) {
    add(out, "movaps", F::sse, 0, 1, op, kRm | kAligned, 16);
    add(out, "movapd", F::sse, 0x66, 1, op, kRm | kAligned, 16);
  }
  add(out, "movntps", F::sse, 0, 1, 0x2b, kMem | kAligned, 16);
  add(out, "movntpd", F::sse, 0x66, 1, 0x2b, kMem | kAligned, 16);
  for (const u8 op : {0x6f, 0x7f}) {
    add(out, "movq", F::mmx, 0, 1, op, kRm, 8);
    add(out, "movdqa", F::sse, 0x66, 1, op, kRm | kAligned, 16);
    add(out, "movdqu", F::sse, 0xf3, 1, op, kRm, 16);
  }
  for (const u8 op : {0x6e, 0x7e}) {
    add(out, "movd", F::mmx, 0, 1, op, kRm | kWide, 0);
    add(out, "movd", F::sse, 0x66, 1, op, kRm | kWide, 0);
  }
  add(out, "movq", F::sse, 0xf3, 1, 0x7e, kRm, 8);
  add(out, "movq", F::sse, 0x66, 1, 0xd6, kRm, 8);
  add(out, "movq2dq", F::mmx, 0xf3, 1, 0xd6, kReg, 0);
  add(out, "movdq2q", F::mmx, 0xf2, 1, 0xd6, kReg, 0);
  add(out, "movntq", F::mmx, 0, 1, 0xe7, kMem, 8);
  add(out, "movntdq", F::sse, 0x66, 1, 0xe7, kMem | kAligned, 16);
  add(out, "movntdqa", F::sse, 0x66, 2, 0x2a, kMem | kAligned, 16);
  add(out, "lddqu", F::sse, 0xf2, 1, 0xf0, kMem, 16);
  add(out, "maskmovq", F::mmx, 0, 1, 0xf7, kReg, 0, Data::integer, -1, Kind::maskmov);
  add(out, "maskmovdqu", F::sse, 0x66, 1, 0xf7, kReg, 0, Data::integer, -1, Kind::maskmov);
  add(out, "emms", F::mmx, 0, 1, 0x77, kNoModrm, 0);
}

void floats(std::vector<Entry>& out) {
  const auto four = [&](const char* name, u8 op, u32 flags) {
    add(out, name, F::ssefp, 0, 1, op, kRm | kAligned | flags, 16, Data::single);
    add(out, name, F::ssefp, 0x66, 1, op, kRm | kAligned | flags, 16, Data::doubled);
    add(out, name, F::ssefp, 0xf3, 1, op, kRm | flags, 4, Data::single);
    add(out, name, F::ssefp, 0xf2, 1, op, kRm | flags, 8, Data::doubled);
  };
  for (const u8 op : {0x51, 0x58, 0x59, 0x5c, 0x5d, 0x5e, 0x5f}) four("arith", op, 0);
  four("cmp", 0xc2, kImm8);
  for (const u8 op : {0x54, 0x55, 0x56, 0x57, 0x14, 0x15}) {
    add(out, "logic", F::sse, 0, 1, op, kRm | kAligned, 16);
    add(out, "logic", F::sse, 0x66, 1, op, kRm | kAligned, 16);
  }
  for (const u8 op : {0x7c, 0x7d, 0xd0}) {
    add(out, "horizontal", F::ssefp, 0x66, 1, op, kRm | kAligned, 16, Data::doubled);
    add(out, "horizontal", F::ssefp, 0xf2, 1, op, kRm | kAligned, 16, Data::single);
  }
  for (const u8 op : {0x2e, 0x2f}) {
    add(out, "comis", F::ssefp, 0, 1, op, kRm, 4, Data::single);
    add(out, "comis", F::ssefp, 0x66, 1, op, kRm, 8, Data::doubled);
  }
  for (const u8 op : {0x52, 0x53}) {
    add(out, "approx", F::ssefp, 0, 1, op, kRm | kAligned | kApproximate, 16, Data::single);
    add(out, "approx", F::ssefp, 0xf3, 1, op, kRm | kApproximate, 4, Data::single);
  }
  static constexpr u8 kRoundBytes[4] = {16, 16, 4, 8};
  for (u8 n = 0; n < 4; n++) {
    add(out, "round", F::ssefp, 0x66, 3, u8(8 + n), kRm | kImm8 | (n < 2 ? u32{kAligned} : 0u),
        kRoundBytes[n],
        n & 1 ? Data::doubled : Data::single);
  }
  add(out, "dpps", F::ssefp, 0x66, 3, 0x40, kRm | kImm8 | kAligned, 16, Data::single);
  add(out, "dppd", F::ssefp, 0x66, 3, 0x41, kRm | kImm8 | kAligned, 16, Data::doubled);
}

void conversions(std::vector<Entry>& out) {
  const auto one = [&](u8 prefix, u8 op, u32 flags, u8 bytes, Data data) {
    add(out, "cvt", F::ssefp, prefix, 1, op, kRm | flags, bytes, data);
  };
  one(0, 0x5a, 0, 8, Data::single);
  one(0x66, 0x5a, kAligned, 16, Data::doubled);
  one(0xf3, 0x5a, 0, 4, Data::single);
  one(0xf2, 0x5a, 0, 8, Data::doubled);
  one(0, 0x5b, kAligned, 16, Data::integer);
  one(0x66, 0x5b, kAligned, 16, Data::single);
  one(0xf3, 0x5b, kAligned, 16, Data::single);
  one(0x66, 0xe6, kAligned, 16, Data::doubled);
  one(0xf3, 0xe6, 0, 8, Data::integer);
  one(0xf2, 0xe6, kAligned, 16, Data::doubled);
  one(0xf3, 0x2a, kWide, 0, Data::integer);
  one(0xf2, 0x2a, kWide, 0, Data::integer);
  one(0, 0x2a, 0, 8, Data::integer);
  one(0x66, 0x2a, 0, 8, Data::integer);
  for (const u8 op : {0x2c, 0x2d}) {
    one(0xf3, op, kWide, 4, Data::single);
    one(0xf2, op, kWide, 8, Data::doubled);
    one(0, op, 0, 8, Data::single);
    one(0x66, op, kAligned, 16, Data::doubled);
  }
}

}  // namespace

void add_simd_entries(std::vector<Entry>& out) {
  lanes(out);
  shuffles(out);
  moves(out);
  floats(out);
  conversions(out);
}

}  // namespace twinstep::soft::oracle
