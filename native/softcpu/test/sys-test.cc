// The system part of the CPU, driven by tiny guests. Prints "ok" or what failed.
#include "sys-rig.h"

int main(int count, char** values) {
  using namespace twinstep::soft::test;
  take_options(count, values);
  for (const Slice how : {Slice{0, false}, {1, false}, {2, false}, {3, true}, {1, true}}) {
    slice = how;
    const int before = failures;
    long_tests();
    call_tests();
    legacy_tests();
    real_tests();
    task_tests();
    debug_tests();
    control_tests();
    table_tests();
    if (failures == before) continue;
    const char* restored = how.restore ? ", restored" : "";
    printf("(in slices of %d instructions%s)\n", int(how.instructions), restored);
  }
  if (failures != 0) {
    printf("%d checks failed\n", failures);
    return 1;
  }
  printf("ok\n");
  return 0;
}
