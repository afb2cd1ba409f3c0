// Selection of x87 handlers: each part of the family is asked in turn; nobody answers for #UD.
#include "x87.h"

namespace twinstep::soft {

Handler select_x87(const Insn& i) {
  using namespace x87;
  if (i.map != 0 || (i.flags & kLock)) return nullptr;
  if (i.opcode != 0x9b && (i.opcode < 0xd8 || i.opcode > 0xdf)) return nullptr;
  if (i.opcode == 0x9b) return select_control(i);
  constexpr Handler (*kParts[])(const Insn&) = {select_arith,   select_move,    select_compare,
                                                select_convert, select_control, select_unary};
  for (auto* part : kParts) {
    if (const Handler h = part(i)) return h;
  }
  return nullptr;
}

}  // namespace twinstep::soft
