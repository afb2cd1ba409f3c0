// Control: FLDCW FNSTCW FNSTSW FNCLEX FNINIT, environment and state in 16- and 32-bit layouts,
// WAIT.
//
// FIP, FCS, FDP, FDS and FOP are held and moved but never set by an instruction (QUIRKS.md): models
// differ in when they do, and kernels only carry them along. SDM vol. 1 8.1.8-8.1.10.
#include "x87.h"

namespace twinstep::soft::x87 {
namespace {

u16 sanitize_control(u16 v) { return static_cast<u16>((v & kControlWritable) | kControlFixed); }

void load_control(Cpu& c, const Insn& i) {
  enter(c);
  const u16 v = read<u16>(c, operand(c, i, 2, false));
  c.s.fpu.control = sanitize_control(v);
  update_summary(c.s.fpu);
}
void store_control(Cpu& c, const Insn& i) {
  enter_no_wait(c);
  write<u16>(c, operand(c, i, 2, true), c.s.fpu.control);
}
void store_status(Cpu& c, const Insn& i) {
  enter_no_wait(c);
  write<u16>(c, operand(c, i, 2, true), c.s.fpu.status);
}
void store_status_ax(Cpu& c, const Insn&) {
  enter_no_wait(c);
  c.s.gpr[RAX] = (c.s.gpr[RAX] & ~u64{0xffff}) | c.s.fpu.status;
}
void clear_exceptions(Cpu& c, const Insn&) {
  enter_no_wait(c);
  c.s.fpu.status &= 0x7f00;
}
void initialize(Cpu& c, const Insn&) {
  enter_no_wait(c);
  init(c.s.fpu);
}
void nothing_no_wait(Cpu& c, const Insn&) { enter_no_wait(c); }
void nothing(Cpu& c, const Insn&) { enter(c); }

void wait(Cpu& c, const Insn&) {
  if ((c.s.cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)) raise(NM);
  if ((c.s.fpu.status & kES) && (c.s.cr0 & CR0_NE)) raise(MF);
}

// ---- environment --------------------------------------------------------------------------------
// Real and virtual-8086 mode keep 20-bit linear addresses instead of selector and offset.
bool linear_layout(const Cpu& c) { return !(c.s.cr0 & CR0_PE) || (c.s.rflags & VM); }

u32 environment_bytes(const Insn& i) { return i.op_bits == 16 ? 14 : 28; }
u64 environment_operand(Cpu& c, const Insn& i, u32 bytes, bool write) {
  const u64 at = operand(c, i, bytes, write);
  check_alignment(c, at, i.op_bits == 16 ? 2 : 4);
  return at;
}

void pack_environment(const Cpu& c, const Insn& i, u8* out) {
  const Fpu& f = c.s.fpu;
  const bool linear = linear_layout(c);
  const u32 ip = static_cast<u32>(f.ip), dp = static_cast<u32>(f.dp);
  if (i.op_bits == 16) {
    const u32 ip_high = ((ip >> 16) & 15) << 12 | (f.opcode & 0x7ff);
    const u16 w[7] = {f.control, f.status, full_tags(f), static_cast<u16>(ip),
                      static_cast<u16>(linear ? ip_high : f.cs), static_cast<u16>(dp),
                      static_cast<u16>(linear ? ((dp >> 16) & 15) << 12 : f.ds)};
    memcpy(out, w, sizeof w);
    return;
  }
  const u32 high = 0xffff0000;  // reserved halves are stored as ones
  const u32 op = f.opcode & 0x7ffu;
  const u32 d[7] = {high | f.control, high | f.status, high | full_tags(f),
                    linear ? high | (ip & 0xffff) : ip,
                    linear ? ((ip >> 16) << 12 | op) : (op << 16 | f.cs),
                    linear ? high | (dp & 0xffff) : dp,
                    linear ? (dp >> 16) << 12 : (high | f.ds)};
  memcpy(out, d, sizeof d);
}

void unpack_environment(Cpu& c, const Insn& i, const u8* in) {
  Fpu& f = c.s.fpu;
  const bool linear = linear_layout(c);
  u32 d[7];
  if (i.op_bits == 16) {
    u16 w[7];
    memcpy(w, in, sizeof w);
    for (int k = 0; k < 7; k++) d[k] = w[k];
    f.ip = linear ? d[3] | (d[4] >> 12) << 16 : d[3];
    f.dp = linear ? d[5] | (d[6] >> 12) << 16 : d[5];
    f.opcode = linear ? d[4] & 0x7ff : f.opcode;
  } else {
    memcpy(d, in, sizeof d);
    f.ip = linear ? (d[3] & 0xffff) | ((d[4] >> 12) & 0xffff) << 16 : d[3];
    f.dp = linear ? (d[5] & 0xffff) | ((d[6] >> 12) & 0xffff) << 16 : d[5];
    f.opcode = (linear ? d[4] : d[4] >> 16) & 0x7ff;
  }
  f.cs = linear ? 0 : static_cast<u16>(d[4]);
  f.ds = linear ? 0 : static_cast<u16>(d[6]);
  f.control = sanitize_control(static_cast<u16>(d[0]));
  f.status = static_cast<u16>(d[1]);
  f.tag = 0;
  for (u32 p = 0; p < 8; p++) f.tag |= static_cast<u8>((((d[2] >> (2 * p)) & 3) != 3) << p);
  update_summary(f);
}

void store_environment(Cpu& c, const Insn& i) {
  enter_no_wait(c);
  u8 b[28];
  pack_environment(c, i, b);
  const u32 bytes = environment_bytes(i);
  write_block(c, environment_operand(c, i, bytes, true), b, bytes);
  c.s.fpu.control |= kAllFlags;
  update_summary(c.s.fpu);
}

void load_environment(Cpu& c, const Insn& i) {
  enter(c);
  u8 b[28];
  const u32 bytes = environment_bytes(i);
  read_block(c, environment_operand(c, i, bytes, false), b, bytes);
  unpack_environment(c, i, b);
}

void save(Cpu& c, const Insn& i) {
  enter_no_wait(c);
  u8 b[28 + 80];
  const u32 bytes = environment_bytes(i);
  pack_environment(c, i, b);
  for (u32 n = 0; n < 8; n++) {
    const F80 v = get(c.s.fpu, n);
    memcpy(b + bytes + 10 * n, &v, 10);
  }
  write_block(c, environment_operand(c, i, bytes + 80, true), b, bytes + 80);
  init(c.s.fpu);
}

void restore(Cpu& c, const Insn& i) {
  enter(c);
  u8 b[28 + 80];
  const u32 bytes = environment_bytes(i);
  read_block(c, environment_operand(c, i, bytes + 80, false), b, bytes + 80);
  unpack_environment(c, i, b);
  Fpu& f = c.s.fpu;
  for (u32 n = 0; n < 8; n++) {
    F80 v = {};
    memcpy(&v, b + bytes + 10 * n, 10);
    f.r[slot(f, n)].mantissa = v.m;
    f.r[slot(f, n)].sign_exponent = v.se;
  }
}

}  // namespace

Handler select_control(const Insn& i) {
  if (i.opcode == 0x9b) return step<wait>;
  if (i.flags & kMemory) {
    switch (i.opcode << 8 | ((i.modrm >> 3) & 7)) {
      case 0xd904: return step<load_environment>;
      case 0xd905: return step<load_control>;
      case 0xd906: return step<store_environment>;
      case 0xd907: return step<store_control>;
      case 0xdd04: return step<restore>;
      case 0xdd06: return step<save>;
      case 0xdd07: return step<store_status>;
    }
    return nullptr;
  }
  switch (i.opcode << 8 | i.modrm) {
    case 0xd9d0: return step<nothing>;
    case 0xdbe0: case 0xdbe1: case 0xdbe4: return step<nothing_no_wait>;  // 8087, 80287 controls
    case 0xdbe2: return step<clear_exceptions>;
    case 0xdbe3: return step<initialize>;
    case 0xdfe0: return step<store_status_ax>;
  }
  return nullptr;
}

}  // namespace twinstep::soft::x87
