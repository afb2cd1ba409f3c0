// The transcendental functions on Wide numbers, without special cases: operands are finite,
// non-zero and in the range each function names. Results carry `inexact` unless they are exact.
#pragma once

#include "x87-wide.h"

namespace twinstep::soft::x87 {

struct SineCosine {
  Wide sine, cosine;
};
// |a| < 2^63. Reduction uses the SDM's 66-bit value of pi (vol. 1 8.3.8), as hardware does.
SineCosine sine_cosine(const Wide& a);
Wide arc_tangent(const Wide& y, const Wide& x);  // of y / x, quadrant by the signs
Wide pi_times(i64 numerator, i32 denominator_log2);
Wide log2_of(const Wide& a);             // a > 0
Wide log2_of_one_plus(const Wide& x);    // x > -1
Wide two_to_minus_one(const Wide& x);    // |x| <= 1

}  // namespace twinstep::soft::x87
