// Writes host instructions: the few forms a translation is made of (Intel SDM vol. 2, chapter 2).
//
// Bytes go to one mapping and run in another: `here()` is where the next one will run.
#pragma once

#include "cpu.h"

namespace twinstep::soft::translate {

enum Host : u8 {
  hAX, hCX, hDX, hBX, hSP, hBP, hSI, hDI, h8, h9, h10, h11, h12, h13, h14, h15, kNoHost = 0xff
};

// Conditions as in Jcc.
enum Condition : u8 {
  ccO = 0, ccB = 2, ccAE = 3, ccE = 4, ccNE = 5, ccBE = 6, ccA = 7, ccS = 8, ccP = 10, ccL = 12
};

inline bool fits8(i64 v) { return v == static_cast<i8>(v); }
inline bool fits32(i64 v) { return v == static_cast<i32>(v); }

// A host register, or memory: base + (index << scale) + disp, or relative to RIP.
struct Place {
  bool is_register = false;
  u8 base = kNoHost, index = kNoHost, scale = 0;
  i32 disp = 0;
  const void* relative = nullptr;

  static Place reg(u8 host) { return {true, host, kNoHost, 0, 0, nullptr}; }
  static Place at(u8 base, i64 disp) {
    return {false, base, kNoHost, 0, static_cast<i32>(disp), nullptr};
  }
  static Place of(const void* target) { return {false, kNoHost, kNoHost, 0, 0, target}; }
  bool is(u8 host) const { return is_register && base == host; }
};

// An opcode with its mandatory prefix and map (0, 0F, 0F38, 0F3A).
struct Op {
  u8 prefix, map, code;
};
constexpr Op op0(u8 code) { return {0, 0, code}; }
constexpr Op op1(u8 code) { return {0, 1, code}; }

// The eight of 00..3F and 80..83.
enum Alu : u8 { aluAdd, aluOr, aluAdc, aluSbb, aluAnd, aluSub, aluXor, aluCmp };

class Emitter {
 public:
  u32 touched = 0;  // host registers that were named as operands, and perhaps written

  void start(u8* writable, const u8* executable) {
    to_ = writable;
    shift_ = executable - writable;
  }
  const u8* here() const { return to_ + shift_; }
  u8* writable() const { return to_; }

  void byte(u32 v) { *to_++ = static_cast<u8>(v); }
  void word(u32 v) { put(v, 2); }
  void dword(u64 v) { put(v, 4); }
  void qword(u64 v) { put(v, 8); }

  // `bytes` is the operand size; `byte_rm`: r/m is a byte register in an instruction of another size.
  void insn(u32 bytes, Op op, u8 reg, const Place& rm, bool byte_rm = false) {
    touched |= 1u << reg | (rm.is_register ? 1u << rm.base : 0);
    if (bytes == 2) byte(0x66);
    if (op.prefix != 0) byte(op.prefix);
    u8 rex = static_cast<u8>((bytes == 8 ? 8 : 0) | (reg >= 8 ? 4 : 0));
    if (rm.index != kNoHost && rm.index >= 8) rex |= 2;
    if (rm.base != kNoHost && rm.base >= 8) rex |= 1;
    const bool low = (bytes == 1 && reg >= 4) || ((bytes == 1 || byte_rm) && rm.is_register && rm.base >= 4);
    if (rex != 0 || low) byte(0x40 | rex);
    if (op.map != 0) byte(0x0f);
    if (op.map > 1) byte(op.map == 2 ? 0x38 : 0x3a);
    byte(op.code);
    modrm(reg & 7, rm);
  }

  // ---- moves ------------------------------------------------------------------------------------
  void load(u32 bytes, u8 reg, const Place& from) { insn(bytes, op0(bytes == 1 ? 0x8a : 0x8b), reg, from); }
  void store(u32 bytes, const Place& to, u8 reg) {
    const u32 before = touched;
    insn(bytes, op0(bytes == 1 ? 0x88 : 0x89), reg, to);
    if (!to.is_register) touched = before;
  }
  void move(u8 to, u8 from) {
    if (to != from) load(8, to, Place::reg(from));
  }
  void lea(u32 bytes, u8 reg, const Place& of) { insn(bytes, op0(0x8d), reg, of); }
  // Leaves the flags alone.
  void constant(u8 reg, u64 v) {
    touched |= 1u << reg;
    if (v >> 32 == 0) {
      if (reg >= 8) byte(0x41);
      byte(0xb8 | (reg & 7));
      dword(v);
    } else if (fits32(static_cast<i64>(v))) {
      insn(8, op0(0xc7), 0, Place::reg(reg));
      dword(v);
    } else {
      byte(0x48 | (reg >= 8 ? 1 : 0));
      byte(0xb8 | (reg & 7));
      qword(v);
    }
  }
  // AH, which no REX prefix may stand before; SETcc and LAHF keep AL and AH apart best in memory.
  void store_ah(const Place& to) {
    byte(0x88);
    modrm(4, to);
  }
  void load_ah(const Place& from) {
    byte(0x8a);
    modrm(4, from);
  }
  void mask_ah(u32 bits) {
    byte(0x80);
    byte(0xe4);
    byte(bits);
  }
  // `v` is sign-extended from at most 32 bits.
  void store_constant(u32 bytes, const Place& to, i64 v) {
    insn(bytes, op0(bytes == 1 ? 0xc6 : 0xc7), 0, to);
    immediate(bytes, v);
  }
  void immediate(u32 bytes, i64 v) { put(static_cast<u64>(v), bytes == 8 ? 4 : bytes); }

  // ---- arithmetic -------------------------------------------------------------------------------
  void alu(u32 bytes, Alu op, u8 reg, const Place& from) {
    insn(bytes, op0(static_cast<u8>(op << 3 | (bytes == 1 ? 2 : 3))), reg, from);
  }
  void alu_to(u32 bytes, Alu op, const Place& to, u8 reg) {
    insn(bytes, op0(static_cast<u8>(op << 3 | (bytes == 1 ? 0 : 1))), reg, to);
  }
  void alu_constant(u32 bytes, Alu op, const Place& to, i64 v) {
    if (bytes == 1) {
      insn(1, op0(0x80), op, to);
      byte(static_cast<u32>(v));
    } else if (fits8(v)) {
      insn(bytes, op0(0x83), op, to);
      byte(static_cast<u32>(v));
    } else {
      insn(bytes, op0(0x81), op, to);
      immediate(bytes, v);
    }
  }
  void test_constant(u32 bytes, const Place& to, i64 v) {
    insn(bytes, op0(bytes == 1 ? 0xf6 : 0xf7), 0, to);
    immediate(bytes, v);
  }
  // C0, C1: `kind` is the reg field (4 SHL, 5 SHR, 7 SAR, ...).
  void shift(u32 bytes, u8 kind, const Place& to, u8 count) {
    insn(bytes, op0(bytes == 1 ? 0xc0 : 0xc1), kind, to);
    byte(count);
  }

  // ---- jumps ------------------------------------------------------------------------------------
  void jump(const u8* to) {
    byte(0xe9);
    relative(to);
  }
  void jump_if(u8 condition, const u8* to) {
    byte(0x0f);
    byte(0x80 | condition);
    relative(to);
  }
  void jump_through(const Place& at) { insn(4, op0(0xff), 4, at); }
  // A short jump forward; `land` says where to.
  u8* jump_ahead(u8 condition) {
    byte(0x70 | condition);
    byte(0);
    return to_;
  }
  void land(u8* from) { from[-1] = static_cast<u8>(to_ - from); }
  u8* jump_far_ahead(u8 condition) {
    byte(0x0f);
    byte(0x80 | condition);
    dword(0);
    return to_;
  }
  void land_far(u8* from) {
    const i32 by = static_cast<i32>(to_ - from);
    memcpy(from - 4, &by, 4);
  }

 private:
  void put(u64 v, u32 bytes) {
    memcpy(to_, &v, bytes);
    to_ += bytes;
  }
  void relative(const void* to) {
    dword(static_cast<u64>(static_cast<const u8*>(to) - (here() + 4)));
  }
  void modrm(u8 reg, const Place& p) {
    if (p.is_register) return byte(0xc0 | reg << 3 | (p.base & 7));
    if (p.relative != nullptr) {
      byte(reg << 3 | 5);
      return relative(p.relative);
    }
    if (p.base == kNoHost) {  // SIB without a base: 32 bits of displacement
      byte(reg << 3 | 4);
      byte(p.scale << 6 | (p.index == kNoHost ? 4 : p.index & 7) << 3 | 5);
      return dword(static_cast<u64>(p.disp));
    }
    const u8 mod = p.disp == 0 && (p.base & 7) != hBP ? 0 : fits8(p.disp) ? 1 : 2;
    if (p.index != kNoHost || (p.base & 7) == hSP) {
      byte(mod << 6 | reg << 3 | 4);
      byte(p.scale << 6 | (p.index == kNoHost ? 4 : p.index & 7) << 3 | (p.base & 7));
    } else {
      byte(mod << 6 | reg << 3 | (p.base & 7));
    }
    if (mod == 1) byte(static_cast<u32>(p.disp));
    if (mod == 2) dword(static_cast<u64>(p.disp));
  }

  u8* to_ = nullptr;
  i64 shift_ = 0;
};

}  // namespace twinstep::soft::translate
