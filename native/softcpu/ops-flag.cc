// CLC STC CMC CLD STD CLI STI LAHF SAHF SALC.
#include "ops.h"

namespace twinstep::soft {

namespace {

struct Clc {
  static void run(Cpu& c, const Insn*) { c.host_flags &= static_cast<u16>(~kHfCf); }
};
struct Stc {
  static void run(Cpu& c, const Insn*) { c.host_flags |= kHfCf; }
};
struct Cmc {
  static void run(Cpu& c, const Insn*) { c.host_flags ^= kHfCf; }
};
struct Cld {
  static void run(Cpu& c, const Insn*) { c.s.rflags &= ~u64{DF}; }
};
struct Std {
  static void run(Cpu& c, const Insn*) { c.s.rflags |= DF; }
};
struct Lahf {
  static void run(Cpu& c, const Insn*) {
    reinterpret_cast<u8*>(c.s.gpr)[1] = static_cast<u8>(status_flags(c) | 2);
  }
};
struct Sahf {
  static void run(Cpu& c, const Insn*) {
    const u64 ah = c.s.gpr[RAX] >> 8 & (CF | PF | AF | ZF | SF);
    set_status_flags(c, (status_flags(c) & OF) | ah);
  }
};
struct Salc {  // undocumented: AL = CF ? FF : 00
  static void run(Cpu& c, const Insn*) { set_low<u8>(c, RAX, c.host_flags & kHfCf ? 0xff : 0); }
};

bool may_change_if(const Cpu& c) { return c.cpl <= (c.s.rflags & IOPL) >> 12; }

const Insn* cli(Cpu& c, const Insn* i) {
  if (!may_change_if(c)) {
    c.cur = i;
    raise_gp0();
  }
  c.s.rflags &= ~u64{IF};
  return next(c, i);
}

// Ends its block, so s.icount is the position behind it: there the shadow lies, if IF was clear.
const Insn* sti(Cpu& c, const Insn* i) {
  c.cur = i;
  if (!may_change_if(c)) raise_gp0();
  if (c.s.rflags & IF) return chain(c, i + 1);
  c.s.rflags |= IF;
  set_shadow(c);
  return c.line ? leave(c, (i + 1)->imm) : chain(c, i + 1);
}

}  // namespace

Handler select_flag(const Insn& i) {
  if (i.map != 0) return nullptr;
  switch (i.opcode) {
    case 0x9e: return with_nothing<Sahf>;
    case 0x9f: return with_nothing<Lahf>;
    case 0xd6: return with_nothing<Salc>;
    case 0xf5: return with_nothing<Cmc>;
    case 0xf8: return with_nothing<Clc>;
    case 0xf9: return with_nothing<Stc>;
    case 0xfa: return cli;
    case 0xfb: return sti;
    case 0xfc: return with_nothing<Cld>;
    case 0xfd: return with_nothing<Std>;
    default: return nullptr;
  }
}

}  // namespace twinstep::soft
