// Decoded blocks and how execution moves through them.
//
// A block is a run of instructions on one page, decoded once. Handlers call the next handler as a
// sibling call, so control runs through a block and over direct links into the next without coming
// back to the loop. Positions stay exact at no cost an instruction: entering a block adds its whole
// count to s.icount, and whoever leaves early (fault, exit, stop) takes back what did not retire.
#pragma once

#include <cstddef>

#include "cpu.h"

namespace twinstep::soft {

struct Link {
  Insn* from;
  Link* next;
};

inline constexpr u64 kNoPage = ~u64{0};
inline constexpr u32 kBlockInsnsMax = 64;

struct Translation;

struct Block {
  u64 rip;          // of the first instruction, relative to CS
  u64 linear;       // rip + CS base
  u64 linear_page;  // of `linear`; with `page` what an ExecEntry must say
  u64 page;         // physical page of the first byte
  u64 page2;      // of the last byte, where one instruction straddles two pages, else kNoPage
  u32 code_key;   // mode it was decoded in
  u32 count;      // instructions that count
  u32 bytes;
  u16 total;      // with pseudo instructions
  bool dead;      // dropped; kept until the arena is emptied
  bool scratch;   // a cut copy, never linked
  Link* incoming;
  Block* hash_next;
  Block* page_next;   // on `page`
  Block* page2_next;  // on `page2`
  Handler first;      // the interpreter's of insn[0], which may lead elsewhere
  const u8* code;     // where translated code jumps to, with an engine that translates
  Translation* translation;
  u32 entered;        // while it is not translated
  u32 exec_at;        // bytes from Cpu::exec to its entry
  Insn insn[];
};

inline Block* block_of(const Insn* i) {
  const Insn* first = i - i->index_in_block;
  return reinterpret_cast<Block*>(reinterpret_cast<uintptr_t>(first) - offsetof(Block, insn));
}
inline u64 rip_of(const Insn* i) { return block_of(i)->rip + i->offset; }

// Sibling calls keep the stack flat only when optimised without instrumentation; -O1 must be told.
#pragma GCC optimize("optimize-sibling-calls")
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(TWINSTEP_NO_THREADING)
inline constexpr bool kThreaded = true;
#else
inline constexpr bool kThreaded = false;
#endif

inline const Insn* go(Cpu& c, const Insn* i) {
  if constexpr (kThreaded) {
    return i->fn(c, i);
  } else {
    (void)c;
    return i;
  }
}
inline const Insn* next(Cpu& c, const Insn* i) { return go(c, i + 1); }

// Back to the run loop, at a boundary.
inline const Insn* leave(Cpu& c, u64 rip) {
  c.s.rip = rip;
  c.cur = nullptr;
  return nullptr;
}

inline const Insn* enter(Cpu& c, const Block* b) {
  const u64 after = c.s.icount + b->count;
  if (__builtin_expect(after > c.stop_at.load(std::memory_order_relaxed), 0)) {
    return leave(c, b->rip);
  }
  c.s.icount = after;
  return go(c, b->insn);
}

// Whether fetches through b's linear page reach b's physical page under the present rights.
inline bool maps(const Cpu& c, const Block* b) {
  const ExecEntry& e = c.exec[(b->linear >> 12) & (kExecEntries - 1)];
  return e.tag == b->linear_page && e.physical == b->page;
}

// Direct branches keep their target rip in `imm` and the linked block in `disp`. One that leads beyond the
// CS limit has this handler: if taken, it faults itself.
const Insn* branch_astray(Cpu& c, const Insn* i);
const Insn* chain_cold(Cpu& c, const Insn* i);
// The page of `b` is not in the cache of fetches, or another one is.
const Insn* chain_far(Cpu& c, const Block* b);
inline const Insn* chain(Cpu& c, const Insn* i) {
  const Block* b = reinterpret_cast<const Block*>(i->disp);
  if (__builtin_expect(b == nullptr, 0)) return chain_cold(c, i);
  if ((i->flow & kFarLink) && !maps(c, b)) return chain_far(c, b);
  return enter(c, b);
}

inline u32 jump_slot(u64 rip) { return (rip ^ (rip >> 12)) & (kJumpEntries - 1); }

// Indirect branches. `rip` is already cut to the operand size.
inline const Insn* jump_to(Cpu& c, u64 rip) {
  const Block* b = c.jump[jump_slot(rip)];
  if (__builtin_expect(b != nullptr && b->rip == rip && b->code_key == c.code_key, 1)) {
    return __builtin_expect(maps(c, b), 1) ? enter(c, b) : chain_far(c, b);
  }
  return leave(c, rip);
}

}  // namespace twinstep::soft
