// Random programs for translate-test: where things lie in the guest, what instructions are drawn, how they are
// put together.
//
// Programs are made of what is translated, so that host code is long and flags live across it: arithmetic
// with operands in registers (pinned or not) and in memory, conditional jumps and moves, the stack, calls.
// Two kinds of pairs are drawn on purpose, since chance rarely meets them: one place in memory twice (what a
// lookup leaves behind for the next), and flags of any kind before what keeps or reads only some of them.
#pragma once

#include <cstring>
#include <iterator>

#include "../engine.h"
#include "random.h"

namespace twinstep::soft::test {

inline constexpr u64 kRam = 1 << 20, kPml4 = 0x1000, kPdpt = 0x2000, kPd = 0x3000, kPt = 0x4000, kIdt = 0x6000,
              kGdt = 0x7000, kStubs = 0x8000, kCode = 0x10000, kCodeBytes = 0x2000, kData = 0x20000,
              kDataPages = 4, kHole = 0x24000, kReadOnly = 0x25000, kDevice = 0x26000,
              kStack = 0x30000;

// ---- programs -----------------------------------------------------------------------------------

enum Form : u32 {
  kReg = 1, kMem = 2, kBoth = 3, kByte = 4, kImm8 = 8, kImmZ = 0x10, kGroup = 0x20, kNoModrm = 0x40,
  kOpReg = 0x80, kWide = 0x100, kCond = 0x200, kImmV = 0x400, kF3 = 0x800, k66 = 0x1000, kF2 = 0x2000,
  kXmm = 0x4000, kNoWide = 0x8000,
};
struct Shape {
  u8 map, opcode;
  u32 form;
  u8 groups = 0;  // bit n: reg field n
};
inline constexpr Shape kShapes[] = {
    {0, 0x00, kBoth | kByte}, {0, 0x01, kBoth}, {0, 0x02, kBoth | kByte}, {0, 0x03, kBoth},
    {0, 0x05, kNoModrm | kImmZ}, {0, 0x09, kBoth}, {0, 0x0b, kBoth}, {0, 0x11, kBoth}, {0, 0x13, kBoth},
    {0, 0x15, kNoModrm | kImmZ}, {0, 0x19, kBoth}, {0, 0x1b, kBoth}, {0, 0x18, kBoth | kByte},
    {0, 0x20, kBoth | kByte}, {0, 0x21, kBoth}, {0, 0x23, kBoth}, {0, 0x28, kBoth | kByte}, {0, 0x29, kBoth},
    {0, 0x2b, kBoth}, {0, 0x31, kBoth}, {0, 0x33, kBoth}, {0, 0x38, kBoth | kByte}, {0, 0x39, kBoth},
    {0, 0x3a, kBoth | kByte}, {0, 0x3b, kBoth}, {0, 0x3d, kNoModrm | kImmZ}, {0, 0x63, kBoth},
    {0, 0x69, kBoth | kImmZ}, {0, 0x6b, kBoth | kImm8}, {0, 0x80, kBoth | kByte | kImm8 | kGroup, 0xff},
    {0, 0x81, kBoth | kImmZ | kGroup, 0xff}, {0, 0x83, kBoth | kImm8 | kGroup, 0xff}, {0, 0x84, kBoth | kByte},
    {0, 0x85, kBoth}, {0, 0x86, kBoth | kByte}, {0, 0x87, kBoth}, {0, 0x88, kBoth | kByte}, {0, 0x89, kBoth},
    {0, 0x89, kMem}, {0, 0x8b, kMem}, {0, 0x8a, kBoth | kByte}, {0, 0x8b, kBoth}, {0, 0x8d, kMem},
    {0, 0x90, kOpReg}, {0, 0x98, kNoModrm}, {0, 0x99, kNoModrm}, {0, 0xa8, kNoModrm | kImm8},
    {0, 0xa9, kNoModrm | kImmZ}, {0, 0xb0, kOpReg | kByte | kImm8}, {0, 0xb8, kOpReg | kImmV},
    {0, 0xc0, kBoth | kByte | kImm8 | kGroup, 0xff}, {0, 0xc1, kBoth | kImm8 | kGroup, 0xff},
    {0, 0xd1, kBoth | kGroup, 0xff}, {0, 0xd3, kBoth | kGroup, 0xff}, {0, 0xd3, kReg | kGroup, 0xf0},
    {0, 0xc6, kBoth | kByte | kImm8 | kGroup, 1}, {0, 0xc7, kBoth | kImmZ | kGroup, 1},
    {0, 0xf6, kBoth | kByte | kGroup | kImm8, 1}, {0, 0x8c, kReg | kGroup, 0x3f},
    {0, 0x88, kReg | kByte}, {0, 0x8a, kReg | kByte}, {0, 0xc0, kReg | kByte | kImm8 | kGroup, 0xff},
    {0, 0xf5, kNoModrm}, {0, 0xf8, kNoModrm}, {0, 0xf9, kNoModrm}, {0, 0xfc, kNoModrm}, {0, 0xfa, kNoModrm},
    {0, 0xf6, kBoth | kByte | kGroup, 0x0c}, {0, 0xf7, kBoth | kGroup, 0xfc}, {0, 0xf7, kBoth | kGroup | kImmZ, 1},
    {0, 0xfe, kBoth | kByte | kGroup, 3}, {0, 0xff, kBoth | kGroup, 3}, {0, 0x9e, kNoModrm}, {0, 0x9f, kNoModrm},
    {1, 0x40, kBoth | kCond}, {1, 0x90, kBoth | kCond | kByte}, {1, 0xa3, kReg}, {1, 0xab, kReg},
    {1, 0xb3, kReg}, {1, 0xbb, kReg}, {1, 0xba, kBoth | kImm8 | kGroup, 0xf0}, {1, 0xa4, kBoth | kImm8},
    {1, 0xac, kBoth | kImm8}, {1, 0xa5, kBoth}, {1, 0xad, kBoth}, {1, 0xad, kReg}, {1, 0xb6, kReg | kByte},
    {1, 0xbe, kReg | kByte}, {1, 0xaf, kBoth}, {1, 0xb0, kBoth | kByte}, {1, 0xb1, kBoth}, {1, 0xb6, kBoth},
    {1, 0xb7, kBoth}, {1, 0xbe, kBoth}, {1, 0xbf, kBoth}, {1, 0xb8, kBoth | kF3}, {1, 0xbc, kBoth},
    {1, 0xbd, kBoth}, {1, 0xc0, kBoth | kByte}, {1, 0xc1, kBoth}, {1, 0xc8, kOpReg}, {1, 0x1f, kBoth | kGroup, 1},
    {1, 0x31, kNoModrm},
    // SSE
    {1, 0x10, kBoth | kXmm}, {1, 0x10, kBoth | kXmm | kF3}, {1, 0x10, kBoth | kXmm | kF2},
    {1, 0x11, kBoth | kXmm}, {1, 0x11, kBoth | kXmm | kF3}, {1, 0x11, kBoth | kXmm | kF2},
    {1, 0x28, kBoth | kXmm}, {1, 0x29, kBoth | kXmm}, {1, 0x6f, kBoth | kXmm | kF3},
    {1, 0x6f, kBoth | kXmm | k66}, {1, 0x7f, kBoth | kXmm | kF3}, {1, 0x6e, kBoth | kXmm | k66},
    {1, 0x7e, kBoth | kXmm | k66}, {1, 0x7e, kBoth | kXmm | kF3}, {1, 0xd6, kBoth | kXmm | k66},
    {1, 0x16, kMem | kXmm}, {1, 0x17, kMem | kXmm}, {1, 0x12, kBoth | kXmm}, {1, 0x13, kMem | kXmm},
    {1, 0x58, kBoth | kXmm}, {1, 0x58, kBoth | kXmm | k66}, {1, 0x58, kBoth | kXmm | kF3},
    {1, 0x58, kBoth | kXmm | kF2}, {1, 0x59, kBoth | kXmm | kF2}, {1, 0x5c, kBoth | kXmm | kF2},
    {1, 0x5e, kBoth | kXmm | kF2}, {1, 0x5e, kBoth | kXmm | k66}, {1, 0x51, kBoth | kXmm | kF2},
    {1, 0x5d, kBoth | kXmm | kF3}, {1, 0x5f, kBoth | kXmm | k66}, {1, 0x2e, kBoth | kXmm | k66},
    {1, 0x2f, kBoth | kXmm}, {1, 0x2a, kBoth | kXmm | kF2}, {1, 0x2c, kBoth | kXmm | kF2},
    {1, 0x2d, kBoth | kXmm | kF3}, {1, 0x5a, kBoth | kXmm | kF2}, {1, 0x5a, kBoth | kXmm | kF3},
    {1, 0xef, kBoth | kXmm | k66}, {1, 0x54, kBoth | kXmm}, {1, 0x57, kBoth | kXmm | k66},
    {1, 0xfe, kBoth | kXmm | k66}, {1, 0xd4, kBoth | kXmm | k66}, {1, 0x74, kBoth | kXmm | k66},
    {1, 0xd7, kReg | kXmm | k66}, {1, 0x70, kBoth | kXmm | k66 | kImm8}, {1, 0x6c, kBoth | kXmm | k66},
    {1, 0x62, kBoth | kXmm | k66}, {1, 0xc6, kBoth | kXmm | kImm8}, {1, 0x73, kReg | kXmm | k66 | kGroup | kImm8, 0xcc},
    {3, 0x63, kBoth | kXmm | k66 | kImm8}, {2, 0x00, kBoth | kXmm | k66}, {2, 0x1e, kBoth | kXmm | k66}, {1, 0x5b, kBoth | kXmm},
};

// One of each way to leave flags.
inline constexpr Shape kFlags[] = {
    {0, 0x01, kBoth}, {0, 0x21, kBoth}, {0, 0xc1, kReg | kImm8 | kGroup, 0xb3}, {0, 0xd1, kReg | kGroup, 0xb0},
    {0, 0xd3, kReg | kGroup, 0xb0}, {0, 0xf7, kReg | kGroup, 0x30}, {1, 0xaf, kBoth}, {1, 0xba, kReg | kImm8 | kGroup, 0xf0},
    {1, 0xbc, kBoth}, {1, 0xbd, kBoth}, {1, 0xac, kReg | kImm8}, {0, 0xff, kReg | kGroup, 3},
};
// What keeps some of them, or reads some.
inline constexpr Shape kKeepers[] = {
    {0, 0xff, kReg | kGroup, 3}, {0, 0xff, kBoth | kGroup, 3}, {0, 0xfe, kBoth | kByte | kGroup, 3},
    {0, 0x11, kBoth}, {0, 0x1b, kBoth}, {0, 0x81, kBoth | kImmZ | kGroup, 0x0c},
    {0, 0xc1, kReg | kImm8 | kGroup, 3}, {1, 0x40, kBoth | kCond}, {1, 0xa3, kReg},
};
// Readers and writers of memory, of several widths.
inline constexpr Shape kAccesses[] = {
    {0, 0x8b, kMem}, {0, 0x8b, kMem}, {0, 0x89, kMem}, {0, 0x89, kMem}, {0, 0x03, kBoth}, {0, 0x01, kBoth},
    {0, 0x13, kBoth}, {0, 0x8a, kBoth | kByte}, {0, 0x88, kBoth | kByte}, {1, 0xb7, kBoth}, {1, 0x40, kBoth | kCond},
    {0, 0xff, kBoth | kGroup, 3}, {1, 0xc1, kBoth}, {1, 0x7f, kBoth | kXmm | kF3},
};

// rBX, r14 and rBP point into data, rSP to the stack, r15 counts rounds; the others are free.
inline constexpr u8 kBases[] = {RBX, R14, RBP};
inline constexpr u8 kFree[] = {RAX, RCX, RDX, RSI, RDI, R8, R9, R10, R11, R12, R13};

struct Program {
  Random& r;
  u8* at;

  void put(u64 v, u32 bytes) {
    memcpy(at, &v, bytes);
    at += bytes;
  }
  u8 free_reg() { return kFree[r.below(std::size(kFree))]; }
  // Bytes without REX: AL CL DL AH CH DH.
  u8 low_or_any(bool byte, bool rex) {
    if (!byte || rex) return free_reg();
    const u8 n = u8(r.below(6));
    return n < 3 ? n : n + 1;
  }

  void operand(u8 reg, u8 base, bool memory, u8 rm, bool indexed) {
    if (!memory) return put(0xc0 | (reg & 7) << 3 | (rm & 7), 1);
    if (base == 0xff) {  // relative to RIP: into the data
      put((reg & 7) << 3 | 5, 1);
      const u64 to = r.chance(20) ? kData + 0x1000 * (1 + r.below(3)) - r.below(16) : kData + 8 * r.below(64);
      return put(to - (reinterpret_cast<u64>(at) + 4 - shift), 4);
    }
    const bool far = held == kNothing && r.chance(30);
    const u8 low = base & 7;
    if (indexed) {
      put((far ? 0x80 : 0x40) | (reg & 7) << 3 | 4, 1);
      put(r.below(4) << 6 | 6 << 3 | low, 1);  // rSI or r14 as index
    } else {
      put((far ? 0x80 : 0x40) | (reg & 7) << 3 | low, 1);
      if (low == 4) put(0x24, 1);
    }
    const u64 disp = held != kNothing ? held_disp : r.chance(30) ? 8 * r.below(4) : r.below(far ? 0x1000 : 256) & (r.chance(70) ? ~u64{15} : ~u64{0});
    put(disp, far ? 4 : 1);
  }

  void one(const Shape& s) {
    const bool byte = s.form & kByte;
    const bool may = (s.form & kBoth) == kBoth, same = held != kNothing;
    const bool memory = (s.form & kBoth) == kMem || (may && (same || r.chance(40)));
    const bool indexed = memory && !same && r.chance(6);
    const bool relative = memory && !same && !indexed && r.chance(10);
    const u32 size = byte || (s.form & kXmm) ? 1 : u32(r.below(3));  // 0: 66, 1: plain, 2: REX.W
    const bool gs = memory && !same && r.chance(5);
    if (gs) put(0x65, 1);
    if (memory && s.map == 0 && s.opcode < 0x30 && (s.opcode & 7) < 2 && r.chance(10)) put(0xf0, 1);
    if (size == 0 || (s.form & k66)) put(0x66, 1);
    if (s.form & kF3) put(0xf3, 1);
    if (s.form & kF2) put(0xf2, 1);
    const bool wide = size == 2 || ((s.form & kXmm) && r.chance(20));
    const bool rex = wide || r.chance(60);
    const u8 base = same ? held : relative ? 0xff : rex ? kBases[r.below(3)] : r.chance(50) ? u8{RBX} : u8{RBP};
    u8 reg = low_or_any(byte, rex), rm = low_or_any(byte, rex);
    if (s.form & kXmm) reg = u8(r.below(16)), rm = u8(r.below(11));
    if (s.map == 1 && byte && s.opcode >= 0xb6 && !rex) reg = u8(r.below(3));  // a whole register
    if ((s.form & kXmm) && (s.opcode == 0x2c || s.opcode == 0x2d || s.opcode == 0xd7)) reg = free_reg();
    if ((s.form & kXmm) && (s.opcode == 0x7e || s.opcode == 0x6e || s.opcode == 0x2a)) rm = free_reg();
    if (!rex) reg &= 7, rm &= 7;
    if (!rex && !byte && (rm == RBX || rm == RSP || rm == RBP)) rm = RAX;
    if (!rex && !byte && (reg == RBX || reg == RSP || reg == RBP)) reg = RDX;
    if (s.form & kGroup) {
      do reg = u8(r.below(8));
      while (!(s.groups >> reg & 1));
    }
    const bool high_base = memory && !relative && base >= 8, high_rm = !memory && rm >= 8;
    if (rex) {
      const bool b = s.form & kOpReg ? rm >= 8 : high_base || high_rm;
      put(0x40 | wide << 3 | ((reg >= 8 && !(s.form & kGroup)) ? 4 : 0) | (b ? 1 : 0), 1);
    }
    if (s.map != 0) put(0x0f, 1);
    if (s.map > 1) put(s.map == 2 ? 0x38 : 0x3a, 1);
    put(s.opcode | (s.form & kCond ? r.below(16) : 0) | (s.form & kOpReg ? rm & 7 : 0), 1);
    if (!(s.form & (kNoModrm | kOpReg))) operand(reg, base, memory, rm, indexed);
    const u32 z = size == 0 ? 2 : 4;
    if (s.form & kImm8) put(r.next(), 1);
    if (s.form & kImmZ) put(r.chance(50) ? r.next() : r.below(100), z);
    if (s.form & kImmV) put(r.next(), size == 2 ? 8 : z);
  }

  // Something that is followed by another instruction in any case.
  void piece() {
    switch (r.below(16)) {
      case 0:  // over the next instruction
      case 1: {
        put(0x70 | r.below(16), 1);
        put(0, 1);
        u8* from = at;
        one(kShapes[r.below(std::size(kShapes))]);
        from[-1] = u8(at - from);
        return;
      }
      case 2: {  // push, something, pop
        const u8 a = free_reg(), b = free_reg();
        if (a >= 8) put(0x41, 1);
        put(0x50 | (a & 7), 1);
        if (r.chance(30)) put(0x9c, 1), put(0x9d, 1);
        one(kShapes[r.below(std::size(kShapes))]);
        if (b >= 8) put(0x41, 1);
        put(0x58 | (b & 7), 1);
        return;
      }
      case 3:  // CALL to a RET
        put(0xe8, 1);
        put(kCode + kCodeBytes - 16 + 4 * r.below(2) - (reinterpret_cast<u64>(at) + 4 - shift), 4);
        return;
      case 4:  // a flag and its reader
        one(kShapes[r.below(36)]);
        put(0x0f, 1);
        put(0x90 | r.below(16), 1);
        put(0xc0 | r.below(3), 1);
        return;
      case 5:
        if (r.chance(20)) return control_word();
        if (r.chance(20)) return string();
        if (r.chance(30)) {  // ADD rBX, rBP or r14, a little
          put(r.chance(30) ? 0xc68349 : r.chance(50) ? 0xc38348 : 0xc58348, 3);
          return put(8 * r.below(8), 1);
        }
        return one(kShapes[r.below(std::size(kShapes))]);
      case 6:
      case 7: return kept_flags();
      case 8: return same_place();
      default: return one(kShapes[r.below(std::size(kShapes))]);
    }
  }
  // Flags of some kind, what keeps some of them, and a reader.
  void kept_flags() {
    one(kFlags[r.below(std::size(kFlags))]);
    one(kKeepers[r.below(std::size(kKeepers))]);
    put(0x0f, 1);
    put(0x90 | r.below(16), 1);
    put(0xc0 | r.below(3), 1);
  }
  // One place twice, by one base register; between them anything, or another page.
  void same_place() {
    const u8 base = r.chance(50) ? RBX : RBP;
    const u64 by = r.chance(50) ? 0x1000 : 8 * r.below(16);
    const auto access = [&] {
      held = base;
      one(kAccesses[r.below(std::size(kAccesses))]);
      held = kNothing;
    };
    held_disp = 8 * r.below(4);
    access();
    const bool moves = r.chance(40);
    if (moves) put(0x8148 | (0xc0u | base) << 16, 3), put(by, 4);  // ADD base, by
    else if (r.chance(60)) one(kShapes[r.below(std::size(kShapes))]);
    access();
    if (moves) put(0x8148 | (0xe8u | base) << 16, 3), put(by, 4);  // SUB base, by
  }
  // MOV [rBP+8], x; LDMXCSR [rBP+8]: another rounding, masks, flags.
  void control_word() {
    const u64 masks = r.chance(80) ? 0x1f80 : r.below(64) << 7;
    put(0x0845c7, 3);
    put(masks | (r.chance(50) ? 0 : r.below(4) << 13) | r.below(64), 4);
    put(0x0855ae0f, 4);
  }
  // MOV ECX, n; LEA RDI, [rBP+x]; REP STOS or MOVS.
  void string() {
    put(0xb9, 1);
    put(r.below(20), 4);
    put(0x7d8d48, 3);
    put(r.below(128), 1);
    put(0xf3, 1);
    if (r.chance(50)) put(0x48, 1);
    put(r.chance(70) ? 0xaa + r.below(2) : 0xa4 + r.below(2), 1);
  }

  static constexpr u8 kNothing = 0xff;
  u8 held = kNothing;  // all operands in memory are at this base register and held_disp
  u64 held_disp = 0;
  u64 shift = 0;  // from addresses here to the guest's
};

inline void fill(Random& r, u8* ram, u32 pieces) {
  u8* ret = ram + kCode + kCodeBytes - 16;
  memcpy(ret, "\xc3\xcc\xcc\xcc\xc2\x00\x00\xcc", 8);
  Program p{r, ram + kCode};
  p.shift = reinterpret_cast<u64>(ram);
  const auto room = [&] { return p.at < ram + kCode + kCodeBytes - 200; };
  for (u32 n = 0; n < pieces && room(); ++n) p.piece();
  // dec r15; jnz to the start; hlt
  p.put(0xcfff49, 3);
  p.put(0x850f, 2);
  p.put(kCode - (reinterpret_cast<u64>(p.at) + 4 - p.shift), 4);
  p.put(0xf4, 1);
  // Whatever that is then.
  for (u32 n = r.chance(10) ? 1 + u32(r.below(6)) : 0; n > 0; --n) {
    ram[kCode + r.below(u64(p.at - ram) - kCode)] ^= u8(1u << r.below(8));
  }
}

}  // namespace twinstep::soft::test
