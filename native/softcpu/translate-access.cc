// Operands in memory: from a linear address to the host's, or to the interpreter.
//
// One look at a page serves several operands. Behind it rSI holds what leads from a linear address to the host's
// in that page; what follows with the same base register and lies in the range that was compared needs no
// other look, as long as neither rSI nor the base was written. So a lookup compares for all it sees coming.
#include <algorithm>

#include "translate-unit.h"

namespace twinstep::soft::translate {

namespace {

// Wider than a cache line is not worth a page that is crossed.
constexpr i32 kWindowBytes = 64;
constexpr u8 kNobody = 0xff;

struct Coming {
  bool known = false;
  u8 bytes = 0;      // of its memory operand
  bool write = false;
  u8 changes = kNobody;  // the register it changes
};

Coming of_map0(const Insn& i) {
  const u8 op = i.opcode, group = group_of(i);
  const bool byte = !(op & 1), memory = has_memory(i);
  const u8 size = static_cast<u8>(byte ? 1 : i.op_bits / 8);
  const u8 reg = byte ? u8(i.reg_at >> 3) : i.reg;
  const u8 rm = memory ? kNobody : byte ? u8(i.rm_at >> 3) : i.rm;
  if (op < 0x40) {
    const u8 column = op & 7;
    const bool compares = op >> 3 == 7;
    if (column < 2) return {true, size, !compares, rm};
    if (column < 4) return {true, size, false, reg};
    return {column < 6, 0, false, RAX};
  }
  switch (op) {
    case 0x80: case 0x81: case 0x83: return {true, size, group != 7, rm};
    case 0x84: case 0x85: return {true, size, false, kNobody};
    case 0xa8: case 0xa9: return {true, 0, false, kNobody};
    case 0x90: return {i.rm == RAX, 0, false, kNobody};
    case 0x88: case 0x89: case 0xc6: case 0xc7: return {true, size, true, rm};
    case 0x8a: case 0x8b: return {true, size, false, reg};
    case 0x8d: return {true, 0, false, i.reg};  // no access
    case 0x63: return {true, 4, false, i.reg};
    case 0xc0: case 0xc1: case 0xd0: case 0xd1: return {true, size, true, rm};
    case 0xf6: case 0xf7: return {group < 4, size, group > 1, rm};
    case 0xfe: case 0xff: return {group < 2, size, true, rm};
    default: return {op >= 0xb0 && op <= 0xbf, 0, false, op < 0xb8 ? u8(i.rm_at >> 3) : i.rm};
  }
}

Coming of_map1(const Insn& i) {
  const u8 op = i.opcode;
  const u8 size = i.op_bits / 8;
  if (op >= 0x40 && op <= 0x4f) return {true, size, false, i.reg};
  if (op >= 0x90 && op <= 0x9f) return {true, 1, true, has_memory(i) ? kNobody : i.rm};
  switch (op) {
    case 0xaf: return {true, size, false, i.reg};
    case 0xb6: case 0xbe: return {true, 1, false, i.reg};
    case 0xb7: case 0xbf: return {true, 2, false, i.reg};
    default: return {};
  }
}

Coming coming(const Insn& i) {
  if (i.map > 1) return {};
  return i.map == 0 ? of_map0(i) : of_map1(i);
}

}  // namespace

// What lies ahead behind instruction `at`, in terms of the base register as it is there.
void Unit::widen(u8 base, i32& low, i32& high, bool& write) const {
  const Insn& first = b.insn[at];
  const Coming own = coming(first);
  if (!own.known || own.changes == base) return;
  for (u32 n = at + 1; n < b.count && plans_[n].emit != nullptr && !plans_[n].ends; ++n) {
    const Insn& i = b.insn[n];
    const Coming c = coming(i);
    if (!c.known) return;
    if (has_memory(i) && c.bytes != 0) {
      const i64 disp = static_cast<i64>(i.disp);
      if (i.base != base || i.index != kZeroReg || i.seg >= FS) return;
      if (disp < -(1 << 30) || disp > 1 << 30) return;
      const i32 from = std::min(low, static_cast<i32>(disp));
      const i32 to = std::max(high, static_cast<i32>(disp) + c.bytes);
      if (to - from > kWindowBytes) return;
      low = from;
      high = to;
      write |= c.write;
    }
    if (c.changes == base) return;
  }
}

// The operand through the window, if it is one of those the window was made for.
bool Unit::in_window(const Place& p, u32 bytes, bool write) const {
  if (!window_.is_open || p.index != kNoHost || p.base != window_.base) return false;
  if (e.touched & (1u << hSI | 1u << window_.base)) return false;
  return p.disp >= window_.low && p.disp + static_cast<i32>(bytes) <= window_.high &&
         (!write || window_.write);
}

void Unit::move_stack(i64 by) {
  const u8 stack = kPins[RSP];
  const u32 before = e.touched;
  e.lea(8, stack, Place::at(stack, by));
  if (window_.base != stack) return;
  e.touched = before;
  window_.low -= static_cast<i32>(by);
  window_.high -= static_cast<i32>(by);
}

// ---- lookups ------------------------------------------------------------------------------------

static_assert(sizeof(TlbEntry) == 32 && kTlbEntries == 4096);
static constexpr i32 tag_at(bool write) {
  return static_cast<i32>(write ? offsetof(TlbEntry, write) : offsetof(TlbEntry, read));
}

u8 Unit::use(u8 guest, u8 scratch) {
  if (is_pinned(guest)) return kPins[guest];
  e.load(8, scratch, gpr_field(guest));
  return scratch;
}

Place Unit::lookup(const Insn& i, u32 bytes, bool write) {
  const bool based = i.base != kZeroReg, indexed = i.index != kZeroReg;
  if (i.seg >= FS) return lookup_computed(i, bytes, write);
  if (!based && !indexed) return lookup_constant(i.disp, bytes, write);
  const bool near = fits32(static_cast<i64>(i.disp)) && fits32(static_cast<i64>(i.disp) + 16);
  if (!near || (based && !is_pinned(i.base)) || (indexed && !is_pinned(i.index))) {
    return lookup_computed(i, bytes, write);
  }
  Place p = Place::at(based ? kPins[i.base] : u8{kNoHost}, static_cast<i64>(i.disp));
  if (indexed) {
    p.index = kPins[i.index];
    p.scale = i.scale;
  }
  return lookup_direct(p, bytes, write, i.base);
}

Place Unit::lookup_stack(i32 disp, u32 bytes, bool write) {
  return lookup_direct(Place::at(kPins[RSP], disp), bytes, write, RSP);
}

// The address can be written down as an operand of the host: the page of its last byte is compared.
Place Unit::lookup_direct(const Place& p, u32 bytes, bool write, u8 guest_base) {
  Place through = p;
  through.base = hSI;
  if (p.index == kNoHost) {
    through.index = p.base;
    through.scale = 0;
  }
  if (in_window(p, bytes, write)) return through;
  clobber();
  Place first = p, last = p;
  i32 high = p.disp + static_cast<i32>(bytes);
  if (p.index == kNoHost) widen(guest_base, first.disp, high, write);
  last.disp = high - 1;
  e.lea(4, hAX, first);
  e.shift(4, 5, Place::reg(hAX), 7);
  e.alu_constant(4, aluAnd, Place::reg(hAX), (kTlbEntries - 1) << 5);
  e.alu(8, aluAdd, hAX, field(offsetof(Cpu, tlb)));
  e.lea(8, hSI, last);
  e.alu_constant(8, aluAnd, Place::reg(hSI), -4096);
  e.alu(8, aluCmp, hSI, Place::at(hAX, tag_at(write)));
  leave_if(ccNE);
  e.load(8, hSI, Place::at(hAX, offsetof(TlbEntry, addend)));
  if (p.index == kNoHost) {
    window_ = {true, write, p.base, first.disp, high};
    e.touched = 0;
  } else if (p.base != kNoHost) {
    Place sum = Place::at(hSI, p.disp);
    sum.index = p.base;
    e.lea(8, hSI, sum);
    through.disp = 0;
  }
  return through;
}

Place Unit::lookup_constant(u64 address, u32 bytes, bool write) {
  clobber();
  const i32 entry = static_cast<i32>((address >> 12 & (kTlbEntries - 1)) * sizeof(TlbEntry));
  const u64 tag = (address + bytes - 1) & kPageMask;
  e.load(8, hAX, field(offsetof(Cpu, tlb)));
  if (fits32(static_cast<i64>(tag))) {
    e.alu_constant(8, aluCmp, Place::at(hAX, entry + tag_at(write)), static_cast<i64>(tag));
  } else {
    e.constant(hSI, tag);
    e.alu(8, aluCmp, hSI, Place::at(hAX, entry + tag_at(write)));
  }
  leave_if(ccNE);
  e.load(8, hSI, Place::at(hAX, entry + static_cast<i32>(offsetof(TlbEntry, addend))));
  if (fits32(static_cast<i64>(address))) return Place::at(hSI, static_cast<i64>(address));
  e.constant(hAX, address);
  e.alu(8, aluAdd, hSI, Place::reg(hAX));
  return Place::at(hSI, 0);
}

// The address is made in rSI, and there is no register left for a copy: the offset from the tag says whether
// it lies in that page. A tag that is no page is odd.
Place Unit::lookup_computed(const Insn& i, u32 bytes, bool write) {
  clobber();
  const i64 disp = static_cast<i64>(i.disp);
  if (i.base == kZeroReg) {
    e.constant(hSI, i.disp);
  } else if (is_pinned(i.base) && fits32(disp)) {
    e.lea(8, hSI, Place::at(kPins[i.base], disp));
  } else {
    e.load(8, hSI, place(i.base));
    if (fits32(disp)) {
      if (disp != 0) e.alu_constant(8, aluAdd, Place::reg(hSI), disp);
    } else {
      e.constant(hAX, i.disp);
      e.alu(8, aluAdd, hSI, Place::reg(hAX));
    }
  }
  if (i.index != kZeroReg) {
    Place sum = Place::at(hSI, 0);
    sum.index = use(i.index, hAX);
    sum.scale = i.scale;
    e.lea(8, hSI, sum);
  }
  if (i.seg >= FS) {
    const size_t base = offsetof(State, seg) + i.seg * sizeof(Segment) + offsetof(Segment, base);
    e.alu(8, aluAdd, hSI, field(kStateAt + base));
  }
  const Place tag = Place::at(hAX, tag_at(write));
  e.load(4, hAX, Place::reg(hSI));
  e.shift(4, 5, Place::reg(hAX), 7);
  e.alu_constant(4, aluAnd, Place::reg(hAX), (kTlbEntries - 1) << 5);
  e.alu(8, aluAdd, hAX, field(offsetof(Cpu, tlb)));
  e.alu(8, aluSub, hSI, tag);
  e.alu_constant(8, aluCmp, Place::reg(hSI), 4096 - static_cast<i32>(bytes));
  leave_if(ccA);
  e.test_constant(1, tag, 1);
  leave_if(ccNE);
  e.alu(8, aluAdd, hSI, tag);
  e.alu(8, aluAdd, hSI, Place::at(hAX, offsetof(TlbEntry, addend)));
  return Place::at(hSI, 0);
}

}  // namespace twinstep::soft::translate
