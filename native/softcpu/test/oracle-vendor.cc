// Where processors of Intel and AMD differ, and both are right. The engine does as AMD does (QUIRKS.md); on an
// Intel host these cases are left open, each as narrow as it can be told: only what faults, or is written, at the
// named edge.
#include <cpuid.h>

#include <algorithm>

#include "oracle.h"

namespace twinstep::soft::oracle {
namespace {

bool is_memory_fault(u8 v) { return v == PFV || v == ACV || v == GP || v == SSV; }

bool uses_stack(const Case& c) {
  const Entry& e = *c.entry;
  return e.kind == Kind::stack || e.family == Family::stack || e.kind == Kind::ret || e.kind == Kind::call ||
         e.kind == Kind::enter || e.kind == Kind::leave || e.kind == Kind::popf;
}

bool near_end(u64 address, u64 end) { return address >= end - 64 && address < end + 64; }

// An operand over the end of a segment of 4 GiB "may or may not" fault for it (SDM 3A 5.3), and one over the end of the
// canonical addresses may be misaligned first.
bool over_the_end(const Case& c, const Snapshot& cpu, const Snapshot& engine) {
  if (!is_memory_fault(cpu.vector) || !is_memory_fault(engine.vector)) return false;
  const u64 end = c.bits == 32 ? u64{1} << 32 : u64{1} << 47;
  const u64 mask = c.bits == 32 ? 0xffffffff : ~u64{0};
  for (const u64 at : {c.target, c.in.gpr[4] & mask, c.in.gpr[5] & mask, c.in.gpr[6] & mask, c.in.gpr[7] & mask}) {
    if (near_end(at, end)) return true;
    if (c.bits == 32 && at < 64 && uses_stack(c)) return true;
  }
  return false;
}

// A string instruction that faults midway, or counts in 32 bits, leaves registers and flags of its own.
bool string_leaves(const Case& c, const Snapshot& cpu) {
  const bool repeats = c.entry->family == Family::string;
  return repeats && (cpu.vector != kNoFault || c.address32);
}

}  // namespace

bool host_is_intel() {
  unsigned a = 0, b = 0, d = 0, k = 0;
  return __get_cpuid(0, &a, &b, &k, &d) != 0 && b == signature_INTEL_ebx;
}

bool vendors_differ(const Case& c, const Snapshot& cpu, const Snapshot& engine) {
  const Entry& e = *c.entry;
  if (over_the_end(c, cpu, engine) || string_leaves(c, cpu)) return true;
  const bool faults = cpu.vector != kNoFault || engine.vector != kNoFault;
  // Unaligned moves of 16 bytes are no matter of #AC there.
  if (engine.vector == ACV && cpu.vector != ACV && (e.family == Family::sse || e.family == Family::ssefp)) return true;
  // Selectors are pushed as 16 bits, the rest of the slot stays; a 16-bit MOVSXD reads 16 bits; F3 41 90 is a NOP.
  if (e.name == "push sreg") {
    // The two bytes may fit where the slot is misaligned, or has no page.
    const bool is_slot = engine.vector == ACV || engine.vector == PFV;
    return is_slot || (cpu.vector == engine.vector && cpu.gpr[4] == engine.gpr[4]);
  }
  if (e.name == "movsxd" && c.op_bits == 16) return true;
  const bool has_f3 = std::find(c.code, c.code + c.length, 0xf3) != c.code + c.length;
  if (e.name == "xchg a,r" && has_f3) return true;
  // Which comes first: the bounds or the second of them, a branch to nowhere or its return address, an exception of the
  // x87 or the operand's, MMX state or the store.
  if (e.name == "bound" || (e.name.starts_with("call") && faults)) return true;
  if ((e.family == Family::x87 || e.family == Family::transcend || e.family == Family::mmx) && faults) return true;
  // What is tiny and not masked; and the last place of a logarithm near a power of two.
  const bool tiny = (c.in.fx.control & 0x10) == 0;
  if (tiny && (e.family == Family::transcend || e.name.starts_with("fprem"))) return true;
  if (e.name == "fyl2x") return true;
  // Of two NaNs, which is kept by a sum of sums.
  return e.name.starts_with("dpp");
}

}  // namespace twinstep::soft::oracle
