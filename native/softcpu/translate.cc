// Blocks to host code: which instructions, where host code is entered and left, how blocks are joined.
#include "translate.h"

#include "translate-unit.h"

namespace twinstep::soft::translate {

namespace {

// A block needs less (64 instructions of some 200 bytes).
constexpr size_t kRoomBytes = 64 << 10;
// Coming back from the interpreter loads all registers: not for fewer instructions than this.
constexpr u32 kRunMin = 3;

const Insn* chain_from_code(Cpu& c, const Insn* i) { return chain(c, i); }
const Insn* enter_from_code(Cpu& c, const Block* b) { return enter(c, b); }

// The first handler of a block that is not translated yet.
const Insn* count_entry(Cpu& c, const Insn* i) {
  Block* b = block_of(i);
  Core& k = core_of(c);
  if (!k.translator->is_warm(b)) return b->first(c, i);
  k.translator->translate(k, b);
  if (!k.translator->full()) return go(c, i);
  c.s.icount -= b->count;
  return leave(c, b->rip);
}

void spill(Emitter& e) {
  for (u8 n = 0; n < 16; ++n) {
    if (is_pinned(n)) e.store(8, gpr_field(n), kPins[n]);
  }
  e.store(8, field(kStateAt + offsetof(State, icount)), kPosition);
}

void reload(Emitter& e) {
  for (u8 n = 0; n < 16; ++n) {
    if (is_pinned(n)) e.load(8, kPins[n], gpr_field(n));
  }
  e.load(8, kPosition, field(kStateAt + offsetof(State, icount)));
}

}  // namespace

// ---- the translator -----------------------------------------------------------------------------

Translator::Translator(u32 warm) : warm_(warm) {
  if (why_not() == nullptr) clear();
}

void Translator::clear() {
  memory_.clear();
  hot_.start(memory_.writable(memory_.hot()), memory_.hot());
  cold_.start(memory_.writable(memory_.cold()), memory_.cold());
  slots_used_ = 0;
  full_ = false;
  make_stubs();
  serialise();
}

void Translator::make_stubs() {
  Emitter& e = cold_;
  const auto call = [&](auto* function) {
    e.constant(hAX, reinterpret_cast<u64>(function));
    e.jump_through(Place::reg(hAX));
  };
  stubs_.interpret = e.here();
  spill(e);
  e.jump_through(Place::at(hSI, offsetof(Insn, fn)));
  stubs_.interpret_by = e.here();
  spill(e);
  e.jump_through(Place::reg(hAX));
  stubs_.chain = e.here();
  spill(e);
  call(chain_from_code);
  stubs_.enter_cold = e.here();
  spill(e);
  call(enter_from_code);
  stubs_.jump_cold = e.here();
  spill(e);
  call(jump_cold);
  stubs_.leave = e.here();
  spill(e);
  e.alu(4, aluXor, hAX, Place::reg(hAX));
  e.store(8, field(offsetof(Cpu, cur)), hAX);
  e.byte(0xc3);
}

bool Translator::has_room() const {
  const u8* hot_end = memory_.hot() + CodeMemory::kHotBytes;
  const u8* cold_end = memory_.cold() + CodeMemory::kColdBytes;
  return hot_.here() + kRoomBytes < hot_end && cold_.here() + kRoomBytes < cold_end &&
         (slots_used_ + 2) * sizeof(ExitSlot) <= CodeMemory::kSlotBytes;
}

void Translator::adopt(Core& k, Block* b) {
  b->code = stubs_.enter_cold;
  if (b->count == 0) return;
  b->insn[0].fn = count_entry;
  if (warm_ == 0) translate(k, b);
}

void Translator::translate(Core& k, Block* b) {
  if (!has_room()) {
    full_ = true;
    return;
  }
  b->insn[0].fn = b->first;
  if (k.cpu.code_bits != 64) return;
  Unit unit(*this, k, *b);
  if (!unit.run()) return;
  serialise();
  for (const Link* l = b->incoming; l != nullptr; l = l->next) link(l->from, b);
  for (const Insn* i = b->insn + b->count - 1; i < b->insn + b->total; ++i) {
    if ((i->flow & kHasLink) && i->disp != 0) link(i, reinterpret_cast<const Block*>(i->disp));
  }
}

static u32 slot_of(const Insn* i) { return i->flow & kPseudo ? 1 : 0; }

void Translator::lead(const Insn* from, const u8* to, u64 physical) {
  const u32 n = slot_of(from);
  const Translation& t = *block_of(from)->translation;
  if (t.jump[n] == nullptr) return;
  t.slots[n].physical = physical;
  const i32 by = static_cast<i32>(to - (t.jump[n] + 4));
  memcpy(memory_.writable(t.jump[n]), &by, 4);
  serialise();
}

void Translator::link(const Insn* from, const Block* to) {
  if (block_of(from)->translation == nullptr || to->translation == nullptr) return;
  lead(from, to->code, to->page);
}

void Translator::unlink(const Insn* from) {
  const Translation* t = block_of(from)->translation;
  if (t != nullptr) lead(from, t->unlinked[slot_of(from)], kNoPage);
}

// ---- one block ----------------------------------------------------------------------------------

Plan plan_of(const Insn& i) {
  if (!(i.flags & kLong)) return {};
  for (const auto ask : {plan_alu, plan_move, plan_flow, plan_stack, plan_shift, plan_muldiv, plan_bit,
                         plan_system, plan_simd, plan_byte}) {
    const Plan p = ask(i);
    if (p.emit != nullptr) return p;
  }
  return {};
}

// Runs too short to come back for are left out, then flags are followed from the end to the beginning.
void Unit::plan_all() {
  u32 run = 0;
  for (u32 n = 0; n < b.count; ++n) {
    plans_[n] = plan_of(b.insn[n]);
    if (plans_[n].emit != nullptr) {
      ++run;
      continue;
    }
    if (run < kRunMin && run < n) {
      for (u32 back = n - run; back < n; ++back) plans_[back] = {};
    }
    run = 0;
  }
  bool simd = false, is_float = false;
  for (u32 n = 0; n < b.count; ++n) {
    Plan& p = plans_[n];
    if (p.emit == nullptr) simd = is_float = false;
    p.leaves |= (p.simd != Simd::None && !simd) || (p.simd == Simd::Float && !is_float);
    simd |= p.simd != Simd::None;
    is_float |= p.simd == Simd::Float;
  }
  live_before_[b.count] = fAll;
  for (u32 n = b.count; n-- > 0;) {
    const Plan& p = plans_[n];
    const u8 after = live_before_[n + 1];
    const bool all = p.emit == nullptr || p.leaves;
    live_before_[n] = all ? u8{fAll} : static_cast<u8>((after & ~p.writes) | p.reads);
  }
}

bool Unit::run() {
  plan_all();
  bool any = false;
  for (u32 n = 0; n < b.count; ++n) any |= plans_[n].emit != nullptr;
  if (!any) return false;
  slots_ = t.memory_.slots() + t.slots_used_;
  t.slots_used_ += 2;
  begin();
  bool reached = true;  // host code runs on to here
  for (at = 0; at < b.count; ++at) {
    const Insn& i = b.insn[at];
    live = live_before_[at];
    live_after = live_before_[at + 1];
    leave_stub_ = nullptr;
    if (plans_[at].emit == nullptr) {
      if (reached) interpret_run();
      reached = false;
      continue;
    }
    if (!reached || at == 0) {
      entries_[at] = e.here();
      host = 0;
      mem = fAll;
      simd_ready = float_ready = false;
      window_.is_open = false;
      reached = true;
    }
    if (const u32 many = emit_stack_run(*this)) {
      at += many - 1;
      continue;
    }
    plans_[at].emit(*this, i);
  }
  if (reached && !plans_[b.count - 1].ends) {
    leave_stub_ = nullptr;
    exit_through(b.insn[b.count], 1);
  }
  emit_entries();
  return true;
}

// Entered over a link: the block's instructions are counted, or it is left before them.
void Unit::begin() {
  body = e.here();
  e.alu_constant(8, aluAdd, Place::reg(kPosition), b.count);
  e.alu(8, aluCmp, kPosition, field(offsetof(Cpu, stop_at)));
  e.jump_if(ccA, cold.here());
  cold.alu_constant(8, aluSub, Place::reg(kPosition), b.count);
  cold.constant(hAX, b.rip);
  cold.store(8, field(kStateAt + offsetof(State, rip)), hAX);
  cold.jump(t.stubs_.leave);
}

void Unit::interpret_run() {
  save(fAll);
  merge_float(e);
  e.constant(hSI, reinterpret_cast<u64>(&b.insn[at]));
  e.jump(t.stubs_.interpret);
}

// This instruction may be an entry, so its handler is named.
const u8* Unit::leave_stub() {
  if (leave_stub_ != nullptr) return leave_stub_;
  leave_stub_ = cold.here();
  merge_float(cold);
  cold.constant(hSI, reinterpret_cast<u64>(&b.insn[at]));
  cold.constant(hAX, reinterpret_cast<u64>(b.insn[at].fn));
  cold.jump(t.stubs_.interpret_by);
  return leave_stub_;
}

void Unit::leave_if(u8 cc) { e.jump_if(cc, leave_stub()); }

void Unit::emit_entries() {
  Translation* made = static_cast<Translation*>(
      k.arena.take(sizeof(Translation) + b.total * sizeof(Handler)));
  made->slots = slots_;
  for (u32 n = 0; n < b.total; ++n) made->original[n] = b.insn[n].fn;
  for (u32 n = 0; n < 2; ++n) {
    made->unlinked[n] = unlinked_[n];
    made->jump[n] = jumps_[n];
    slots_[n] = {kNoPage};
  }
  for (u32 n = 0; n < b.count; ++n) {
    if (entries_[n] == nullptr) continue;
    b.insn[n].fn = reinterpret_cast<Handler>(reinterpret_cast<u64>(cold.here()));
    reload(cold);
    cold.jump(entries_[n]);
  }
  b.translation = made;
  b.code = body;
}

// ---- ends ---------------------------------------------------------------------------------------

// Over the direct branch `way`, to what is linked there. Another page's translation is checked on the way, as
// in chain().
void Unit::exit_through(const Insn& way, u32 slot) {
  save(fAll);
  merge_float(e);
  if (way.imm == b.rip && b.page2 == kNoPage) return e.jump(body);
  unlinked_[slot] = cold.here();
  cold.constant(hSI, reinterpret_cast<u64>(&way));
  cold.jump(t.stubs_.chain);
  const u64 page = way.imm & kPageMask;
  if (page != (b.linear & kPageMask)) {
    const i32 entry = static_cast<i32>((way.imm >> 12 & (kExecEntries - 1)) * sizeof(ExecEntry));
    const i32 tag = entry + static_cast<i32>(offsetof(ExecEntry, tag));
    e.load(8, hAX, field(offsetof(Cpu, exec)));
    if (fits32(static_cast<i64>(page))) {
      e.alu_constant(8, aluCmp, Place::at(hAX, tag), static_cast<i64>(page));
    } else {
      e.constant(hSI, page);
      e.alu(8, aluCmp, hSI, Place::at(hAX, tag));
    }
    e.jump_if(ccNE, unlinked_[slot]);
    e.load(8, hSI, Place::of(&slots_[slot].physical));
    e.alu(8, aluCmp, hSI, Place::at(hAX, entry + static_cast<i32>(offsetof(ExecEntry, physical))));
    e.jump_if(ccNE, unlinked_[slot]);
  }
  jumps_[slot] = e.here() + 1;
  e.jump(unlinked_[slot]);
}

// As jump_to(): the jump cache, then the block's page as fetches see it now.
void Unit::jump_to_target() {
  const u8* miss = t.stubs_.jump_cold;
  static_assert(offsetof(Block, page) == offsetof(Block, linear_page) + 8);
  static_assert(offsetof(Block, linear_page) % 16 == 0);
  static_assert(offsetof(ExecEntry, physical) == 8 && kJumpEntries == 1 << 14);
  merge_float(e);
  e.store(8, field(kStateAt + offsetof(State, rip)), hAX);
  e.load(8, hSI, Place::reg(hAX));
  e.shift(8, 5, Place::reg(hSI), 12);
  e.alu(4, aluXor, hSI, Place::reg(hAX));
  e.alu_constant(4, aluAnd, Place::reg(hSI), kJumpEntries - 1);
  Place slot = field(offsetof(Cpu, jump));
  slot.index = hSI;
  slot.scale = 3;
  e.load(8, hSI, slot);
  e.insn(8, op0(0x85), hSI, Place::reg(hSI));
  e.jump_if(ccE, miss);
  e.alu(8, aluCmp, hAX, Place::at(hSI, offsetof(Block, rip)));
  e.jump_if(ccNE, miss);
  e.alu_constant(4, aluCmp, Place::at(hSI, offsetof(Block, code_key)), b.code_key);
  e.jump_if(ccNE, miss);
  e.load(4, hAX, Place::at(hSI, offsetof(Block, exec_at)));
  e.alu(8, aluAdd, hAX, field(offsetof(Cpu, exec)));
  e.insn(4, {0xf3, 1, 0x6f}, 0, Place::at(hAX, 0));                                // MOVDQU
  e.insn(4, {0x66, 1, 0x74}, 0, Place::at(hSI, offsetof(Block, linear_page)));     // PCMPEQB
  e.insn(4, {0x66, 1, 0xd7}, hAX, Place::reg(0));                                  // PMOVMSKB
  e.alu_constant(4, aluCmp, Place::reg(hAX), 0xffff);
  e.jump_if(ccNE, miss);
  e.jump_through(Place::at(hSI, offsetof(Block, code)));
}

}  // namespace twinstep::soft::translate
