// The integer families, asked in turn.
#include "ops.h"

namespace twinstep::soft {

Handler select_integer(const Insn& i) {
  for (const auto ask : {select_alu, select_mov, select_flow, select_stack, select_shift,
                         select_muldiv, select_string, select_bit, select_exchange, select_flag,
                         select_decimal}) {
    if (const Handler handler = ask(i)) return handler;
  }
  return nullptr;
}

}  // namespace twinstep::soft
