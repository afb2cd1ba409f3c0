// Translator and interpreter side by side over random programs: the same states and the same memory at
// every cut. `translate-test SEED ROUNDS` repeats a run; a difference names the seed of its round.
//
// Addresses are good mostly; some reach a hole, a read-only page, a device, page tables, the code itself.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../engine.h"
#include "random.h"
#include "translate-program.h"

namespace twinstep::soft {
namespace {

using namespace test;

void tables(u8* ram) {
  const auto put = [&](u64 at, u64 v) { memcpy(ram + at, &v, 8); };
  put(kPml4, kPdpt | 7);
  put(kPdpt, kPd | 7);
  put(kPd, kPt | 7);
  for (u64 n = 0; n < 512; ++n) put(kPt + 8 * n, n << 12 | 7);
  // Neighbours that are none in memory: who crosses from one to the other must look at both.
  put(kPt + 8 * ((kData + 0x1000) >> 12), (kData + 0x2000) | 7);
  put(kPt + 8 * ((kData + 0x2000) >> 12), (kData + 0x1000) | 7);
  put(kPt + 8 * (kHole >> 12), 0);
  put(kPt + 8 * (kReadOnly >> 12), kReadOnly | 5);
  put(kPt + 8 * (kDevice >> 12), 0xe0000007);
  put(kGdt + 8, 0x00209b0000000000);
  put(kGdt + 16, 0x00cf93000000ffff);
  for (u64 v = 0; v < 32; ++v) {  // all stubs halt
    const u64 to = kStubs + 16 * v;
    put(kIdt + 16 * v, (to & 0xffff) | 8u << 16 | u64{0x8e} << 40 | (to >> 16) << 48);
    put(kIdt + 16 * v + 8, 0);
  }
  memset(ram + kStubs, 0xf4, 512);
  put(4, kStack + 0x800);  // RSP0 of the TSS at 0, where a reset TR points
}

State start_state(Random& r, const State& reset) {
  State s = reset;
  for (u32 n = 0; n < 16; ++n) {
    s.gpr[n] = r.chance(40) ? r.below(256) : r.chance(50) ? r.next() : u64{1} << r.below(64);
  }
  for (const u8 base : kBases) {
    s.gpr[base] = kData + r.below((kDataPages - 1) * 4096 - 256);
    if (r.chance(80)) s.gpr[base] &= ~u64{15};
    if (r.chance(3)) s.gpr[base] = kHole - r.below(0x1000) + r.below(0x3000);
    if (r.chance(3)) s.gpr[base] = kReadOnly + r.below(256);
    if (r.chance(10)) s.gpr[base] = kData + 0x1000 * (1 + r.below(3)) - r.below(40);
    if (r.chance(2)) s.gpr[base] = kCode + r.below(512);
    if (r.chance(1)) s.gpr[base] = kPt + 8 * r.below(512);
    if (r.chance(1)) s.gpr[base] = r.next();
  }
  if (r.chance(90)) s.gpr[RSI] = r.below(512);
  s.gpr[RSP] = kStack + 8 * r.below(64) + (r.chance(10) ? r.below(8) : 0);
  if (r.chance(5)) s.gpr[RSP] = kHole + r.below(64);
  s.gpr[R15] = 1 + r.below(6);
  s.icount = s.tsc_icount = r.below(1000);
  s.rflags = 2 | (r.next() & (kStatusFlags | DF | (r.chance(50) ? u64{IF} : 0)));
  if (r.chance(3)) s.rflags |= TF;
  s.rip = kCode;
  for (const Seg g : {SS, DS, ES, FS, GS}) s.seg[g] = {0, 0xffffffff, 0xc093, 0x10, {}};
  s.seg[GS].base = kData + r.below(256);
  s.seg[CS] = {0, 0xffffffff, 0xa09b, 8, {}};
  if (r.chance(10)) {
    s.seg[CS].attr |= 0x60;  // DPL 3
    s.seg[CS].selector |= 3;
    s.seg[SS].attr |= 0x60;
    s.seg[SS].selector |= 3;
  }
  s.gdt_base = kGdt;
  s.gdt_limit = 0xff;
  s.idt_base = kIdt;
  s.idt_limit = 0x1ff;
  s.cr0 = CR0_ET | CR0_NE | CR0_PE | CR0_PG | CR0_WP | (r.chance(3) ? u64{CR0_TS} : 0);
  s.cr3 = kPml4;
  s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
  s.efer = EFER_LME | EFER_LMA | EFER_NXE;
  s.fpu.mxcsr = r.chance(70) ? 0x1f80 : r.chance(50) ? 0x1fa0 : u32(r.next() & 0xffff);
  for (Xmm& x : s.xmm) {
    for (u32 n = 0; n < 2; ++n) {
      x.q[n] = r.next();
      if (r.chance(60)) x.g[n] = double(r.below(1000)) / double(1 + r.below(16));
      if (r.chance(10)) x.q[n] = u64{0x7ff} << 52 | (r.chance(50) ? 0 : r.next() >> 12);
    }
    if (r.chance(30)) for (float& f : x.f) f = float(r.below(1000)) / 3;
  }
  return s;
}

// ---- runs ---------------------------------------------------------------------------------------

struct Machine {
  u8* ram;
  Engine engine;
  explicit Machine(const Engine::Options& o) : ram(fresh()), engine(ram, kRam, o) {}
  ~Machine() { munmap(ram, kRam); }
  static u8* fresh() {
    void* p = mmap(nullptr, kRam, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) abort();
    return static_cast<u8*>(p);
  }
  // To `limit` or an end; exits are answered by the position alone.
  Exit to(u64 limit) {
    for (;;) {
      const ExitRecord x = engine.run(limit);
      if (x.reason == Exit::PortIn || x.reason == Exit::MmioRead) {
        engine.complete_read(x.icount * 0x9e3779b97f4a7c15 + x.address);
      } else if (x.reason != Exit::PortOut && x.reason != Exit::MmioWrite) {
        return x.reason;
      }
    }
  }
};

struct Tally {
  unsigned long long rounds, instructions, halts, wrong;
} tally;

void print_difference(const State& a, const State& b) {
  for (u32 n = 0; n < 16; ++n) {
    if (a.gpr[n] == b.gpr[n]) continue;
    printf("  gpr %u: interpreted %llx, translated %llx\n", n, (unsigned long long)a.gpr[n],
           (unsigned long long)b.gpr[n]);
  }
  const auto show = [&](const char* what, u64 x, u64 y) {
    if (x != y) printf("  %s: interpreted %llx, translated %llx\n", what, (unsigned long long)x, (unsigned long long)y);
  };
  show("rip", a.rip, b.rip);
  show("rflags", a.rflags, b.rflags);
  show("icount", a.icount, b.icount);
  show("cr2", a.cr2, b.cr2);
  show("mxcsr", a.fpu.mxcsr, b.fpu.mxcsr);
  for (u32 n = 0; n < 16; ++n) {
    if (memcmp(&a.xmm[n], &b.xmm[n], 16) != 0) printf("  xmm%u differs\n", n);
  }
}

bool compare(Machine& a, Machine& b, u64 seed, const State& start) {
  State x, y;
  a.engine.get_state(x);
  b.engine.get_state(y);
  if (memcmp(&x, &y, sizeof x) == 0 && memcmp(a.ram, b.ram, kRam) == 0) return true;
  printf("seed %llu: translator and interpreter differ, from position %llu\n", (unsigned long long)seed,
         (unsigned long long)start.icount);
  print_difference(x, y);
  for (u64 n = 0; n < kRam; ++n) {
    if (a.ram[n] == b.ram[n]) continue;
    printf("  memory differs at %llx\n", (unsigned long long)n);
    break;
  }
  ++tally.wrong;
  return false;
}

void round_of(u64 seed, Machine& a, Machine& b, bool dump) {
  Random r{seed};
  memset(a.ram, 0, kRam);
  tables(a.ram);
  for (u64 n = kData; n < kDevice; n += 8) {
    const u64 v = r.next();
    memcpy(a.ram + n, &v, 8);
  }
  fill(r, a.ram, 1 + u32(r.below(r.chance(30) ? 100 : 12)));
  memcpy(b.ram, a.ram, kRam);
  if (dump) {
    FILE* f = fopen("program.bin", "wb");
    fwrite(a.ram + kCode, 1, kCodeBytes, f);
    fclose(f);
  }
  State reset;
  a.engine.reset();
  a.engine.get_state(reset);
  const State start = start_state(r, reset);
  for (Machine* m : {&a, &b}) {
    m->engine.memory_written(0, kRam);
    if (const char* refused = m->engine.set_state(start)) {
      printf("seed %llu: %s\n", (unsigned long long)seed, refused);
      exit(2);
    }
  }
  // Whole, or in pieces of a size; the start of what differs is known to that much.
  const u64 span = dump ? 1 : r.chance(40) ? 1 << 20 : 1 + r.below(40);
  const u64 end = start.icount + 3000;
  State before = start;
  for (u64 at = start.icount; at < end;) {
    at = std::min(end, at + span);
    const Exit x = a.to(at), y = b.to(at);
    if (!compare(a, b, seed, before)) return;
    if (x != y) {
      printf("seed %llu: exits %u and %u\n", (unsigned long long)seed, unsigned(x), unsigned(y));
      ++tally.wrong;
      return;
    }
    a.engine.get_state(before);
    if (x == Exit::Halt) ++tally.halts;
    if (x != Exit::Limit) break;
  }
  ++tally.rounds;
  tally.instructions += before.icount - start.icount;
}

}  // namespace
}  // namespace twinstep::soft

int main(int count, char** values) {
  using namespace twinstep::soft;
  const u64 seed = count > 1 ? strtoull(values[1], nullptr, 0) : 1;
  const u64 rounds = count > 2 ? strtoull(values[2], nullptr, 0) : 2000;
  const bool dump = count > 3;
  Machine interpreted({false, 0}), translated({true, 0}), warming({true, 2});
  if (translated.engine.translates_not() != nullptr) {
    printf("this host does not translate: %s\n", translated.engine.translates_not());
    return 0;
  }
  for (u64 n = 0; n < rounds && tally.wrong < 10; ++n) {
    round_of(seed + n, interpreted, (seed + n) % 4 == 3 ? warming : translated, dump);
  }
  printf("%llu rounds, %llu instructions, %llu ran to their end, %llu wrong\n", tally.rounds,
         tally.instructions, tally.halts, tally.wrong);
  return tally.wrong != 0;
}
