// The translator: warm blocks as host code, mixed with the interpreter by the instruction.
//
// A translation is a second way to run a block's instructions, never another meaning: where host code may be
// entered, `Insn::fn` leads into it; what it cannot do itself (no translation, a TLB miss, a fault, a device)
// it leaves to the interpreter's handler of that very Insn, whose `next` comes back the same way.
// TRANSLATE.md tells the whole.
#pragma once

#include "block.h"
#include "translate-emit.h"
#include "translate-memory.h"

// Runs handlers, and translations behind them, until one returns nullptr. C++ exceptions pass through.
extern "C" void twinstep_soft_execute(twinstep::soft::Cpu* c, const twinstep::soft::Insn* i);

namespace twinstep::soft {

// What belongs to a translated block, in the arena beside it.
struct Translation {
  translate::ExitSlot* slots;  // [0] the branch, [1] the way on behind the block
  const u8* unlinked[2];       // where those lead to while nothing is linked
  const u8* jump[2];           // the 32 bits of the jump there; nullptr: leads to the block itself
  Handler original[];          // of every Insn, pseudo ones too
};

// An indirect branch of translated code to State::rip that the jump cache does not know (blocks.cc).
const Insn* jump_cold(Cpu& c);

namespace translate {

void serialise();

class Translator {
 public:
  // A block that was entered so often is translated; 0: as soon as it is decoded.
  explicit Translator(u32 warm);

  const char* why_not() const { return memory_.why_not(); }
  // Code memory is used up: the blocks are dropped at the next boundary, and all translations with them.
  bool full() const { return full_; }

  // Of a block just made: where others jump to while it is cold, and the counting of its entries.
  void adopt(Core& k, Block* b);
  void translate(Core& k, Block* b);
  bool is_warm(Block* b) const { return ++b->entered >= warm_; }
  void link(const Insn* from, const Block* to);
  void unlink(const Insn* from);
  void clear();

  struct Stubs {
    const u8* interpret;        // rSI = Insn: its handler
    const u8* interpret_by;     // rSI = Insn, rAX = handler
    const u8* chain;            // rSI = Insn, a direct branch: as the interpreter goes on from it
    const u8* enter_cold;       // rSI = Block
    const u8* jump_cold;        // to State::rip, which is in no cache
    const u8* leave;            // back to the loop at State::rip
  };

 private:
  friend struct Unit;
  void lead(const Insn* from, const u8* to, u64 physical);
  void make_stubs();
  bool has_room() const;

  CodeMemory memory_;
  Emitter hot_, cold_;
  Stubs stubs_{};
  size_t slots_used_ = 0;
  u32 warm_;
  bool full_ = false;
};

}  // namespace translate
}  // namespace twinstep::soft
