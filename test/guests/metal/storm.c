// A handler that faults at its first instruction, on a stack of its own: nothing retires any more.
#include "metal.h"

SNIPPET(undefined, "", "ud2");

void guest_main(void) {
  set_gate(UD, (u64)undefined, 0x8e, 1);
  undefined(0);
}
