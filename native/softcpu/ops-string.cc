// MOVS CMPS STOS LODS SCAS INS OUTS and their repetition.
//
// Each iteration counts as one instruction and ends at a boundary. While an iteration runs,
// s.icount includes it (as block entry included the first), so a fault takes back just that one and
// finds the registers as the iterations before left them. MOVS and STOS go through memory in runs
// that stay on one page; a run is many iterations at once, never more than the limit allows.
#include <algorithm>

#include "alu.h"
#include "core.h"
#include "ops.h"

namespace twinstep::soft {

namespace {

u64 width_mask(u8 bits) { return bits == 64 ? ~u64{0} : (u64{1} << bits) - 1; }

void put_index(Cpu& c, u8 reg, u8 bits, u64 value) {
  if (bits == 16) set_low<u16>(c, reg, static_cast<u16>(value));
  else c.s.gpr[reg] = value & width_mask(bits);
}
template <class T>
u64 stride(const Cpu& c) {
  return c.s.rflags & DF ? ~u64{sizeof(T)} + 1 : sizeof(T);
}
template <class T>
void advance(Cpu& c, const Insn& i, u8 reg) {
  put_index(c, reg, i.addr_bits, c.s.gpr[reg] + stride<T>(c));
}
template <class T>
u64 source(Cpu& c, const Insn& i) {
  const u64 offset = c.s.gpr[RSI] & width_mask(i.addr_bits);
  return segment_address(c, static_cast<Seg>(i.seg), offset, sizeof(T), false);
}
template <class T>
u64 target(Cpu& c, const Insn& i, bool write) {
  return segment_address(c, ES, c.s.gpr[RDI] & width_mask(i.addr_bits), sizeof(T), write);
}

// ---- one iteration each: all accesses, then the registers ---------------------------------------

template <class T>
struct Movs {
  static constexpr bool kConditional = false, kRuns = true, kReads = true, kPort = false;
  using Element = T;
  static bool once(Cpu& c, const Insn& i) {
    const u64 from = source<T>(c, i);
    write<T>(c, target<T>(c, i, true), read<T>(c, from));
    advance<T>(c, i, RSI);
    advance<T>(c, i, RDI);
    return true;
  }
};
template <class T>
struct Stos {
  static constexpr bool kConditional = false, kRuns = true, kReads = false, kPort = false;
  using Element = T;
  static bool once(Cpu& c, const Insn& i) {
    write<T>(c, target<T>(c, i, true), get_low<T>(c, RAX));
    advance<T>(c, i, RDI);
    return true;
  }
};
template <class T>
struct Lods {
  static constexpr bool kConditional = false, kRuns = false, kReads = true, kPort = false;
  using Element = T;
  static bool once(Cpu& c, const Insn& i) {
    set_low<T>(c, RAX, read<T>(c, source<T>(c, i)));
    advance<T>(c, i, RSI);
    return true;
  }
};
template <class T>
struct Cmps {
  static constexpr bool kConditional = true, kRuns = false, kReads = true, kPort = false;
  using Element = T;
  static bool once(Cpu& c, const Insn& i) {
    const T a = read<T>(c, source<T>(c, i));
    const T b = read<T>(c, target<T>(c, i, false));
    alu<kCmp, T>(c, a, b);
    advance<T>(c, i, RSI);
    advance<T>(c, i, RDI);
    return true;
  }
};
template <class T>
struct Scas {
  static constexpr bool kConditional = true, kRuns = false, kReads = true, kPort = false;
  using Element = T;
  static bool once(Cpu& c, const Insn& i) {
    const T b = read<T>(c, target<T>(c, i, false));
    alu<kCmp, T>(c, get_low<T>(c, RAX), b);
    advance<T>(c, i, RDI);
    return true;
  }
};
u16 port_of(const Cpu& c) { return static_cast<u16>(c.s.gpr[RDX]); }

// False: the machine must supply the value first.
template <class T>
struct Ins {
  static constexpr bool kConditional = false, kRuns = false, kReads = false, kPort = true;
  using Element = T;
  static bool once(Cpu& c, const Insn& i) {
    const u16 port = port_of(c);
    const u64 to = target<T>(c, i, true);
    probe_write(c, to, sizeof(T));
    u64 value;
    if (!port_in(c, port, sizeof(T), value)) return false;
    write<T>(c, to, static_cast<T>(value));
    advance<T>(c, i, RDI);
    return true;
  }
};
template <class T>
struct Outs {
  static constexpr bool kConditional = false, kRuns = false, kReads = true, kPort = true;
  using Element = T;
  static bool once(Cpu& c, const Insn& i) {
    const u16 port = port_of(c);
    const T value = read<T>(c, source<T>(c, i));
    port_out(c, port, sizeof(T), value);
    advance<T>(c, i, RSI);
    return true;
  }
};

// ---- runs ---------------------------------------------------------------------------------------

// Linear address of an operand, and how many bytes from there lie within segment and index width;
// 0 where that is not simple.
u64 plain_bytes(const Cpu& c, u8 seg, u64 offset, u8 addr_bits, u64& linear) {
  constexpr u32 kExpandDown = 4, kCode = 8, kUnusable = 1u << 16;
  if (c.code_bits == 64) {
    linear = (offset & width_mask(addr_bits)) + (seg >= FS ? c.s.seg[seg].base : 0);
    return addr_bits == 64 ? 4096 : std::min<u64>(4096, width_mask(32) - (offset & width_mask(32)));
  }
  const Segment& g = c.s.seg[seg];
  offset &= width_mask(addr_bits);
  if ((g.attr & (kExpandDown | kUnusable)) && !(g.attr & kCode)) return 0;
  const u64 top = std::min<u64>(g.limit, width_mask(addr_bits));
  if (offset > top) return 0;
  linear = (g.base + offset) & 0xffffffff;
  return std::min<u64>(4096, top - offset + 1);
}

template <class T>
void copy_up(u8* to, const u8* from, u64 count) {
  if (to <= from || to >= from + count * sizeof(T)) {
    memmove(to, from, count * sizeof(T));
    return;
  }
  for (; count > 0; --count, to += sizeof(T), from += sizeof(T)) memmove(to, from, sizeof(T));
}

// Does up to `allowed` iterations by host memory; how many. Everything must hit the TLB.
template <class Op>
u64 run(Cpu& c, const Insn& i, u64 allowed) {
  using T = typename Op::Element;
  if (c.s.rflags & DF) return 0;
  u64 to, from = 0;
  u64 bytes = plain_bytes(c, ES, c.s.gpr[RDI], i.addr_bits, to);
  if (Op::kReads) bytes = std::min(bytes, plain_bytes(c, i.seg, c.s.gpr[RSI], i.addr_bits, from));
  if (bytes < sizeof(T)) return 0;
  u8* host_to = hit_write<T>(c, to);
  if (host_to == nullptr) return 0;
  bytes = std::min<u64>(bytes, 4096 - (to & 0xfff));
  const u8* host_from = nullptr;
  if (Op::kReads) {
    host_from = hit_read<T>(c, from);
    if (host_from == nullptr) return 0;
    bytes = std::min<u64>(bytes, 4096 - (from & 0xfff));
  }
  const u64 count = std::min(allowed, bytes / sizeof(T));
  if constexpr (Op::kReads) {
    copy_up<T>(host_to, host_from, count);
    put_index(c, RSI, i.addr_bits, c.s.gpr[RSI] + count * sizeof(T));
  } else {
    const T value = get_low<T>(c, RAX);
    for (u64 n = 0; n < count; ++n) store_host<T>(host_to + n * sizeof(T), value);
  }
  put_index(c, RDI, i.addr_bits, c.s.gpr[RDI] + count * sizeof(T));
  return count;
}

// ---- handlers -----------------------------------------------------------------------------------

template <class Op>
const Insn* repeat(Cpu& c, const Insn* i) {
  c.cur = i;
  c.repeat_from = c.s.icount - 1;
  if (Op::kPort) check_io(c, port_of(c), sizeof(typename Op::Element));  // also for no iteration
  for (;;) {
    const u64 left = c.s.gpr[RCX] & width_mask(i->addr_bits);
    if (left == 0) break;
    u64 done = 0;
    if constexpr (Op::kRuns) {
      // s.icount already holds one iteration; the limit may hold more.
      if (left > 1) done = run<Op>(c, *i, std::min(left, c.limit - c.s.icount + 1));
    }
    if (done == 0) {
      if (!Op::once(c, *i)) {
        core_of(c).rewind_to_current();
        return nullptr;
      }
      done = 1;
    }
    put_index(c, RCX, i->addr_bits, left - done);
    c.s.icount += done - 1;
    if (left == done) break;
    if (Op::kConditional && (i->rep == 0xf3) != ((c.host_flags & kHfZf) != 0)) break;
    if (c.s.icount >= c.stop_at.load(std::memory_order_relaxed)) {
      set_resume(c);
      return leave(c, rip_of(i));
    }
    ++c.s.icount;
  }
  return chain(c, i + 1);
}

template <class Op>
const Insn* single(Cpu& c, const Insn* i) {
  c.cur = i;
  if (Op::kPort) check_io(c, port_of(c), sizeof(typename Op::Element));
  if (!Op::once(c, *i)) {
    core_of(c).rewind_to_current();
    return nullptr;
  }
  return next(c, i);
}

template <template <class> class Op>
Handler select_kind(const Insn& i, bool wide_io = false) {
  const bool byte = !(i.opcode & 1);
  return by_size(i, byte, [&]<class T>() -> Handler {
    if constexpr (sizeof(T) == 8) {
      if (wide_io) return i.rep ? repeat<Op<u32>> : single<Op<u32>>;  // ports have no 64 bits
    }
    return i.rep ? repeat<Op<T>> : single<Op<T>>;
  });
}

}  // namespace

Handler select_string(const Insn& i) {
  if (i.map != 0) return nullptr;
  switch (i.opcode) {
    case 0x6c:
    case 0x6d: return select_kind<Ins>(i, true);
    case 0x6e:
    case 0x6f: return select_kind<Outs>(i, true);
    case 0xa4:
    case 0xa5: return select_kind<Movs>(i);
    case 0xa6:
    case 0xa7: return select_kind<Cmps>(i);
    case 0xaa:
    case 0xab: return select_kind<Stos>(i);
    case 0xac:
    case 0xad: return select_kind<Lods>(i);
    case 0xae:
    case 0xaf: return select_kind<Scas>(i);
    default: return nullptr;
  }
}

}  // namespace twinstep::soft
