// Fast system calls, SWAPGS, FS and GS bases, time stamps, random numbers, CPUID and MSR access.
//
// SYSCALL exists in 64-bit mode only, as on Intel; SYSENTER everywhere but in real mode.
//
// Sources: SDM vol. 2 SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS, RDTSC, RDTSCP, RDPMC, RDRAND,
// RDFSBASE; vol. 3A 5.8.7-5.8.8.
#include "sys.h"

namespace twinstep::soft {

namespace {

constexpr u32 kCodeBits = kAttrGran | kAttrPresent | kAttrS | 0xb;  // read, execute, accessed
constexpr u32 kDataBits = kAttrGran | kAttrBig | kAttrPresent | kAttrS | 0x3;

Segment flat(u16 selector, u32 attr, u8 dpl) {
  Segment g;
  g.limit = 0xffffffff;
  g.attr = attr | u32(dpl) << 5;
  g.selector = selector;
  return g;
}

Segment flat_code(u16 selector, bool wide, u8 dpl) {
  return flat(selector, kCodeBits | (wide ? kAttrLong : kAttrBig), dpl);
}

Segment flat_stack(u16 selector, u8 dpl) { return flat(selector, kDataBits, dpl); }

void need_syscall(const Cpu& c) {
  if (c.code_bits != 64 || !(c.s.efer & EFER_SCE)) raise_ud();
}

void syscall(Cpu& c, const Insn&) {
  need_syscall(c);
  const u16 selector = u16(c.s.star >> 32);
  const u64 flags = get_rflags(c) & ~u64{RF};
  c.s.gpr[RCX] = c.s.rip;
  c.s.gpr[R11] = flags;
  c.s.rip = c.s.lstar;
  set_rflags(c, flags & ~c.s.sfmask);
  c.s.seg[CS] = flat_code(selector & 0xfffc, true, 0);
  c.s.seg[SS] = flat_stack(u16(selector + 8), 0);
}

void sysret(Cpu& c, const Insn& i) {
  need_syscall(c);
  need_cpl0(c);
  const bool wide = i.op_bits == 64;
  const u64 target = c.s.gpr[RCX];
  if (wide && !canonical(target)) raise_gp0();
  const u16 base = u16(c.s.star >> 48);
  c.s.rip = wide ? target : u32(target);
  set_rflags(c, c.s.gpr[R11] & 0x3c7fd7);
  c.s.seg[CS] = flat_code(u16((wide ? base + 16 : base) | 3), wide, 3);
  c.s.seg[SS] = flat_stack(u16((base + 8) | 3), 3);
  // Unlike after IRET and POPF the trap comes before the next instruction, as if the SYSCALL had
  // just been stepped over (kernels rely on it: they never return so while stepping).
  if (c.s.rflags & TF) c.s.debug_pending |= kPendingStep;
}

void sysenter(Cpu& c, const Insn&) {
  const u16 selector = u16(c.s.sysenter_cs) & 0xfffc;
  if (real_mode(c.s) || selector == 0) raise_gp0();
  const bool wide = long_active(c.s);
  c.s.rflags &= ~u64{VM | IF | RF};
  c.s.gpr[RSP] = wide ? c.s.sysenter_esp : u32(c.s.sysenter_esp);
  c.s.rip = wide ? c.s.sysenter_eip : u32(c.s.sysenter_eip);
  c.s.seg[CS] = flat_code(selector, wide, 0);
  c.s.seg[SS] = flat_stack(u16(selector + 8), 0);
}

void sysexit(Cpu& c, const Insn& i) {
  const u16 base = u16(c.s.sysenter_cs) & 0xfffc;
  if (base == 0 || real_mode(c.s) || c.cpl != 0) raise_gp0();
  const bool wide = i.op_bits == 64;
  const u64 sp = c.s.gpr[RCX], target = c.s.gpr[RDX];
  if (wide && (!canonical(sp) || !canonical(target))) raise_gp0();
  c.s.gpr[RSP] = wide ? sp : u32(sp);
  c.s.rip = wide ? target : u32(target);
  const u16 cs = u16(base + (wide ? 32 : 16));
  c.s.seg[CS] = flat_code(cs | 3, wide, 3);
  c.s.seg[SS] = flat_stack(u16(cs + 8) | 3, 3);
}

void swapgs(Cpu& c, const Insn&) {
  if (c.code_bits != 64) raise_ud();
  need_cpl0(c);
  const u64 base = c.s.seg[GS].base;
  c.s.seg[GS].base = c.s.kernel_gs_base;
  c.s.kernel_gs_base = base;
}

// RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE: reg field 0..3.
void fs_gs_base(Cpu& c, const Insn& i) {
  if (c.code_bits != 64 || !(c.s.cr4 & CR4_FSGSBASE)) raise_ud();
  const u32 bits = i.rex & 8 ? 64 : 32;
  Segment& g = c.s.seg[group(i) & 1 ? GS : FS];
  if (group(i) < 2) {
    put_register(c.s, i.rm, bits, g.base);
    return;
  }
  const u64 value = c.s.gpr[i.rm] & mask_of(bits);
  if (!canonical(value)) raise_gp0();
  g.base = value;
}

// ---- time, performance -------------------------------------------------------------------------
void need_tsc(const Cpu& c) {
  if ((c.s.cr4 & CR4_TSD) && c.cpl != 0) raise_gp0();
}

void put_pair(Cpu& c, u64 value) {
  c.s.gpr[RAX] = u32(value);
  c.s.gpr[RDX] = value >> 32;
}

void rdtsc(Cpu& c, const Insn&) {
  need_tsc(c);
  put_pair(c, tsc_now(c));
}

void rdtscp(Cpu& c, const Insn&) {
  need_tsc(c);
  put_pair(c, tsc_now(c));
  c.s.gpr[RCX] = u32(c.s.tsc_aux);
}

// There are no counters, so every index is out of range.
[[noreturn]] void rdpmc(Cpu&, const Insn&) { raise_gp0(); }

// ---- random numbers ----------------------------------------------------------------------------
u64 rotate(u64 x, int by) { return x << by | x >> (64 - by); }

// xoshiro256** (Blackman and Vigna).
u64 next_random(u64 (&s)[4]) {
  const u64 result = rotate(s[1] * 5, 7) * 9;
  const u64 shifted = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = rotate(s[3], 45);
  return result;
}

// RDRAND, RDSEED: never dry; a function of the state like everything else (design D1).
void rdrand(Cpu& c, const Insn& i) {
  put_register(c.s, i.rm, i.op_bits, next_random(c.s.rng));
  set_status_flags(c, CF);
}

// ---- CPUID, MSRs -------------------------------------------------------------------------------
void cpuid_insn(Cpu& c, const Insn&) { cpuid(c); }

void rdmsr(Cpu& c, const Insn&) {
  need_cpl0(c);
  put_pair(c, read_msr(c, u32(c.s.gpr[RCX])));
}

void wrmsr(Cpu& c, const Insn&) {
  need_cpl0(c);
  write_msr(c, u32(c.s.gpr[RCX]), u32(c.s.gpr[RAX]) | c.s.gpr[RDX] << 32);
}

}  // namespace

Handler select_privilege(const Insn& i) {
  if (i.map != 1) return nullptr;
  switch (i.opcode) {
    case 0x01:
      if (i.modrm == 0xf8) return step<swapgs>;
      return i.modrm == 0xf9 ? step<rdtscp> : nullptr;
    case 0x05: return step_flow<syscall>;
    case 0x07: return step_flow<sysret>;
    case 0x30: return step_flow<wrmsr>;
    case 0x31: return step<rdtsc>;
    case 0x32: return step_flow<rdmsr>;
    case 0x33: return step_flow<rdpmc>;
    case 0x34: return step_flow<sysenter>;
    case 0x35: return step_flow<sysexit>;
    case 0xa2: return step_flow<cpuid_insn>;
    case 0xae:
      return is_register(i) && i.rep == 0xf3 && group(i) < 4 ? step_flow<fs_gs_base> : nullptr;
    case 0xc7:
      return is_register(i) && group(i) >= 6 && i.rep == 0 ? step_flow<rdrand> : nullptr;
    default: return nullptr;
  }
}

}  // namespace twinstep::soft
