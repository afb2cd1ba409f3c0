// One block on its way to host code: what the families of translations share.
//
// Registers. rDI is the Cpu, r15 the position, rAX and rSI are free within an instruction; the rest hold
// guest registers (kPins), those that find no room stay in Cpu::s. A translation changes no guest register
// before the last point at which it may still leave the instruction to the interpreter.
//
// Flags live in the host's FLAGS where an instruction left them (`host`), in Cpu::host_flags (`mem`), or
// both; what is written nowhere is dead. `kind` says how FLAGS become host_flags.
#pragma once

#include "alu.h"
#include "core.h"
#include "ops.h"
#include "translate.h"

namespace twinstep::soft::translate {

// ---- registers ----------------------------------------------------------------------------------

inline constexpr u8 kPins[16] = {h8,  hCX,     hDX,     hBX,     h9,  hBP, h10,     h11,
                                 h12, kNoHost, kNoHost, kNoHost, h13, h14, kNoHost, kNoHost};
inline constexpr u8 kCpu = hDI, kPosition = h15;
inline bool is_pinned(u8 guest) { return kPins[guest] != kNoHost; }

inline constexpr i32 kStateAt = offsetof(Cpu, s);
inline Place field(size_t at) { return Place::at(kCpu, static_cast<i64>(at)); }
inline Place gpr_field(u8 guest) { return field(kStateAt + offsetof(State, gpr) + 8u * guest); }
inline Place place(u8 guest) { return is_pinned(guest) ? Place::reg(kPins[guest]) : gpr_field(guest); }

// ---- flags --------------------------------------------------------------------------------------

enum FlagMask : u8 { fC = 1, fP = 2, fA = 4, fZ = 8, fS = 16, fO = 32, fAll = 63 };
// What the host's FLAGS stand for after an instruction; flags not named are zero, or unchanged in memory.
enum class FlagKind : u8 {
  Full,      // all six as they are
  Logic,     // AF zero
  ShiftOne,  // AF zero
  Shift,     // AF and OF zero
  ShiftLeft, // AF zero, OF = CF xor SF
  Carry,     // only CF
  Multiply,  // CF and OF, the others zero
  Scan,      // ZF, the others zero
};
u8 flags_of(u8 condition);  // that a condition reads

// ---- plans --------------------------------------------------------------------------------------

enum class Simd : u8 { None, Plain, Float };

struct Unit;
using Emit = void (*)(Unit&, const Insn&);
// How an instruction is translated (emit; nullptr: not at all), and what that means for flags: which it
// reads, which it writes in any case; `leaves`: it may be left to the interpreter, which wants all of them.
struct Plan {
  Emit emit = nullptr;
  u8 reads = 0, writes = 0;
  bool leaves = false, ends = false;
  Simd simd = Simd::None;  // the first in a run of host code may leave
};
Plan plan_of(const Insn& i);
Plan plan_alu(const Insn& i);
Plan plan_move(const Insn& i);
Plan plan_shift(const Insn& i);
Plan plan_muldiv(const Insn& i);
Plan plan_bit(const Insn& i);
Plan plan_stack(const Insn& i);
Plan plan_flow(const Insn& i);
Plan plan_system(const Insn& i);
Plan plan_simd(const Insn& i);
Plan plan_byte(const Insn& i);
// A run of pushes or pops at u.at as one; how many, or 0.
u32 emit_stack_run(Unit& u);

// ---- what plans ask about an instruction ----------------------------------------------------------

inline u32 size_of(const Insn& i, bool byte) { return byte ? 1 : i.op_bits / 8; }
// Not AH, CH, DH, BH (translate-byte.cc).
inline bool is_low(u8 at) { return (at & 7) == 0; }
// A memory operand whose address is formed as in 64-bit mode.
inline bool is_plain_address(const Insn& i) { return (i.flags & kLong) && i.addr_bits == 64; }
// r/m is something translations can reach.
inline bool reaches_rm(const Insn& i, bool byte) {
  return has_memory(i) ? is_plain_address(i) : !byte || is_low(i.rm_at);
}

// ---- the unit -----------------------------------------------------------------------------------

struct Unit {
  Unit(Translator& translator, Core& core, Block& block)
      : t(translator), k(core), b(block), e(translator.hot_), cold(translator.cold_) {}

  bool run();

  // Flags.
  void save(u8 need);              // makes host_flags right for these
  void clobber() { save(live); host = 0; }      // before host instructions that spoil FLAGS
  void set(FlagKind kind, u8 valid, u8 written = fAll);
  void need_carry();               // CF in FLAGS
  u8 condition(u8 cc);             // makes FLAGS answer cc; returns the condition to ask for
  void load_flags();

  // Registers.
  u8 use(u8 guest, u8 scratch);    // a host register with its value
  // f(Place) changes a register in place.
  template <class F>
  void update(u8 guest, u32 bytes, F f) {
    const Place p = place(guest);
    if (p.is_register || bytes != 4) return f(p);
    e.load(8, hAX, p);
    f(Place::reg(hAX));
    e.store(8, p, hAX);
  }
  // f(host register) writes a register that was not read. Of 8 and 16 bits the rest is kept.
  template <class F>
  void define(u8 guest, u32 bytes, F f) {
    if (is_pinned(guest)) return f(kPins[guest]);
    if (bytes < 4) e.load(8, hAX, gpr_field(guest));
    f(hAX);
    e.store(8, gpr_field(guest), hAX);
  }

  // Memory: the host place of an operand; misses go to the interpreter. Spoils rAX, FLAGS; the place
  // may use rSI.
  Place lookup(const Insn& i, u32 bytes, bool write);
  Place lookup_stack(i32 disp, u32 bytes, bool write);
  void move_stack(i64 by);
  // Before a lookup that may come without a comparison: flags in FLAGS that will be wanted otherwise.
  void settle(u8 wanted) {
    if (wanted & ~host) clobber();
  }

  // SIMD (translate-simd.cc).
  void ready_simd(bool is_float);
  void merge_float(Emitter& to);
  bool simd_ready = false, float_ready = false;

  // Leaves this instruction to the interpreter if the condition holds.
  void leave_if(u8 cc);
  // Ends of the block.
  void exit_through(const Insn& way, u32 slot);
  void jump_to_target();           // the target's rip is in rAX

  Translator& t;
  Core& k;
  Block& b;
  Emitter& e;
  Emitter& cold;
  u32 at = 0;                      // index of the instruction
  u8 live = fAll;                  // flags still wanted before it, after it
  u8 live_after = fAll;
  u8 host = 0, mem = fAll;
  FlagKind kind = FlagKind::Full;
  const u8* body = nullptr;        // where linked blocks jump to

 private:
  void plan_all();
  void begin();
  void interpret_run();
  void emit_entries();
  void emit_entry(u32 index, const u8* target);
  const u8* leave_stub();
  Place lookup_direct(const Place& p, u32 bytes, bool write, u8 guest_base);
  Place lookup_constant(u64 address, u32 bytes, bool write);
  Place lookup_computed(const Insn& i, u32 bytes, bool write);

  void widen(u8 base, i32& low, i32& high, bool& write) const;
  bool in_window(const Place& p, u32 bytes, bool write) const;

  // What rSI is good for since the last lookup: offsets from a base register (translate-access.cc).
  struct Window {
    bool is_open = false, write = false;
    u8 base = kNoHost;
    i32 low = 0, high = 0;
  } window_;
  Plan plans_[kBlockInsnsMax + 1];
  u8 live_before_[kBlockInsnsMax + 2];
  const u8* entries_[kBlockInsnsMax + 1] = {};
  const u8* leave_stub_ = nullptr;  // of the instruction at `at`
  const u8* unlinked_[2] = {};
  const u8* jumps_[2] = {};
  ExitSlot* slots_ = nullptr;
};

}  // namespace twinstep::soft::translate
