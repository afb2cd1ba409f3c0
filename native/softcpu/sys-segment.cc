// Instructions on segment registers and descriptor tables.
//
// Sources: SDM vol. 2 per instruction; vol. 3A 2.4 (table registers), 5.10 (pointer validation).
#include "sys.h"

namespace twinstep::soft {

namespace {

Seg sreg_of(const Insn& i) { return static_cast<Seg>(group(i)); }

// MOV SS and POP SS hold back interrupts and debug exceptions for one instruction (SDM 6.8.3). In a row
// of them only the first holds back interrupts, or a guest could shut the door for good.
void shadow_stack_load(Cpu& c, Seg which) {
  if (which != SS) return;
  if (c.debug_held_at + 1 != c.s.icount) set_shadow(c);
  hold_debug(c);
}

u16 read_word_operand(Cpu& c, const Insn& i) {
  if (is_register(i)) return u16(c.s.gpr[i.rm]);
  return read<u16>(c, operand(c, i, 2, false));
}

// Register destinations take the operand size, memory always 16 bits (MOV r/m,Sreg; SLDT; STR).
void store_selector(Cpu& c, const Insn& i, u16 value) {
  if (is_register(i)) {
    put_register(c.s, i.rm, i.op_bits, value);
  } else {
    write<u16>(c, operand(c, i, 2, true), value);
  }
}

// ---- loads -------------------------------------------------------------------------------------
void mov_from_sreg(Cpu& c, const Insn& i) { store_selector(c, i, c.s.seg[sreg_of(i)].selector); }

void mov_to_sreg(Cpu& c, const Insn& i) {
  const Seg which = sreg_of(i);
  c.s.seg[which] = segment_for(c, which, read_word_operand(c, i));
  shadow_stack_load(c, which);
}

template <Seg kWhich>
void push_sreg(Cpu& c, const Insn& i) {
  StackWriter w(c);
  w.push(c.s.seg[kWhich].selector, i.op_bits / 8);
  w.check();
  const u64 sp = w.write();
  set_sp(c.s, sp, mask_of(c.stack_bits));
}

template <Seg kWhich>
void pop_sreg(Cpu& c, const Insn& i) {
  StackReader r(c);
  const u16 selector = u16(r.pop(i.op_bits / 8));
  const Segment g = segment_for(c, kWhich, selector);
  r.commit();
  c.s.seg[kWhich] = g;
  shadow_stack_load(c, kWhich);
}

// LDS, LES, LSS, LFS, LGS.
template <Seg kWhich>
void load_far_pointer(Cpu& c, const Insn& i) {
  const FarPointer p = read_pointer(c, i);
  c.s.seg[kWhich] = segment_for(c, kWhich, p.selector);
  put_register(c.s, i.reg, i.op_bits, p.offset);
}

// ---- table registers (SDM vol. 2 LGDT, SGDT) ---------------------------------------------------
void store_table(Cpu& c, const Insn& i, u64 base, u32 limit) {
  const u32 bytes = c.code_bits == 64 ? 8 : 4;
  const u64 at = operand(c, i, 2, true), then = operand_part(c, i, 2, bytes, true);
  probe_write(c, then, bytes);
  write<u16>(c, at, u16(limit));
  write_block(c, then, &base, bytes);
}

struct TableImage {
  u64 base;
  u32 limit;
};

TableImage load_table(Cpu& c, const Insn& i) {
  need_cpl0(c);
  const bool wide = c.code_bits == 64;
  const u64 at = operand(c, i, 2, false), then = operand_part(c, i, 2, wide ? 8 : 4, false);
  TableImage out{0, read<u16>(c, at)};
  read_block(c, then, &out.base, wide ? 8 : 4);
  if (!wide && i.op_bits == 16) out.base &= 0xffffff;
  if (wide && !canonical(out.base)) raise_gp0();
  return out;
}

void sgdt(Cpu& c, const Insn& i) { store_table(c, i, c.s.gdt_base, c.s.gdt_limit); }
void sidt(Cpu& c, const Insn& i) { store_table(c, i, c.s.idt_base, c.s.idt_limit); }

void lgdt(Cpu& c, const Insn& i) {
  const TableImage t = load_table(c, i);
  c.s.gdt_base = t.base;
  c.s.gdt_limit = t.limit;
}

void lidt(Cpu& c, const Insn& i) {
  const TableImage t = load_table(c, i);
  c.s.idt_base = t.base;
  c.s.idt_limit = t.limit;
}

void need_protected(const Cpu& c) {
  if (!protected_mode(c.s)) raise_ud();
}

void sldt(Cpu& c, const Insn& i) {
  need_protected(c);
  store_selector(c, i, c.s.ldtr.selector);
}

void str(Cpu& c, const Insn& i) {
  need_protected(c);
  store_selector(c, i, c.s.tr.selector);
}

// What LLDT and LTR share: a present system descriptor of the GDT.
Descriptor system_descriptor(Cpu& c, u16 selector, bool (*type_ok)(const Cpu&, u8)) {
  const u32 error = error_of(selector);
  if (selector & 4) raise_error(GP, error);
  Descriptor d = fetch_descriptor(c, selector);
  if (!d.system() || !type_ok(c, d.type())) raise_error(GP, error);
  if (!d.present()) raise_error(NP, error);
  if (long_active(c.s)) {
    fetch_high_half(c, selector, d);
    if (!canonical(d.base())) raise_error(GP, error);
  }
  return d;
}

void lldt(Cpu& c, const Insn& i) {
  need_protected(c);
  need_cpl0(c);
  const u16 selector = read_word_operand(c, i);
  if (null_selector(selector)) {
    c.s.ldtr = null_segment(selector);
    return;
  }
  const auto type_ok = [](const Cpu&, u8 type) { return type == kLdt; };
  c.s.ldtr = make_segment(selector, system_descriptor(c, selector, type_ok));
}

void ltr(Cpu& c, const Insn& i) {
  need_protected(c);
  need_cpl0(c);
  const u16 selector = read_word_operand(c, i);
  if (null_selector(selector)) raise_gp0();
  const auto type_ok = [](const Cpu& cpu, u8 type) {
    return type == kTss32 || (type == kTss16 && !long_active(cpu.s));
  };
  const Descriptor d = system_descriptor(c, selector, type_ok);
  set_descriptor_bit(c, d, 2, true);
  c.s.tr = make_segment(selector, d);
  c.s.tr.attr |= 2;  // busy
}

// ---- questions (SDM 5.10) ----------------------------------------------------------------------
void set_zf(Cpu& c, bool on) {
  set_status_flags(c, (status_flags(c) & ~u64{ZF}) | (on ? u64{ZF} : 0));
}

// True if the descriptor is there and its privilege allows the question.
bool visible(Cpu& c, u16 selector, Descriptor& d) {
  if (null_selector(selector) || !find_descriptor(c, selector, d)) return false;
  if (d.conforming()) return true;
  return c.cpl <= d.dpl() && (selector & 3) <= d.dpl();
}

bool lar_type(const State& s, u8 type) {
  constexpr u32 legacy = 1u << kTss16 | 1u << kLdt | 1u << kTss16Busy | 1u << kCallGate16 |
                         1u << kTaskGate | 1u << kTss32 | 1u << kTss32Busy | 1u << kCallGate32;
  constexpr u32 wide = 1u << kLdt | 1u << kTss32 | 1u << kTss32Busy | 1u << kCallGate32;
  return (long_active(s) ? wide : legacy) >> type & 1;
}

bool lsl_type(const State& s, u8 type) {
  constexpr u32 legacy = 1u << kTss16 | 1u << kLdt | 1u << kTss16Busy | 1u << kTss32 |
                         1u << kTss32Busy;
  constexpr u32 wide = 1u << kLdt | 1u << kTss32 | 1u << kTss32Busy;
  return (long_active(s) ? wide : legacy) >> type & 1;
}

void lar(Cpu& c, const Insn& i) {
  need_protected(c);
  const u16 selector = read_word_operand(c, i);
  Descriptor d;
  const bool ok = visible(c, selector, d) && (!d.system() || lar_type(c.s, d.type()));
  if (ok) {
    const u64 rights = u32(d.low >> 32) & 0x00f0ff00;
    put_register(c.s, i.reg, i.op_bits, rights);
  }
  set_zf(c, ok);
}

void lsl(Cpu& c, const Insn& i) {
  need_protected(c);
  const u16 selector = read_word_operand(c, i);
  Descriptor d;
  const bool ok = visible(c, selector, d) && (!d.system() || lsl_type(c.s, d.type()));
  if (ok) put_register(c.s, i.reg, i.op_bits, d.limit());
  set_zf(c, ok);
}

void verr(Cpu& c, const Insn& i) {
  need_protected(c);
  Descriptor d;
  const bool ok = visible(c, read_word_operand(c, i), d) && d.readable();
  set_zf(c, ok);
}

void verw(Cpu& c, const Insn& i) {
  need_protected(c);
  Descriptor d;
  const bool ok = visible(c, read_word_operand(c, i), d) && d.writable();
  set_zf(c, ok);
}

// Memory is checked for a write only where there is one.
void arpl(Cpu& c, const Insn& i) {
  need_protected(c);
  const u16 wanted = c.s.gpr[i.reg] & 3;
  const u16 selector = read_word_operand(c, i);
  const bool raise_rpl = (selector & 3) < wanted;
  if (raise_rpl) {
    const u16 value = u16((selector & ~3) | wanted);
    if (is_register(i)) put_register(c.s, i.rm, 16, value);
    else write<u16>(c, operand(c, i, 2, true), value);
  }
  set_zf(c, raise_rpl);
}

Handler select_group6(const Insn& i) {
  switch (group(i)) {
    case 0: return step_flow<sldt>;
    case 1: return step_flow<str>;
    case 2: return step_flow<lldt>;
    case 3: return step_flow<ltr>;
    case 4: return step_flow<verr>;
    case 5: return step_flow<verw>;
    default: return nullptr;
  }
}

Handler select_tables(const Insn& i) {
  if (is_register(i)) return nullptr;
  switch (group(i)) {
    case 0: return step_flow<sgdt>;
    case 1: return step_flow<sidt>;
    case 2: return step_flow<lgdt>;
    case 3: return step_flow<lidt>;
    default: return nullptr;
  }
}

Handler select_0f(const Insn& i) {
  switch (i.opcode) {
    case 0x00: return select_group6(i);
    case 0x01: return select_tables(i);
    case 0x02: return step_flow<lar>;
    case 0x03: return step_flow<lsl>;
    case 0xa0: return step_flow<push_sreg<FS>>;
    case 0xa1: return step_flow<pop_sreg<FS>>;
    case 0xa8: return step_flow<push_sreg<GS>>;
    case 0xa9: return step_flow<pop_sreg<GS>>;
    case 0xb2: return is_register(i) ? nullptr : step_flow<load_far_pointer<SS>>;
    case 0xb4: return is_register(i) ? nullptr : step_flow<load_far_pointer<FS>>;
    case 0xb5: return is_register(i) ? nullptr : step_flow<load_far_pointer<GS>>;
    default: return nullptr;
  }
}

// Not in 64-bit mode.
Handler select_legacy(const Insn& i) {
  if (i.flags & kLong) return nullptr;
  switch (i.opcode) {
    case 0x06: return step_flow<push_sreg<ES>>;
    case 0x07: return step_flow<pop_sreg<ES>>;
    case 0x0e: return step_flow<push_sreg<CS>>;
    case 0x16: return step_flow<push_sreg<SS>>;
    case 0x17: return step_flow<pop_sreg<SS>>;
    case 0x1e: return step_flow<push_sreg<DS>>;
    case 0x1f: return step_flow<pop_sreg<DS>>;
    case 0x63: return step_flow<arpl>;
    case 0xc4: return is_register(i) ? nullptr : step_flow<load_far_pointer<ES>>;
    case 0xc5: return is_register(i) ? nullptr : step_flow<load_far_pointer<DS>>;
    default: return nullptr;
  }
}

}  // namespace

Handler select_segment(const Insn& i) {
  if (i.map == 1) return select_0f(i);
  if (i.map != 0) return nullptr;
  if (i.opcode == 0x8c) return group(i) < kSegCount ? step<mov_from_sreg> : nullptr;
  if (i.opcode == 0x8e) {
    return group(i) < kSegCount && group(i) != CS ? step_flow<mov_to_sreg> : nullptr;
  }
  return select_legacy(i);
}

}  // namespace twinstep::soft
