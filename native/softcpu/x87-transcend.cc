// See x87-transcend.h. Series are summed from their smallest term in fixed point (127 fraction
// bits), as a factor close to one that multiplies an argument of full relative precision: small
// arguments lose nothing. A factor that truncation left at exactly one is moved to the side on
// which the true one lies, so that directed rounding is right even for the smallest arguments.
#include "x87-transcend.h"

namespace twinstep::soft::x87 {
namespace {

constexpr Wide kPi = {make_u128(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1), 1, false, true};
constexpr Wide kLn2 = {make_u128(0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af), -1, false, true};
constexpr Wide kTwoOverLn2 = {make_u128(0xb8aa3b295c17f0bb, 0xbe87fed0691d3e88), 1, false, true};

// atan(k / 16), k = 1..16.
constexpr Wide kArcTangent[16] = {
    {make_u128(0xffaaddb967ef4e36, 0xcb2792dc0e2e0d51), -5, false, true},
    {make_u128(0xfeadd4d5617b6e32, 0xc897989f3e888ef7), -4, false, true},
    {make_u128(0xbdcbda5e72d81134, 0x7b0b4f881c9c7487), -3, false, true},
    {make_u128(0xfadbafc96406eb15, 0x6dc79ef5f7a217e5), -3, false, true},
    {make_u128(0x9b13b9b83f5e5e69, 0xc5abb498d27af328), -2, false, true},
    {make_u128(0xb7b0ca0f26f78473, 0x8aa32122dcfe4483), -2, false, true},
    {make_u128(0xd327761e611fe5b6, 0x427c95e9001e7136), -2, false, true},
    {make_u128(0xed63382b0dda7b45, 0x6fe445ecbc3a8d03), -2, false, true},
    {make_u128(0x832bf4a6d9867e2a, 0x4b6a09cb61a515c0), -1, false, true},
    {make_u128(0x8f005d5ef7f59f9b, 0x5c835e1665c43747), -1, false, true},
    {make_u128(0x9a2f80e671bdda20, 0x4226f8e2204ff3bc), -1, false, true},
    {make_u128(0xa4bc7d1934f70924, 0x19a87f2a457dac9e), -1, false, true},
    {make_u128(0xaeac4c38b4d8c080, 0x14725e2f3e52070a), -1, false, true},
    {make_u128(0xb8053e2bc2319e73, 0xcb2da55210a4443d), -1, false, true},
    {make_u128(0xc0ce85b8ac526640, 0x89dd62c46e92fa24), -1, false, true},
    {make_u128(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1), -1, false, true},
};

Fixed below_one(Fixed q) { return q == kFixedOne ? q - 1 : q; }

// sin(r)/r and cos(r) for z = r^2, r <= pi/4: 1 - z/(a(a+1)) (1 - z/((a+2)(a+3)) (...)).
Fixed alternating_factorial(Fixed z, u32 first) {
  Fixed s = kFixedOne;
  for (u32 a = first + 34; a >= first; a -= 2) {
    s = kFixedOne - multiply_fixed(z, s) / (a * (a + 1));
    if (a == first) break;
  }
  return below_one(s);
}

constexpr u128 kHalfPi = make_u128(0x6, 0x487ed5110b4611a6);  // of the 66-bit pi, times 2^66

// The remainder of |a| by pi/2, and in which quadrant |a| lies.
struct Reduced {
  Wide r;
  u32 quadrant;
};

// Everything here is an integer in units of 2^-66: pi/2 is kHalfPi, |a| is m << shift.
Reduced reduce(const Wide& a) {
  // |a| < 1/2 needs none.
  if (a.e < -1) return {{a.m, a.e, false, false}, 0};
  const u64 m = static_cast<u64>(a.m >> 64);  // operands have 64 significant bits
  const i32 shift = a.e - 63 + 66;
  u128 rest = m;
  u32 quadrant = 0;
  for (i32 k = 0; k < shift; k++) {
    rest <<= 1;
    quadrant <<= 1;
    if (rest >= kHalfPi) {
      rest -= kHalfPi;
      quadrant |= 1;
    }
  }
  return {normalise(rest, 127 - 66, false, false), quadrant & 3};
}

}  // namespace

SineCosine sine_cosine(const Wide& a) {
  const Reduced d = reduce(a);
  // Beyond pi/4 the functions change places: sin(r) = cos(pi/2 - r).
  const Wide complement = add(normalise(kHalfPi, 127 - 66, false, false), negate(d.r));
  const bool swap = compare_magnitude(d.r, complement) > 0;
  const Wide& r = swap ? complement : d.r;
  const Fixed z = r.m == 0 ? 0 : to_fixed(multiply(r, r));
  Wide sine = r.m == 0 ? Wide{} : multiply(r, from_fixed(alternating_factorial(z, 2)));
  Wide cosine = r.m == 0 ? wide_integer(1) : from_fixed(alternating_factorial(z, 1));
  if (swap) {
    const Wide t = sine;
    sine = cosine;
    cosine = t;
  }
  if (d.quadrant & 1) {
    const Wide t = sine;
    sine = cosine;
    cosine = negate(t);
  }
  if (d.quadrant & 2) {
    sine = negate(sine);
    cosine = negate(cosine);
  }
  if (a.neg) sine = negate(sine);
  return {sine, cosine};
}

Wide pi_times(i64 numerator, i32 denominator_log2) {
  Wide r = multiply(kPi, wide_integer(numerator));
  r.e -= denominator_log2;
  return r;
}

namespace {

// atan(u) for |u| <= 1/32: u (1 - z/3 + z^2/5 - ...).
Wide arc_tangent_small(const Wide& u) {
  if (u.m == 0) return u;
  const Fixed z = to_fixed(multiply(u, u));
  Fixed s = kFixedOne / 31;
  for (u32 n = 29;; n -= 2) {
    s = kFixedOne / n - multiply_fixed(z, s);
    if (n == 1) break;
  }
  return multiply(u, from_fixed(below_one(s)));
}

// atan(t), 0 < t <= 1, from the nearest multiple of 1/16.
Wide arc_tangent_unit(const Wide& t) {
  const u32 k = t.e < -6 ? 0 : static_cast<u32>((to_fixed(t) + (kFixedOne >> 5)) >> 123);
  if (k == 0) return arc_tangent_small(t);
  Wide c = wide_integer(k);
  c.e -= 4;
  const Wide u = divide(add(t, negate(c)), add(wide_integer(1), multiply(t, c)));
  return add(kArcTangent[k - 1], arc_tangent_small(u));
}

}  // namespace

Wide arc_tangent(const Wide& y, const Wide& x) {
  Wide a = y, b = x;
  a.neg = b.neg = false;
  const bool steep = compare_magnitude(a, b) > 0;
  Wide r = arc_tangent_unit(steep ? divide(b, a) : divide(a, b));
  r.inexact = true;
  if (steep) r = add(pi_times(1, 1), negate(r));
  if (x.neg) r = add(kPi, negate(r));
  r.neg = y.neg;
  return r;
}

namespace {

// 2/ln 2 * atanh(s) = log2((1 + s) / (1 - s)), |s| <= 0.1716.
Wide log2_from_ratio(const Wide& s) {
  const Fixed z = to_fixed(multiply(s, s));
  Fixed sum = kFixedOne / 55;
  for (u32 n = 53;; n -= 2) {
    sum = kFixedOne / n + multiply_fixed(z, sum);
    if (n == 1) break;
  }
  return multiply(multiply(s, from_fixed(sum)), kTwoOverLn2);
}

}  // namespace

Wide log2_of(const Wide& a) {
  if (a.m == kFixedOne && !a.inexact) return wide_integer(a.e);
  // Fraction in [1/sqrt 2, sqrt 2): the sum below never cancels.
  constexpr u128 kSqrt2 = make_u128(0xb504f333f9de6484, 0x597d89b3754abe9f);
  const i32 e = a.m >= kSqrt2 ? a.e + 1 : a.e;
  const Wide f = {a.m, a.e - e, false, a.inexact};
  const Wide one = wide_integer(1);
  const Wide s = divide(add(f, negate(one)), add(f, one));
  return add(wide_integer(e), log2_from_ratio(s));
}

Wide log2_of_one_plus(const Wide& x) {
  // x / (2 + x) keeps the precision of a small x; outside |x| < 1/4 the sum 1 + x is as good.
  if (x.e < -2) return log2_from_ratio(divide(x, add(wide_integer(2), x)));
  return log2_of(add(wide_integer(1), x));
}

Wide two_to_minus_one(const Wide& x) {
  if (x.e == 0 && x.m == kFixedOne) {
    Wide r = wide_integer(1);
    if (x.neg) r = {kFixedOne, -1, true, false};
    return r;
  }
  // t = x ln 2; (e^t - 1) / t = 1 + t/2 (1 + t/3 (1 + ...)).
  const Wide t = multiply(x, kLn2);
  const Fixed q = to_fixed(t);
  Fixed s = kFixedOne;
  for (u32 n = 36; n >= 2; n--) {
    const Fixed term = multiply_fixed(q, s) / n;
    s = x.neg ? kFixedOne - term : kFixedOne + term;
  }
  if (x.neg) s = below_one(s);
  return multiply(t, from_fixed(s));
}

}  // namespace twinstep::soft::x87
