// IN and OUT, and who may use which port.
//
// Sources: SDM vol. 1 chapter 19.5 (I/O protection), vol. 2 IN, OUT.
#include "sys.h"

namespace twinstep::soft {

namespace {

constexpr u32 kIoMapBaseAt = 0x66;

bool immediate_port(const Insn& i) { return i.opcode < 0xe8; }  // E4..E7, else DX in EC..EF
u32 port_bytes(const Insn& i) { return i.opcode & 1 ? (i.op_bits == 16 ? 2 : 4) : 1; }
u16 port_of(const Cpu& c, const Insn& i) {
  return immediate_port(i) ? u8(i.imm) : u16(c.s.gpr[RDX]);
}

void in(Cpu& c, const Insn& i) {
  const u32 bytes = port_bytes(i);
  const u16 port = port_of(c, i);
  check_io(c, port, bytes);
  u64 value;
  if (!port_in(c, port, bytes, value)) return;
  if (bytes == 1) c.s.gpr[RAX] = (c.s.gpr[RAX] & ~u64{0xff}) | u8(value);
  else put_register(c.s, RAX, bytes * 8, value);
}

void out(Cpu& c, const Insn& i) {
  const u32 bytes = port_bytes(i);
  const u16 port = port_of(c, i);
  check_io(c, port, bytes);
  port_out(c, port, bytes, c.s.gpr[RAX] & mask_of(bytes * 8));
}

}  // namespace

// The bitmap is read as two bytes even for one port, so its last byte needs a successor within the
// limit (SDM vol. 1 19.5.2).
void check_io(Cpu& c, u16 port, u32 bytes) {
  const State& s = c.s;
  if (real_mode(s)) return;
  if (!v86(s) && c.cpl <= iopl(s)) return;
  const bool tss32 = (s.tr.attr & kAttrPresent) && (s.tr.attr & 8);
  if (!tss32 || !in_limit(s.tr, kIoMapBaseAt, 2)) raise_gp0();
  const u32 base = read_as<u16>(c, s.tr.base + kIoMapBaseAt, Priv::Supervisor);
  const u32 at = base + port / 8;
  if (!in_limit(s.tr, at, 2)) raise_gp0();
  const u32 bits = read_as<u16>(c, s.tr.base + at, Priv::Supervisor) >> (port & 7);
  if (bits & ((1u << bytes) - 1)) raise_gp0();
}

Handler select_port(const Insn& i) {
  if (i.map != 0) return nullptr;
  switch (i.opcode) {
    case 0xe4:
    case 0xe5:
    case 0xec:
    case 0xed: return step_flow<in>;
    case 0xe6:
    case 0xe7:
    case 0xee:
    case 0xef: return step_flow<out>;
    default: return nullptr;
  }
}

}  // namespace twinstep::soft
