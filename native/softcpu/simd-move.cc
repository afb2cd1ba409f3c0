// Moves: aligned and not, halves, scalars, between register files, non-temporal, masked stores.
//
// Non-temporal forms are ordinary stores here: one CPU, ordered memory.
#include "simd.h"

namespace twinstep::soft::simd {
namespace {

// ---- whole registers ----------------------------------------------------------------------------
template <bool kAligned, bool kMem>
void load(Cpu& c, const Insn& i) {
  need_sse(c);
  if constexpr (!kMem) c.s.xmm[i.reg] = c.s.xmm[i.rm];
  else if constexpr (kAligned) set_xmm(c, i.reg, load_aligned(c, i));
  else set_xmm(c, i.reg, load_unaligned(c, i));
}
template <bool kAligned, bool kMem>
void store(Cpu& c, const Insn& i) {
  need_sse(c);
  if constexpr (!kMem) c.s.xmm[i.rm] = c.s.xmm[i.reg];
  else if constexpr (kAligned) store_aligned(c, i, get_xmm(c, i.reg));
  else store_unaligned(c, i, get_xmm(c, i.reg));
}
void load_only(Cpu& c, const Insn& i) {  // LDDQU
  need_sse(c);
  set_xmm(c, i.reg, load_unaligned(c, i));
}
void load_only_aligned(Cpu& c, const Insn& i) {  // MOVNTDQA
  need_sse(c);
  set_xmm(c, i.reg, load_aligned(c, i));
}
void store_only_aligned(Cpu& c, const Insn& i) {  // MOVNTPS, MOVNTPD, MOVNTDQ
  need_sse(c);
  store_aligned(c, i, get_xmm(c, i.reg));
}

// ---- scalars: a load from memory clears the rest, from a register keeps it ----------------------
template <bool kMem>
void movss_load(Cpu& c, const Insn& i) {
  need_sse(c);
  if constexpr (kMem) set_xmm(c, i.reg, from64(load_memory<u32>(c, i)));
  else c.s.xmm[i.reg].d[0] = c.s.xmm[i.rm].d[0];
}
template <bool kMem>
void movsd_load(Cpu& c, const Insn& i) {
  need_sse(c);
  if constexpr (kMem) set_xmm(c, i.reg, from64(load_memory<u64>(c, i)));
  else c.s.xmm[i.reg].q[0] = c.s.xmm[i.rm].q[0];
}
template <bool kMem>
void movss_store(Cpu& c, const Insn& i) {
  need_sse(c);
  if constexpr (kMem) store_memory<u32>(c, i, c.s.xmm[i.reg].d[0]);
  else c.s.xmm[i.rm].d[0] = c.s.xmm[i.reg].d[0];
}
template <bool kMem>
void movsd_store(Cpu& c, const Insn& i) {
  need_sse(c);
  if constexpr (kMem) store_memory<u64>(c, i, c.s.xmm[i.reg].q[0]);
  else c.s.xmm[i.rm].q[0] = c.s.xmm[i.reg].q[0];
}
template <bool kMem>
void movq_load(Cpu& c, const Insn& i) {
  need_sse(c);
  set_xmm(c, i.reg, from64(source_low<u64, kMem>(c, i)));
}
template <bool kMem>
void movq_store(Cpu& c, const Insn& i) {
  need_sse(c);
  if constexpr (kMem) store_memory<u64>(c, i, c.s.xmm[i.reg].q[0]);
  else set_xmm(c, i.rm, from64(c.s.xmm[i.reg].q[0]));
}

// ---- halves: MOVLPS/MOVHLPS, MOVHPS/MOVLHPS and the like ----------------------------------------
template <u32 kHalf>
void load_half(Cpu& c, const Insn& i) {
  need_sse(c);
  c.s.xmm[i.reg].q[kHalf] = load_memory<u64>(c, i);
}
template <u32 kHalf>
void store_half(Cpu& c, const Insn& i) {
  need_sse(c);
  store_memory<u64>(c, i, c.s.xmm[i.reg].q[kHalf]);
}
template <u32 kTo>
void cross_half(Cpu& c, const Insn& i) {
  need_sse(c);
  c.s.xmm[i.reg].q[kTo] = c.s.xmm[i.rm].q[1 - kTo];
}

// ---- general registers --------------------------------------------------------------------------
template <bool kMem>
u64 source_general(Cpu& c, const Insn& i) {
  if (i.op_bits == 64) return kMem ? load_memory<u64>(c, i) : c.s.gpr[i.rm];
  return kMem ? load_memory<u32>(c, i) : static_cast<u32>(c.s.gpr[i.rm]);
}
template <bool kMem>
void to_general(Cpu& c, const Insn& i, u64 v) {
  if (!kMem) set_gpr(c, i.rm, v, i);
  else if (i.op_bits == 64) store_memory<u64>(c, i, v);
  else store_memory<u32>(c, i, static_cast<u32>(v));
}
template <bool kMem>
void movd_load(Cpu& c, const Insn& i) {
  need_sse(c);
  set_xmm(c, i.reg, from64(source_general<kMem>(c, i)));
}
template <bool kMem>
void movd_store(Cpu& c, const Insn& i) {
  need_sse(c);
  to_general<kMem>(c, i, c.s.xmm[i.reg].q[0]);
}
template <bool kMem>
void movd_load_mmx(Cpu& c, const Insn& i) {
  need_mmx(c);
  const u64 v = source_general<kMem>(c, i);
  mmx_mode(c);
  set_mm(c, i.reg, v);
}
template <bool kMem>
void movd_store_mmx(Cpu& c, const Insn& i) {
  need_mmx(c);
  to_general<kMem>(c, i, get_mm(c, i.reg));
  mmx_mode(c);
}
void movnti(Cpu& c, const Insn& i) {
  if (i.op_bits == 64) store_memory<u64>(c, i, c.s.gpr[i.reg]);
  else store_memory<u32>(c, i, static_cast<u32>(c.s.gpr[i.reg]));
}

// ---- MMX ----------------------------------------------------------------------------------------
template <bool kMem>
void movq_load_mmx(Cpu& c, const Insn& i) {
  need_mmx(c);
  const u64 v = source_mm<kMem>(c, i);
  mmx_mode(c);
  set_mm(c, i.reg, v);
}
template <bool kMem>
void movq_store_mmx(Cpu& c, const Insn& i) {
  need_mmx(c);
  const u64 v = get_mm(c, i.reg);
  if constexpr (kMem) store_memory<u64>(c, i, v);
  mmx_mode(c);
  if constexpr (!kMem) set_mm(c, i.rm, v);
}
void movntq(Cpu& c, const Insn& i) { movq_store_mmx<true>(c, i); }
void movq2dq(Cpu& c, const Insn& i) {
  need_both(c);
  mmx_mode(c);
  set_xmm(c, i.reg, from64(get_mm(c, i.rm)));
}
void movdq2q(Cpu& c, const Insn& i) {
  need_both(c);
  mmx_mode(c);
  set_mm(c, i.reg, c.s.xmm[i.rm].q[0]);
}
void emms(Cpu& c, const Insn&) {
  need_mmx(c);
  mmx_mode(c);
  c.s.fpu.tag = 0;
}

// ---- masked stores to DS:rDI --------------------------------------------------------------------
// Only bytes whose mask has its top bit set are touched: no fault for the others.
void store_masked(Cpu& c, const Insn& i, const u8* data, const u8* mask, u32 bytes) {
  Insn at = i;
  at.base = RDI;
  at.index = kZeroReg;
  at.scale = 0;
  at.disp = 0;
  const u64 linear = operand(c, at, bytes, true);
  u32 first = bytes, last = 0;
  for (u32 n = 0; n < bytes; n++) {
    if (!(mask[n] >> 7)) continue;
    if (first == bytes) first = n;
    last = n;
  }
  if (first == bytes) return;
  probe_write(c, linear + first, 1);
  probe_write(c, linear + last, 1);
  for (u32 n = first; n <= last; n++) {
    if (mask[n] >> 7) write<u8>(c, linear + n, data[n]);
  }
}
void maskmovq(Cpu& c, const Insn& i) {
  need_mmx(c);
  const u64 data = get_mm(c, i.reg), mask = get_mm(c, i.rm);
  store_masked(c, i, reinterpret_cast<const u8*>(&data), reinterpret_cast<const u8*>(&mask), 8);
  mmx_mode(c);
}
void maskmovdqu(Cpu& c, const Insn& i) {
  need_sse(c);
  store_masked(c, i, c.s.xmm[i.reg].b, c.s.xmm[i.rm].b, 16);
}

#define REG_ONLY(PREFIX, OPCODE, F) Row{kMap0F, PREFIX, OPCODE, step<F>, nullptr}
#define MEM_ONLY(PREFIX, OPCODE, F) Row{kMap0F, PREFIX, OPCODE, nullptr, step<F>}
#define HALF_ROWS(PREFIX, OPCODE, HALF, CROSS)                         \
  Row{kMap0F, PREFIX, OPCODE, CROSS, step<load_half<HALF>>},           \
      MEM_ONLY(PREFIX, OPCODE + 1, store_half<HALF>)

const Row kRows[] = {
    SIMD_ROW(kMap0F, kNP, 0x10, load, false),
    SIMD_ROW(kMap0F, k66, 0x10, load, false),
    SIMD_ROW(kMap0F, kF3, 0x10, movss_load),
    SIMD_ROW(kMap0F, kF2, 0x10, movsd_load),
    SIMD_ROW(kMap0F, kNP, 0x11, store, false),
    SIMD_ROW(kMap0F, k66, 0x11, store, false),
    SIMD_ROW(kMap0F, kF3, 0x11, movss_store),
    SIMD_ROW(kMap0F, kF2, 0x11, movsd_store),
    HALF_ROWS(kNP, 0x12, 0, step<cross_half<0>>),
    HALF_ROWS(k66, 0x12, 0, nullptr),
    HALF_ROWS(kNP, 0x16, 1, step<cross_half<1>>),
    HALF_ROWS(k66, 0x16, 1, nullptr),
    SIMD_ROW(kMap0F, kNP, 0x28, load, true),
    SIMD_ROW(kMap0F, k66, 0x28, load, true),
    SIMD_ROW(kMap0F, kNP, 0x29, store, true),
    SIMD_ROW(kMap0F, k66, 0x29, store, true),
    MEM_ONLY(kNP, 0x2b, store_only_aligned),
    MEM_ONLY(k66, 0x2b, store_only_aligned),
    SIMD_ROW(kMap0F, k66, 0x6f, load, true),
    SIMD_ROW(kMap0F, kF3, 0x6f, load, false),
    SIMD_ROW(kMap0F, k66, 0x7f, store, true),
    SIMD_ROW(kMap0F, kF3, 0x7f, store, false),
    SIMD_ROW(kMap0F, kNP, 0x6f, movq_load_mmx),
    SIMD_ROW(kMap0F, kNP, 0x7f, movq_store_mmx),
    SIMD_ROW(kMap0F, kNP, 0x6e, movd_load_mmx),
    SIMD_ROW(kMap0F, k66, 0x6e, movd_load),
    SIMD_ROW(kMap0F, kNP, 0x7e, movd_store_mmx),
    SIMD_ROW(kMap0F, k66, 0x7e, movd_store),
    SIMD_ROW(kMap0F, kF3, 0x7e, movq_load),
    SIMD_ROW(kMap0F, k66, 0xd6, movq_store),
    REG_ONLY(kF3, 0xd6, movq2dq),
    REG_ONLY(kF2, 0xd6, movdq2q),
    MEM_ONLY(kNP, 0xc3, movnti),
    MEM_ONLY(kNP, 0xe7, movntq),
    MEM_ONLY(k66, 0xe7, store_only_aligned),
    MEM_ONLY(kF2, 0xf0, load_only),
    REG_ONLY(kNP, 0xf7, maskmovq),
    REG_ONLY(k66, 0xf7, maskmovdqu),
    Row{kMap38, k66, 0x2a, nullptr, step<load_only_aligned>},
    Row{kMap0F, kNP, 0x77, step<emms>, step<emms>},
};

}  // namespace

std::span<const Row> rows_move() { return kRows; }

}  // namespace twinstep::soft::simd
