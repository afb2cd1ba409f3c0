// The decoder: a table entry an opcode (decode-forms.h) and the rules of SDM vol. 2 chapter 2.
#include "decode.h"

#include "decode-forms.h"

namespace twinstep::soft {

namespace {

// Bytes left to take, bounded by what is there and by the 15 an instruction may have.
struct Reader {
  const u8* bytes;
  u32 available;
  u32 at = 0;
  bool short_of = false;

  bool has(u32 count) {
    if (at + count <= available && at + count <= 15) return true;
    short_of = true;
    return false;
  }
  u8 byte() { return has(1) ? bytes[at++] : 0; }
  u64 take(u32 count) {
    u64 value = 0;
    if (!has(count)) return 0;
    memcpy(&value, bytes + at, count);
    at += count;
    return value;
  }
  u64 take_signed(u32 count) {
    const u64 value = take(count);
    const u32 shift = 64 - 8 * count;
    return static_cast<u64>(static_cast<i64>(value << shift) >> shift);
  }
};

struct Prefixes {
  bool operand = false, address = false, lock = false;
  u8 rep = 0, rex = 0;
  u8 seg = kSegCount;
};

// Takes prefixes and the first opcode byte behind them.
u8 take_prefixes(Reader& r, u8 code_bits, Prefixes& p) {
  for (;;) {
    const u8 b = r.byte();
    if (r.short_of) return 0;
    if (code_bits == 64 && (b & 0xf0) == 0x40) {
      p.rex = b;
      const u8 opcode_or_more = r.byte();
      if (r.short_of) return 0;
      --r.at;
      // A REX prefix counts only right before the opcode.
      if ((opcode_or_more & 0xf0) == 0x40) continue;
      switch (opcode_or_more) {
        case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x66: case 0x67:
        case 0xf0: case 0xf2: case 0xf3: p.rex = 0; continue;
        default: return r.byte();
      }
    }
    switch (b) {
      case 0x26: if (code_bits != 64) p.seg = ES; break;
      case 0x2e: if (code_bits != 64) p.seg = CS; break;
      case 0x36: if (code_bits != 64) p.seg = SS; break;
      case 0x3e: if (code_bits != 64) p.seg = DS; break;
      case 0x64: p.seg = FS; break;
      case 0x65: p.seg = GS; break;
      case 0x66: p.operand = true; break;
      case 0x67: p.address = true; break;
      case 0xf0: p.lock = true; break;
      case 0xf2: case 0xf3: p.rep = b; break;
      default: return b;
    }
  }
}

u8 operand_bits(u8 code_bits, const Prefixes& p, u16 form) {
  if (code_bits != 64) return (code_bits == 16) == p.operand ? 32 : 16;
  if (form & kWideOnly) return 64;
  if (p.rex & 8) return 64;
  if (p.operand) return 16;
  return form & kWide ? 64 : 32;
}

// FF /2 and /4 (near indirect), /6 (PUSH) are as wide as the stack; F6 and F7 /0 /1 (TEST) have an
// immediate. The rest of the opcode tables is uniform over the reg field.
u16 refine(u16 form, const Insn& i) {
  const u8 group = i.modrm >> 3 & 7;
  if (i.map != 0) return form;
  if (i.opcode == 0xff && (group == 2 || group == 4)) return form | kWideOnly;
  if (i.opcode == 0xff && group == 6) return form | kWide;
  if (i.opcode == 0xf6 && group < 2) return form | kImm8;
  if (i.opcode == 0xf7 && group < 2) return form | kImmZ;
  return form;
}

// 16-bit addressing (SDM table 2-1).
void memory16(Reader& r, Insn& i) {
  static constexpr u8 kBase[8] = {RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX};
  static constexpr u8 kIndex[8] = {RSI, RDI, RSI, RDI, kZeroReg, kZeroReg, kZeroReg, kZeroReg};
  const u8 mod = i.modrm >> 6, rm = i.modrm & 7;
  i.base = kBase[rm];
  i.index = kIndex[rm];
  if (mod == 0 && rm == 6) {
    i.base = kZeroReg;
    i.disp = r.take(2);
  } else if (mod == 1) {
    i.disp = r.take_signed(1);
  } else if (mod == 2) {
    i.disp = r.take(2);
  }
  i.seg = i.base == RBP ? SS : DS;
}

// 32- and 64-bit addressing (SDM tables 2-2, 2-3, 2-7). True for RIP-relative.
bool memory_wide(Reader& r, Insn& i, u8 code_bits) {
  const u8 mod = i.modrm >> 6, rm = i.modrm & 7;
  const u8 rex_b = i.rex & 1 ? 8 : 0, rex_x = i.rex & 2 ? 8 : 0;
  bool bare = false, rip_relative = false;
  if (rm == 4) {
    const u8 sib = r.byte();
    const u8 index = (sib >> 3 & 7) | rex_x;
    i.index = index == 4 ? kZeroReg : index;
    i.scale = sib >> 6;
    i.base = (sib & 7) | rex_b;
    bare = (sib & 7) == 5 && mod == 0;
  } else {
    i.base = rm | rex_b;
    bare = rm == 5 && mod == 0;
    rip_relative = bare && code_bits == 64;
  }
  if (bare) i.base = kZeroReg;
  if (mod == 1) i.disp = r.take_signed(1);
  if (mod == 2 || bare) i.disp = r.take_signed(4);
  i.seg = i.base == RSP || i.base == RBP ? SS : DS;
  return rip_relative;
}

u8 byte_place(u8 reg, u8 rex) { return rex == 0 && reg >= 4 ? (reg - 4) * 8 + 1 : reg * 8; }

void take_immediates(Reader& r, Insn& i, u16 form) {
  const u32 z = i.op_bits == 16 ? 2 : 4;
  if (form & kImm8) i.imm = r.take_signed(1);
  if (form & kImmZ) i.imm = r.take_signed(z);
  if (form & kImmV) i.imm = r.take_signed(i.op_bits / 8);
  if (form & kImm16) i.imm = r.take(2);
  if (form & kImmEnter) {
    i.imm = r.take(2);
    i.imm2 = r.byte();
  }
  if (form & kImmFar) {
    i.imm = r.take(z);
    i.imm |= r.take(2) << 32;
  }
  if (form & kMoffs) {
    i.disp = i.imm = r.take(i.addr_bits / 8);
    i.flags |= kMemory;
  }
  if (form & kRel8) i.imm = r.take_signed(1);
  if (form & kRelZ) i.imm = r.take_signed(z);
}

bool map0_lockable(const Insn& i) {
  const u8 op = i.opcode, group = i.modrm >> 3 & 7;
  if (op < 0x38) return (op & 7) < 2;                        // ADD .. XOR to memory
  if (op >= 0x80 && op <= 0x83) return group != 7;           // not CMP
  if (op == 0x86 || op == 0x87) return true;                 // XCHG
  if (op == 0xf6 || op == 0xf7) return group == 2 || group == 3;  // NOT, NEG
  return (op == 0xfe || op == 0xff) && group < 2;            // INC, DEC
}

bool map1_lockable(const Insn& i) {
  const u8 group = i.modrm >> 3 & 7;
  switch (i.opcode) {
    case 0xab: case 0xb3: case 0xbb: case 0xb0: case 0xb1: case 0xc0: case 0xc1: return true;
    case 0xba: return group >= 5;
    case 0xc7: return group == 1;
    default: return false;
  }
}

// LOCK needs a memory destination of one of these (SDM vol. 2, LOCK).
bool lock_allowed(const Insn& i) {
  if (!(i.flags & kMemory)) return false;
  return i.map == 0 ? map0_lockable(i) : i.map == 1 && map1_lockable(i);
}

u8 flow_of(const Insn& i, u16 form) {
  if (form & (kRel8 | kRelZ)) return kEndsBlock | kHasLink;
  const u8 op = i.opcode, group = i.modrm >> 3 & 7;
  if (i.map == 1) return op == 0x0b || op == 0xb9 || op == 0xff ? kEndsBlock : 0;
  if (i.map != 0) return 0;
  if (op == 0xc2 || op == 0xc3 || op == 0x9d || op == 0xfb) return kEndsBlock;
  if (op == 0xff) return group == 2 || group == 4 ? kEndsBlock : 0;
  const u8 repeats = i.rep != 0 ? kEndsBlock | kRepeats : 0;
  if (op >= 0x6c && op <= 0x6f) return kEndsBlock | repeats;  // INS, OUTS: exits
  const bool string = (op >= 0xa4 && op <= 0xa7) || (op >= 0xaa && op <= 0xaf);
  return string ? repeats : 0;
}

// System instructions that change nothing but registers a block does not depend on; their handlers
// are made by step<>, not step_flow<>.
bool plain_system(const Insn& i) {
  if (i.map == 0) return i.opcode == 0x8c;  // MOV r/m, Sreg
  if (i.map != 1) return false;
  const bool invlpg = (i.flags & kMemory) && (i.modrm & 0x38) == 0x38;
  if (i.opcode == 0x01) return i.modrm == 0xf8 || i.modrm == 0xf9 || invlpg;  // SWAPGS, RDTSCP
  return i.opcode == 0x31 || i.opcode == 0x20;                                // RDTSC, MOV r, CR
}

void set_target(Insn& i, u64 rip) {
  const u64 target = rip + i.len + i.imm;
  i.imm = i.op_bits == 64 ? target : i.op_bits == 32 ? target & 0xffffffff : target & 0xffff;
}

// Opcode bytes behind the prefixes: map, opcode, form.
u16 take_opcode(Reader& r, u8 first, Insn& i) {
  i.opcode = first;
  if (first != 0x0f) return kOneByte[first];
  i.map = 1;
  i.opcode = r.byte();
  if (i.opcode == 0x38 || i.opcode == 0x3a) {
    i.map = i.opcode == 0x38 ? 2 : 3;
    i.opcode = r.byte();
    return i.map == 2 ? kModrm : kModrm | kImm8;
  }
  return kTwoByte[i.opcode];
}

}  // namespace

Decode decode(const u8* bytes, u32 available, u8 code_bits, u64 rip, Insn& out) {
  Insn& i = out;
  memset(&i, 0, sizeof(i));
  Reader r{bytes, available};
  Prefixes p;
  const u8 first = take_prefixes(r, code_bits, p);
  u16 form = r.short_of ? 0 : take_opcode(r, first, i);
  i.rex = p.rex;
  i.rep = p.rep;
  i.flags = (p.operand ? kHas66 : 0) | (p.lock ? kLock : 0) | (code_bits == 64 ? kLong : 0);
  i.base = i.index = kZeroReg;
  i.seg = DS;
  i.addr_bits = code_bits == 64 ? (p.address ? 32 : 64) : (code_bits == 16) == p.address ? 32 : 16;
  const bool invalid = (form & kNone) || (code_bits == 64 && (form & kNot64));
  bool rip_relative = false;
  if ((form & kModrm) && !invalid && !r.short_of) {
    i.modrm = r.byte();
    if (i.map == 1 && i.opcode >= 0x20 && i.opcode <= 0x23) i.modrm |= 0xc0;
    form = refine(form, i);
    i.reg = (i.modrm >> 3 & 7) | (p.rex & 4 ? 8 : 0);
    i.rm = (i.modrm & 7) | (p.rex & 1 ? 8 : 0);
    if (i.modrm < 0xc0) {
      i.flags |= kMemory;
      if (i.addr_bits == 16) memory16(r, i);
      else rip_relative = memory_wide(r, i, code_bits);
    }
  }
  if (form & kOpReg) {
    i.modrm = 0xc0;
    i.rm = (i.opcode & 7) | (p.rex & 1 ? 8 : 0);
  }
  if (p.seg != kSegCount) i.seg = p.seg;
  i.op_bits = operand_bits(code_bits, p, form);
  if (!invalid && !r.short_of) take_immediates(r, i, form);
  i.len = static_cast<u8>(r.at);
  if (r.short_of) return available >= 15 ? Decode::TooLong : Decode::Short;
  if (invalid) return Decode::Invalid;
  i.reg_at = byte_place(i.reg, p.rex);
  i.rm_at = byte_place(i.rm, p.rex);
  if (rip_relative) i.disp += rip + i.len;
  if (form & (kRel8 | kRelZ)) set_target(i, rip);
  i.flow = flow_of(i, form);
  return p.lock && !lock_allowed(i) ? Decode::Invalid : Decode::Ok;
}

Decode decode_and_select(const u8* bytes, u32 available, u8 code_bits, u64 rip, Insn& out) {
  const Decode result = decode(bytes, available, code_bits, rip, out);
  if (result != Decode::Ok) return result;
  out.fn = select_integer(out);
  if (out.fn == nullptr && (out.fn = select_system(out)) != nullptr) {
    if (!plain_system(out)) out.flow |= kEndsBlock;
  }
  if (out.fn == nullptr) out.fn = select_x87(out);
  if (out.fn == nullptr) out.fn = select_simd(out);
  if (out.fn != nullptr) return Decode::Ok;
  out.flow = kEndsBlock;
  return Decode::Invalid;
}

}  // namespace twinstep::soft
