// Numbers from a seed, the same everywhere: splitmix64 (Steele, Lea, Flood).
#pragma once

#include "../cpu.h"

namespace twinstep::soft {

struct Random {
  u64 s;
  u64 next() {
    s += 0x9e3779b97f4a7c15;
    u64 z = s;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  u64 below(u64 n) { return next() % n; }
  bool chance(u32 percent) { return below(100) < percent; }
};

}  // namespace twinstep::soft
