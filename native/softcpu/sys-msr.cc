// Model-specific registers: the ones CPUID implies, a few an Intel kernel touches unasked, #GP for
// the rest (kernels probe those with accessors that expect it).
//
// Sources: SDM vol. 4 table 2-2; vol. 3A 11.11 (MTRRs), 11.12 (PAT).
#include "sys.h"

namespace twinstep::soft {

namespace {

enum Msr : u32 {
  kTsc = 0x10, kPlatformId = 0x17, kApicBase = 0x1b, kMicrocodeRevision = 0x8b, kMtrrCap = 0xfe,
  kSysenterCs = 0x174, kSysenterEsp = 0x175, kSysenterEip = 0x176, kMiscEnable = 0x1a0,
  kDebugControl = 0x1d9, kMtrrVariable = 0x200, kMtrrFix64k = 0x250, kMtrrFix16k = 0x258,
  kMtrrFix4k = 0x268, kPat = 0x277, kMtrrDefType = 0x2ff,
  kEfer = 0xc0000080, kStar = 0xc0000081, kLstar = 0xc0000082, kCstar = 0xc0000083,
  kSfmask = 0xc0000084, kFsBase = 0xc0000100, kGsBase = 0xc0000101, kKernelGsBase = 0xc0000102,
  kTscAux = 0xc0000103,
};

constexpr u32 kVariableRanges = 8;
constexpr u64 kMtrrCapValue = kVariableRanges | 1u << 8 /* fixed */ | 1u << 10 /* WC */;
constexpr u64 kPhysicalMask = (u64{1} << kPhysicalBits) - 1;
// Fast strings can be switched; BTS and PEBS read as unavailable.
constexpr u64 kMiscWritable = 1, kMiscOnes = 3u << 11;
constexpr u64 kRevision = u64{1} << 32;  // in the high half; never 0, which means "not loaded"
constexpr u64 kApicBootProcessor = 1u << 8, kApicEnable = 1u << 11;  // there is no unit to enable

void need(bool ok) {
  if (!ok) raise_gp0();
}

// MTRR number `index` as a place in State, or nullptr.
u64* mtrr_at(State& s, u32 index) {
  if (index >= kMtrrVariable && index < kMtrrVariable + 2 * kVariableRanges) {
    return &s.mtrr_var[index - kMtrrVariable];
  }
  if (index == kMtrrFix64k) return &s.mtrr_fixed[0];
  if (index == kMtrrFix16k || index == kMtrrFix16k + 1) return &s.mtrr_fixed[1 + (index & 1)];
  if (index >= kMtrrFix4k && index < kMtrrFix4k + 8) return &s.mtrr_fixed[3 + index - kMtrrFix4k];
  return index == kMtrrDefType ? &s.mtrr_def_type : nullptr;
}

bool mtrr_type(u64 type) { return type < 7 && (0x73 >> type & 1); }  // UC WC WT WP WB
bool pat_type(u64 type) { return type < 8 && (0xf3 >> type & 1); }   // and UC-

template <bool (*kOk)(u64)>
bool eight_types(u64 value) {
  for (int n = 0; n < 64; n += 8) {
    if (!kOk(value >> n & 0xff)) return false;
  }
  return true;
}

// SDM 11.11.2: reserved bits and types of each kind of MTRR.
bool mtrr_value_ok(u32 index, u64 value) {
  if (index == kMtrrDefType) return !(value & ~u64{0xcff}) && mtrr_type(value & 0xff);
  if (index >= kMtrrFix64k) return eight_types<mtrr_type>(value);
  if (value & ~kPhysicalMask) return false;
  if (index & 1) return !(value & 0x7ff);             // mask and its valid bit
  return !(value & 0xf00) && mtrr_type(value & 0xff);  // base and type
}

// SDM 2.2.1, vol. 2 WRMSR: LMA follows LME and PG; LME is fixed while paging is on.
void write_efer(Cpu& c, u64 value) {
  need(!(value & ~kEferKnown));
  need(!((value ^ c.s.efer) & EFER_LME) || !(c.s.cr0 & CR0_PG));
  const u64 old = c.s.efer;
  c.s.efer = (value & ~u64{EFER_LMA}) | (old & EFER_LMA);
  if ((old ^ value) & EFER_NXE) paging_changed(c);
}

void write_tsc(Cpu& c, u64 value) {
  c.s.tsc_base = value;
  c.s.tsc_icount = retired(c);
}

// The base may move, the unit may not be enabled.
void write_apic_base(Cpu& c, u64 value) {
  need(!(value & ~((kPhysicalMask & ~u64{0xfff}) | kApicBootProcessor)));
  c.s.apic_base = value;
}

void write_address(u64& where, u64 value) {
  need(canonical(value));
  where = value;
}

void write_low(u64& where, u64 value) {
  need(!(value >> 32));
  where = value;
}

}  // namespace

u64 read_msr(Cpu& c, u32 index) {
  const State& s = c.s;
  if (const u64* mtrr = mtrr_at(c.s, index)) return *mtrr;
  switch (index) {
    case kTsc: return tsc_now(c);
    case kPlatformId: return 0;
    case kApicBase: return s.apic_base & ~kApicEnable;
    case kMicrocodeRevision: return kRevision;
    case kMtrrCap: return kMtrrCapValue;
    case kSysenterCs: return s.sysenter_cs;
    case kSysenterEsp: return s.sysenter_esp;
    case kSysenterEip: return s.sysenter_eip;
    case kMiscEnable: return (s.misc_enable & kMiscWritable) | kMiscOnes;
    case kDebugControl: return 0;
    case kPat: return s.pat;
    case kEfer: return s.efer;
    case kStar: return s.star;
    case kLstar: return s.lstar;
    case kCstar: return s.cstar;
    case kSfmask: return s.sfmask;
    case kFsBase: return s.seg[FS].base;
    case kGsBase: return s.seg[GS].base;
    case kKernelGsBase: return s.kernel_gs_base;
    case kTscAux: return s.tsc_aux;
    default: raise_gp0();
  }
}

void write_msr(Cpu& c, u32 index, u64 value) {
  State& s = c.s;
  if (u64* mtrr = mtrr_at(s, index)) {
    need(mtrr_value_ok(index, value));
    *mtrr = value;
    return;
  }
  switch (index) {
    case kTsc: return write_tsc(c, value);
    case kApicBase: return write_apic_base(c, value);
    case kMicrocodeRevision: return;  // cleared before CPUID by the documented procedure
    case kSysenterCs: s.sysenter_cs = u32(value); return;
    case kSysenterEsp: return write_address(s.sysenter_esp, value);
    case kSysenterEip: return write_address(s.sysenter_eip, value);
    case kMiscEnable: s.misc_enable = value & kMiscWritable; return;
    case kDebugControl: return need(!(value & ~u64{3}));  // LBR, BTF: accepted, not done
    case kPat:
      need(eight_types<pat_type>(value));
      s.pat = value;
      return;
    case kEfer: return write_efer(c, value);
    case kStar: s.star = value; return;
    case kLstar: return write_address(s.lstar, value);
    case kCstar: return write_address(s.cstar, value);
    case kSfmask: s.sfmask = u32(value); return;
    case kFsBase: return write_address(s.seg[FS].base, value);
    case kGsBase: return write_address(s.seg[GS].base, value);
    case kKernelGsBase: return write_address(s.kernel_gs_base, value);
    case kTscAux: return write_low(s.tsc_aux, value);
    default: raise_gp0();
  }
}

}  // namespace twinstep::soft
