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
// Uses SSE or MMX registers.
bool is_floating(const soft::Insn& i);
// May change how addresses are translated without CR3 showing it.
bool changes_translation(const soft::Insn& i);
// A string instruction with a repeat prefix: one step is one iteration.
bool is_repeated(const soft::Insn& i);
// What BR_INST_RETIRED.CONDITIONAL counts: Jcc, LOOP, JrCXZ.
bool is_conditional_branch(const soft::Insn& i);
// Leaves to user space in a free run, and so counts there: ports, HLT, RDTSC, RDTSCP, RDMSR, WRMSR.
bool always_exits(const soft::Insn& i);

}  // namespace twinstep::vtx
