// Hardware task switches of 32-bit protected mode (long mode has none).
//
// Two contexts, two kinds of fault. Until the new TSS is read whole and the old one written, a
// fault belongs to the old task and is raised as usual. Then the registers of the new task are in
// place, and what its selectors do wrong is its own fault: delivered here, with its CS:EIP.
// The T bit becomes a #DB at the boundary before the first instruction of the new task (SDM 17.3.1.5).
//
// Sources: SDM vol. 3A 7.2 (TSS), 7.3 (steps, table 7-1), 7.4 (linking), 7.6 (16-bit TSS).
#include "core.h"
#include "sys.h"

namespace twinstep::soft {

namespace {

struct Layout {
  u32 size, word, ip, registers, segments, segment_count, ldt;
};
constexpr Layout kTss32Layout{0x68, 4, 0x20, 0x28, 0x48, 6, 0x60};
constexpr Layout kTss16Layout{0x2c, 2, 0x0e, 0x12, 0x22, 4, 0x2a};
constexpr u32 kCr3At = 0x1c, kTrapAt = 0x64;

const Layout& layout_of(u32 attr) { return attr & 8 ? kTss32Layout : kTss16Layout; }

struct Task {
  u64 cr3 = 0, ip = 0, flags = 0;
  bool traps = false;
  u64 gpr[8] = {};
  u16 selector[kSegCount] = {};
  u16 ldt = 0;
};

u32 load_word(Cpu& c, u64 base, u32 at, u32 bytes) {
  const u64 linear = u32(base + at);
  return bytes == 4 ? read_as<u32>(c, linear, Priv::Supervisor)
                    : read_as<u16>(c, linear, Priv::Supervisor);
}

void store_word(Cpu& c, u64 base, u32 at, u32 bytes, u64 value) {
  const u64 linear = u32(base + at);
  if (bytes == 4) write_as<u32>(c, linear, u32(value), Priv::Supervisor);
  else write_as<u16>(c, linear, u16(value), Priv::Supervisor);
}

Task load_task(Cpu& c, const Segment& tss) {
  const Layout& l = layout_of(tss.attr);
  Task t;
  if (l.word == 4) {
    t.cr3 = load_word(c, tss.base, kCr3At, 4);
    t.traps = load_word(c, tss.base, kTrapAt, 2) & 1;
  }
  t.ip = load_word(c, tss.base, l.ip, l.word);
  t.flags = load_word(c, tss.base, l.ip + l.word, l.word);
  for (u32 n = 0; n < 8; ++n) {
    t.gpr[n] = load_word(c, tss.base, l.registers + n * l.word, l.word) | (l.word == 2 ? 0xffff0000 : 0);
  }
  for (u32 n = 0; n < l.segment_count; ++n) {
    t.selector[n] = u16(load_word(c, tss.base, l.segments + n * l.word, 2));
  }
  t.ldt = u16(load_word(c, tss.base, l.ldt, 2));
  return t;
}

void save_task(Cpu& c, u64 flags) {
  const Segment& tss = c.s.tr;
  const Layout& l = layout_of(tss.attr);
  if (!in_limit(tss, 0, l.size)) raise_error(TS, error_of(tss.selector));
  store_word(c, tss.base, l.ip, l.word, c.s.rip);
  store_word(c, tss.base, l.ip + l.word, l.word, flags);
  for (u32 n = 0; n < 8; ++n) {
    store_word(c, tss.base, l.registers + n * l.word, l.word, c.s.gpr[n]);
  }
  for (u32 n = 0; n < l.segment_count; ++n) {
    store_word(c, tss.base, l.segments + n * l.word, 2, c.s.seg[n].selector);
  }
}

// SDM table 7-1: the checks on the TSS descriptor, before anything changes.
Descriptor target_tss(Cpu& c, u16 selector, TaskSource source) {
  const bool iret = source == TaskSource::iret;
  const u8 vector = iret ? TS : GP;
  const u32 error = error_of(selector);
  if (null_selector(selector) || (selector & 4)) raise_error(vector, error);
  const Descriptor d = fetch_descriptor(c, selector, vector);
  const u8 type = d.type();
  const bool good = iret ? type == kTss16Busy || type == kTss32Busy
                         : type == kTss16 || type == kTss32;
  if (!d.system() || !good) raise_error(vector, error);
  if (!d.present()) raise_error(NP, error);
  if (d.limit() < layout_of(d.attr()).size - 1) raise_error(TS, error);
  return d;
}

// ---- in the new task ---------------------------------------------------------------------------
void load_ldt(Cpu& c, u16 selector) {
  if (null_selector(selector)) return;
  const u32 error = error_of(selector);
  Descriptor d;
  if ((selector & 4) || !find_descriptor(c, selector, d)) raise_error(TS, error);
  if (!d.system() || d.type() != kLdt || !d.present()) raise_error(TS, error);
  c.s.ldtr = make_segment(selector, d);
}

void load_code(Cpu& c, u16 selector) {
  const u32 error = error_of(selector);
  const u8 rpl = selector & 3;
  if (null_selector(selector)) raise_error(TS, error);
  const Descriptor d = fetch_descriptor(c, selector, TS);
  if (!d.code() || (d.conforming() ? d.dpl() > rpl : d.dpl() != rpl)) raise_error(TS, error);
  if (!d.present()) raise_error(NP, error);
  set_descriptor_bit(c, d, kAttrAccessed, true);
  c.s.seg[CS] = make_segment(selector, d);
}

// The only differences to MOV: wrong privilege or type is #TS.
Segment task_data(Cpu& c, u16 selector) {
  try {
    return data_segment(c, selector);
  } catch (GuestFault& f) {
    if (f.vector == GP) f.vector = TS;
    throw;
  }
}

void load_segments(Cpu& c, const Task& t) {
  load_ldt(c, t.ldt);
  if (t.flags & VM) {
    for (u32 n = 0; n < kSegCount; ++n) c.s.seg[n] = v86_segment(t.selector[n]);
    return;
  }
  const u8 cpl = t.selector[CS] & 3;
  c.s.seg[SS] = null_segment(t.selector[SS], cpl);
  update_mode(c);
  c.s.seg[SS] = stack_segment(c, t.selector[SS], cpl, TS);
  update_mode(c);  // from here on a fault finds a stack
  for (const Seg which : {ES, DS, FS, GS}) c.s.seg[which] = task_data(c, t.selector[which]);
  load_code(c, t.selector[CS]);
  update_mode(c);
}

void enter_task(Cpu& c, const Task& t, u32 word, bool has_error, u32 error) {
  load_segments(c, t);
  check_target(c.s, c.s.seg[CS], t.ip);
  if (!has_error) return;
  StackWriter w(c);
  w.push(error, word);
  w.check();
  set_sp(c.s, w.write(), mask_of(c.stack_bits));
}

void commit_registers(Cpu& c, const Task& t, bool nested) {
  for (u32 n = 0; n < 8; ++n) c.s.gpr[n] = t.gpr[n];
  for (u32 n = 0; n < kSegCount; ++n) c.s.seg[n] = null_segment(t.selector[n]);
  c.s.ldtr = null_segment(t.ldt);
  c.s.rip = t.ip;
  set_rflags(c, (t.flags & 0x3f7fd7) | (nested ? u64{NT} : 0));
  c.s.cr0 |= CR0_TS;
  c.s.dr7 &= ~u64{0x155};  // L0 to L3, LE: local breakpoints belong to the old task
  update_mode(c);
}

}  // namespace

void task_switch(Cpu& c, u16 selector, TaskSource source, bool has_error, u32 error) {
  const bool nested = source == TaskSource::call || source == TaskSource::gate_event;
  const bool iret = source == TaskSource::iret;
  const Descriptor d = target_tss(c, selector, source);
  Segment tss = make_segment(selector, d);
  const Layout& l = layout_of(tss.attr);
  const Task t = load_task(c, tss);
  const u16 old_selector = c.s.tr.selector;
  Descriptor old;
  const bool old_named = find_descriptor(c, old_selector, old);
  save_task(c, get_rflags(c) & ~(iret ? u64{NT} : 0));
  if (nested) store_word(c, tss.base, 0, 2, old_selector);
  if (!nested && old_named) set_descriptor_bit(c, old, 2, false);
  if (!iret) set_descriptor_bit(c, d, 2, true);

  tss.attr |= 2;
  c.s.tr = tss;
  const bool new_tables = l.word == 4 && (c.s.cr0 & CR0_PG);
  if (new_tables) c.s.cr3 = t.cr3;
  commit_registers(c, t, nested);
  try {
    enter_task(c, t, l.word, has_error, error);
    if (t.traps) c.s.debug_pending |= kPendingTask;
  } catch (GuestFault& f) {
    if (source == TaskSource::gate_event && f.has_error && f.vector != PFV) f.error |= 1;
    deliver_fault(c, f);
  } catch (const EngineExit&) {
    shut_down(c);
  }
}

}  // namespace twinstep::soft
