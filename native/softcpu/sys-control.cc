// Control and debug registers, mode changes, HLT.
//
// Sources: SDM vol. 2 MOV CR, MOV DR, LMSW, SMSW, CLTS, HLT, INVLPG, XSETBV; vol. 3A 2.5-2.6, 9.8
// (mode switching), 17.2 (debug registers).
#include "core.h"
#include "sys.h"

namespace twinstep::soft {

namespace {

constexpr u64 kCr0Known = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM |
                          CR0_NW | CR0_CD | CR0_PG;
constexpr u64 kDr6Writable = 0xe00f, kDr6Ones = 0xffff0ff0;
constexpr u64 kDr7Writable = 0xffff23ff, kDr7Ones = 0x400;
constexpr u64 kDr7GeneralDetect = 1u << 13;

// MOV CR and MOV DR have no memory form: mod is ignored (SDM vol. 2).
u8 plain_register(const Insn& i) { return u8((i.modrm & 7) | (i.rex & 1) << 3); }
u8 control_register(const Insn& i) { return u8(group(i) | (i.rex & 4) << 1); }

// ---- control registers -------------------------------------------------------------------------
void mov_from_cr(Cpu& c, const Insn& i) {
  need_cpl0(c);
  u64 value = 0;
  switch (control_register(i)) {
    case 0: value = c.s.cr0; break;
    case 2: value = c.s.cr2; break;
    case 3: value = c.s.cr3; break;
    case 4: value = c.s.cr4; break;
    default: value = c.s.cr8; break;
  }
  put_register(c.s, plain_register(i), c.code_bits == 64 ? 64 : 32, value);
}

void mov_to_cr(Cpu& c, const Insn& i) {
  need_cpl0(c);
  const u64 raw = c.s.gpr[plain_register(i)];
  const u64 value = c.code_bits == 64 ? raw : u32(raw);
  switch (control_register(i)) {
    case 0: write_cr0(c, value); break;
    case 2: c.s.cr2 = value; break;
    case 3: write_cr3(c, value); break;
    case 4: write_cr4(c, value); break;
    default:
      if (value > 15) raise_gp0();
      c.s.cr8 = value;
      break;
  }
}

void clts(Cpu& c, const Insn&) {
  need_cpl0(c);
  c.s.cr0 &= ~u64{CR0_TS};
}

// LMSW sets PE, MP, EM, TS; it cannot clear PE.
void lmsw(Cpu& c, const Insn& i) {
  need_cpl0(c);
  const u64 value = is_register(i) ? c.s.gpr[i.rm] : read<u16>(c, operand(c, i, 2, false));
  const u64 low = (value & 0xf) | (c.s.cr0 & CR0_PE);
  write_cr0(c, (c.s.cr0 & ~u64{0xf}) | low);
}

void smsw(Cpu& c, const Insn& i) {
  if (is_register(i)) put_register(c.s, i.rm, i.op_bits, c.s.cr0);
  else write<u16>(c, operand(c, i, 2, true), u16(c.s.cr0));
}

// ---- debug registers ---------------------------------------------------------------------------
// DR4 and DR5 are DR6 and DR7 unless CR4.DE; DR8..DR15 do not exist.
u8 debug_register(Cpu& c, const Insn& i) {
  u8 n = control_register(i);
  if (n >= 8 || ((n == 4 || n == 5) && (c.s.cr4 & CR4_DE))) raise_ud();
  need_cpl0(c);
  if (c.s.dr7 & kDr7GeneralDetect) {
    note_debug(c.s, kDr6Bd);
    raise(DB);
  }
  if (n == 4 || n == 5) n += 2;
  return n;
}

void mov_from_dr(Cpu& c, const Insn& i) {
  const u8 n = debug_register(c, i);
  const u64 value = n < 4 ? c.s.dr[n] : n == 6 ? c.s.dr6 : c.s.dr7;
  put_register(c.s, plain_register(i), c.code_bits == 64 ? 64 : 32, value);
}

void mov_to_dr(Cpu& c, const Insn& i) {
  const u8 n = debug_register(c, i);
  const u64 raw = c.s.gpr[plain_register(i)];
  const u64 value = c.code_bits == 64 ? raw : u32(raw);
  if (n < 4) {
    c.s.dr[n] = value;
    return;
  }
  if (value >> 32) raise_gp0();
  if (n == 6) c.s.dr6 = (value & kDr6Writable) | kDr6Ones;
  else c.s.dr7 = (value & kDr7Writable) | kDr7Ones;
}

// ---- the rest ----------------------------------------------------------------------------------
void hlt(Cpu& c, const Insn&) {
  need_cpl0(c);
  c.s.halted = 1;
}

// INVLPG, INVD, WBINVD: translations and code are always coherent with memory.
void privileged_nothing(Cpu& c, const Insn&) { need_cpl0(c); }

void xgetbv(Cpu& c, const Insn&) {
  if (!(c.s.cr4 & CR4_OSXSAVE)) raise_ud();
  if (u32(c.s.gpr[RCX]) != 0) raise_gp0();
  c.s.gpr[RAX] = u32(c.s.xcr0);
  c.s.gpr[RDX] = c.s.xcr0 >> 32;
}

// SDM 2.6: x87 always on, SSE the only other component we have.
void xsetbv(Cpu& c, const Insn&) {
  if (!(c.s.cr4 & CR4_OSXSAVE)) raise_ud();
  need_cpl0(c);
  const u64 value = u32(c.s.gpr[RAX]) | c.s.gpr[RDX] << 32;
  if (u32(c.s.gpr[RCX]) != 0 || (value & ~u64{3}) || !(value & 1)) raise_gp0();
  c.s.xcr0 = value;
}

Handler select_cr(const Insn& i, bool to) {
  const u8 n = control_register(i);
  if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8) return nullptr;
  return to ? step_flow<mov_to_cr> : step<mov_from_cr>;
}

Handler select_group7(const Insn& i) {
  if (i.modrm == 0xd0) return step_flow<xgetbv>;
  if (i.modrm == 0xd1) return step_flow<xsetbv>;
  if (group(i) == 4) return step_flow<smsw>;
  if (group(i) == 6) return step_flow<lmsw>;
  if (group(i) == 7 && !is_register(i)) return step<privileged_nothing>;  // INVLPG
  return nullptr;
}

}  // namespace

// SDM 4.4.1: with 32-bit PAE paging, loading CR3 or turning the paging on reads four entries whose
// reserved bits must be zero. (They are read again at every walk: QUIRKS.md.)
static void check_pdptes(Cpu& c, u64 cr0, u64 cr3, u64 cr4) {
  if (!(cr0 & CR0_PG) || !(cr4 & CR4_PAE) || (c.s.efer & EFER_LME)) return;
  constexpr u64 reserved = ~((u64{1} << kPhysicalBits) - 1) | 0x1e6;
  Core& k = core_of(c);
  for (u32 n = 0; n < 4; ++n) {
    u64 offset, entry;
    if (!k.to_offset((cr3 & 0xffffffe0) + 8 * n, offset)) raise_gp0();
    memcpy(&entry, k.ram + offset, 8);
    if ((entry & 1) && (entry & reserved)) raise_gp0();
  }
}

// SDM vol. 2 MOV CR; vol. 3A 2.5, 9.8.5 (entering and leaving long mode), 4.1.1.
void write_cr0(Cpu& c, u64 value) {
  if (value >> 32) raise_gp0();
  value = (value & kCr0Known) | CR0_ET;
  if ((value & CR0_PG) && !(value & CR0_PE)) raise_gp0();
  if ((value & CR0_NW) && !(value & CR0_CD)) raise_gp0();
  const u64 changed = value ^ c.s.cr0;
  const bool long_code = c.s.seg[CS].attr & kAttrLong;
  u64 efer = c.s.efer;
  if (changed & value & CR0_PG) {
    if ((efer & EFER_LME) && (!(c.s.cr4 & CR4_PAE) || long_code)) raise_gp0();
    if (efer & EFER_LME) efer |= EFER_LMA;
  }
  if (changed & ~value & CR0_PG) {
    if ((efer & EFER_LMA) && long_code) raise_gp0();
    efer &= ~u64{EFER_LMA};
  }
  if (changed & (CR0_PG | CR0_CD | CR0_NW)) check_pdptes(c, value, c.s.cr3, c.s.cr4);
  c.s.cr0 = value;
  c.s.efer = efer;
  if (changed & (CR0_PG | CR0_WP | CR0_PE)) paging_changed(c);
}

// SDM 2.5: address bits beyond the physical width are reserved in long mode.
void write_cr3(Cpu& c, u64 value) {
  if (long_active(c.s) && (value >> kPhysicalBits)) raise_gp0();
  check_pdptes(c, c.s.cr0, value, c.s.cr4);
  c.s.cr3 = value;
}

void write_cr4(Cpu& c, u64 value) {
  if (value & ~kCr4Known) raise_gp0();
  if (long_active(c.s) && !(value & CR4_PAE)) raise_gp0();
  const u64 changed = value ^ c.s.cr4;
  constexpr u64 paging = CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP;
  if (changed & paging) check_pdptes(c, c.s.cr0, c.s.cr3, value);
  c.s.cr4 = value;
  if (changed & paging) paging_changed(c);
}

Handler select_control(const Insn& i) {
  if (i.map == 0) return i.opcode == 0xf4 ? step_flow<hlt> : nullptr;
  if (i.map != 1) return nullptr;
  switch (i.opcode) {
    case 0x01: return select_group7(i);
    case 0x06: return step_flow<clts>;
    case 0x08:
    case 0x09: return step_flow<privileged_nothing>;
    case 0x20: return select_cr(i, false);
    case 0x21: return step_flow<mov_from_dr>;
    case 0x22: return select_cr(i, true);
    case 0x23: return step_flow<mov_to_dr>;
    default: return nullptr;
  }
}

}  // namespace twinstep::soft
