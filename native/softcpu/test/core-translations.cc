// Coherent translations: page tables, accessed and dirty bits, RAM beyond 3 GiB.
#include <sys/mman.h>

#include <vector>

#include "core-rig.h"

namespace twinstep::soft::test {

namespace {

GUEST(remap, 64, "mov eax, [rsi]\nmov [rdi], rdx\nmov ebx, [rsi]\nhlt");

// A store into a page table is in force with the next access, without INVLPG.
void remapping() {
  RIG(r, remap);
  r.put<u32>(kData, 1);
  r.put<u32>(kUserStack, 2);
  r.s.gpr[RSI] = kData;
  r.s.gpr[RDI] = kPt + 8 * (kData / 4096);
  r.s.gpr[RDX] = kUserStack | 7;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RAX], 1);
  SAME(r.s.gpr[RBX], 2);
}

// The same for an entry of a higher level: 2 MiB at once.
void remapping_large() {
  RIG(r, remap);
  r.put<u32>(0x400000, 1);
  r.put<u32>(0x600000, 2);
  r.s.gpr[RSI] = 0x400000;
  r.s.gpr[RDI] = kPd + 8 * 2;
  r.s.gpr[RDX] = 0x600087;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RAX], 1);
  SAME(r.s.gpr[RBX], 2);
}

GUEST(unmap_self, 64, "nop\nmov qword ptr [rdi], 0\nnop\nhlt");

// Code that takes its own page away faults at the next instruction.
void unmapping_own_code() {
  RIG(r, unmap_self);
  r.s.gpr[RDI] = kPt + 8 * (kCode / 4096);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), PFV);
  SAME(r.s.cr2, kCode + 8);
  SAME(r.counted(), 3);
}

GUEST(touching, 64, R"(
  mov eax, [rsi]
  mov ebx, [rdi]
  mov [rsi], ebx
  mov byte ptr [rdi], 0x27
  mov eax, [rsi]
  mov ebx, [rdi]
  hlt
)");

// Accessed and dirty bits; cleared by the guest they come back with the next access.
void accessed_and_dirty() {
  RIG(r, touching);
  const u64 entry = kPt + 8 * (kData / 4096);
  r.s.gpr[RSI] = kData;
  r.s.gpr[RDI] = entry;
  const u64 start = r.s.icount;
  CHECK(r.run(2) == Exit::Limit);
  SAME(r.s.gpr[RBX] & 0x60, 0x20);  // read: accessed
  CHECK(r.go(1) == Exit::Limit);
  SAME(r.q(entry) & 0x60, 0x60);
  CHECK(r.go(1) == Exit::Limit);
  SAME(r.q(entry) & 0x60, 0x20);
  SAME(r.engine.icount(), start + 4);
  CHECK(r.go() == Exit::Halt);
  SAME(r.s.gpr[RBX] & 0x60, 0x20);  // only read since
}

GUEST(clear_accessed, 64,
      "mov eax, [rsi]\nmov byte ptr [rdi], 7\nmov eax, [rsi]\nmov ebx, [rdi]\nhlt");

void accessed_again() {
  RIG(r, clear_accessed);
  r.s.gpr[RSI] = kData;
  r.s.gpr[RDI] = kPt + 8 * (kData / 4096);
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RBX] & 0x60, 0x20);
}

GUEST(store, 64, "mov [rdi], eax\nhlt");
GUEST(load, 64, "mov eax, [rdi]\nhlt");
GUEST(jump, 64, "jmp rdi");

struct Fault {
  u64 entry;
  u8 cpl;
  char access;
  int vector;
  u32 error;
};

// Every kind of page fault with its error code (SDM 4.7).
void page_faults() {
  constexpr u64 kNx = u64{1} << 63;
  const Fault kCases[] = {
      {0, 0, 'r', PFV, 0},
      {0, 0, 'w', PFV, 2},
      {0, 3, 'r', PFV, 4},
      {0, 3, 'w', PFV, 6},
      {0, 0, 'x', PFV, 16},
      {0, 3, 'x', PFV, 20},
      {kData | 1, 0, 'w', PFV, 3},
      {kData | 3, 3, 'r', PFV, 5},
      {kData | 5, 3, 'w', PFV, 7},
      {kData | 5, 3, 'r', -1, 0},
      {kData | 7 | kNx, 3, 'x', PFV, 21},
      {kData | 7 | kNx, 0, 'x', PFV, 17},
      {kData | 7 | kNx, 3, 'w', -1, 0},
      {kData | 7 | u64{1} << 45, 0, 'r', PFV, 9},
      {kData | 7 | u64{1} << 45, 3, 'w', PFV, 15},
  };
  for (const Fault& f : kCases) {
    const u8* begin = f.access == 'r' ? guest_load : f.access == 'w' ? guest_store : guest_jump;
    LongRig r(begin, begin + 3, f.cpl);
    if (f.vector < 0 && f.access != 'x') {
      r.put<u8>(r.s.rip + 2, 0xeb);  // nothing to halt by at CPL 3: a loop
      r.put<u8>(r.s.rip + 3, 0xfe);
    }
    r.put<u64>(kPt + 8 * (kData / 4096), f.entry);
    r.s.gpr[RDI] = kData + 8;
    const Exit reason = r.run(100);
    SAME(r.halted_in(), f.vector);
    if (f.vector < 0) continue;
    CHECK(reason == Exit::Halt);
    SAME(r.s.cr2, kData + 8);
    SAME(r.q(r.s.gpr[RSP]), f.error);
  }
}

GUEST(cross, 64, "mov [rdi], rax\nmov rbx, [rdi]\nhlt");

void crossing_pages() {
  RIG(r, cross);
  r.put<u64>(kPt + 8 * (kData / 4096 + 1), 0x80000 | 7);
  r.s.gpr[RDI] = kData + 4093;
  r.s.gpr[RAX] = 0x8877665544332211;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gpr[RBX], 0x8877665544332211);
  SAME(r.d(kData + 4092) >> 8, 0x332211);
  SAME(r.q(0x80000), 0x8877665544);

  RIG(fault, cross);  // the second page is missing: nothing of the first is written
  fault.put<u64>(kPt + 8 * (kData / 4096 + 1), 0);
  fault.s.gpr[RDI] = kData + 4093;
  fault.s.gpr[RAX] = ~u64{0};
  CHECK(fault.run() == Exit::Halt);
  SAME(fault.halted_in(), PFV);
  SAME(fault.s.cr2, kData + 4096);
  SAME(fault.d(kData + 4092), 0);
}

void dirty_pages() {
  RIG(r, store);
  u64 map[64];
  r.engine.take_dirty_pages(map, 64);
  r.s.gpr[RDI] = 0x555000;
  CHECK(r.run() == Exit::Halt);
  r.engine.take_dirty_pages(map, 64);
  SAME(map[0x555 / 64] >> (0x555 % 64) & 1, 1);
  SAME(map[0x444 / 64], 0);
  r.engine.take_dirty_pages(map, 64);
  SAME(map[0x555 / 64], 0);
  r.s.rip = kCode;
  r.s.halted = 0;
  CHECK(r.run() == Exit::Halt);
  r.engine.take_dirty_pages(map, 64);
  SAME(map[0x555 / 64] >> (0x555 % 64) & 1, 1);
}

// RAM beyond 3 GiB appears at 4 GiB: data, code and dirty bits there.
GUEST(high, 64, "mov rax, [rdi]\nmov [rdi+8], rax\njmp rsi");

void high_memory() {
  constexpr u64 kHigh = u64{1} << 32, kBytes = Engine::kLowRamMax + (16 << 20);
  void* p = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return;  // a machine without that much address space
  u8* ram = static_cast<u8*>(p);
  RIG(r, high);
  memcpy(ram, r.ram, Rig::kRamBytes);
  const u64 entry = kHigh | 0x87, value = 0x1122334455667788;
  memcpy(ram + kPd + 8 * 100, &entry, 8);
  memcpy(ram + Engine::kLowRamMax + 0x2000, &value, 8);
  ram[Engine::kLowRamMax + 0x5000] = 0xf4;
  {
    Engine engine(ram, kBytes);
    std::vector<u64> map((kBytes >> 18) + 1);
    engine.take_dirty_pages(map.data(), map.size());
    r.s.gpr[RDI] = (u64{100} << 21) + 0x2000;
    r.s.gpr[RSI] = (u64{100} << 21) + 0x5000;
    CHECK(engine.set_state(r.s) == nullptr);
    CHECK(engine.run(~u64{0}).reason == Exit::Halt);
    SAME(memcmp(ram + Engine::kLowRamMax + 0x2008, &value, 8), 0);
    engine.take_dirty_pages(map.data(), map.size());
    constexpr u64 page = (Engine::kLowRamMax + 0x2000) >> 12;
    SAME(map[page / 64] >> (page % 64) & 1, 1);
  }
  munmap(ram, kBytes);
}

}  // namespace

void run_translations() {
  run_tests({
      {"remapping", remapping},
      {"remapping large", remapping_large},
      {"unmapping own code", unmapping_own_code},
      {"accessed and dirty", accessed_and_dirty},
      {"accessed again", accessed_again},
      {"page faults", page_faults},
      {"crossing pages", crossing_pages},
      {"dirty pages", dirty_pages},
      {"high memory", high_memory},
  });
}

}  // namespace twinstep::soft::test
