// Hostile guests: random code full of system instructions over random tables, in every mode.
// Whatever it does must be defined: no crash, nothing outside RAM, and the same end state and
// memory whether the run is cut and interpreted, or whole and translated from the first instruction on, or
// the other way round. Prints its seed; `sys-fuzz SEED ROUNDS` repeats it.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "../engine.h"
#include "random.h"

namespace twinstep::soft {
namespace {

constexpr u64 kRam = 1 << 20, kGdt = 0x1000, kIdt = 0x2000, kTss = 0x3000, kPml4 = 0x4000,
              kPdpt = 0x5000, kPd = 0x6000, kPt = 0x7000, kCode = 0x10000, kCodeBytes = 0x8000;

// Openings of instructions worth meeting often; operands follow at random.
const char* const kOpenings[] = {
    "\x0f\x00", "\x0f\x01", "\x0f\x02", "\x0f\x03", "\x0f\x05", "\x0f\x06", "\x0f\x07", "\x0f\x20",
    "\x0f\x21", "\x0f\x22", "\x0f\x23", "\x0f\x30", "\x0f\x31", "\x0f\x32", "\x0f\x34", "\x0f\x35",
    "\x0f\xa0", "\x0f\xa1", "\x0f\xa2", "\x0f\xb2", "\x0f\xb4", "\x0f\xb5", "\x0f\xc7", "\x0f\xae",
    "\x06", "\x07", "\x0e", "\x16", "\x17", "\x1e", "\x1f", "\x63", "\x8c", "\x8e", "\x9a", "\xea",
    "\x9c", "\x9d", "\xc4", "\xc5", "\xca", "\xcb", "\xcc", "\xcd", "\xce", "\xcf", "\x48\xcf",
    "\xf1", "\xe4", "\xe5", "\xe6", "\xe7", "\xec", "\xef", "\x6c", "\x6f", "\xf3\xa4", "\xf3\xab",
    "\xf4", "\xfa", "\xfb", "\xff", "\x50", "\x58", "\x54", "\x5c", "\xb8", "\xbb", "\xbc", "\x89",
    "\x8b", "\xc7", "\x01", "\x31", "\x75", "\xeb", "\xe8", "\xc3", "\x66", "\x67", "\x48", "\x90",
};

u64 random_descriptor(Random& r) {
  static const u64 kGood[] = {
      0x00209b0000000000, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0x00cffb000000ffff,
      0x00cff3000000ffff, 0x0020fb0000000000, 0x00009b000000ffff, 0x000093000000ffff,
      0x0000890030000067, 0x000082001000007f, 0x0000ec0000080000, 0x0000850000080000,
      0x00cf97000000ffff, 0x00cf9f000000ffff, 0x00009e000000ffff, 0x0000810030000040,
  };
  u64 d = kGood[r.below(std::size(kGood))];
  if (r.chance(20)) d ^= u64{1} << r.below(64);
  return d;
}

u64 random_gate(Random& r) {
  static const u64 kTypes[] = {0x8e, 0xee, 0x8f, 0xef, 0x86, 0xe7, 0x85, 0x0e};
  const u64 to = kCode + r.below(kCodeBytes);
  return (to & 0xffff) | (8 * r.below(16)) << 16 | (r.chance(20) ? r.below(8) << 32 : 0) |
         kTypes[r.below(std::size(kTypes))] << 40 | (to >> 16) << 48;
}

void fill_code(Random& r, u8* ram) {
  for (u64 at = kCode; at < kCode + kCodeBytes;) {
    if (r.chance(70)) {
      const char* opening = kOpenings[r.below(std::size(kOpenings))];
      const size_t length = strlen(opening);
      memcpy(ram + at, opening, length);
      at += length;
    }
    const u64 tail = r.below(4);
    for (u64 n = 0; n < tail; ++n) ram[at++] = u8(r.chance(40) ? 0xc0 | r.next() : r.next());
  }
}

void fill_tables(Random& r, u8* ram, bool wide) {
  const auto put = [&](u64 at, u64 v) { memcpy(ram + at, &v, 8); };
  for (u64 n = 1; n < 32; ++n) put(kGdt + 8 * n, random_descriptor(r));
  for (u64 n = 0; n < 256; ++n) {
    if (wide) {
      put(kIdt + 16 * n, random_gate(r));
      put(kIdt + 16 * n + 8, 0);
    } else {
      put(kIdt + 8 * n, random_gate(r));
    }
  }
  for (u64 n = 0; n < 64; ++n) put(kTss + 4 + 8 * n, 0x20000 + 16 * r.below(4096));
  put(kPml4, kPdpt | 7);
  put(kPdpt, kPd | (wide ? 7 : 1));
  put(kPd, kPt | 7);
  for (u64 n = 0; n < 512; ++n) {
    u64 entry = n << 12 | 7;
    if (r.chance(5)) entry ^= u64{1} << r.below(64);
    put(kPt + 8 * n, entry);
  }
}

State random_state(Random& r, const State& reset, u32 mode) {
  State s = reset;
  for (u32 n = 0; n < 16; ++n) {
    s.gpr[n] = r.chance(70) ? r.below(kRam) : r.chance(50) ? 8 * r.below(20) : r.next();
  }
  s.gpr[RSP] = 0x30000 + 8 * r.below(1024);
  s.icount = s.tsc_icount = 0;
  s.rflags = 2 | (r.next() & (IF | DF | CF | IOPL | AC)) | (r.chance(10) ? u64{TF} : 0);
  s.gdt_base = kGdt;
  s.gdt_limit = 0xff;
  s.idt_base = mode == 0 ? 0 : kIdt;
  s.idt_limit = 0xfff;
  s.rip = kCode;
  const bool user = mode >= 1 && r.chance(40);
  const u16 rpl = user ? 3 : 0;
  const u32 dpl = user ? 0x60 : 0;
  for (const Seg g : {SS, DS, ES, FS, GS}) {
    s.seg[g] = {0, 0xffffffff, 0xc093 | dpl, u16(0x10 | rpl), {}};
  }
  s.tr = {kTss, 0x1ff, 0x8b, 0x40, {}};
  s.ldtr = {0, 0, 1u << 16, 0, {}};
  s.star = u64{0x20} << 48 | u64{8} << 32;
  s.lstar = kCode + r.below(kCodeBytes);
  s.sysenter_cs = 0x18;
  s.sysenter_eip = s.lstar;
  s.sysenter_esp = 0x38000;
  for (u64& d : s.dr) d = kCode + r.below(kCodeBytes);
  if (r.chance(10)) s.dr7 |= r.next() & 0xffff00ff;
  s.cr0 = CR0_ET | CR0_NE | (mode == 0 ? 0 : u64{CR0_PE});
  if (mode == 0) {
    s.seg[CS] = {kCode, 0xffff, 0x9b, kCode >> 4, {}};
    for (const Seg g : {SS, DS, ES, FS, GS}) s.seg[g].attr = 0x93;
    s.rip = 0;
  } else if (mode == 1) {
    s.seg[CS] = {0, 0xffffffff, 0xc09b | dpl, u16(0x18 | rpl), {}};
  } else {
    s.seg[CS] = {0, 0xffffffff, 0xa09b | dpl, u16(0x08 | rpl), {}};
    s.cr0 |= CR0_PG | CR0_WP;
    s.cr3 = kPml4;
    s.cr4 = CR4_PAE | CR4_OSFXSR | (r.chance(50) ? u64{CR4_FSGSBASE} : 0);
    s.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
  }
  for (u64 n = 0; n < 4; ++n) s.rng[n] = r.next();
  return s;
}

struct Outcome {
  State s;
  u64 exits = 0;
  bool stuck = false;  // faults whose handlers fault at once: nothing retires any more
};

// Kicks the running engine again and again, from another thread: harmless to a guest that gets on,
// the way out of one that does not.
class Kicker {
 public:
  Kicker() : thread_([this] { work(); }) {}
  ~Kicker() {
    done_ = true;
    thread_.join();
  }
  void watch(Engine* engine) {
    while (busy_.exchange(true)) std::this_thread::yield();
    engine_ = engine;
    busy_ = false;
  }

 private:
  void work() {
    while (!done_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      if (busy_.exchange(true)) continue;
      if (engine_) engine_->kick();
      busy_ = false;
    }
  }
  Engine* engine_ = nullptr;
  std::atomic<bool> busy_{false}, done_{false};
  std::thread thread_;
};
constexpr u32 kKicksStuck = 8;  // so many in a row at one position: it will not move again

// Runs to `total`, answering exits as a function of the position only.
Outcome run(u8* ram, const State& start, u64 total, Random* cuts, Kicker& kicker, bool translates) {
  Engine engine(ram, kRam, {translates, 0});
  u64 kicked_at = ~u64{0};
  u32 kicks = 0;
  kicker.watch(&engine);
  Outcome out;
  const char* refused = engine.set_state(start);
  if (refused) {
    printf("state refused: %s\n", refused);
    exit(1);
  }
  for (;;) {
    const u64 at = engine.icount();
    u64 limit = total;
    if (cuts) limit = std::min<u64>(total, at + 1 + cuts->below(cuts->chance(50) ? 4 : 200));
    const ExitRecord x = engine.run(limit);
    if (x.reason == Exit::Limit && engine.icount() < total) {
      if (cuts && cuts->chance(10)) {
        State s;
        engine.get_state(s);
        engine.set_state(s);
      }
      continue;
    }
    if (x.reason == Exit::Kick) {
      kicks = x.icount == kicked_at ? kicks + 1 : 0;
      kicked_at = x.icount;
      out.stuck = kicks == kKicksStuck;
      if (out.stuck) break;
      continue;
    }
    Random answer{x.icount * 77 + x.address};
    ++out.exits;
    if (x.reason == Exit::PortIn || x.reason == Exit::MmioRead) {
      engine.complete_read(answer.next());
    } else if (x.reason == Exit::Halt && engine.can_interrupt() && out.exits < total) {
      engine.interrupt(u8(answer.next()));
    } else if (x.reason != Exit::PortOut && x.reason != Exit::MmioWrite) {
      break;
    }
  }
  kicker.watch(nullptr);
  engine.get_state(out.s);
  return out;
}

u8* fresh_ram() {
  void* p = aligned_alloc(4096, kRam);
  memset(p, 0, kRam);
  return static_cast<u8*>(p);
}

// How deep the guests got: a fuzzer whose guests die at once proves nothing.
struct Tally {
  unsigned long long rounds, instructions, exits, shutdowns, full, stuck;
} tally;

void report() {
  printf("%llu rounds, %llu instructions, %llu exits; ", tally.rounds, tally.instructions,
         tally.exits);
  printf("%llu ran to the end, %llu shut down, %llu stuck\n", tally.full, tally.shutdowns,
         tally.stuck);
}

// Whether a guest counts as stuck depends on how long it was watched: faults on faults push frame
// after frame, until one of them overwrites what made them. The other run may have got further.
bool agree(const Outcome& a, const Outcome& b, const u8* first, const u8* second) {
  if (a.stuck && b.stuck) return true;
  if (a.stuck) return a.s.icount <= b.s.icount;
  if (b.stuck) return b.s.icount <= a.s.icount;
  return memcmp(&a.s, &b.s, sizeof(State)) == 0 && memcmp(first, second, kRam) == 0;
}

bool one_round(u64 seed, u64 total, Kicker& kicker) {
  Random r{seed};
  u8* first = fresh_ram();
  u8* second = fresh_ram();
  const u32 mode = u32(r.below(3));
  for (u64 n = 0; n < 0x1000; n += 8) {
    const u64 v = mode == 0 ? kCode << 12 | r.below(0x8000) | r.below(0x8000) << 32 : r.next();
    memcpy(first + (mode == 0 ? n : 0x40000 + n), &v, 8);
  }
  fill_code(r, first);
  fill_tables(r, first, mode == 2);
  memcpy(second, first, kRam);
  State reset;
  {
    Engine engine(first, kRam);
    engine.reset();
    engine.get_state(reset);
  }
  const State start = random_state(r, reset, mode);
  const Outcome whole = run(first, start, total, nullptr, kicker, seed % 2 == 0);
  const Outcome cut = run(second, start, total, &r, kicker, seed % 2 == 1);
  tally.rounds += 1;
  tally.instructions += whole.s.icount;
  tally.exits += whole.exits;
  tally.shutdowns += whole.s.in_shutdown;
  tally.full += whole.s.icount == total;
  tally.stuck += whole.stuck;
  const bool same = agree(whole, cut, first, second);
  if (!same) {
    printf("seed %llu: whole and cut runs differ: rip %llx %llx icount %llu %llu exits %llu %llu\n",
           (unsigned long long)seed, (unsigned long long)whole.s.rip, (unsigned long long)cut.s.rip,
           (unsigned long long)whole.s.icount, (unsigned long long)cut.s.icount,
           (unsigned long long)whole.exits, (unsigned long long)cut.exits);
  }
  free(first);
  free(second);
  return same;
}

}  // namespace
}  // namespace twinstep::soft

int main(int count, char** values) {
  const unsigned long long seed = count > 1 ? strtoull(values[1], nullptr, 0) : 1;
  const unsigned long long rounds = count > 2 ? strtoull(values[2], nullptr, 0) : 500;
  printf("seed %llu, %llu rounds\n", seed, rounds);
  twinstep::soft::Kicker kicker;
  int bad = 0;
  for (unsigned long long n = 0; n < rounds; ++n) {
    bad += !twinstep::soft::one_round(seed + n, 3000, kicker);
  }
  twinstep::soft::report();
  if (bad == 0) printf("ok\n");
  return bad != 0;
}
