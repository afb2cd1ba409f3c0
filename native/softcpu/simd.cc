// Selection of MMX and SSE handlers: rows of all parts are put into one table at the first use.
#include "simd.h"

namespace twinstep::soft {
namespace simd {
namespace {

struct Table {
  const Row* row[3][4][256] = {};  // map - 1, prefix, opcode

  Table() {
    const std::span<const Row> parts[] = {rows_lanes(),   rows_shuffle(), rows_move(),
                                          rows_float(),   rows_convert(), rows_approx(),
                                          rows_sse41(),   rows_string()};
    for (const auto& part : parts) {
      for (const Row& r : part) row[r.map - 1][r.prefix][r.opcode] = &r;
    }
  }
};

Handler find(const Insn& i) {
  static const Table table;
  const Row* r = table.row[i.map - 1][prefix_of(i)][i.opcode];
  if (r == nullptr) return nullptr;
  return i.flags & kMemory ? r->mem : r->reg;
}

}  // namespace
}  // namespace simd

Handler select_simd(const Insn& i) {
  using namespace simd;
  if (i.map == 0 || i.map > 3 || (i.flags & kLock)) return nullptr;
  const u32 key = i.map << 8 | i.opcode;
  if (key == 0x1c2) return select_compare(i);
  if (key >= 0x171 && key <= 0x173) return select_packed_shift(i);
  if ((key >= 0x308 && key <= 0x30b) || key == 0x340 || key == 0x341) return select_round(i);
  if (key == 0x2f0 || key == 0x2f1) return select_crc32(i);
  if (key == 0x101 || key == 0x10d || key == 0x118 || key == 0x1ae) return select_state(i);
  return find(i);
}

}  // namespace twinstep::soft
