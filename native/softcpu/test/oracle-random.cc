// Random values that favour edges: integers, floating-point numbers of all classes, register
// images.
#include "oracle-make.h"

namespace twinstep::soft::oracle {

u64 Random::edge64() {
  switch (below(8)) {
    case 0: return below(4) - 1ull;
    case 1: return (1ull << below(64)) - below(3) + 1;
    case 2: return ~(1ull << below(64));
    case 3: return 0x8000000080008080 ^ (next() & 0x0101010101010101);
    case 4: return static_cast<u64>(static_cast<i64>(next()) >> below(64));
    case 5: return next() >> below(64);
  }
  return next();
}

u32 Random::edge_single() {
  const u32 sign = one_in(2) ? 0x80000000 : 0;
  switch (below(12)) {
    case 0: return sign;
    case 1: return sign | 0x7f800000;
    case 2: return sign | 0x7fc00000 | below(16);                       // quiet
    case 3: return sign | 0x7f800001 | (below(0x400000) >> below(22));  // signalling, mostly
    case 4: return sign | below(0x800000) >> below(23);                 // denormal
    case 5: return sign | (1 + below(3)) << 23 | below(4);              // least normals
    case 6: return sign | (0x7f7fffff - below(3));
    case 7: return sign | (127 + below(34)) << 23 | (below(4) << 21);   // small integers
    case 8: return sign | (127 + 29 + below(6)) << 23 | below(0x800000);  // integer limits
    case 9: return sign | (120 + below(16)) << 23 | below(0x800000);
  }
  return static_cast<u32>(next());
}

u64 Random::edge_double() {
  const u64 sign = one_in(2) ? 1ull << 63 : 0;
  const u64 fraction = next() >> 12;
  switch (below(13)) {
    case 0: return sign;
    case 1: return sign | 0x7ffull << 52;
    case 2: return sign | 0xfffull << 51 | below(16);
    case 3: return sign | 0x7ffull << 52 | 1 | (fraction >> 1 >> below(51));
    case 4: return sign | fraction >> below(52);
    case 5: return sign | static_cast<u64>(1 + below(3)) << 52 | below(4);
    case 6: return sign | (0x7fefffffffffffff - below(3));
    case 7: return sign | static_cast<u64>(1023 + below(66)) << 52 | static_cast<u64>(below(4))
        << 50;
    case 8: return sign | static_cast<u64>(1023 + 29 + below(6)) << 52 | fraction;
    case 9: return sign | static_cast<u64>(1016 + below(16)) << 52 | fraction;
    // near single's end
    case 10: return sign | static_cast<u64>(1023 - 150 + below(30)) << 52 | fraction;
    case 11: return sign | static_cast<u64>(1023 + 126 + below(4)) << 52 | fraction;
  }
  return next();
}

void Random::edge_extended(u8 out[10]) {
  u64 m = next() | 1ull << 63;
  u16 e = static_cast<u16>(next() & 0x7fff);
  if (one_in(3)) m &= ~0ull << below(64);
  m |= 1ull << 63;
  switch (below(18)) {
    case 0: m = 0, e = 0; break;
    case 1: m = 1ull << 63, e = 0x7fff; break;
    case 2: m = 3ull << 62 | below(4), e = 0x7fff; break;
    case 3: m = 1ull << 63 | (1 + below(4)), e = 0x7fff; break;
    case 4: m >>= 1 + below(62), e = 0; break;        // denormal
    case 5: e = 0; break;                             // pseudo-denormal
    case 6: m >>= 1; break;                           // unsupported, mostly
    case 7: e = static_cast<u16>(1 + below(3)); break;
    case 8: e = 0x7ffe, m = ~0ull - below(2); break;
    case 9: e = static_cast<u16>(0x3fff - 66 + below(140)); break;
    case 10: e = static_cast<u16>(0x3fff - 1100 + below(140)); break;  // near double's end
    case 11: e = static_cast<u16>(0x3fff + 1010 + below(30)); break;
    case 12: e = static_cast<u16>(0x3fff - 160 + below(60)); break;
    case 13: m = 1ull << 63, e = static_cast<u16>(0x3ffd + below(66)); break;
    case 14: case 15: case 16: e = static_cast<u16>(0x3fff - 3 + below(7)); break;
  }
  if (one_in(2)) e |= 0x8000;
  memcpy(out, &m, 8);
  memcpy(out + 8, &e, 2);
}

void random_bytes(Random& r, u8* at, size_t bytes) {
  for (size_t n = 0; n < bytes; n += 8) {
    const u64 v = r.next();
    memcpy(at + n, &v, 8);
  }
}

namespace {

Xmm random_vector(Random& r) {
  Xmm v;
  const u32 how = r.below(4);
  for (u32 n = 0; n < 4 && how == 0; n++) v.d[n] = r.edge_single();
  for (u32 n = 0; n < 2 && how == 1; n++) v.q[n] = r.edge_double();
  for (u32 n = 0; n < 2 && how == 2; n++) v.q[n] = r.edge64();
  if (how == 3) {
    // Few different bytes: equal lanes, and zero bytes that end strings.
    for (u8& b : v.b) b = static_cast<u8>(r.one_in(6) ? 0 : 0x7e + r.below(4));
  }
  return v;
}

}  // namespace

void random_fx(Random& r, const Entry& e, Fx& fx) {
  memset(&fx, 0, sizeof fx);
  fx.control = static_cast<u16>(0x037f);
  if (!r.one_in(3)) fx.control = static_cast<u16>(0x7f | (r.below(4) << 10) | (r.below(4) << 8));
  if (r.one_in(5)) fx.control &= static_cast<u16>(~r.below(0x40));
  fx.status = static_cast<u16>(r.next() & 0x7f00);
  if (!r.one_in(4)) fx.status |= r.next() & 0x3f & (r.one_in(8) ? 0x3f : fx.control);
  if (r.one_in(10)) fx.status |= 0x40;
  if (fx.status & ~fx.control & 0x3f) fx.status |= 0x8080;
  fx.tag = r.one_in(4) ? static_cast<u8>(r.next()) : r.one_in(2) ? 0xff : 0x7f;
  // Room for a push, mostly: ST(7) empty.
  const u32 top = fx.status >> 11 & 7;
  if (fx.tag == 0x7f) fx.tag = static_cast<u8>(~(1u << ((top + 7) & 7)));
  for (auto& st : fx.st) r.edge_extended(st);
  if (e.family == Family::transcend && r.one_in(2)) {
    // Ordinary sizes, or nothing but special cases would be seen.
    for (auto& st : fx.st) {
      const u16 se = static_cast<u16>(0x3ffe - r.below(r.one_in(3) ? 20 : 2) + (r.below(2) << 15));
      st[7] |= 0x80;
      memcpy(st + 8, &se, 2);
    }
  }
  fx.mxcsr = 0x1f80;
  if (r.one_in(3)) fx.mxcsr |= r.below(4) << 13;
  if (r.one_in(8)) fx.mxcsr |= r.below(2) << 15 | r.below(2) << 6;
  if (r.one_in(6)) fx.mxcsr &= ~(r.below(0x40) << 7);
  fx.mxcsr |= r.one_in(2) ? r.below(0x40) : 0;
  for (Xmm& x : fx.xmm) x = random_vector(r);
  // Two registers alike give equal comparisons and NaN pairs.
  if (r.one_in(8)) fx.xmm[r.below(16)] = fx.xmm[r.below(16)];
}

}  // namespace twinstep::soft::oracle
