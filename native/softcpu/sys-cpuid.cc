// CPUID: one model on every host, so that two unlike boards run the same guest.
//
// The model is x86-64-v2 as "GenuineIntel" family 6 model 36h. Why this one:
// - Intel's kernel path takes the TSC frequency from leaves 15h and 16h; the AMD path would
//   calibrate against the PIT at every boot.
// - Model 36h is an in-order design, and so is this engine: kernels that know it apply none of the
//   speculation workarounds (no page-table isolation, no retpolines, no buffer clearing), and none
//   of its own errata have workarounds that touch MSRs.
// - The hypervisor bit keeps guests from loading microcode. Leaf 40000000h says who we are only.
// Announced is what is implemented; QUIRKS.md lists what is left out on purpose.
//
// Sources: SDM vol. 2A CPUID, tables 3-8 to 3-12.
#include <cstring>

#include "sys.h"

namespace twinstep::soft {

namespace {

constexpr u32 bit(unsigned n) { return 1u << n; }

constexpr u32 kMaxBasicLeaf = 0x16;
constexpr u32 kMaxExtendedLeaf = 0x80000008;
constexpr u32 kHypervisorLeaf = 0x40000000;
constexpr u32 kSignature = 0x00030661;  // family 6, model 36h, stepping 1

// Leaf 1 EDX. No APIC (9), MCE (7), MCA (14), VME (1), DS (21), HTT (28).
constexpr u32 kFeatures1Edx = bit(0) /* FPU */ | bit(2) /* DE */ | bit(3) /* PSE */ |
                              bit(4) /* TSC */ | bit(5) /* MSR */ | bit(6) /* PAE */ |
                              bit(8) /* CX8 */ | bit(11) /* SEP */ | bit(12) /* MTRR */ |
                              bit(13) /* PGE */ | bit(15) /* CMOV */ | bit(16) /* PAT */ |
                              bit(17) /* PSE36 */ | bit(19) /* CLFLUSH */ | bit(23) /* MMX */ |
                              bit(24) /* FXSR */ | bit(25) /* SSE */ | bit(26) /* SSE2 */;
// Leaf 1 ECX. No MONITOR (3), PCLMULQDQ (1), PCID (17), MOVBE (22), AES (25).
constexpr u32 kFeatures1Ecx = bit(0) /* SSE3 */ | bit(9) /* SSSE3 */ | bit(13) /* CX16 */ |
                              bit(19) /* SSE4.1 */ | bit(20) /* SSE4.2 */ | bit(23) /* POPCNT */ |
                              bit(26) /* XSAVE */ | bit(30) /* RDRAND */ | bit(31) /* hypervisor */;
constexpr u32 kOsxsave = bit(27);
// Leaf 7 EBX. No ERMS: a REP iteration counts as one, so quadwords beat bytes.
constexpr u32 kFeatures7Ebx = bit(0) /* FSGSBASE */ | bit(7) /* SMEP */ | bit(18) /* RDSEED */;

constexpr u32 kFeaturesExtEdx = bit(20) /* NX */ | bit(26) /* 1 GiB pages */ |
                                bit(27) /* RDTSCP */ | bit(29) /* long mode */;
constexpr u32 kSyscall = bit(11);  // Intel shows it in 64-bit mode only
constexpr u32 kFeaturesExtEcx = bit(0) /* LAHF in long mode */;

using Leaf = CpuidLeaf;

u32 word_of(const char* text) {
  u32 word;
  memcpy(&word, text, 4);
  return word;
}

// Deterministic cache parameters, SDM table 3-8 leaf 04h: type 1 data, 2 code, 3 unified.
Leaf cache(u32 type, u32 level, u32 ways, u32 sets) {
  constexpr u32 line_bytes = 64;
  return {type | level << 5 | bit(8) /* self-initialising */, (ways - 1) << 22 | (line_bytes - 1),
          sets - 1, 0};
}

Leaf cache_leaf(u32 subleaf) {
  switch (subleaf) {
    case 0: return cache(1, 1, 8, 64);      // 32 KiB data
    case 1: return cache(2, 1, 8, 64);      // 32 KiB code
    case 2: return cache(3, 2, 16, 1024);   // 1 MiB unified
    default: return {};
  }
}

// XSAVE with x87 and SSE only: legacy area and header, SDM 13.4.
Leaf xsave_leaf(u32 subleaf) {
  if (subleaf != 0) return {};
  return {3, 576, 576, 0};
}

Leaf brand(u32 part) {
  static const char text[48] = "Twinstep vCPU";  // the rest is zero
  const char* at = text + 16 * part;
  return {word_of(at), word_of(at + 4), word_of(at + 8), word_of(at + 12)};
}

Leaf basic(const State& s, u32 leaf, u32 subleaf) {
  switch (leaf) {
    case 0: return {kMaxBasicLeaf, word_of("Genu"), word_of("ntel"), word_of("ineI")};
    case 1:
      return {kSignature, 8u << 8 /* CLFLUSH line of 64 bytes */ | 1u << 16,
              kFeatures1Ecx | (s.cr4 & CR4_OSXSAVE ? kOsxsave : 0), kFeatures1Edx};
    case 2: return {0x5a03ff01, 0x000000b0, 0, 0};  // caches in leaf 4, TLB sizes, one round
    case 4: return cache_leaf(subleaf);
    case 7: return subleaf == 0 ? Leaf{0, kFeatures7Ebx, 0, 0} : Leaf{};
    case 0xd: return xsave_leaf(subleaf);
    // The TSC is a property of the machine: 25 MHz crystal times 40, one tick a virtual nanosecond.
    case 0x15: return {1, 40, kTscHz / 40, 0};
    case 0x16: return {kTscHz / 1000000, kTscHz / 1000000, 100, 0};
    default: return {};
  }
}

Leaf extended(const State& s, u32 leaf) {
  const bool long_code = (s.efer & EFER_LMA) && (s.seg[CS].attr & kAttrLong);
  switch (leaf) {
    case 0x80000000: return {kMaxExtendedLeaf, 0, 0, 0};
    case 0x80000001: return {0, 0, kFeaturesExtEcx, kFeaturesExtEdx | (long_code ? kSyscall : 0)};
    case 0x80000002:
    case 0x80000003:
    case 0x80000004: return brand(leaf - 0x80000002);
    case 0x80000006: return {0, 0, 1024u << 16 | 8u << 12 /* 16 ways */ | 64, 0};
    case 0x80000007: return {0, 0, 0, bit(8) /* invariant TSC */};
    case 0x80000008: return {kPhysicalBits | 48u << 8, 0, 0, 0};
    default: return {};
  }
}

}  // namespace

// Leaves outside the announced ranges read as zero; QUIRKS.md says why.
CpuidLeaf cpuid_leaf(const State& s, u32 leaf, u32 subleaf) {
  if (leaf == kHypervisorLeaf) {
    return {kHypervisorLeaf, word_of("Twin"), word_of("step"), word_of("vCPU")};
  }
  return leaf & 0x80000000 ? extended(s, leaf) : basic(s, leaf, subleaf);
}

void cpuid(Cpu& c) {
  const Leaf out = cpuid_leaf(c.s, u32(c.s.gpr[RAX]), u32(c.s.gpr[RCX]));
  c.s.gpr[RAX] = out.eax;
  c.s.gpr[RBX] = out.ebx;
  c.s.gpr[RCX] = out.ecx;
  c.s.gpr[RDX] = out.edx;
}

}  // namespace twinstep::soft
