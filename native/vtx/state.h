// The state of a vCPU, between the software engine's own form (soft::State, which checkpoints hold)
// and the structures of KVM.
#pragma once

#include "softcpu/cpu.h"
#include "vtx/kvm.h"

namespace twinstep::vtx {

// What ordinary instructions need and change. `stepping` gives the hardware an interrupt table
// without entries: whatever would go through it ends the run instead (steps.cc says why).
void load_registers(Kvm& kvm, const soft::State& from);
void load_system(Kvm& kvm, const soft::State& from, bool stepping);
void load_floating(Kvm& kvm, const soft::State& from);
// All of it: also MSRs, debug registers, XCR0 and pending events.
void load_all(Kvm& kvm, const soft::State& from);

void take_registers(const kvm_regs& from, soft::State& to);
void save_system(Kvm& kvm, soft::State& to);
void save_registers(Kvm& kvm, soft::State& to);
void save_floating(Kvm& kvm, soft::State& to);
// Everything KVM holds; what it does not (icount, TSC, random numbers, MTRRs) is left as it is.
void save_all(Kvm& kvm, soft::State& to);

// KVM was interrupted while it delivered something: a state that cannot be saved.
bool is_delivering(Kvm& kvm);

// MSRs the guest reaches without an exit, in a free run.
bool is_fast_msr(u32 index);

// The guest model's CPUID, as KVM is to show it. `hides`: leaves out what the guest would use
// without the engine noticing (README.md has the table).
struct Hidden {
  bool tsc = false;     // TSC, RDTSCP, invariant TSC, leaves 15h and 16h
  bool random = false;  // RDRAND, RDSEED
  bool xsave = false;   // what an image says to be in use depends on history
};
void load_cpuid(Kvm& kvm, Hidden hidden);

}  // namespace twinstep::vtx
