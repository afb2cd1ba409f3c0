// Shuffles, insertions and extractions chosen by an immediate, PALIGNR, masks, horizontal moves.
//
// The immediate is not known to the compiler, so lanes are moved one by one.
#include "simd.h"

namespace twinstep::soft::simd {
namespace {

// ---- PSHUFW, PSHUFD, PSHUFHW, PSHUFLW, SHUFPS, SHUFPD -------------------------------------------
template <bool kMem>
void pshufw(Cpu& c, const Insn& i) {
  need_mmx(c);
  const u64 b = source_mm<kMem>(c, i);
  mmx_mode(c);
  u64 r = 0;
  for (u32 n = 0; n < 4; n++) r |= (b >> (16 * (immediate(i) >> (2 * n) & 3)) & 0xffff) << (16 * n);
  set_mm(c, i.reg, r);
}
template <bool kMem>
void pshufd(Cpu& c, const Insn& i) {
  need_sse(c);
  const Xmm b = to_xmm(source128<kMem>(c, i));
  Xmm r;
  for (u32 n = 0; n < 4; n++) r.d[n] = b.d[immediate(i) >> (2 * n) & 3];
  c.s.xmm[i.reg] = r;
}
// kFirst: 0 for PSHUFLW, 4 for PSHUFHW.
template <u32 kFirst, bool kMem>
void pshuf_words(Cpu& c, const Insn& i) {
  need_sse(c);
  const Xmm b = to_xmm(source128<kMem>(c, i));
  Xmm r = b;
  for (u32 n = 0; n < 4; n++) r.w[kFirst + n] = b.w[kFirst + (immediate(i) >> (2 * n) & 3)];
  c.s.xmm[i.reg] = r;
}
template <bool kMem>
void shufps(Cpu& c, const Insn& i) {
  need_sse(c);
  const Xmm b = to_xmm(source128<kMem>(c, i)), a = c.s.xmm[i.reg];
  const u32 m = immediate(i);
  Xmm r;
  r.d[0] = a.d[m & 3];
  r.d[1] = a.d[m >> 2 & 3];
  r.d[2] = b.d[m >> 4 & 3];
  r.d[3] = b.d[m >> 6];
  c.s.xmm[i.reg] = r;
}
template <bool kMem>
void shufpd(Cpu& c, const Insn& i) {
  need_sse(c);
  const Xmm b = to_xmm(source128<kMem>(c, i)), a = c.s.xmm[i.reg];
  c.s.xmm[i.reg].q[0] = a.q[immediate(i) & 1];
  c.s.xmm[i.reg].q[1] = b.q[immediate(i) >> 1 & 1];
}

// ---- PALIGNR ------------------------------------------------------------------------------------
template <bool kMem>
void palignr_mmx(Cpu& c, const Insn& i) {
  need_mmx(c);
  const u64 b = source_mm<kMem>(c, i);
  mmx_mode(c);
  const unsigned __int128 both = static_cast<unsigned __int128>(get_mm(c, i.reg)) << 64 | b;
  const u32 count = immediate(i);
  set_mm(c, i.reg, count > 15 ? 0 : static_cast<u64>(both >> (8 * count)));
}
template <bool kMem>
void palignr(Cpu& c, const Insn& i) {
  need_sse(c);
  const Xmm b = to_xmm(source128<kMem>(c, i));
  u8 both[64] = {};
  memcpy(both, &b, 16);
  memcpy(both + 16, &c.s.xmm[i.reg], 16);
  const u32 count = immediate(i);
  memcpy(&c.s.xmm[i.reg], both + (count > 32 ? 32 : count), 16);
}

// ---- insert and extract -------------------------------------------------------------------------
// The general register of the register form.
inline u64 source_gpr(const Cpu& c, const Insn& i) { return c.s.gpr[i.rm]; }

template <bool kMem>
void pinsrw_mmx(Cpu& c, const Insn& i) {
  need_mmx(c);
  const u64 v = kMem ? load_memory<u16>(c, i) : source_gpr(c, i) & 0xffff;
  mmx_mode(c);
  const u32 at = 16 * (immediate(i) & 3);
  set_mm(c, i.reg, (get_mm(c, i.reg) & ~(u64{0xffff} << at)) | v << at);
}
template <bool kMem>
void pinsrw(Cpu& c, const Insn& i) {
  need_sse(c);
  const u16 v = kMem ? load_memory<u16>(c, i) : static_cast<u16>(source_gpr(c, i));
  c.s.xmm[i.reg].w[immediate(i) & 7] = v;
}
template <bool kMem>
void pinsrb(Cpu& c, const Insn& i) {
  need_sse(c);
  const u8 v = kMem ? load_memory<u8>(c, i) : static_cast<u8>(source_gpr(c, i));
  c.s.xmm[i.reg].b[immediate(i) & 15] = v;
}
template <bool kMem>
void pinsrd(Cpu& c, const Insn& i) {
  need_sse(c);
  if (i.op_bits == 64) {
    const u64 v = kMem ? load_memory<u64>(c, i) : source_gpr(c, i);
    c.s.xmm[i.reg].q[immediate(i) & 1] = v;
  } else {
    const u32 v = kMem ? load_memory<u32>(c, i) : static_cast<u32>(source_gpr(c, i));
    c.s.xmm[i.reg].d[immediate(i) & 3] = v;
  }
}
template <bool kMem>
void insertps(Cpu& c, const Insn& i) {
  need_sse(c);
  const u32 m = immediate(i);
  const u32 v = kMem ? load_memory<u32>(c, i) : c.s.xmm[i.rm].d[m >> 6];
  Xmm& r = c.s.xmm[i.reg];
  r.d[m >> 4 & 3] = v;
  for (u32 n = 0; n < 4; n++) {
    if (m >> n & 1) r.d[n] = 0;
  }
}

void pextrw_mmx(Cpu& c, const Insn& i) {
  need_mmx(c);
  mmx_mode(c);
  c.s.gpr[i.reg] = get_mm(c, i.rm) >> (16 * (immediate(i) & 3)) & 0xffff;
}
void pextrw(Cpu& c, const Insn& i) {
  need_sse(c);
  c.s.gpr[i.reg] = c.s.xmm[i.rm].w[immediate(i) & 7];
}
// 0F 3A forms: from XMM reg to r/m; a register destination is zero-extended to 32 or 64 bits.
template <class T, bool kMem>
void extract(Cpu& c, const Insn& i, T v) {
  if constexpr (kMem) store_memory<T>(c, i, v);
  else c.s.gpr[i.rm] = v;
}
template <bool kMem>
void pextrb(Cpu& c, const Insn& i) {
  need_sse(c);
  extract<u8, kMem>(c, i, c.s.xmm[i.reg].b[immediate(i) & 15]);
}
template <bool kMem>
void pextrw_store(Cpu& c, const Insn& i) {
  need_sse(c);
  extract<u16, kMem>(c, i, c.s.xmm[i.reg].w[immediate(i) & 7]);
}
template <bool kMem>
void pextrd(Cpu& c, const Insn& i) {
  need_sse(c);
  if (i.op_bits == 64) extract<u64, kMem>(c, i, c.s.xmm[i.reg].q[immediate(i) & 1]);
  else extract<u32, kMem>(c, i, c.s.xmm[i.reg].d[immediate(i) & 3]);
}
template <bool kMem>
void extractps(Cpu& c, const Insn& i) {
  need_sse(c);
  extract<u32, kMem>(c, i, c.s.xmm[i.reg].d[immediate(i) & 3]);
}

// ---- sign masks ---------------------------------------------------------------------------------
void pmovmskb_mmx(Cpu& c, const Insn& i) {
  need_mmx(c);
  mmx_mode(c);
  c.s.gpr[i.reg] = static_cast<u32>(_mm_movemask_epi8(from64(get_mm(c, i.rm))));
}
void pmovmskb(Cpu& c, const Insn& i) {
  need_sse(c);
  c.s.gpr[i.reg] = static_cast<u32>(_mm_movemask_epi8(get_xmm(c, i.rm)));
}
void movmskps(Cpu& c, const Insn& i) {
  need_sse(c);
  c.s.gpr[i.reg] = static_cast<u32>(_mm_movemask_ps(_mm_castsi128_ps(get_xmm(c, i.rm))));
}
void movmskpd(Cpu& c, const Insn& i) {
  need_sse(c);
  c.s.gpr[i.reg] = static_cast<u32>(_mm_movemask_pd(_mm_castsi128_pd(get_xmm(c, i.rm))));
}

// ---- duplication --------------------------------------------------------------------------------
template <u32 kWhich, bool kMem>  // MOVSLDUP: 0, MOVSHDUP: 1
void duplicate_singles(Cpu& c, const Insn& i) {
  need_sse(c);
  const Xmm b = to_xmm(source128<kMem>(c, i));
  Xmm& r = c.s.xmm[i.reg];
  r.d[0] = r.d[1] = b.d[kWhich];
  r.d[2] = r.d[3] = b.d[2 + kWhich];
}
template <bool kMem>
void movddup(Cpu& c, const Insn& i) {
  need_sse(c);
  const u64 v = source_low<u64, kMem>(c, i);
  c.s.xmm[i.reg].q[0] = c.s.xmm[i.reg].q[1] = v;
}

#define REG_ONLY(MAP, PREFIX, OPCODE, F) Row{MAP, PREFIX, OPCODE, step<F>, nullptr}

const Row kRows[] = {
    SIMD_ROW(kMap0F, kNP, 0x70, pshufw),
    SIMD_ROW(kMap0F, k66, 0x70, pshufd),
    SIMD_ROW(kMap0F, kF3, 0x70, pshuf_words, 4),
    SIMD_ROW(kMap0F, kF2, 0x70, pshuf_words, 0),
    SIMD_ROW(kMap0F, kNP, 0xc6, shufps),
    SIMD_ROW(kMap0F, k66, 0xc6, shufpd),
    SIMD_ROW(kMap3A, kNP, 0x0f, palignr_mmx),
    SIMD_ROW(kMap3A, k66, 0x0f, palignr),
    SIMD_ROW(kMap0F, kNP, 0xc4, pinsrw_mmx),
    SIMD_ROW(kMap0F, k66, 0xc4, pinsrw),
    SIMD_ROW(kMap3A, k66, 0x20, pinsrb),
    SIMD_ROW(kMap3A, k66, 0x21, insertps),
    SIMD_ROW(kMap3A, k66, 0x22, pinsrd),
    REG_ONLY(kMap0F, kNP, 0xc5, pextrw_mmx),
    REG_ONLY(kMap0F, k66, 0xc5, pextrw),
    SIMD_ROW(kMap3A, k66, 0x14, pextrb),
    SIMD_ROW(kMap3A, k66, 0x15, pextrw_store),
    SIMD_ROW(kMap3A, k66, 0x16, pextrd),
    SIMD_ROW(kMap3A, k66, 0x17, extractps),
    REG_ONLY(kMap0F, kNP, 0xd7, pmovmskb_mmx),
    REG_ONLY(kMap0F, k66, 0xd7, pmovmskb),
    REG_ONLY(kMap0F, kNP, 0x50, movmskps),
    REG_ONLY(kMap0F, k66, 0x50, movmskpd),
    SIMD_ROW(kMap0F, kF3, 0x12, duplicate_singles, 0),
    SIMD_ROW(kMap0F, kF3, 0x16, duplicate_singles, 1),
    SIMD_ROW(kMap0F, kF2, 0x12, movddup),
};

}  // namespace

std::span<const Row> rows_shuffle() { return kRows; }

}  // namespace twinstep::soft::simd
