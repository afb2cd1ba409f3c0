// What the host cannot show from user mode: #UD, #NM and #MF by CR0 and CR4 (SDM vol. 3 tables 2-3,
// 13-1), and state that only a supervisor sees. All combinations of the bits, against the rules
// written down here once more.
#include "oracle.h"

namespace twinstep::soft::oracle {
namespace {

enum class Gate : u8 {
  none, x87, x87_no_wait, wait, mmx, sse, sse_mmx, fxsave, xsave, xgetbv, exception
};

struct Sample {
  const char* name;
  Gate gate;
  u8 bytes;
  u8 code[8];
};

constexpr Sample kSamples[] = {
    {"fld1", Gate::x87, 2, {0xd9, 0xe8}},
    {"fnop", Gate::x87, 2, {0xd9, 0xd0}},
    {"fldcw [rax]", Gate::x87, 2, {0xd9, 0x28}},
    {"fnstsw ax", Gate::x87_no_wait, 2, {0xdf, 0xe0}},
    {"fninit", Gate::x87_no_wait, 2, {0xdb, 0xe3}},
    {"fnclex", Gate::x87_no_wait, 2, {0xdb, 0xe2}},
    {"fnstcw [rax]", Gate::x87_no_wait, 2, {0xd9, 0x38}},
    {"fnsave [rax]", Gate::x87_no_wait, 2, {0xdd, 0x30}},
    {"wait", Gate::wait, 1, {0x9b}},
    {"pxor mm0,mm0", Gate::mmx, 3, {0x0f, 0xef, 0xc0}},
    {"movd mm0,eax", Gate::mmx, 3, {0x0f, 0x6e, 0xc0}},
    {"pabsb mm0,mm0", Gate::mmx, 4, {0x0f, 0x38, 0x1c, 0xc0}},
    {"emms", Gate::mmx, 2, {0x0f, 0x77}},
    {"movntq [rax],mm0", Gate::mmx, 3, {0x0f, 0xe7, 0x00}},
    {"xorps xmm0,xmm0", Gate::sse, 3, {0x0f, 0x57, 0xc0}},
    {"pxor xmm0,xmm0", Gate::sse, 4, {0x66, 0x0f, 0xef, 0xc0}},
    {"movups xmm0,[rax]", Gate::sse, 3, {0x0f, 0x10, 0x00}},
    {"addsd xmm0,xmm0", Gate::sse, 4, {0xf2, 0x0f, 0x58, 0xc0}},
    {"pcmpistri xmm0,xmm0,0", Gate::sse, 6, {0x66, 0x0f, 0x3a, 0x63, 0xc0, 0x00}},
    {"cvtsi2sd xmm0,eax", Gate::sse, 4, {0xf2, 0x0f, 0x2a, 0xc0}},
    {"rcpps xmm0,xmm0", Gate::sse, 3, {0x0f, 0x53, 0xc0}},
    {"roundsd xmm0,xmm0,0", Gate::sse, 6, {0x66, 0x0f, 0x3a, 0x0b, 0xc0, 0x00}},
    {"sqrtss xmm0,xmm0 of -1", Gate::exception, 4, {0xf3, 0x0f, 0x51, 0xc0}},
    {"ldmxcsr [rax]", Gate::sse, 3, {0x0f, 0xae, 0x10}},
    {"stmxcsr [rax]", Gate::sse, 3, {0x0f, 0xae, 0x18}},
    {"cvtps2pi mm0,xmm0", Gate::sse_mmx, 3, {0x0f, 0x2d, 0xc0}},
    {"cvtpi2ps xmm0,mm0", Gate::sse_mmx, 3, {0x0f, 0x2a, 0xc0}},
    {"movq2dq xmm0,mm0", Gate::sse_mmx, 4, {0xf3, 0x0f, 0xd6, 0xc0}},
    {"fxsave [rax]", Gate::fxsave, 3, {0x0f, 0xae, 0x00}},
    {"fxrstor [rax]", Gate::fxsave, 3, {0x0f, 0xae, 0x08}},
    {"xsave [rax]", Gate::xsave, 3, {0x0f, 0xae, 0x20}},
    {"xrstor [rax]", Gate::xsave, 3, {0x0f, 0xae, 0x28}},
    {"xgetbv", Gate::xgetbv, 3, {0x0f, 0x01, 0xd0}},
    {"mfence", Gate::none, 3, {0x0f, 0xae, 0xf0}},
    {"lfence", Gate::none, 3, {0x0f, 0xae, 0xe8}},
    {"sfence", Gate::none, 3, {0x0f, 0xae, 0xf8}},
    {"movnti [rax],eax", Gate::none, 3, {0x0f, 0xc3, 0x00}},
    {"crc32 eax,eax", Gate::none, 5, {0xf2, 0x0f, 0x38, 0xf1, 0xc0}},
    {"popcnt eax,eax", Gate::none, 4, {0xf3, 0x0f, 0xb8, 0xc0}},
    {"prefetcht0 [rax]", Gate::none, 3, {0x0f, 0x18, 0x08}},
    {"clflush [rax]", Gate::none, 3, {0x0f, 0xae, 0x38}},
};

constexpr u64 kCr0Bits[] = {CR0_MP, CR0_EM, CR0_TS, CR0_NE};
constexpr u64 kCr4Bits[] = {CR4_OSFXSR, CR4_OSXSAVE, CR4_OSXMMEXCPT};

u8 expected(Gate gate, u64 cr0, u64 cr4, bool pending) {
  const bool em = cr0 & CR0_EM, ts = cr0 & CR0_TS, mp = cr0 & CR0_MP;
  const bool delivered = pending && (cr0 & CR0_NE);
  const bool no_sse = em || !(cr4 & CR4_OSFXSR);
  // The first condition that holds decides.
  const auto first = [](bool ud, bool nm, bool mf) -> u8 {
    if (ud) return UD;
    if (nm) return NM;
    return mf ? u8{MF} : kNoFault;
  };
  switch (gate) {
    case Gate::none: return kNoFault;
    case Gate::x87: return first(false, em || ts, delivered);
    case Gate::x87_no_wait: return first(false, em || ts, false);
    case Gate::wait: return first(false, mp && ts, delivered);
    case Gate::mmx: return first(em, ts, delivered);
    case Gate::sse: return first(no_sse, ts, false);
    case Gate::sse_mmx: return first(no_sse, ts, delivered);
    case Gate::fxsave: return first(false, em || ts, false);
    case Gate::xsave: return first(!(cr4 & CR4_OSXSAVE), ts, false);
    case Gate::exception:
      if (no_sse || ts) return first(no_sse, ts, false);
      return cr4 & CR4_OSXMMEXCPT ? XM : UD;
    case Gate::xgetbv: return first(!(cr4 & CR4_OSXSAVE), false, false);
  }
  return kNoFault;
}

void prepare(const Sample& sample, bool pending, Case& c, Memory& memory) {
  static const Entry kEntry{"gate", Family::state, 0, 0, 0, -1, 0, 0};
  memset(static_cast<void*>(&c), 0, sizeof c);
  memset(memory, 0, sizeof memory);
  c.entry = &kEntry;
  c.bits = 64;
  memcpy(c.code, sample.code, sample.bytes);
  c.length = sample.bytes;
  c.at = c.in.rip = kCodeAt + 64;
  c.in.gpr[RAX] = kDataAt;
  c.in.rflags = 0x202;
  c.in.fx.control = pending ? 0x037e : 0x037f;
  c.in.fx.status = pending ? 0x8081 : 0;
  c.in.fx.mxcsr = sample.gate == Gate::exception ? 0x1f00 : 0x1f80;  // invalid operation unmasked
  c.in.fx.xmm[0].d[0] = 0xbf800000;
}

}  // namespace

u32 run_gates(EngineMachine& engine) {
  u32 wrong = 0, count = 0;
  static Memory memory;
  Case c;
  for (const Sample& sample : kSamples) {
    for (u32 n = 0; n < 256; n++) {
      u64 cr0 = engine.base().cr0, cr4 = engine.base().cr4;
      for (u32 b = 0; b < 4; b++) cr0 = n >> b & 1 ? cr0 | kCr0Bits[b] : cr0 & ~kCr0Bits[b];
      for (u32 b = 0; b < 3; b++) cr4 = n >> (4 + b) & 1 ? cr4 | kCr4Bits[b] : cr4 & ~kCr4Bits[b];
      const bool pending = n >> 7;
      prepare(sample, pending, c, memory);
      Snapshot out = {};
      engine.run(c, memory, out, cr0, cr4);
      const u8 want = expected(sample.gate, cr0, cr4, pending);
      count++;
      if (out.vector == want) continue;
      if (wrong++ < 20) {
        printf("gate %s: cr0=%llx cr4=%llx pending=%d: vector %u, expected %u\n", sample.name,
               static_cast<unsigned long long>(cr0), static_cast<unsigned long long>(cr4), pending,
               out.vector, want);
      }
    }
  }
  printf("%-10s %10u %10s %10u\n", "gates", count, "", wrong);
  return wrong;
}

}  // namespace twinstep::soft::oracle
