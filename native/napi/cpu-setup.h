// What a boot protocol asks of a processor: CpuSetup of native/index.ts, read with every field checked.
#pragma once

#include <napi.h>

#include <optional>

#include "softcpu/cpu.h"

namespace twinstep::napi {

// What the boot protocol asks for, to be laid over a power-on state.
struct CpuSetup {
  uint64_t gpr[8], rip, rflags, cr0, cr3, cr4, efer, gdt_base;
  uint32_t gdt_limit;
  soft::Segment cs, data;
  std::optional<soft::Segment> task;
};

// Throws a TypeError or RangeError that names the field.
CpuSetup read_setup(const Napi::Object& from);
void apply(const CpuSetup& from, soft::State& to);

}  // namespace twinstep::napi
