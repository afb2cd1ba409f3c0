// The engine's side: user mode (64-bit or compatibility) under its own page tables, with every
// vector leading to a supervisor stub that halts. What happened is read from the frame on the
// supervisor stack.
#include "oracle.h"

namespace twinstep::soft::oracle {
namespace {

constexpr u64 kRamBytes = 4 << 20;
// Physical places. The system's structures are seen at kHigh + physical.
constexpr u64 kPml4 = 0x1000, kPdptLow = 0x2000, kPdLow = 0x3000, kPt = 0x4000, kPdptHigh = 0x5000,
              kPdHigh = 0x6000, kGdt = 0x7000, kIdt = 0x8000, kTss = 0x9000, kStubs = 0xa000,
              kStackTop = 0x10000, kCodePhysical = 0x20000, kDataPhysical = 0x30000;
constexpr u64 kHigh = 0xffff800000000000;
constexpr u16 kUserCs = 0x33, kUserCs32 = 0x23, kUserSs = 0x2b, kSystemCs = 0x08,
              kTssSelector = 0x40;
constexpr u64 kPresent = 1, kWrite = 2, kUser = 4, kLarge = 0x80, kNoExecute = 1ull << 63;

void put64(u8* ram, u64 at, u64 v) { memcpy(ram + at, &v, 8); }
u64 get64(const u8* ram, u64 at) {
  u64 v;
  memcpy(&v, ram + at, 8);
  return v;
}

Segment segment(u16 selector, u32 attr) {
  Segment s;
  s.selector = selector;
  s.attr = attr;
  s.limit = 0xffffffff;
  return s;
}

// FX image to and from the engine's physical registers.
void fx_to_state(const Fx& fx, State& s) {
  Fpu& f = s.fpu;
  f = {};
  f.control = fx.control;
  f.status = fx.status;
  f.tag = fx.tag;
  f.mxcsr = fx.mxcsr;
  const u32 top = fx.status >> 11 & 7;
  for (u32 n = 0; n < 8; n++) {
    Fpr& r = f.r[(top + n) & 7];
    memcpy(&r.mantissa, fx.st[n], 8);
    memcpy(&r.sign_exponent, fx.st[n] + 8, 2);
  }
  memcpy(s.xmm, fx.xmm, sizeof fx.xmm);
}
void state_to_fx(const State& s, Fx& fx) {
  const Fpu& f = s.fpu;
  memset(&fx, 0, sizeof fx);
  fx.control = f.control;
  fx.status = f.status;
  fx.tag = f.tag;
  fx.mxcsr = f.mxcsr;
  const u32 top = f.status >> 11 & 7;
  for (u32 n = 0; n < 8; n++) {
    const Fpr& r = f.r[(top + n) & 7];
    memcpy(fx.st[n], &r.mantissa, 8);
    memcpy(fx.st[n] + 8, &r.sign_exponent, 2);
  }
  memcpy(fx.xmm, s.xmm, sizeof fx.xmm);
}

}  // namespace

EngineMachine::EngineMachine(const Engine::Options& options) {
  ram_ = static_cast<u8*>(aligned_alloc(kPage, kRamBytes));
  memset(ram_, 0, kRamBytes);
  engine_ = new Engine(ram_, kRamBytes, options);
  build_tables();
  memset(ram_ + kCodePhysical, 0xcc, kCodeBytes);
  engine_->reset();
  State& s = reset_;
  engine_->get_state(s);
  s.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_PG;
  s.cr3 = kPml4;
  s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
  s.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
  s.xcr0 = 3;
  s.gdt_base = kHigh + kGdt;
  s.gdt_limit = 0x4f;
  s.idt_base = kHigh + kIdt;
  s.idt_limit = 0xfff;
  s.seg[CS] = segment(kUserCs, 0xa0fb);
  s.seg[SS] = segment(kUserSs, 0xc0f3);
  for (const Seg n : {DS, ES}) s.seg[n] = s.seg[SS];
  for (const Seg n : {FS, GS}) s.seg[n] = segment(0, 0x1c0f3);
  s.seg[GS].base = kGsBase;
  s.tr = segment(kTssSelector, 0x8b);
  s.tr.base = kHigh + kTss;
  s.tr.limit = 0x67;
}

EngineMachine::~EngineMachine() {
  delete engine_;
  free(ram_);
}

void EngineMachine::build_tables() {
  const u64 table = kPresent | kWrite | kUser;
  put64(ram_, kPml4, kPdptLow | table);
  put64(ram_, kPml4 + 8 * 256, kPdptHigh | table);
  put64(ram_, kPdptLow, kPdLow | table);
  put64(ram_, kPdptHigh, kPdHigh | table);
  put64(ram_, kPdHigh, kPresent | kWrite | kLarge);
  put64(ram_, kPdLow + 8 * (kCodeAt >> 21), kPt | table);
  const auto leaf = [&](u64 linear, u64 bits) {
    put64(ram_, kPt + 8 * (linear >> 12 & 511), bits);
  };
  for (u64 n = 0; n < kCodeBytes; n += kPage) {
    leaf(kCodeAt + n, (kCodePhysical + n) | kPresent | kUser);
  }
  for (u32 n = 0; n < kDataPages; n++) {
    const u64 write = kDataPageAt[n] == kReadOnlyAt ? 0 : kWrite;
    leaf(kDataPageAt[n], (kDataPhysical + n * kPage) | kPresent | kUser | write | kNoExecute);
  }
  put64(ram_, kGdt + kSystemCs, 0x00209b0000000000);
  put64(ram_, kGdt + (kUserSs & ~7), 0x00cff3000000ffff);
  put64(ram_, kGdt + (kUserCs32 & ~7), 0x00cffb000000ffff);
  put64(ram_, kGdt + (kUserCs & ~7), 0x00affb000000ffff);
  for (u64 v = 0; v < 256; v++) {
    const u64 stub = kHigh + kStubs + v * 16;
    ram_[kStubs + v * 16] = 0xf4;  // HLT
    const u64 gate = v == BP || v == OFV ? 0xee00 : 0x8e00;
    put64(ram_, kIdt + v * 16, (stub & 0xffff) | u64{kSystemCs} << 16 | gate << 32 |
                                   (stub >> 16 & 0xffff) << 48);
    put64(ram_, kIdt + v * 16 + 8, stub >> 32);
  }
  put64(ram_, kTss + 4, kHigh + kStackTop);  // RSP0
}

void EngineMachine::run(const Case& c, Memory& memory, Snapshot& out, u64 cr0, u64 cr4) {
  u8* code = ram_ + kCodePhysical + (c.at - kCodeAt);
  memcpy(ram_ + kDataPhysical, memory, sizeof memory);
  memcpy(code, c.code, c.length);
  engine_->memory_written(kCodePhysical, kCodeBytes);
  engine_->memory_written(kDataPhysical, sizeof memory);
  State s = reset_;
  s.cr0 = cr0;
  s.cr4 = cr4;
  memcpy(s.gpr, c.in.gpr, sizeof c.in.gpr);
  s.rip = c.in.rip;
  s.rflags = c.in.rflags;
  if (c.bits == 32) s.seg[CS] = segment(kUserCs32, 0xc0fb);
  fx_to_state(c.in.fx, s);
  if (const char* refused = engine_->set_state(s)) {
    printf("engine refused the state: %s\n", refused);
    exit(2);
  }
  const ExitRecord& e = engine_->run(s.icount + 100000);
  engine_->get_state(s);
  memset(code, 0xcc, c.length);
  memcpy(memory, ram_ + kDataPhysical, sizeof memory);
  memcpy(out.gpr, s.gpr, sizeof out.gpr);
  state_to_fx(s, out.fx);
  const u64 stub = s.rip - 1 - (kHigh + kStubs);
  if (e.reason != Exit::Halt || stub % 16 != 0 || stub / 16 > 255) {
    out.vector = 0xff;
    out.error = static_cast<u64>(e.reason);
    out.rip = s.rip;
    out.rflags = s.rflags;
    return;
  }
  out.vector = static_cast<u8>(stub / 16);
  const u8 v = out.vector;
  const bool has_error = v == DF_ || (v >= TS && v <= PFV) || v == ACV;
  u64 frame = kStackTop - 40;
  out.error = has_error ? get64(ram_, frame - 8) : 0;
  out.rip = get64(ram_, frame);
  out.rflags = get64(ram_, frame + 16);
  out.gpr[RSP] = get64(ram_, frame + 24);
  out.cr2 = s.cr2;
}

}  // namespace twinstep::soft::oracle
