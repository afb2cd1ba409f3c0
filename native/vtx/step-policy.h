// Which instructions the hardware may execute in a single step.
//
// Ordinary is what computes the same on every processor that KVM runs on, and shows nothing of the
// single step. The rest runs on the software engine: what looks at or changes RFLAGS.TF and IF,
// events, privilege, segments and control registers; the time and random numbers; ports; and whatever
// the manuals leave open (native/softcpu/QUIRKS.md), so that steps end in the same state everywhere.
#pragma once

#include "softcpu/cpu.h"

namespace twinstep::vtx {

bool is_ordinary(const soft::Insn& i);
// What a step may do that stands for a piece of a free run: also what the manuals leave open, x87 and CPUID, where
// this host's own answer is the right one, as the rest of the run gives it.
bool is_steppable(const soft::Insn& i);
// Uses x87, SSE or MMX registers.
bool is_floating(const soft::Insn& i);
// May change how addresses are translated without CR3 showing it.
bool changes_translation(const soft::Insn& i);
// A string instruction that writes memory at ES:RDI.
bool stores_string(const soft::Insn& i);
// A string instruction with a repeat prefix: one step is one iteration.
bool is_repeated(const soft::Insn& i);
// One that ends when rCX is used up and for no other reason but a fault; and how often it is done.
bool is_plain_repeat(const soft::Insn& i);
uint64_t iterations_of(const soft::Insn& i, uint64_t rcx);
// What BR_INST_RETIRED.CONDITIONAL counts: Jcc, LOOP, JrCXZ.
bool is_conditional_branch(const soft::Insn& i);
// Leaves to user space in a free run, and so counts there: ports, HLT, RDTSC, RDTSCP, RDMSR, WRMSR.
bool always_exits(const soft::Insn& i);

}  // namespace twinstep::vtx
