// Inside the making of cases: random state, placed operands, prepared registers.
#pragma once

#include "oracle.h"

namespace twinstep::soft::oracle {

// The address sanitizer keeps its shadow right above the lowest 2 GiB, where a 32-bit case would
// reach it: wild addresses become the hole, and the stack pointer is not made to fit an operand.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kShadowed = true;
#else
inline constexpr bool kShadowed = false;
#endif

void random_bytes(Random& r, u8* at, size_t bytes);
void random_fx(Random& r, const Entry& e, Fx& fx);

// A linear address for an operand of `bytes` bytes: mostly data, sometimes page ends and holes.
u64 choose_target(Random& r, u32 bytes, bool aligned);
// Writes into whatever of the data pages lies at a linear address.
void store_memory(Memory& memory, u64 at, u64 v);
void store_bytes(Memory& memory, u64 at, const u8* from, u32 bytes);
void place_data(Random& r, Data data, u64 at, u32 bytes, Memory& memory);

// Registers and memory the instruction uses without naming them.
void prepare_implicit(Random& r, const Entry& e, Case& c, Memory& memory);

}  // namespace twinstep::soft::oracle
