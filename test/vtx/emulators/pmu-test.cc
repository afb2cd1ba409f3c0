// The PMU that bochs-pmu.patch gives Bochs, without Bochs: what it counts, when it overflows, how late it says so.
#include <cstdio>
#include <cstdlib>

#include "bochs-stub.h"

namespace {

constexpr Bit32u kSelect = 0x186, kCounter = 0xc1, kFull = 0x4c1, kGlobal = 0x38f, kStatus = 0x38e, kClear = 0x390;
// What native/vtx/branches.cc asks for, as Linux writes it: both privileges, interrupt, enabled.
constexpr Bit64u kBranches = 0x5301c4;
constexpr Bit64u kWidth = (1ULL << 48) - 1;

void expect(Bit64u found, Bit64u wanted, const char* what) {
  if (found == wanted) return;
  std::printf("FAILED: %s is %llx, not %llx\n", what, static_cast<unsigned long long>(found),
              static_cast<unsigned long long>(wanted));
  std::exit(1);
}

void write(Bit32u index, Bit64u value) { expect(bx_pmu.wrmsr(index, value), true, "a write"); }

Bit64u read(Bit32u index) {
  Bit64u value = 0;
  expect(bx_pmu.rdmsr(index, &value), true, "a read");
  return value;
}

void branches(unsigned count, unsigned cpl = 0) {
  while (count-- > 0) bx_pmu.branch(cpl);
}

void counts_what_was_asked() {
  bx_pmu.reset();
  write(kSelect, kBranches);
  branches(5);
  expect(read(kCounter), 0, "a counter that is off globally");
  write(kGlobal, 1);
  branches(5, 0);
  branches(3, 3);
  expect(read(kCounter), 8, "branches in both privileges");
  write(kSelect, kBranches & ~0x20000ULL);
  branches(5, 0);
  branches(3, 3);
  expect(read(kCounter), 11, "branches of ring 3 alone");
  write(kSelect, 0x5300c4);
  branches(5);
  expect(read(kCounter), 11, "another event");
  bx_pmu.set_global_ctrl(0);
  write(kSelect, kBranches);
  branches(5);
  expect(read(kCounter), 11, "a counter that VM exit turned off");
}

void has_registers() {
  bx_pmu.reset();
  write(kCounter + 3, 0xffffff9c);
  expect(read(kCounter + 3), kWidth - 99, "a sign-extended count");
  write(kFull + 3, 0x123456789abcULL);
  Bit64u value = 0;
  expect(bx_pmu.rdpmc(3, &value) && value == 0x123456789abcULL, true, "RDPMC");
  expect(bx_pmu.rdpmc(4, &value), false, "RDPMC of a fifth counter");
  expect(bx_pmu.rdmsr(0x1a0, &value), false, "another MSR");
}

// Many times, as it is late by chance.
void rings_late() {
  bx_pmu.reset();
  write(kSelect, kBranches);
  write(kGlobal, 1);
  unsigned earliest = ~0u, latest = 0;
  for (unsigned round = 0; round < 10'000; round++) {
    const unsigned before = stub_apic.delivered;
    write(kFull, kWidth - 99);
    branches(99);
    expect(read(kStatus), 0, "the status before the overflow");
    branches(1);
    expect(read(kStatus), 1, "the status at the overflow");
    unsigned late = 0;
    for (; stub_apic.delivered == before && late < 100; late++) branches(1);
    expect(read(kCounter), late, "the count behind the overflow");
    write(kClear, 1);
    expect(read(kStatus), 0, "the status that was cleared");
    if (late < earliest) earliest = late;
    if (late > latest) latest = late;
  }
  expect(earliest, 1, "the earliest interrupt");
  expect(latest, 60, "the latest interrupt");
}

void keeps_quiet() {
  bx_pmu.reset();
  const unsigned before = stub_apic.delivered;
  write(kSelect, kBranches & ~0x100000ULL);
  write(kGlobal, 1);
  write(kFull, kWidth);
  branches(200);
  expect(read(kStatus), 1, "the status without an interrupt");
  expect(stub_apic.delivered, before, "interrupts nobody asked for");
  // One that is on its way arrives although the counter is off by then.
  write(kSelect, kBranches);
  write(kFull, kWidth);
  branches(1);
  write(kGlobal, 0);
  branches(60);
  expect(stub_apic.delivered, before + 1, "interrupts of a counter that was turned off");
  branches(200);
  expect(stub_apic.delivered, before + 1, "interrupts of one overflow");
}

}  // namespace

int main() {
  counts_what_was_asked();
  has_registers();
  rings_late();
  keeps_quiet();
}
