// Far jumps and calls: direct, through pointers, through call gates.
//
// Sources: SDM vol. 2 JMP, CALL (the order of the checks is theirs); vol. 3A 5.8 (gates), 20.1.
#include "sys.h"

namespace twinstep::soft {

namespace {

void commit(Cpu& c, const Segment& cs, u64 rip) {
  c.s.seg[CS] = cs;
  c.s.rip = rip;
}

// Real and virtual-8086 mode: no descriptor, no privilege.
Segment plain_code(Cpu& c, u16 selector) {
  return v86(c.s) ? v86_segment(selector) : real_segment(c.s.seg[CS], selector);
}

struct Gate {
  u16 selector;
  u64 offset;
  u32 bits;    // 16, 32, 64: size of what is pushed
  u32 params;  // words or doublewords copied to an inner stack
};

// SDM vol. 2 CALL, CALL-GATE: privilege and presence of the gate itself.
Gate read_gate(Cpu& c, u16 selector, Descriptor d) {
  const u32 error = error_of(selector);
  if (d.dpl() < c.cpl || (selector & 3) > d.dpl()) raise_error(GP, error);
  if (!d.present()) raise_error(NP, error);
  if (long_active(c.s)) {
    fetch_high_half(c, selector, d);
    return {d.gate_selector(), d.gate_offset(), 64, 0};
  }
  const bool big = d.type() == kCallGate32;
  const u64 offset = big ? u32(d.gate_offset()) : d.gate_offset() & 0xffff;
  return {d.gate_selector(), offset, big ? 32u : 16u, u32(d.low >> 32) & 0x1f};
}

// The code segment a gate leads to: everything but whether the privilege may change.
Descriptor gate_target(Cpu& c, const Gate& gate) {
  if (null_selector(gate.selector)) raise_gp0();
  const Descriptor d = fetch_descriptor(c, gate.selector);
  const u32 error = error_of(gate.selector);
  if (!d.code() || d.dpl() > c.cpl) raise_error(GP, error);
  if (long_active(c.s) && (d.attr() & (kAttrLong | kAttrBig)) != kAttrLong) raise_error(GP, error);
  return d;
}

Segment gate_segment(Cpu& c, const Gate& gate, const Descriptor& d, u8 cpl) {
  if (!d.present()) raise_error(NP, error_of(gate.selector));
  set_descriptor_bit(c, d, kAttrAccessed, true);
  return make_segment(u16((gate.selector & ~3) | cpl), d);
}

void jump_gate(Cpu& c, u16 selector, const Descriptor& gate_descriptor) {
  const Gate gate = read_gate(c, selector, gate_descriptor);
  const Descriptor d = gate_target(c, gate);
  if (!d.conforming() && d.dpl() != c.cpl) raise_error(GP, error_of(gate.selector));
  const Segment cs = gate_segment(c, gate, d, c.cpl);
  check_target(c.s, cs, gate.offset);
  commit(c, cs, gate.offset);
}

// CALL, SAME-PRIVILEGE and the direct form: return address on the present stack.
void call_same(Cpu& c, const Segment& cs, u64 rip, u32 bits) {
  StackWriter w(c);
  w.push(c.s.seg[CS].selector, bits / 8);
  w.push(c.s.rip, bits / 8);
  w.check();
  check_target(c.s, cs, rip);
  const u64 sp = w.write();
  set_sp(c.s, sp, mask_of(c.stack_bits));
  commit(c, cs, rip);
}

// CALL, MORE-PRIVILEGE, 16- and 32-bit gates: parameters move to the inner stack.
void call_inner(Cpu& c, const Gate& gate, const Segment& cs, u8 cpl) {
  const InnerStack inner = inner_stack(c, cpl);
  const u32 bytes = gate.bits / 8;
  u64 params[31];
  StackReader old(c);
  for (u32 n = 0; n < gate.params; ++n) params[n] = old.pop(bytes);
  StackWriter w(c, inner.ss, inner.sp, false, cpl, error_of(inner.ss.selector));
  w.push(c.s.seg[SS].selector, bytes);
  w.push(c.s.gpr[RSP], bytes);
  for (u32 n = gate.params; n > 0; --n) w.push(params[n - 1], bytes);
  w.push(c.s.seg[CS].selector, bytes);
  w.push(c.s.rip, bytes);
  w.check();
  check_target(c.s, cs, gate.offset);
  const u64 sp = w.write();
  c.s.seg[SS] = inner.ss;
  c.s.gpr[RSP] = u32(sp);
  commit(c, cs, gate.offset);
}

// The same in long mode: SS becomes null with RPL = new CPL.
void call_inner_long(Cpu& c, const Gate& gate, const Segment& cs, u8 cpl) {
  const Segment ss = null_segment(cpl, cpl);
  StackWriter w(c, ss, inner_stack_long(c, cpl), true, cpl, 0);
  w.push(c.s.seg[SS].selector, 8);
  w.push(c.s.gpr[RSP], 8);
  w.push(c.s.seg[CS].selector, 8);
  w.push(c.s.rip, 8);
  w.check();
  check_target(c.s, cs, gate.offset);
  const u64 sp = w.write();
  c.s.seg[SS] = ss;
  c.s.gpr[RSP] = sp;
  commit(c, cs, gate.offset);
}

// A call through a 64-bit gate from compatibility mode pushes on the 64-bit stack it leads to.
void call_same_long(Cpu& c, const Gate& gate, const Segment& cs) {
  StackWriter w(c, c.s.seg[SS], c.s.gpr[RSP], true, c.cpl, 0);
  w.push(c.s.seg[CS].selector, 8);
  w.push(c.s.rip, 8);
  w.check();
  check_target(c.s, cs, gate.offset);
  const u64 sp = w.write();
  c.s.gpr[RSP] = sp;
  commit(c, cs, gate.offset);
}

void call_gate(Cpu& c, u16 selector, const Descriptor& gate_descriptor) {
  const Gate gate = read_gate(c, selector, gate_descriptor);
  const Descriptor d = gate_target(c, gate);
  const bool inner = !d.conforming() && d.dpl() < c.cpl;
  const u8 cpl = inner ? d.dpl() : c.cpl;
  const Segment cs = gate_segment(c, gate, d, cpl);
  if (inner) {
    if (gate.bits == 64) call_inner_long(c, gate, cs, cpl);
    else call_inner(c, gate, cs, cpl);
  } else if (gate.bits == 64) {
    call_same_long(c, gate, cs);
  } else {
    call_same(c, cs, gate.offset, gate.bits);
  }
}

// Call gates, task gates and TSSs: what a far transfer to a system descriptor means.
void system_target(Cpu& c, u16 selector, const Descriptor& d, bool call) {
  const u32 error = error_of(selector);
  const u8 type = d.type();
  const bool wide = long_active(c.s);
  if (type == kCallGate32 || (type == kCallGate16 && !wide)) {
    if (call) call_gate(c, selector, d);
    else jump_gate(c, selector, d);
    return;
  }
  if (wide) raise_error(GP, error);
  const TaskSource source = call ? TaskSource::call : TaskSource::jump;
  if (type == kTaskGate || type == kTss16 || type == kTss32) {
    if (d.dpl() < c.cpl || (selector & 3) > d.dpl()) raise_error(GP, error);
    if (!d.present()) raise_error(NP, error);
    task_switch(c, type == kTaskGate ? d.gate_selector() : selector, source, false, 0);
    return;
  }
  raise_error(GP, error);
}

// ---- instructions ------------------------------------------------------------------------------
void jump_pointer(Cpu& c, const Insn& i) {
  const FarPointer p = read_pointer(c, i);
  far_jump(c, p.selector, p.offset, i.op_bits);
}

void call_pointer(Cpu& c, const Insn& i) {
  const FarPointer p = read_pointer(c, i);
  far_call(c, p.selector, p.offset, i.op_bits);
}

// The decoder leaves ptr16:16 and ptr16:32 as offset and, from bit 32, selector.
void jump_immediate(Cpu& c, const Insn& i) {
  far_jump(c, u16(i.imm >> 32), u32(i.imm), i.op_bits);
}

void call_immediate(Cpu& c, const Insn& i) {
  far_call(c, u16(i.imm >> 32), u32(i.imm), i.op_bits);
}

void return_far(Cpu& c, const Insn& i) {
  far_return(c, i.op_bits, i.opcode == 0xca ? u16(i.imm) : 0);
}

void iret(Cpu& c, const Insn& i) { interrupt_return(c, i.op_bits); }

void int3(Cpu& c, const Insn&) { software_interrupt(c, BP, EventKind::software); }
// The one interrupt that drops a #DB which a MOV SS before it held back (SDM 26.7.3).
void int1(Cpu& c, const Insn&) {
  software_interrupt(c, DB, EventKind::privileged);
  c.s.debug_pending = 0;
}

void into(Cpu& c, const Insn&) {
  if (status_flags(c) & OF) software_interrupt(c, OFV, EventKind::software);
}

// SDM 20.3: in virtual-8086 mode without VME, INT n needs IOPL 3.
void int_n(Cpu& c, const Insn& i) {
  if (v86(c.s) && iopl(c.s) < 3) raise_gp0();
  software_interrupt(c, u8(i.imm), EventKind::software);
}

}  // namespace

FarPointer read_pointer(Cpu& c, const Insn& i) {
  const u32 bytes = i.op_bits / 8;
  const u64 at = operand(c, i, bytes, false), then = operand_part(c, i, bytes, 2, false);
  FarPointer p;
  if (bytes == 2) p.offset = read<u16>(c, at);
  else if (bytes == 4) p.offset = read<u32>(c, at);
  else p.offset = read<u64>(c, at);
  p.selector = read<u16>(c, then);
  return p;
}

void far_jump(Cpu& c, u16 selector, u64 offset, u32 bits) {
  const u64 rip = offset & mask_of(bits);
  if (!protected_mode(c.s)) {
    const Segment cs = plain_code(c, selector);
    check_target(c.s, cs, rip);
    commit(c, cs, rip);
    return;
  }
  if (null_selector(selector)) raise_gp0();
  const Descriptor d = fetch_descriptor(c, selector);
  if (d.system()) {
    system_target(c, selector, d, false);
    return;
  }
  const Segment cs = code_segment_direct(c, selector, d);
  check_target(c.s, cs, rip);
  commit(c, cs, rip);
}

void far_call(Cpu& c, u16 selector, u64 offset, u32 bits) {
  const u64 rip = offset & mask_of(bits);
  if (!protected_mode(c.s)) {
    call_same(c, plain_code(c, selector), rip, bits);
    return;
  }
  if (null_selector(selector)) raise_gp0();
  const Descriptor d = fetch_descriptor(c, selector);
  if (d.system()) {
    system_target(c, selector, d, true);
    return;
  }
  call_same(c, code_segment_direct(c, selector, d), rip, bits);
}

Handler select_far(const Insn& i) {
  if (i.map != 0) return nullptr;
  const bool legacy = !(i.flags & kLong);
  switch (i.opcode) {
    case 0x9a: return legacy ? step_flow<call_immediate> : nullptr;
    case 0xea: return legacy ? step_flow<jump_immediate> : nullptr;
    case 0xca:
    case 0xcb: return step_flow<return_far>;
    case 0xcc: return step_flow<int3>;
    case 0xcd: return step_flow<int_n>;
    case 0xce: return legacy ? step_flow<into> : nullptr;
    case 0xcf: return step_flow<iret>;
    case 0xf1: return step_flow<int1>;
    case 0xff:
      if (is_register(i)) return nullptr;
      if (group(i) == 3) return step_flow<call_pointer>;
      return group(i) == 5 ? step_flow<jump_pointer> : nullptr;
    default: return nullptr;
  }
}

}  // namespace twinstep::soft
