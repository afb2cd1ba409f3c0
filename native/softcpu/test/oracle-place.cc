// Where operands lie and what they hold, and the registers an instruction uses without naming them.
#include "oracle-make.h"

namespace twinstep::soft::oracle {

void store_bytes(Memory& memory, u64 at, const u8* from, u32 bytes) {
  for (u32 n = 0; n < bytes; n++) {
    for (u32 p = 0; p < kDataPages; p++) {
      if (at + n - kDataPageAt[p] < kPage) memory[p * kPage + (at + n - kDataPageAt[p])] = from[n];
    }
  }
}
void store_memory(Memory& memory, u64 at, u64 v) {
  store_bytes(memory, at, reinterpret_cast<const u8*>(&v), 8);
}

u64 choose_target(Random& r, u32 bytes, bool aligned) {
  const u32 align = aligned && !r.one_in(16) ? (bytes >= 64 ? 63 : 15) : r.one_in(3) ? 0
      : bytes - 1;
  u32 how = r.below(40);
  if (kShadowed && (how == 5 || how == 6)) how = 4;
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
  store_bytes(memory, at, value, bytes < 16 ? bytes : 16);
}

namespace {

u64 stack_place(Random& r, u32 bytes) { return choose_target(r, bytes, false); }

u64 branch_target(Random& r) {
  switch (r.below(kShadowed ? 7 : 8)) {
    case 0: return kDataAt + r.below(0x1000);          // not executable
    case 1: return kHoleAt + r.below(0x1000);
    case 7: return 0x8000000000000000 ^ (r.next() >> 2);  // not canonical
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
  store_bytes(memory, c.target, b, 108);
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
  store_bytes(memory, c.target, b, 576);
  if (e.kind != Kind::xsave) return;
  c.in.gpr[RDX] = r.one_in(8) ? 0x4000000000 : 0;
  c.in.gpr[RAX] = r.below(4);
}

void prepare_string(Random& r, Case& c, Memory& memory) {
  u64* g = c.in.gpr;
  const u32 bytes = c.op_bits / 8;
  g[RCX] = r.below(24) | (c.address32 && r.one_in(2) ? r.next() << 32 : 0);
  g[RSI] = choose_target(r, bytes * 8, false);
  g[RDI] = r.one_in(4) ? g[RSI] + r.below(32) - 16 : choose_target(r, bytes * 8, false);
  if (r.one_in(2)) return;
  // Runs of equal elements, so that REPE and REPNE go some way.
  const u64 v = r.next();
  for (u32 n = 0; n < 40; n++) store_memory(memory, g[RDI] - 64 + n * 8, v);
  for (u32 n = 0; n < 40; n++) store_memory(memory, g[RSI] - 64 + n * 8, v);
  if (r.one_in(2)) g[RAX] = v;
}

// The bit offset moves the address: keep it within a few hundred bytes.
void prepare_bit_offset(Random& r, Case& c) {
  if (!c.memory) return;
  u64& offset = c.in.gpr[c.reg];
  offset = static_cast<u64>(static_cast<i64>(r.below(4096)) - 2048);
  if (c.op_bits == 16) offset = (offset & 0xffff) | r.next() << 16;
  if (c.op_bits == 32) offset = (offset & 0xffffffff) | r.next() << 32;
}

}  // namespace

void prepare_implicit(Random& r, const Entry& e, Case& c, Memory& memory) {
  u64* g = c.in.gpr;
  switch (e.kind) {
    case Kind::plain: case Kind::relative: break;
    case Kind::loop:
      if (r.one_in(2)) g[RCX] = r.below(3);
      break;
    case Kind::stack:
      if (!(c.used >> RSP & 1)) g[RSP] = stack_place(r, 16);
      break;
    case Kind::string: prepare_string(r, c, memory); break;
    case Kind::xlat: g[RBX] = choose_target(r, 1, false) - (g[RAX] & 0xff); break;
    case Kind::bit_memory: prepare_bit_offset(r, c); break;
    case Kind::divide:
      if (r.one_in(2)) g[RDX] = r.one_in(2) ? 0 : static_cast<u64>(static_cast<i64>(g[RAX]) >> 63);
      break;
    case Kind::maskmov: g[RDI] = choose_target(r, 16, false); break;
    case Kind::indirect: {
      const u64 to = branch_target(r);
      if (c.memory) store_memory(memory, c.target, c.bits == 64 ? to : static_cast<u32>(to));
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
    case Kind::pusha: g[RSP] = stack_place(r, 32); break;
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

}  // namespace twinstep::soft::oracle
