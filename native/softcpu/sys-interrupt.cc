// Interrupts and exceptions: from a vector to the first instruction of its handler.
//
// `enter` does one transfer and raises whatever goes wrong on the way; nothing but memory below the
// new stack pointer has changed then. `deliver` turns such faults into the next event: serially, as
// a double fault, or as shutdown (SDM table 6-5).
//
// Sources: SDM vol. 3A chapter 6 (6.8.3 shadow, 6.12 protected mode, 6.13 error codes, 6.14 64-bit
// mode, 6.15 #DF), 17.2-17.3 (debug), 20.1.4 (real mode), 20.3 (V86); vol. 2 INT n.
#include "core.h"
#include "sys.h"

namespace twinstep::soft {

namespace {

struct Event {
  u8 vector;
  EventKind kind;
  bool has_error = false;
  u32 error = 0;
  bool resume = false;  // RF in the pushed image
};

// SDM 6.13: EXT tells that the event was not asked for by the program.
u32 ext_of(const Event& e) { return e.kind == EventKind::software ? 0 : 1; }

u64 flags_image(Cpu& c, const Event& e) { return get_rflags(c) | (e.resume ? u64{RF} : 0); }

void take_flags(Cpu& c, bool clear_if, u64 also) {
  const u64 off = TF | RF | also | (clear_if ? u64{IF} : 0);
  c.s.rflags &= ~off;
}

// ---- real mode ---------------------------------------------------------------------------------
// SDM 20.1.4. No error codes; the table has a limit.
void enter_real(Cpu& c, const Event& e) {
  const u32 at = e.vector * 4u;
  if (at + 3 > c.s.idt_limit) raise_error(GP, at * 2 + 2);
  const u32 entry = read_as<u32>(c, u32(c.s.idt_base + at), Priv::Supervisor);
  const Segment cs = real_segment(c.s.seg[CS], u16(entry >> 16));
  StackWriter w(c);
  w.push(flags_image(c, e), 2);
  w.push(c.s.seg[CS].selector, 2);
  w.push(c.s.rip, 2);
  w.check();
  check_target(c.s, cs, entry & 0xffff);
  const u64 sp = w.write();
  set_sp(c.s, sp, mask_of(c.stack_bits));
  c.s.seg[CS] = cs;
  c.s.rip = entry & 0xffff;
  take_flags(c, true, AC);
}

// ---- protected mode ----------------------------------------------------------------------------
struct Gate {
  u8 type;
  u8 ist;
  u16 selector;
  u64 offset;
};

// The gate and its own checks (SDM vol. 2 INT n, PROTECTED-MODE and IA-32e-MODE).
Gate read_gate(Cpu& c, const Event& e) {
  const bool wide = long_active(c.s);
  const u32 error = e.vector * 8u + 2;
  const u32 size = wide ? 16 : 8;
  const u32 at = e.vector * size;
  if (at + size - 1 > c.s.idt_limit) raise_error(GP, error);
  const u64 linear = wide ? c.s.idt_base + at : u32(c.s.idt_base + at);
  Descriptor d;
  d.low = read_as<u64>(c, linear, Priv::Supervisor);
  if (wide) d.high = u32(read_as<u64>(c, linear + 8, Priv::Supervisor));
  const u32 legacy = 1u << kTaskGate | 1u << kIntGate16 | 1u << kTrapGate16;
  const u32 good = 1u << kIntGate32 | 1u << kTrapGate32 | (wide ? 0 : legacy);
  if (!d.system() || !(good >> d.type() & 1)) raise_error(GP, error);
  if (e.kind == EventKind::software && d.dpl() < c.cpl) raise_error(GP, error);
  if (!d.present()) raise_error(NP, error);
  const bool big = d.type() & 8;
  const u8 ist = wide ? u8(d.low >> 32) & 7 : 0;
  const u64 offset = wide ? d.gate_offset() : big ? u32(d.gate_offset()) : d.gate_offset() & 0xffff;
  return {d.type(), ist, d.gate_selector(), offset};
}

struct Target {
  Segment cs;
  u8 cpl;
};

// The code segment of the handler: present, not of lesser privilege, 64-bit in long mode.
Target handler_segment(Cpu& c, u16 selector) {
  if (null_selector(selector)) raise_gp0();
  const Descriptor d = fetch_descriptor(c, selector);
  const u32 error = error_of(selector);
  if (!d.code() || d.dpl() > c.cpl) raise_error(GP, error);
  if (long_active(c.s) && (d.attr() & (kAttrLong | kAttrBig)) != kAttrLong) raise_error(GP, error);
  if (!d.present()) raise_error(NP, error);
  const u8 cpl = d.conforming() ? c.cpl : d.dpl();
  if (v86(c.s) && cpl != 0) raise_error(GP, error);
  set_descriptor_bit(c, d, kAttrAccessed, true);
  return {make_segment(u16((selector & ~3) | cpl), d), cpl};
}

void push_frame(Cpu& c, StackWriter& w, const Event& e, u32 bytes, bool with_stack) {
  if (with_stack) {
    w.push(c.s.seg[SS].selector, bytes);
    w.push(c.s.gpr[RSP], bytes);
  }
  w.push(flags_image(c, e), bytes);
  w.push(c.s.seg[CS].selector, bytes);
  w.push(c.s.rip, bytes);
  if (e.has_error) w.push(e.error, bytes);
}

void enter_outer_to_inner(Cpu& c, const Event& e, const Gate& gate, const Target& h) {
  const bool from_v86 = v86(c.s);
  const u32 bytes = gate.type & 8 ? 4 : 2;
  const InnerStack inner = inner_stack(c, h.cpl);
  StackWriter w(c, inner.ss, inner.sp, false, h.cpl, error_of(inner.ss.selector));
  if (from_v86) {
    for (const Seg which : {GS, FS, DS, ES}) w.push(c.s.seg[which].selector, bytes);
  }
  push_frame(c, w, e, bytes, true);
  w.check();
  check_target(c.s, h.cs, gate.offset);
  const u64 sp = w.write();
  if (from_v86) {
    for (const Seg which : {GS, FS, DS, ES}) c.s.seg[which] = null_segment(0);
  }
  c.s.seg[SS] = inner.ss;
  c.s.gpr[RSP] = u32(sp);
}

void enter_same(Cpu& c, const Event& e, const Gate& gate, const Target& h) {
  StackWriter w(c);
  push_frame(c, w, e, gate.type & 8 ? 4 : 2, false);
  w.check();
  check_target(c.s, h.cs, gate.offset);
  const u64 sp = w.write();
  set_sp(c.s, sp, mask_of(c.stack_bits));
}

// SDM 6.14.2-6.14.5: the frame is always five quadwords, on a stack aligned to 16 bytes.
void enter_long(Cpu& c, const Event& e, const Gate& gate, const Target& h) {
  const bool inner = h.cpl < c.cpl;
  u64 sp = c.s.gpr[RSP];
  if (gate.ist) sp = inner_stack_long(c, 2u + gate.ist);
  else if (inner) sp = inner_stack_long(c, h.cpl);
  const Segment ss = inner ? null_segment(h.cpl, h.cpl) : c.s.seg[SS];
  StackWriter w(c, ss, sp & ~u64{15}, true, h.cpl, 0);
  push_frame(c, w, e, 8, true);
  w.check();
  check_target(c.s, h.cs, gate.offset);
  sp = w.write();
  c.s.seg[SS] = ss;
  c.s.gpr[RSP] = sp;
}

void enter_protected(Cpu& c, const Event& e) {
  const Gate gate = read_gate(c, e);
  if (gate.type == kTaskGate) {
    task_switch(c, gate.selector, TaskSource::gate_event, e.has_error, e.error);
    return;
  }
  const Target h = handler_segment(c, gate.selector);
  if (long_active(c.s)) enter_long(c, e, gate, h);
  else if (h.cpl < c.cpl) enter_outer_to_inner(c, e, gate, h);
  else enter_same(c, e, gate, h);
  c.s.seg[CS] = h.cs;
  c.s.rip = gate.offset;
  const bool interrupt_gate = !(gate.type & 1);
  take_flags(c, interrupt_gate, NT | VM);
}

bool contributory(u8 vector) {
  return vector == DE || (vector >= TS && vector <= GP);
}

// One transfer. Faults met on the way say whether the event was external (EXT).
void enter(Cpu& c, const Event& e) {
  try {
    if (real_mode(c.s)) enter_real(c, e);
    else enter_protected(c, e);
  } catch (GuestFault& f) {
    if (contributory(f.vector) && f.has_error) f.error |= ext_of(e);
    throw;
  }
  const bool debug = e.kind == EventKind::exception || e.kind == EventKind::privileged;
  if (e.vector == DB && debug) c.s.dr7 &= ~u64{1 << 13};  // GD
}

// ---- what follows from a fault on the way (SDM 6.15, interrupt 8) ------------------------------
enum class Fate { serial, double_fault, shutdown };

Fate combine(const Event& first, u8 second) {
  if (first.kind != EventKind::exception) return Fate::serial;
  if (first.vector == DF_) return Fate::shutdown;
  if (contributory(first.vector) && contributory(second)) return Fate::double_fault;
  if (first.vector == PFV && (contributory(second) || second == PFV)) return Fate::double_fault;
  return Fate::serial;
}

void deliver(Cpu& c, Event e) {
  const Insn* const cur = c.cur;
  c.cur = nullptr;  // faults on the way are not the instruction's
  c.s.debug_pending = 0;
  for (;;) {
    try {
      enter(c, e);
      break;
    } catch (const GuestFault& f) {
      const Fate fate = combine(e, f.vector);
      if (fate == Fate::shutdown) {
        c.s.in_shutdown = 1;
        break;
      }
      e = {f.vector, EventKind::exception, f.has_error, f.error, true};
      if (fate == Fate::double_fault) e = {DF_, EventKind::exception, true, 0, false};
    } catch (const EngineExit&) {
      shut_down(c);
      break;
    }
  }
  c.s.halted = 0;
  c.resume_at = ~u64{0};
  c.cur = cur;
  clear_shadow(c);
  update_mode(c);
}

}  // namespace

void shut_down(Cpu& c) {
  core_of(c).waiting = false;
  c.s.in_shutdown = 1;
}

void software_interrupt(Cpu& c, u8 vector, EventKind kind) { enter(c, {vector, kind}); }

// A fault drops a #DB that MOV SS held back (SDM 26.7.3).
// SDM 17.3.1.1: faults push RF set, so that the instruction restarts past its breakpoint; the abort
// #DF does not. A #DB that arrives here is a general detect, with DR6 already set.
void deliver_fault(Cpu& c, const GuestFault& f) {
  const bool resume = f.vector != DF_;
  deliver(c, {f.vector, EventKind::exception, f.has_error, f.error, resume});
}

void deliver_interrupt(Cpu& c, u8 vector) { deliver(c, {vector, EventKind::hardware}); }

// SDM 6.7.1: further NMIs wait for IRET.
void deliver_nmi(Cpu& c) {
  c.s.nmi_blocked = 1;
  deliver(c, {NMI, EventKind::hardware});
}

void deliver_debug(Cpu& c, u64 dr6_bits) {
  note_debug(c.s, dr6_bits);
  deliver(c, {DB, EventKind::exception});
}

void deliver_debug_fault(Cpu& c, u64 dr6_bits) { deliver_debug(c, dr6_bits); }

}  // namespace twinstep::soft
