// A software number with a 128-bit significand: the arithmetic under the transcendentals.
//
// Integer operations only, in a fixed order, so every host computes the same bits. Each operation
// truncates (error below 2^-127 relative) and remembers in `inexact` that digits were lost; the
// final rounding to 64 bits is then right in every rounding mode but for cases as rare as 2^-55.
#pragma once

#include "x87.h"

namespace twinstep::soft::x87 {

// (-1)^neg * m * 2^(e - 127); m has its top bit set, or is zero.
struct Wide {
  u128 m = 0;
  i32 e = 0;
  bool neg = false;
  bool inexact = false;
};

constexpr u128 make_u128(u64 high, u64 low) { return static_cast<u128>(high) << 64 | low; }

// A fixed-point number with 127 fraction bits, 0 <= q < 2.
using Fixed = u128;
inline constexpr Fixed kFixedOne = static_cast<u128>(1) << 127;

Wide normalise(u128 m, i32 e, bool neg, bool inexact);
Wide to_wide(F80 v);  // finite
Wide wide_integer(i64 v);
Wide multiply(const Wide& a, const Wide& b);
Wide divide(const Wide& a, const Wide& b);  // b is not zero
Wide add(const Wide& a, const Wide& b);
Wide negate(Wide a);
Wide from_fixed(Fixed q);
Fixed to_fixed(const Wide& a);  // 0 <= a < 2, truncated
Fixed multiply_fixed(Fixed a, Fixed b);
int compare_magnitude(const Wide& a, const Wide& b);

// Rounds by RC to 64 bits (precision control does not reach here) with the exceptions O, U, P and
// C1; unmasked overflow and underflow wrap the exponent as the SDM says.
Result pack(const Wide& w, u16 control);

}  // namespace twinstep::soft::x87
