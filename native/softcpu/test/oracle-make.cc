// Makes a case: encodes an entry with random prefixes and operands, and prepares state so that
// memory operands land where they are interesting: data, page ends, the hole, the read-only page.
#include "oracle-make.h"

namespace twinstep::soft::oracle {
namespace {

struct Encoder {
  Random& r;
  const Entry& e;
  Case& c;
  Memory& memory;
  u8 rex = 0;
  bool operand66 = false;
  u8 segment = 0;
  u8 modrm = 0, sib = 0;
  bool has_sib = false;
  u32 disp_bytes = 0, imm_bytes = 0;
  u64 disp = 0;
  bool rip_relative = false;
  u32 tail = 0;  // bytes behind the displacement

  void put(u64 v, u32 bytes) {
    memcpy(c.code + c.length, &v, bytes);
    c.length += bytes;
  }

  bool long_mode() const { return c.bits == 64; }
  // A REX bit, in long mode.
  void extend(u8 bit) {
    if (long_mode()) rex |= static_cast<u8>(0x40 | bit);
  }
  u32 any_register() { return r.below(long_mode() ? 16 : 8); }

  void choose_size() {
    if (e.family == Family::flow) c.op_bits = c.bits;
    if (e.flags & kByte) c.op_bits = 8;
    if (e.flags & kWide && r.one_in(3)) extend(8);
    if (e.flags & kWide) c.op_bits = rex & 8 ? 64 : 32;
    if (e.flags & kSized) {
      const u32 how = r.below(4);
      operand66 = how == 0;
      if (how == 1 || how == 2) extend(8);
      // REX.W wins over 66.
      if (how == 2 && r.one_in(8)) operand66 = true;
      c.op_bits = rex & 8 ? 64 : operand66 ? 16 : 32;
    }
    if (e.flags & kStack64) {
      operand66 = r.one_in(6);
      c.op_bits = operand66 ? 16 : c.bits;
    }
  }

  u32 operand_bytes() const { return e.bytes ? e.bytes : c.op_bits / 8; }

  // Registers whose contents the instruction's meaning needs.
  bool spoken_for(u32 n) const {
    if (e.kind == Kind::bit_memory) return n == c.reg;
    if (kShadowed && (e.kind == Kind::stack || e.kind == Kind::indirect)) return n == RSP;
    if (e.kind == Kind::divide || e.kind == Kind::xsave || e.kind == Kind::string_compare) {
      return n == RAX || n == RDX;
    }
    return false;
  }

  // Fills in ModRM.rm (and SIB, displacement) and the registers that make it c.target.
  void memory_operand() {
    c.memory = true;
    c.target = choose_target(r, operand_bytes(), e.flags & kAligned);
    if (!long_mode()) c.target = static_cast<u32>(c.target);
    place_data(r, e.data, c.target, operand_bytes(), memory);
    u64 offset = c.target;
    if (long_mode() && r.one_in(12)) {
      segment = 0x65;
      offset -= kGsBase;
    }
    const bool low = c.target >> 31 == 0;
    c.address32 = long_mode() && low && !segment && r.one_in(10);
    if (!long_mode() && r.one_in(32)) {
      address16();
      return;
    }
    const u32 form = r.below(8);
    const bool plain = (low || !long_mode()) && !segment;
    if (form == 0 && plain) {  // RIP-relative; finished when the length is known
      rip_relative = long_mode();
      modrm |= 5;
      disp_bytes = 4;
      disp = offset;
      return;
    }
    if (form == 1 && plain) {  // absolute
      modrm |= 4;
      has_sib = true;
      sib = 0x25;
      disp_bytes = 4;
      disp = offset;
      return;
    }
    based_operand(offset, form < 5);
  }

  // 16-bit addresses reach nothing that is mapped: LEA and faults.
  void address16() {
    c.address32 = true;  // the same prefix
    modrm |= static_cast<u8>(r.below(3) << 6 | r.below(8));
    const bool bare = (modrm & 0xc7) == 6;
    disp_bytes = modrm >> 7 || bare ? 2 : modrm >> 6 & 1;
    disp = r.next();
    c.target = 0;
    c.used = 0xff;
  }

  void based_operand(u64 offset, bool with_index) {
    u64 index_value = 0;
    u32 index = 4;
    if (with_index) {
      do index = any_register(); while (index == 4 || spoken_for(index));
      const u32 scale = r.below(4);
      has_sib = true;
      c.used |= static_cast<u16>(1u << index);
      c.in.gpr[index] = r.one_in(2) ? r.below(0x1000) : r.edge64();
      index_value = c.in.gpr[index] << scale;
      sib = static_cast<u8>(scale << 6 | (index & 7) << 3);
      if (index & 8) rex |= 0x42;
    }
    u32 base;
    do base = any_register(); while (base == index || spoken_for(base));
    c.used |= static_cast<u16>(1u << base);
    disp_bytes = r.one_in(3) ? 4 : r.one_in(2) ? 1 : 0;
    if (disp_bytes == 0 && (base & 7) == 5) disp_bytes = 1;
    disp = static_cast<u64>(disp_bytes == 1 ? static_cast<i8>(r.next())
                            : static_cast<i32>(r.next()));
    if (disp_bytes == 0) disp = 0;
    c.in.gpr[base] = offset - index_value - disp;
    if (c.address32 && r.one_in(2)) c.in.gpr[base] ^= r.next() << 32;
    if (base & 8) rex |= 0x41;
    if (has_sib || (base & 7) == 4) {
      if (!has_sib) sib = 4 << 3;
      has_sib = true;
      sib |= base & 7;
      modrm |= 4;
    } else {
      modrm |= base & 7;
    }
    modrm |= disp_bytes == 4 ? 0x80 : disp_bytes == 1 ? 0x40 : 0;
  }

  void operands() {
    if (e.flags & kNoModrm) {
      if (e.flags & kOpcodeReg && r.one_in(2)) extend(1);
      const bool implied = e.kind == Kind::string || e.kind == Kind::xlat || e.kind == Kind::loop;
      c.address32 = implied && r.one_in(6);
      return;
    }
    if (e.modrm >= 0) {
      modrm = static_cast<u8>(e.modrm);
      return;
    }
    const u32 reg = e.group >= 0 ? static_cast<u32>(e.group) : r.below(8);
    modrm = static_cast<u8>(reg << 3);
    if (e.group < 0 && r.one_in(2)) extend(4);
    c.reg = static_cast<u8>(reg | (rex & 4 ? 8 : 0));
    const bool memory_form = e.flags & kMem && (!(e.flags & kReg) || r.one_in(2));
    if (memory_form) {
      memory_operand();
    } else {
      modrm |= 0xc0 | r.below(8);
      if (r.one_in(2)) extend(1);
    }
  }

  u32 immediate_bytes() const {
    if (e.flags & kImm8) return 1;
    if (e.flags & kImm16) return 2;
    if (e.flags & kRel32) return 4;
    if (e.flags & kImmZ) return c.op_bits == 16 ? 2 : 4;
    if (e.flags & kImmV) return c.op_bits / 8;
    return 0;
  }

  void emit() {
    const bool locked = e.flags & kLockable && c.memory && r.one_in(8);
    if (locked) put(0xf0, 1);
    if (segment) put(segment, 1);
    else if (r.one_in(24)) put(r.one_in(2) ? 0x3e : 0x2e, 1);  // ignored in 64-bit mode
    if (c.address32) put(0x67, 1);
    if (operand66) put(0x66, 1);
    const bool junk = e.prefix == 0 && !(e.flags & kNoRep) && e.family < Family::x87 &&
        r.one_in(24);
    if (e.flags & kReps && r.one_in(2)) put(r.one_in(2) ? 0xf2 : 0xf3, 1);
    else if (junk) put(r.one_in(2) ? 0xf2 : 0xf3, 1);
    if (e.prefix) put(e.prefix, 1);
    if (rex || (long_mode() && r.one_in(16))) put(rex | 0x40, 1);
    if (e.map) put(0x0f, 1);
    if (e.map == 2) put(0x38, 1);
    if (e.map == 3) put(0x3a, 1);
    put(e.flags & kOpcodeReg ? e.opcode | r.below(8) : e.opcode, 1);
    if (!(e.flags & kNoModrm)) put(modrm, 1);
    c.modrm = modrm;
    if (has_sib) put(sib, 1);
    imm_bytes = immediate_bytes();
    const u32 disp_at = c.length;
    put(disp, disp_bytes);
    c.imm = static_cast<u8>(r.one_in(2) ? r.next() : r.below(40));
    u64 imm = r.edge64();
    if (imm_bytes == 1) imm = c.imm;
    if (e.kind == Kind::relative || e.kind == Kind::loop || e.kind == Kind::call) imm =
        relative_target();
    if (e.kind == Kind::enter) {
      put(r.below(64), 2);
      imm = r.below(r.one_in(4) ? 32 : 3);
    }
    if (e.kind == Kind::ret && imm_bytes == 2) imm = r.below(128);
    put(imm, imm_bytes);
    finish(disp_at);
  }

  // Stays in the code area, whose other bytes are INT3.
  u64 relative_target() {
    i64 to = imm_bytes == 1 ? static_cast<i8>(c.imm) : static_cast<i64>(r.below(3000)) - 1500;
    if (to < 0 && to > -20) to = -to;  // never back into the instruction itself: it might not end
    return static_cast<u64>(to);
  }

  void finish(u32 disp_at) {
    // Mostly in the middle, sometimes across the page boundary.
    c.at = kCodeAt + (r.one_in(8) ? kPage - r.below(c.length + 1) : 2048 + r.below(64));
    c.in.rip = c.at;
    if (!rip_relative) return;
    u64 d = c.target - (c.at + c.length);
    memcpy(c.code + disp_at, &d, 4);
  }
};

}  // namespace

void make_case(Random& r, const Entry& e, u32 bits, Case& c, Memory& memory) {
  memset(static_cast<void*>(&c), 0, sizeof c);
  random_bytes(r, memory, sizeof memory);
  c.entry = &e;
  c.bits = bits;
  c.op_bits = 32;
  for (u64& v : c.in.gpr) v = r.edge64();
  c.in.rflags = 0x202 | (r.next() & kStatusFlags) | (r.one_in(6) ? static_cast<u64>(DF) : 0) |
                (r.one_in(20) ? static_cast<u64>(AC) : 0);
  random_fx(r, e, c.in.fx);
  Encoder encoder{r, e, c, memory};
  encoder.choose_size();
  encoder.operands();
  encoder.emit();
  prepare_implicit(r, e, c, memory);
  if (bits == 64) return;
  for (u64& v : c.in.gpr) v = static_cast<u32>(v);
}

}  // namespace twinstep::soft::oracle
