// Makes a case: encodes an entry with random prefixes and operands, and prepares state so that
// memory operands land where they are interesting: data, page ends, the hole, the read-only page.
#include "oracle.h"

namespace twinstep::soft::oracle {

// ---- values -----------------------------------------------------------------------------------------
u64 Random::edge64() {
  switch (below(8)) {
    case 0: return below(4) - 1ull;
    case 1: return (1ull << below(64)) - below(3) + 1;
    case 2: return ~(1ull << below(64));
    case 3: return 0x8000000080008080 ^ (next() & 0x0101010101010101);
    case 4: return static_cast<u64>(static_cast<i64>(next()) >> below(64));
    case 5: return next() >> below(64);
  }
  return next();
}

u32 Random::edge_single() {
  const u32 sign = one_in(2) ? 0x80000000 : 0;
  switch (below(12)) {
    case 0: return sign;
    case 1: return sign | 0x7f800000;
    case 2: return sign | 0x7fc00000 | below(16);                       // quiet
    case 3: return sign | 0x7f800001 | (below(0x400000) >> below(22));  // signalling, mostly
    case 4: return sign | below(0x800000) >> below(23);                 // denormal
    case 5: return sign | (1 + below(3)) << 23 | below(4);              // least normals
    case 6: return sign | (0x7f7fffff - below(3));
    case 7: return sign | (127 + below(34)) << 23 | (below(4) << 21);   // small integers
    case 8: return sign | (127 + 29 + below(6)) << 23 | below(0x800000);  // integer limits
    case 9: return sign | (120 + below(16)) << 23 | below(0x800000);
  }
  return static_cast<u32>(next());
}

u64 Random::edge_double() {
  const u64 sign = one_in(2) ? 1ull << 63 : 0;
  const u64 fraction = next() >> 12;
  switch (below(13)) {
    case 0: return sign;
    case 1: return sign | 0x7ffull << 52;
    case 2: return sign | 0xfffull << 51 | below(16);
    case 3: return sign | 0x7ffull << 52 | 1 | (fraction >> 1 >> below(51));
    case 4: return sign | fraction >> below(52);
    case 5: return sign | static_cast<u64>(1 + below(3)) << 52 | below(4);
    case 6: return sign | (0x7fefffffffffffff - below(3));
    case 7: return sign | static_cast<u64>(1023 + below(66)) << 52 | static_cast<u64>(below(4)) << 50;
    case 8: return sign | static_cast<u64>(1023 + 29 + below(6)) << 52 | fraction;
    case 9: return sign | static_cast<u64>(1016 + below(16)) << 52 | fraction;
    case 10: return sign | static_cast<u64>(1023 - 150 + below(30)) << 52 | fraction;  // near single's end
    case 11: return sign | static_cast<u64>(1023 + 126 + below(4)) << 52 | fraction;
  }
  return next();
}

void Random::edge_extended(u8 out[10]) {
  u64 m = next() | 1ull << 63;
  u16 e = static_cast<u16>(next() & 0x7fff);
  if (one_in(3)) m &= ~0ull << below(64);
  m |= 1ull << 63;
  switch (below(18)) {
    case 0: m = 0, e = 0; break;
    case 1: m = 1ull << 63, e = 0x7fff; break;
    case 2: m = 3ull << 62 | below(4), e = 0x7fff; break;
    case 3: m = 1ull << 63 | (1 + below(4)), e = 0x7fff; break;
    case 4: m >>= 1 + below(62), e = 0; break;        // denormal
    case 5: e = 0; break;                             // pseudo-denormal
    case 6: m >>= 1; break;                           // unsupported, mostly
    case 7: e = static_cast<u16>(1 + below(3)); break;
    case 8: e = 0x7ffe, m = ~0ull - below(2); break;
    case 9: e = static_cast<u16>(0x3fff - 66 + below(140)); break;
    case 10: e = static_cast<u16>(0x3fff - 1100 + below(140)); break;  // near double's end
    case 11: e = static_cast<u16>(0x3fff + 1010 + below(30)); break;
    case 12: e = static_cast<u16>(0x3fff - 160 + below(60)); break;
    case 13: m = 1ull << 63, e = static_cast<u16>(0x3ffd + below(66)); break;
    case 14: case 15: case 16: e = static_cast<u16>(0x3fff - 3 + below(7)); break;
  }
  if (one_in(2)) e |= 0x8000;
  memcpy(out, &m, 8);
  memcpy(out + 8, &e, 2);
}

namespace {

// ---- memory and state ---------------------------------------------------------------------------------
void random_bytes(Random& r, u8* at, size_t bytes) {
  for (size_t n = 0; n < bytes; n += 8) {
    const u64 v = r.next();
    memcpy(at + n, &v, 8);
  }
}

Xmm random_vector(Random& r) {
  Xmm v;
  const u32 how = r.below(4);
  for (u32 n = 0; n < 4 && how == 0; n++) v.d[n] = r.edge_single();
  for (u32 n = 0; n < 2 && how == 1; n++) v.q[n] = r.edge_double();
  for (u32 n = 0; n < 2 && how == 2; n++) v.q[n] = r.edge64();
  if (how == 3) {
    // Few different bytes: equal lanes, and zero bytes that end strings.
    for (u8& b : v.b) b = static_cast<u8>(r.one_in(6) ? 0 : 0x7e + r.below(4));
  }
  return v;
}

void random_fx(Random& r, const Entry& e, Fx& fx) {
  memset(&fx, 0, sizeof fx);
  fx.control = static_cast<u16>(0x037f);
  if (!r.one_in(3)) fx.control = static_cast<u16>(0x7f | (r.below(4) << 10) | (r.below(4) << 8));
  if (r.one_in(5)) fx.control &= static_cast<u16>(~r.below(0x40));
  fx.status = static_cast<u16>(r.next() & 0x7f00);
  if (!r.one_in(4)) fx.status |= r.next() & 0x3f & (r.one_in(8) ? 0x3f : fx.control);
  if (r.one_in(10)) fx.status |= 0x40;
  if (fx.status & ~fx.control & 0x3f) fx.status |= 0x8080;
  fx.tag = r.one_in(4) ? static_cast<u8>(r.next()) : r.one_in(2) ? 0xff : 0x7f;
  // Room for a push, mostly: ST(7) empty.
  const u32 top = fx.status >> 11 & 7;
  if (fx.tag == 0x7f) fx.tag = static_cast<u8>(~(1u << ((top + 7) & 7)));
  for (auto& st : fx.st) r.edge_extended(st);
  if (e.family == Family::transcend && r.one_in(2)) {
    // Ordinary sizes, or nothing but special cases would be seen.
    for (auto& st : fx.st) {
      const u16 se = static_cast<u16>(0x3ffe - r.below(r.one_in(3) ? 20 : 2) + (r.below(2) << 15));
      st[7] |= 0x80;
      memcpy(st + 8, &se, 2);
    }
  }
  fx.mxcsr = 0x1f80;
  if (r.one_in(3)) fx.mxcsr |= r.below(4) << 13;
  if (r.one_in(8)) fx.mxcsr |= r.below(2) << 15 | r.below(2) << 6;
  if (r.one_in(6)) fx.mxcsr &= ~(r.below(0x40) << 7);
  fx.mxcsr |= r.one_in(2) ? r.below(0x40) : 0;
  for (Xmm& x : fx.xmm) x = random_vector(r);
  // Two registers alike give equal comparisons and NaN pairs.
  if (r.one_in(8)) fx.xmm[r.below(16)] = fx.xmm[r.below(16)];
}

// A linear address for an operand of `bytes` bytes.
u64 choose_target(Random& r, u32 bytes, bool aligned) {
  const u32 align = aligned && !r.one_in(16) ? (bytes >= 64 ? 63 : 15) : r.one_in(3) ? 0 : bytes - 1;
  const u32 how = r.below(40);
  if (how == 0) return kHoleAt - 1 - r.below(bytes);           // runs into the hole
  if (how == 1) return kReadOnlyAt + r.below(4000);
  if (how == 2) return kReadOnlyAt - 1 - r.below(bytes);       // hole, then read-only
  if (how == 3) return kReadOnlyAt + kPage - 1 - r.below(bytes);  // read-only, then writable
  if (how == 4) return kHoleAt + r.below(0x1000);
  if (how == 5) return 0x7ffffffffff0 + r.below(0x20);         // about the end of the lower half
  if (how == 6) return 0x4000000000000000 ^ (r.next() >> 1);
  if (how < 11) return (kDataAt + kPage - 1 - r.below(bytes)) & ~u64{0};  // crosses pages
  const u64 room = 2 * kPage - 1024;
  return (kDataAt + 512 + r.below(static_cast<u32>(room))) & ~u64{align & (align + 1) ? 0 : align};
}

void place_data(Random& r, Data data, u64 at, u32 bytes, Memory& memory) {
  u8 value[16];
  if (data == Data::extended) {
    r.edge_extended(value);
  } else if (data == Data::bcd) {
    for (u8& b : value) b = static_cast<u8>(r.below(10) | r.below(10) << 4);
    value[9] = static_cast<u8>(r.next());
  } else if (data == Data::single) {
    for (u32 n = 0; n < 16; n += 4) {
      const u32 v = r.edge_single();
      memcpy(value + n, &v, 4);
    }
  } else {
    for (u32 n = 0; n < 16; n += 8) {
      const u64 v = data == Data::doubled ? r.edge_double() : r.edge64();
      memcpy(value + n, &v, 8);
    }
  }
  for (u32 n = 0; n < 16 && n < bytes; n++) {
    for (u32 p = 0; p < kDataPages; p++) {
      if (at + n - kDataPageAt[p] < kPage) memory[p * kPage + (at + n - kDataPageAt[p])] = value[n];
    }
  }
}

// ---- encoding -----------------------------------------------------------------------------------------
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

  void choose_size() {
    if (e.flags & kByte) c.op_bits = 8;
    if (e.flags & kWide && r.one_in(3)) rex |= 0x48;
    if (e.flags & kWide) c.op_bits = rex & 8 ? 64 : 32;
    if (e.flags & kSized) {
      const u32 how = r.below(4);
      operand66 = how == 0;
      if (how == 1 || how == 2) rex |= 0x48;
      // REX.W wins over 66.
      if (how == 2 && r.one_in(8)) operand66 = true;
      c.op_bits = rex & 8 ? 64 : operand66 ? 16 : 32;
    }
    if (e.flags & kStack64) {
      operand66 = r.one_in(6);
      c.op_bits = operand66 ? 16 : 64;
    }
  }

  u32 operand_bytes() const { return e.bytes ? e.bytes : c.op_bits / 8; }

  // Registers whose contents the instruction's meaning needs.
  bool spoken_for(u32 n) const {
    if (e.kind == Kind::bit_memory) return n == c.reg;
    if (e.kind == Kind::divide || e.kind == Kind::xsave || e.kind == Kind::string_compare) {
      return n == RAX || n == RDX;
    }
    return false;
  }

  // Fills in ModRM.rm (and SIB, displacement) and the registers that make it c.target.
  void memory_operand() {
    c.memory = true;
    c.target = choose_target(r, operand_bytes(), e.flags & kAligned);
    place_data(r, e.data, c.target, operand_bytes(), memory);
    u64 offset = c.target;
    if (r.one_in(12)) {
      segment = 0x65;
      offset -= kGsBase;
    }
    const bool low = c.target >> 31 == 0;
    c.address32 = low && !segment && r.one_in(10);
    const u32 form = r.below(8);
    if (form == 0 && low && !segment) {  // RIP-relative; finished when the length is known
      rip_relative = true;
      modrm |= 5;
      disp_bytes = 4;
      return;
    }
    if (form == 1 && low && !segment) {  // absolute
      modrm |= 4;
      has_sib = true;
      sib = 0x25;
      disp_bytes = 4;
      disp = offset;
      return;
    }
    u64 index_value = 0;
    u32 index = 4;
    if (form < 5) {
      do index = r.below(16); while (index == 4 || spoken_for(index));
      const u32 scale = r.below(4);
      has_sib = true;
      c.used |= static_cast<u16>(1u << index);
      c.in.gpr[index] = r.one_in(2) ? r.below(0x1000) : r.edge64();
      index_value = c.in.gpr[index] << scale;
      sib = static_cast<u8>(scale << 6 | (index & 7) << 3);
      if (index & 8) rex |= 0x42;
    }
    u32 base;
    do base = r.below(16); while (base == index || spoken_for(base));
    c.used |= static_cast<u16>(1u << base);
    disp_bytes = r.one_in(3) ? 4 : r.one_in(2) ? 1 : 0;
    if (disp_bytes == 0 && (base & 7) == 5) disp_bytes = 1;
    disp = static_cast<u64>(disp_bytes == 1 ? static_cast<i8>(r.next()) : static_cast<i32>(r.next()));
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
      if (e.flags & kOpcodeReg && r.one_in(2)) rex |= 0x41;
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
    if (e.group < 0 && r.one_in(2)) rex |= 0x44;
    c.reg = static_cast<u8>(reg | (rex & 4 ? 8 : 0));
    const bool memory_form = e.flags & kMem && (!(e.flags & kReg) || r.one_in(2));
    if (memory_form) {
      memory_operand();
    } else {
      modrm |= 0xc0 | r.below(8);
      if (r.one_in(2)) rex |= 0x41;
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
    const bool junk = e.prefix == 0 && !(e.flags & kNoRep) && e.family < Family::x87 && r.one_in(24);
    if (e.flags & kReps && r.one_in(2)) put(r.one_in(2) ? 0xf2 : 0xf3, 1);
    else if (junk) put(r.one_in(2) ? 0xf2 : 0xf3, 1);
    if (e.prefix) put(e.prefix, 1);
    if (rex || r.one_in(16)) put(rex | 0x40, 1);
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
    if (e.kind == Kind::relative || e.kind == Kind::loop || e.kind == Kind::call) imm = relative_target();
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

// ---- implicit operands ----------------------------------------------------------------------------------
u64 stack_place(Random& r, u32 bytes) { return choose_target(r, bytes, false); }

void store_memory(Memory& memory, u64 at, u64 v) {
  for (u32 n = 0; n < 8; n++) {
    for (u32 p = 0; p < kDataPages; p++) {
      if (at + n - kDataPageAt[p] < kPage) {
        memory[p * kPage + (at + n - kDataPageAt[p])] = static_cast<u8>(v >> (8 * n));
      }
    }
  }
}

u64 branch_target(Random& r) {
  switch (r.below(8)) {
    case 0: return kDataAt + r.below(0x1000);          // not executable
    case 1: return kHoleAt + r.below(0x1000);
    case 2: return 0x8000000000000000 ^ (r.next() >> 2);  // not canonical
  }
  return kCodeAt + 256 + r.below(1024);
}

// What FLDENV and FRSTOR find.
void environment(Random& r, const Case& c, Memory& memory) {
  u8 b[112];
  for (u32 n = 0; n < 28; n += 4) {
    const u32 v = static_cast<u32>(r.next());
    memcpy(b + n, &v, 4);
  }
  if (r.one_in(2)) b[0] |= 0x3f;
  for (u32 n = 28; n < 108; n += 10) r.edge_extended(b + n);
  for (u32 n = 0; n < 104; n += 8) {
    u64 v;
    memcpy(&v, b + n, 8);
    store_memory(memory, c.target + n, v);
  }
}

// What FXRSTOR and XRSTOR find; the XSAVE header names x87 and SSE, rarely something unknown.
void fx_image(Random& r, const Entry& e, Case& c, Memory& memory) {
  u8 b[576] = {};
  Fx fx;
  random_fx(r, e, fx);
  memcpy(b, &fx, sizeof fx);
  if (r.one_in(3)) {
    const u16 status = static_cast<u16>(r.next()), control = static_cast<u16>(r.next());
    memcpy(b, &control, 2);
    memcpy(b + 2, &status, 2);
  }
  if (r.one_in(12)) b[26] |= static_cast<u8>(1 << r.below(8) & ~2);
  random_bytes(r, b + 416, 96);
  b[512] = static_cast<u8>(r.below(4));
  if (r.one_in(16)) b[512 + 6] = 4;
  if (r.one_in(16)) b[512 + 8 + r.below(15)] = 1;
  for (u32 n = 0; n < 576; n += 8) {
    u64 v;
    memcpy(&v, b + n, 8);
    store_memory(memory, c.target + n, v);
  }
  if (e.kind != Kind::xsave) return;
  c.in.gpr[RDX] = r.one_in(8) ? 0x4000000000 : 0;
  c.in.gpr[RAX] = r.below(4);
}

void implicit(Random& r, const Entry& e, Case& c, Memory& memory) {
  u64* g = c.in.gpr;
  switch (e.kind) {
    case Kind::plain: case Kind::relative: break;
    case Kind::loop:
      if (r.one_in(2)) g[RCX] = r.below(3);
      break;
    case Kind::stack:
      if (!(c.used >> RSP & 1)) g[RSP] = stack_place(r, 16);
      break;
    case Kind::string: {
      const u32 bytes = c.op_bits / 8;
      g[RCX] = r.below(24) | (c.address32 && r.one_in(2) ? r.next() << 32 : 0);
      g[RSI] = choose_target(r, bytes * 8, false);
      g[RDI] = r.one_in(4) ? g[RSI] + r.below(32) - 16 : choose_target(r, bytes * 8, false);
      // Runs of equal elements, so that REPE and REPNE go some way.
      if (r.one_in(2)) {
        const u64 v = r.next();
        for (u32 n = 0; n < 40; n++) store_memory(memory, g[RDI] - 64 + n * 8, v);
        for (u32 n = 0; n < 40; n++) store_memory(memory, g[RSI] - 64 + n * 8, v);
        if (r.one_in(2)) g[RAX] = v;
      }
      break;
    }
    case Kind::xlat: g[RBX] = choose_target(r, 1, false) - (g[RAX] & 0xff); break;
    case Kind::bit_memory:
      // The bit offset moves the address: keep it within a few hundred bytes.
      if (c.memory) {
        const i64 bit = static_cast<i64>(r.below(4096)) - 2048;
        g[c.reg] = static_cast<u64>(bit);
        if (c.op_bits == 16) g[c.reg] = (g[c.reg] & 0xffff) | r.next() << 16;
        if (c.op_bits == 32) g[c.reg] = (g[c.reg] & 0xffffffff) | r.next() << 32;
      }
      break;
    case Kind::divide:
      if (r.one_in(2)) g[RDX] = r.one_in(2) ? 0 : static_cast<u64>(static_cast<i64>(g[RAX]) >> 63);
      break;
    case Kind::maskmov: g[RDI] = choose_target(r, 16, false); break;
    case Kind::indirect: {
      const u64 to = branch_target(r);
      if (c.memory) store_memory(memory, c.target, to);
      else for (int n = 0; n < 16; n++) g[n] = to;
      if (!(c.used >> RSP & 1)) g[RSP] = stack_place(r, 16);
      break;
    }
    case Kind::ret:
      g[RSP] = stack_place(r, 8);
      store_memory(memory, g[RSP], branch_target(r));
      break;
    case Kind::enter:
      g[RSP] = stack_place(r, 64);
      g[RBP] = choose_target(r, 256, false);
      // Whether the probe of the final stack pointer checks its alignment is the host's affair.
      c.in.rflags &= ~static_cast<u64>(AC);
      break;
    case Kind::call: g[RSP] = stack_place(r, 8); break;
    case Kind::popf: {
      g[RSP] = stack_place(r, 8);
      // Not TF: the trap would come behind the INT3.
      store_memory(memory, g[RSP], r.next() & 0x3cffff & ~static_cast<u64>(TF));
      break;
    }
    case Kind::leave: g[RBP] = stack_place(r, 8); break;
    case Kind::string_compare:
      g[RAX] = r.one_in(2) ? r.below(20) : r.edge64();
      g[RDX] = r.one_in(2) ? r.below(20) : r.edge64();
      break;
    case Kind::mxcsr: {
      // Bit 17 exists on some hosts only.
      u32 v = static_cast<u32>(r.next()) & 0xffff;
      if (r.one_in(6)) v |= 1u << (r.one_in(2) ? 16 : 18 + r.below(14));
      store_memory(memory, c.target, v);
      break;
    }
    case Kind::control_word: store_memory(memory, c.target, r.next()); break;
    case Kind::fpenv: environment(r, c, memory); break;
    case Kind::fximage: case Kind::xsave: fx_image(r, e, c, memory); break;
  }
}

}  // namespace

void make_case(Random& r, const Entry& e, Case& c, Memory& memory) {
  memset(static_cast<void*>(&c), 0, sizeof c);
  random_bytes(r, memory, sizeof memory);
  c.entry = &e;
  c.op_bits = 32;
  for (u64& v : c.in.gpr) v = r.edge64();
  c.in.rflags = 0x202 | (r.next() & kStatusFlags) | (r.one_in(6) ? static_cast<u64>(DF) : 0) |
                (r.one_in(20) ? static_cast<u64>(AC) : 0);
  random_fx(r, e, c.in.fx);
  Encoder encoder{r, e, c, memory};
  encoder.choose_size();
  encoder.operands();
  encoder.emit();
  implicit(r, e, c, memory);
}

}  // namespace twinstep::soft::oracle
