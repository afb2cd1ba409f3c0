// The system part of the CPU, driven by tiny guests. Prints "ok" or what failed.
#include "sys-rig.h"

int main() {
  using namespace twinstep::soft::test;
  long_tests();
  legacy_tests();
  control_tests();
  if (failures != 0) {
    printf("%d checks failed\n", failures);
    return 1;
  }
  printf("ok\n");
  return 0;
}
