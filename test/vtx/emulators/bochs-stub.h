// As much of Bochs as cpu/pmu.cc of bochs-pmu.patch needs to be compiled alone (pmu-test.cc).
#pragma once

#include <cstdint>
#include <cstring>

using Bit32s = int32_t;
using Bit32u = uint32_t;
using Bit64s = int64_t;
using Bit64u = uint64_t;
#define BX_CONST64(value) value##ULL

enum {
  BX_MSR_PMC0 = 0xc1,
  BX_MSR_PERFEVTSEL0 = 0x186,
  BX_MSR_PERF_FIXED_CTR0 = 0x309,
  BX_MSR_FIXED_CTR_CTRL = 0x38d,
  BX_MSR_PERF_GLOBAL_CTRL = 0x38f,
};

struct StubApic {
  unsigned delivered = 0;
  void deliver_pmi() { delivered++; }
};
struct StubCpu {
  StubApic* lapic;
};
inline StubApic stub_apic;
inline StubCpu stub_cpu{&stub_apic};
#define BX_CPU(n) (&stub_cpu)

#include "pmu.h"
