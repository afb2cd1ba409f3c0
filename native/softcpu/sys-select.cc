// Who handles a system instruction. The files ask in turn; each knows its own opcodes.
// Unknown ones stay #UD: RSM outside SMM, VMX and SVM, MONITOR and MWAIT (not announced).
#include "sys.h"

namespace twinstep::soft {

Handler select_system(const Insn& i) {
  if (i.flags & kLock) return nullptr;
  for (const auto ask :
       {select_segment, select_far, select_control, select_privilege, select_port}) {
    if (const Handler handler = ask(i)) return handler;
  }
  return nullptr;
}

}  // namespace twinstep::soft
