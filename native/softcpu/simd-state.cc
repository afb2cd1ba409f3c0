// State of x87 and SSE as a whole: FXSAVE FXRSTOR XSAVE XRSTOR XGETBV XSETBV LDMXCSR STMXCSR;
// fences, prefetches and CLFLUSH, which have nothing to do here. SDM vol. 1 10.5, ch. 13.
//
// XSAVE knows x87 and SSE in the standard form only; both count as always in use (a choice the SDM
// leaves to the processor), so XSTATE_BV gets what was asked for.
#include "simd-mxcsr.h"

namespace twinstep::soft::simd {
namespace {

constexpr u32 kLegacyBytes = 512, kXsaveBytes = 576;
constexpr u32 kMxcsrAt = 24, kStAt = 32, kXmmAt = 160;
constexpr u64 kFeatureX87 = 1, kFeatureSse = 2;

// Outside 64-bit mode eight XMM registers exist.
u32 xmm_count(const Insn& i) { return i.flags & kLong ? 16 : 8; }

void pack_x87(const Cpu& c, const Insn& i, u8* b) {
  const Fpu& f = c.s.fpu;
  memset(b, 0, kMxcsrAt);
  memcpy(b, &f.control, 2);
  memcpy(b + 2, &f.status, 2);
  b[4] = f.tag;
  memcpy(b + 6, &f.opcode, 2);
  if (i.rex & 8) {
    memcpy(b + 8, &f.ip, 8);
    memcpy(b + 16, &f.dp, 8);
  } else {
    memcpy(b + 8, &f.ip, 4);
    memcpy(b + 12, &f.cs, 2);
    memcpy(b + 16, &f.dp, 4);
    memcpy(b + 20, &f.ds, 2);
  }
  memset(b + kStAt, 0, 128);
  for (u32 n = 0; n < 8; n++) {
    const x87::F80 v = x87::get(f, n);
    memcpy(b + kStAt + 16 * n, &v, 10);
  }
}

void unpack_x87(Cpu& c, const Insn& i, const u8* b) {
  Fpu& f = c.s.fpu;
  memcpy(&f.control, b, 2);
  f.control = static_cast<u16>((f.control & x87::kControlWritable) | x87::kControlFixed);
  memcpy(&f.status, b + 2, 2);
  f.tag = b[4];
  memcpy(&f.opcode, b + 6, 2);
  f.opcode &= 0x7ff;
  f.ip = f.dp = 0;
  f.cs = f.ds = 0;
  if (i.rex & 8) {
    memcpy(&f.ip, b + 8, 8);
    memcpy(&f.dp, b + 16, 8);
  } else {
    memcpy(&f.ip, b + 8, 4);
    memcpy(&f.cs, b + 12, 2);
    memcpy(&f.dp, b + 16, 4);
    memcpy(&f.ds, b + 20, 2);
  }
  for (u32 n = 0; n < 8; n++) {
    Fpr& r = f.r[x87::slot(f, n)];
    memcpy(&r.mantissa, b + kStAt + 16 * n, 8);
    memcpy(&r.sign_exponent, b + kStAt + 16 * n + 8, 2);
  }
  x87::update_summary(f);
}

void pack_mxcsr(const Cpu& c, u8* b) {
  const u32 mask = kMxWritable;
  memcpy(b + kMxcsrAt, &c.s.fpu.mxcsr, 4);
  memcpy(b + kMxcsrAt + 4, &mask, 4);
}

u32 checked_mxcsr(const u8* at) {
  u32 v;
  memcpy(&v, at, 4);
  if (v & ~kMxWritable) raise_gp0();
  return v;
}

// ---- FXSAVE, FXRSTOR ----------------------------------------------------------------------------
void need_fxsr(Cpu& c) {
  if (c.s.cr0 & (CR0_EM | CR0_TS)) raise(NM);
}
u64 state_operand(Cpu& c, const Insn& i, u32 bytes, u32 alignment, bool write) {
  const u64 at = operand(c, i, bytes, write);
  if (at & (alignment - 1)) raise_gp0();
  return at;
}

void fxsave(Cpu& c, const Insn& i) {
  need_fxsr(c);
  const u64 at = state_operand(c, i, kLegacyBytes, 16, true);
  u8 b[kLegacyBytes];
  pack_x87(c, i, b);
  pack_mxcsr(c, b);
  memcpy(b + kXmmAt, c.s.xmm, 16 * xmm_count(i));
  write_block(c, at, b, kXmmAt + 16 * xmm_count(i));
}

void fxrstor(Cpu& c, const Insn& i) {
  need_fxsr(c);
  const u64 at = state_operand(c, i, kLegacyBytes, 16, false);
  u8 b[kLegacyBytes];
  read_block(c, at, b, kXmmAt + 16 * xmm_count(i));
  const u32 mxcsr = checked_mxcsr(b + kMxcsrAt);
  unpack_x87(c, i, b);
  c.s.fpu.mxcsr = mxcsr;
  memcpy(c.s.xmm, b + kXmmAt, 16 * xmm_count(i));
}

// ---- XSAVE, XRSTOR ------------------------------------------------------------------------------
u64 requested(const Cpu& c) {
  return ((c.s.gpr[RDX] << 32) | static_cast<u32>(c.s.gpr[RAX])) & c.s.xcr0;
}
void need_xsave(Cpu& c) {
  if (!(c.s.cr4 & CR4_OSXSAVE)) raise_ud();
  if (c.s.cr0 & CR0_TS) raise(NM);
}

void xsave(Cpu& c, const Insn& i) {
  need_xsave(c);
  const u64 at = state_operand(c, i, kXsaveBytes, 64, true);
  const u64 wanted = requested(c);
  probe_write(c, at, kXsaveBytes);
  const u64 in_use = read<u64>(c, at + kLegacyBytes);
  u8 b[kLegacyBytes];
  if (wanted & kFeatureX87) {
    pack_x87(c, i, b);
    write_block(c, at, b, kMxcsrAt);
    write_block(c, at + kStAt, b + kStAt, 128);
  }
  if (wanted & kFeatureSse) {
    pack_mxcsr(c, b);
    write_block(c, at + kMxcsrAt, b + kMxcsrAt, 8);
    write_block(c, at + kXmmAt, c.s.xmm, 16 * xmm_count(i));
  }
  write<u64>(c, at + kLegacyBytes, in_use | wanted);
}

void xrstor(Cpu& c, const Insn& i) {
  need_xsave(c);
  const u64 at = state_operand(c, i, kXsaveBytes, 64, false);
  u8 b[kXsaveBytes];
  read_block(c, at, b, kXsaveBytes);
  u64 header[3];  // XSTATE_BV, XCOMP_BV, reserved
  memcpy(header, b + kLegacyBytes, sizeof header);
  if ((header[0] & ~c.s.xcr0) || header[1] || header[2]) raise_gp0();
  const u64 wanted = requested(c);
  if (wanted & kFeatureSse) c.s.fpu.mxcsr = checked_mxcsr(b + kMxcsrAt);
  u8 initial[kLegacyBytes] = {0x7f, 0x03};
  if (wanted & kFeatureX87) unpack_x87(c, i, header[0] & kFeatureX87 ? b : initial);
  if (wanted & kFeatureSse) {
    const u8* from = header[0] & kFeatureSse ? b : initial;
    memcpy(c.s.xmm, from + kXmmAt, 16 * xmm_count(i));
  }
}

void xgetbv(Cpu& c, const Insn&) {
  if (!(c.s.cr4 & CR4_OSXSAVE)) raise_ud();
  if (static_cast<u32>(c.s.gpr[RCX]) != 0) raise_gp0();
  c.s.gpr[RAX] = static_cast<u32>(c.s.xcr0);
  c.s.gpr[RDX] = c.s.xcr0 >> 32;
}
void xsetbv(Cpu& c, const Insn&) {
  if (!(c.s.cr4 & CR4_OSXSAVE)) raise_ud();
  const u64 v = c.s.gpr[RDX] << 32 | static_cast<u32>(c.s.gpr[RAX]);
  const bool known = v == kFeatureX87 || v == (kFeatureX87 | kFeatureSse);
  if (c.cpl != 0 || static_cast<u32>(c.s.gpr[RCX]) != 0 || !known) raise_gp0();
  c.s.xcr0 = v;
}

// ---- MXCSR --------------------------------------------------------------------------------------
void ldmxcsr(Cpu& c, const Insn& i) {
  need_sse(c);
  const u32 v = load_memory<u32>(c, i);
  c.s.fpu.mxcsr = checked_mxcsr(reinterpret_cast<const u8*>(&v));
}
void stmxcsr(Cpu& c, const Insn& i) {
  need_sse(c);
  store_memory<u32>(c, i, c.s.fpu.mxcsr);
}

// ---- no effect ----------------------------------------------------------------------------------
void nothing(Cpu&, const Insn&) {}
void clflush(Cpu& c, const Insn& i) { load_memory<u8>(c, i); }  // faults as a load does

Handler memory_group(u32 group) {
  switch (group) {
    case 0: return step<fxsave>;
    case 1: return step<fxrstor>;
    case 2: return step<ldmxcsr>;
    case 3: return step<stmxcsr>;
    case 4: return step<xsave>;
    case 5: return step<xrstor>;
    case 7: return step<clflush>;
  }
  return nullptr;
}

}  // namespace

Handler select_state(const Insn& i) {
  const u32 group = group_of(i);
  switch (i.opcode) {
    case 0x01:
      if (prefix_of(i) != kNP) return nullptr;
      return i.modrm == 0xd0 ? step<xgetbv> : i.modrm == 0xd1 ? step<xsetbv> : nullptr;
    case 0x0d: return i.flags & kMemory ? step<nothing> : nullptr;  // PREFETCHW
    case 0x18: return step<nothing>;                                // PREFETCHh, hint NOPs
    case 0xae: break;
    default: return nullptr;
  }
  if (prefix_of(i) != kNP) return nullptr;
  if (i.flags & kMemory) return memory_group(group);
  return group >= 5 ? step<nothing> : nullptr;  // LFENCE, MFENCE, SFENCE
}

}  // namespace twinstep::soft::simd
