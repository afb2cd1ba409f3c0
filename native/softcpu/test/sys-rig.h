// A bare machine for the tests of the system part: RAM, an engine, tables, and guests written as
// assembly in the test itself. Every vector has a stub that halts, so "which handler, with what
// frame" is answered by rip and the stack in RAM.
#pragma once

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "../engine.h"

namespace twinstep::soft::test {

#define GUEST(name, bits, text)                                                              \
  asm(".pushsection .rodata\n.globl guest_" #name "\nguest_" #name ":\n.code" #bits            \
      "\n.intel_syntax noprefix\n" text "\n.att_syntax\n.code64\n.globl guest_" #name          \
      "_end\nguest_" #name "_end:\n.popsection\n");                                            \
  extern "C" const u8 guest_##name[], guest_##name##_end[]

#define CHECK(condition) check(condition, #condition, __FILE__, __LINE__)
#define SAME(actual, expected) same(u64(actual), u64(expected), #actual, __FILE__, __LINE__)

// How runs are cut: nothing a test sees may depend on it.
struct Slice {
  u64 instructions;  // 0: not at all
  bool restore;
};
inline Slice slice{0, false};
inline int failures = 0;
inline const char* running = "";

inline void check(bool ok, const char* text, const char* file, int line) {
  if (ok) return;
  ++failures;
  printf("%s:%d: %s: failed: %s\n", file, line, running, text);
}
inline void same(u64 actual, u64 expected, const char* text, const char* file, int line) {
  if (actual == expected) return;
  ++failures;
  printf("%s:%d: %s: %s is %llx, expected %llx\n", file, line, running, text,
         static_cast<unsigned long long>(actual), static_cast<unsigned long long>(expected));
}

// Where things are in guest memory.
inline constexpr u64 kPml4 = 0x1000, kPdpt = 0x2000, kPd = 0x3000, kPt = 0x4000, kGdt = 0x5000,
                     kIdt = 0x6000, kTss = 0x7000, kStubs = 0x8000, kTss2 = 0xa000, kData = 0xb000,
                     kCode = 0x10000, kUserCode = 0x20000, kRsp0 = 0x30000, kIst1 = 0x34000,
                     kUserStack = 0x38000, kStack = 0x3c000;
inline constexpr u16 kCode64 = 0x08, kData0 = 0x10, kCode32 = 0x18, kUser32 = 0x20,
                     kUserData = 0x28, kUser64 = 0x30, kTssSelector = 0x38, kAbsent = 0x48,
                     kGate = 0x50, kTss2Selector = 0x60, kCode16 = 0x70;

// What engines are made with; `--translate` makes host code of everything.
inline Engine::Options engine_options;
inline void take_options(int count, char** values) {
  if (count > 1 && strcmp(values[1], "--translate") == 0) engine_options.warm = 0;
}

struct Rig {
  static constexpr u64 kRamBytes = 16 << 20;
  u8* ram;
  Engine engine;
  State s;

  Rig() : ram(fresh_ram()), engine(ram, kRamBytes, engine_options) {
    engine.reset();
    engine.get_state(s);
  }
  ~Rig() { munmap(ram, kRamBytes); }
  Rig(const Rig&) = delete;

  // Mapped, not cleared: a test touches few pages, and there are thousands of rigs.
  static u8* fresh_ram() {
    const int how = MAP_PRIVATE | MAP_ANONYMOUS;
    void* p = mmap(nullptr, kRamBytes, PROT_READ | PROT_WRITE, how, -1, 0);
    if (p == MAP_FAILED) abort();
    return static_cast<u8*>(p);
  }

  template <class T>
  T get(u64 at) const {
    T v;
    memcpy(&v, ram + at, sizeof v);
    return v;
  }
  u64 q(u64 at) const { return get<u64>(at); }
  u32 d(u64 at) const { return get<u32>(at); }
  u16 w(u64 at) const { return get<u16>(at); }
  template <class T>
  void put(u64 at, T v) {
    memcpy(ram + at, &v, sizeof v);
    engine.memory_written(at, sizeof v);
  }
  void load(u64 at, const u8* begin, const u8* end) {
    memcpy(ram + at, begin, size_t(end - begin));
    engine.memory_written(at, u64(end - begin));
  }

  void segment(Seg which, u16 selector, u32 attr, u32 limit = 0xffffffff, u64 base = 0) {
    s.seg[which] = Segment{base, limit, attr, selector, {}};
  }

  void gdt() {
    put<u64>(kGdt + kCode64, 0x00209b0000000000);
    put<u64>(kGdt + kData0, 0x00cf93000000ffff);
    put<u64>(kGdt + kCode32, 0x00cf9b000000ffff);
    put<u64>(kGdt + kUser32, 0x00cffb000000ffff);
    put<u64>(kGdt + kUserData, 0x00cff3000000ffff);
    put<u64>(kGdt + kUser64, 0x0020fb0000000000);
    put<u64>(kGdt + kTssSelector, 0x0000890000000000 | (kTss & 0xffff) << 16 | 0x1ff);
    put<u64>(kGdt + kAbsent, 0x00cf13000000ffff);
    put<u64>(kGdt + kTss2Selector, 0x0000890000000000 | (kTss2 & 0xffff) << 16 | 0x67);
    put<u64>(kGdt + kCode16, 0x00009b000000ffff);
    s.gdt_base = kGdt;
    s.gdt_limit = 0x7f;
  }

  void stubs() {
    memset(ram + kStubs, 0xf4, 0x1000);
    engine.memory_written(kStubs, 0x1000);
    s.idt_base = kIdt;
  }
  u64 stub(u32 vector) const { return kStubs + 16 * vector; }
  void gate64(u32 vector, u8 type_dpl, u8 ist = 0, u16 selector = kCode64) {
    const u64 to = stub(vector);
    put<u64>(kIdt + 16 * vector, (to & 0xffff) | u64{selector} << 16 | u64{ist} << 32 |
                                     u64{type_dpl} << 40 | (to >> 16 & 0xffff) << 48);
    put<u64>(kIdt + 16 * vector + 8, to >> 32);
  }
  void gate32(u32 vector, u8 type_dpl, u16 selector = kCode32) {
    const u64 to = stub(vector);
    put<u64>(kIdt + 8 * vector, (to & 0xffff) | u64{selector} << 16 | u64{type_dpl} << 40 |
                                    (to >> 16 & 0xffff) << 48);
  }

  // Identity map of the first 2 MiB in 4 KiB pages and of 1 GiB in 2 MiB pages, all for users.
  void map() {
    put<u64>(kPml4, kPdpt | 7);
    put<u64>(kPdpt, kPd | 7);
    put<u64>(kPd, kPt | 7);
    for (u64 n = 1; n < 512; ++n) put<u64>(kPd + 8 * n, n << 21 | 0x87);
    for (u64 n = 0; n < 512; ++n) put<u64>(kPt + 8 * n, n << 12 | 7);
  }

  void flat(u16 code, u32 code_attr, u16 data) {
    segment(CS, code, code_attr);
    for (const Seg which : {SS, DS, ES, FS, GS}) {
      segment(which, data, data & 3 ? 0xc0f3 : 0xc093);
    }
  }

  // 64-bit mode at `rip`, CPL 0 or 3, interrupts off.
  void long_mode(u64 rip, u8 cpl = 0) {
    gdt();
    stubs();
    map();
    for (u32 v = 0; v < 256; ++v) gate64(v, 0x8e);
    s.idt_limit = 0xfff;
    s.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
    s.cr3 = kPml4;
    s.cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR;
    s.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    if (cpl == 0) flat(kCode64, 0xa09b, kData0);
    else flat(kUser64 | 3, 0xa0fb, kUserData | 3);
    s.tr = Segment{kTss, 0x1ff, 0x8b, kTssSelector, {}};
    put<u64>(kTss + 4, kRsp0);
    put<u64>(kTss + 36, kIst1);
    put<u16>(kTss + 0x66, 0x200);  // beyond the limit: no port for CPL 3
    start(rip, cpl);
  }

  // Flat 32-bit protected mode without paging.
  void protected32(u64 rip, u8 cpl = 0) {
    gdt();
    stubs();
    for (u32 v = 0; v < 256; ++v) gate32(v, 0x8e);
    s.idt_limit = 0x7ff;
    s.cr0 = CR0_PE | CR0_ET | CR0_NE;
    if (cpl == 0) flat(kCode32, 0xc09b, kData0);
    else flat(kUser32 | 3, 0xc0fb, kUserData | 3);
    s.tr = Segment{kTss, 0x1ff, 0x8b, kTssSelector, {}};
    put<u32>(kTss + 4, u32(kRsp0));
    put<u32>(kTss + 8, kData0);
    put<u16>(kTss + 0x66, 0x200);
    start(rip, cpl);
  }

  void start(u64 rip, u8 cpl) {
    s.rip = rip;
    s.gpr[RSP] = cpl == 3 ? kUserStack : kStack;
    s.rflags = 2;
  }

  Exit run(u64 count = 100000) {
    const char* refused = engine.set_state(s);
    if (refused) printf("%s: state refused: %s\n", running, refused), ++failures;
    return go(count);
  }
  // In slices if asked, each of them ended by a save and a restore if asked.
  Exit go(u64 count = 100000) {
    const u64 end = engine.icount() + count;
    Exit reason;
    do {
      const u64 stop = engine.icount() + slice.instructions;
      reason = engine.run(slice.instructions == 0 || stop > end ? end : stop).reason;
      engine.get_state(s);
      if (slice.restore && reason == Exit::Limit) engine.set_state(s);
    } while (reason == Exit::Limit && engine.icount() < end);
    return reason;
  }
  // The vector whose stub halted, or -1.
  int halted_in() const {
    const u64 at = s.rip - 1;
    return s.halted && at >= kStubs && at < kStubs + 0x1000 ? int(at - kStubs) / 16 : -1;
  }
};

using TestFn = void (*)();
struct Test {
  const char* name;
  TestFn fn;
};
inline void run_tests(std::initializer_list<Test> tests) {
  for (const Test& t : tests) {
    running = t.name;
    t.fn();
  }
}

void long_tests();
void call_tests();
void legacy_tests();
void real_tests();
void task_tests();
void debug_tests();
void control_tests();
void table_tests();

}  // namespace twinstep::soft::test
