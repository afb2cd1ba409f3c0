// oracle [--seed N] [--count N] [--family A,B] [--name TEXT] [--mode 32|64] [--only K] [--translate] [--verbose]
//
// Runs random cases on the host CPU and in the engine and compares registers, memory, flags and
// faults. Prints one line for a mismatch (three an instruction unless --verbose) and a summary by
// family; exits 1 if anything differed. Case K of seed N again: --seed N --only K with the same
// --family, --name and --mode. With --translate the engine runs nothing but translations where it has them.
#include "oracle.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace twinstep::soft::oracle {

const char* const kFamilyNames[] = {"alu",   "shift", "muldiv",    "bit", "move", "stack", "string",
                                    "flow",  "x87",   "transcend", "mmx", "sse",  "ssefp", "state"};

std::vector<Entry> all_entries() {
  std::vector<Entry> out;
  add_integer_entries(out);
  add_x87_entries(out);
  add_simd_entries(out);
  return out;
}

namespace {

struct Options {
  u64 seed = 1, count = 200000;
  long long only = -1;
  u32 mode = 0;  // both
  std::string family, name;
  bool verbose = false, translate = false;
};

using Text = std::string;
Text hex(u64 v) {
  char t[32];
  snprintf(t, sizeof t, "%llx", static_cast<unsigned long long>(v));
  return t;
}
Text hex_bytes(const u8* p, u32 n) {
  Text out;
  for (u32 k = 0; k < n; k++) {
    char t[4];
    snprintf(t, sizeof t, "%02x", p[k]);
    out += t;
  }
  return out;
}
// Most significant byte first, as values are read.
Text hex_value(const void* at, u32 bytes) {
  const u8* p = static_cast<const u8*>(at);
  std::vector<u8> turned(p, p + bytes);
  std::reverse(turned.begin(), turned.end());
  return hex_bytes(turned.data(), bytes);
}

// ---- what may differ ----------------------------------------------------------------------------
long double extended(const u8* p) {
  long double v = 0;
  memcpy(&v, p, 10);
  return v;
}

// Transcendentals: the host may be an ulp or two off, and its argument reduction is its own.
bool close_extended(const u8* a, const u8* b) {
  if (memcmp(a, b, 10) == 0) return true;
  if ((a[9] ^ b[9]) & 0x80) return false;
  u64 ma, mb;
  u16 ea, eb;
  memcpy(&ma, a, 8);
  memcpy(&mb, b, 8);
  memcpy(&ea, a + 8, 2);
  memcpy(&eb, b + 8, 2);
  if (((ea | eb) & 0x7fff) == 0x7fff) return false;
  const long double x = extended(a), y = extended(b);
  return fabsl(x - y) <= fabsl(y) * 2 * 0x1p-63L + 0x2p-16445L;
}

// RCPPS and RSQRTPS: within the SDM's 1.5 * 2^-12 of the exact value, hence 3 * 2^-12 apart.
bool close_single(u32 a, u32 b) {
  if (a == b) return true;
  float x, y;
  memcpy(&x, &a, 4);
  memcpy(&y, &b, 4);
  if (std::isnan(x) || std::isnan(y) || std::isinf(x) || std::isinf(y)) return false;
  // Hosts differ in where tiny results become zero.
  if (fabsf(x) <= 0x1p-126f && fabsf(y) <= 0x1.002p-126f) return true;
  return fabsf(x - y) <= fabsf(y) * 0x3p-12f;
}

// FYL2XP1 outside of 1 - sqrt(1/2) <= x <= sqrt(2) - 1 may do anything.
bool beyond_range(const Case& c) {
  if (c.entry->name != "fyl2xp1") return false;
  const long double x = extended(c.in.fx.st[0]);
  return !(x >= -0.2928L && x <= 0.4142L);
}

struct Comparison {
  Text differences;
  void add(const char* what, const Text& cpu, const Text& engine, const Text& initial) {
    differences += Text(" ") + what + ": cpu=" + cpu + " engine=" + engine;
    differences += " (was " + initial + ")";
  }
  void add(const Text& what, u64 cpu, u64 engine, u64 initial) {
    if (cpu != engine) add(what.c_str(), hex(cpu), hex(engine), hex(initial));
  }
};

void compare_fx(const Case& c, const Snapshot& cpu, const Snapshot& engine, Comparison& out) {
  const bool approximate = c.entry->flags & kApproximate;
  u32 open = c.entry->status_undefined;
  if (c.entry->family == Family::transcend) open |= 0x0230;                      // C1, PE, UE
  if (c.entry->flags & kFpCompare && cpu.fx.status & 0x80) open |= 0x4700;        // condition codes
  // Conversions to MMX registers switch to MMX mode before their #XM on some hosts; here a fault
  // leaves nothing but flags.
  const bool turned = (c.in.fx.status ^ cpu.fx.status) & 0x3800 || c.in.fx.tag != cpu.fx.tag;
  const bool early = cpu.vector == XM && turned;
  if (early) open |= 0x3800;
  // A flag that is open takes the summary with it.
  if ((cpu.fx.status ^ engine.fx.status) & open & 0x3f) open |= 0x8080;
  const u16 keep = static_cast<u16>(~open);
  out.add("fcw", cpu.fx.control, engine.fx.control, c.in.fx.control);
  out.add("fsw", cpu.fx.status & keep, engine.fx.status & keep, c.in.fx.status & keep);
  if (!early) out.add("ftw", cpu.fx.tag, engine.fx.tag, c.in.fx.tag);
  // With an unmasked overflow or underflow the host's PE is that of the result with a wrapped
  // exponent, ours that of the masked result.
  const u32 wrapped = cpu.vector == XM ? cpu.fx.mxcsr & 0x18 & ~(cpu.fx.mxcsr >> 7) : 0;
  const u32 mx_keep = wrapped ? ~0x20u : ~0u;
  out.add("mxcsr", cpu.fx.mxcsr & mx_keep, engine.fx.mxcsr & mx_keep, c.in.fx.mxcsr & mx_keep);
  for (u32 n = 0; n < 8 && !early; n++) {
    const u8 *a = cpu.fx.st[n], *b = engine.fx.st[n];
    if (memcmp(a, b, 10) == 0 || (approximate && close_extended(a, b))) continue;
    out.add(("st" + std::to_string(n)).c_str(), hex_value(a, 10), hex_value(b, 10),
            hex_value(c.in.fx.st[n], 10));
  }
  for (u32 n = 0; n < 16; n++) {
    const Xmm &a = cpu.fx.xmm[n], &b = engine.fx.xmm[n];
    bool same = memcmp(&a, &b, 16) == 0;
    if (!same && approximate) {
      same = true;
      for (u32 k = 0; k < 4; k++) same = same && close_single(a.d[k], b.d[k]);
    }
    if (same) continue;
    out.add(("xmm" + std::to_string(n)).c_str(), hex_value(&a, 16), hex_value(&b, 16),
            hex_value(&c.in.fx.xmm[n], 16));
  }
}

// Bytes of a state image that are the host's own affair, relative to the operand.
bool own_affair(const Case& c, u64 offset) {
  const Entry& e = *c.entry;
  if (e.flags & kFxImage) {
    const bool pointers = offset >= 6 && offset < 24;  // FOP, FIP, FDP
    const bool mask = offset >= 28 && offset < 32;     // MXCSR_MASK
    return pointers || mask || (e.kind == Kind::xsave && offset == 512);  // XINUSE
  }
  if (e.kind != Kind::fpenv) return false;
  const bool short_form = c.op_bits == 16;
  return short_form ? offset >= 6 && offset < 14 : (offset >= 12 && offset < 26);
}

void compare_memory(const Case& c, const Memory& before, const Memory& cpu, const Memory& engine,
                    Comparison& out) {
  if (memcmp(cpu, engine, sizeof cpu) == 0) return;
  u32 shown = 0;
  for (u32 n = 0; n < sizeof cpu && shown < 8; n++) {
    const u64 at = kDataPageAt[n / kPage] + n % kPage;
    if (cpu[n] == engine[n] || own_affair(c, at - c.target)) continue;
    shown++;
    out.add(("[" + hex(at) + "]").c_str(), hex(cpu[n]), hex(engine[n]), hex(before[n]));
  }
}

// CMPS reads two operands; which comes first, and so which fault is met, is the processor's own affair
// (Intel's and AMD's differ).
bool reads_two(const Case& c) { return c.entry->name.starts_with("cmps"); }

void compare_fault(const Case& c, const Snapshot& cpu, const Snapshot& engine, Comparison& out) {
  out.add("vector", cpu.vector, engine.vector, kNoFault);
  if (cpu.vector != engine.vector || cpu.vector != PFV || reads_two(c)) return;
  // The kernel says "present" for everything from the last page of the lower half on.
  const u64 mask = cpu.cr2 >= 0x7ffffffff000 ? ~u64{1} : ~u64{0};
  out.add("error", cpu.error & mask, engine.error & mask, 0);
  out.add("cr2", cpu.cr2, engine.cr2, c.target);
}

// Which of several faults it is, where that is open: #AC or #PF of a misaligned access (SDM table
// 6-2), and everything about operands that are moved in parts, in an order of the host's own.
bool either_fault(const Case& c, const Snapshot& cpu, const Snapshot& engine) {
  const Entry& e = *c.entry;
  const bool parts = e.kind == Kind::fpenv || e.kind == Kind::fximage || e.kind == Kind::xsave ||
                     e.data == Data::extended || e.data == Data::bcd || e.name == "bound" ||
                     reads_two(c);
  const auto known = [&](u8 v) {
    if (v == ACV) return (c.in.rflags & AC) != 0;
    return v == PFV || (parts && (v == GP || v == SSV));
  };
  // Misaligned and not canonical at once, through RSP or RBP: #GP or #SS.
  if (e.flags & kAligned && (c.target & 15)) {
    if ((cpu.vector == GP || cpu.vector == SSV) && (engine.vector == GP || engine.vector == SSV)) {
      return true;
    }
  }
  // MASKMOVQ tests its operand as a whole on some hosts, as bytes on others.
  if (e.kind == Kind::maskmov && cpu.vector != kNoFault) return true;
  if (!parts && !(c.in.rflags & AC)) return false;
  return known(cpu.vector) && known(engine.vector);
}

Text compare(const Case& c, const Memory& before, const Snapshot& cpu, const Memory& cpu_memory,
             const Snapshot& engine, const Memory& engine_memory) {
  Comparison out;
  static const char* const kNames[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
  // A faulting PUSHA or POPA leaves parts behind on hosts, none here, and which of its accesses is
  // the first differs.
  if (c.entry->kind == Kind::pusha && cpu.vector != kNoFault && engine.vector != kNoFault) return "";
  if (!either_fault(c, cpu, engine)) compare_fault(c, cpu, engine, out);
  if (beyond_range(c)) return out.differences;
  if (undefined_result(c) || (c.entry->kind == Kind::maskmov && cpu.vector != kNoFault)) {
    return out.differences;
  }
  for (u32 n = 0; n < 16; n++) out.add(kNames[n], cpu.gpr[n], engine.gpr[n], c.in.gpr[n]);
  out.add("rip", cpu.rip, engine.rip, c.in.rip);
  const bool held_back = c.entry->flags & kFpCompare && cpu.fx.status & 0x80;
  const u64 keep = ~undefined_flags(c) & ~(held_back ? kStatusFlags : 0);
  out.add("rflags", cpu.rflags & keep, engine.rflags & keep, c.in.rflags & keep);
  compare_fx(c, cpu, engine, out);
  compare_memory(c, before, cpu_memory, engine_memory, out);
  return out.differences;
}

// ---- the loop -----------------------------------------------------------------------------------
struct Tally {
  u64 run = 0, faults = 0, wrong = 0, open = 0;
};

bool listed(const Text& list, const Text& name) {
  return list.empty() || ("," + list + ",").find("," + name + ",") != Text::npos;
}

struct Oracle {
  explicit Oracle(const Options& options) : o(options), engine({options.translate, 0}) {}
  const Options o;
  std::vector<Entry> entries;
  EngineMachine engine;
  bool has_32 = false;
  const bool is_intel = host_is_intel();
  Tally tally[static_cast<u32>(Family::kCount)];
  std::map<Text, u64> wrong_by_name;

  void one(u64 number);
  int summary();
};

void print_state(const Case& c, const Memory& before) {
  for (u32 n = 0; n < 16; n++) printf("  r%u=%s", n, hex(c.in.gpr[n]).c_str());
  printf("\n");
  for (u32 n = 0; n < 8; n++) printf("  st%u=%s", n, hex_value(c.in.fx.st[n], 10).c_str());
  printf("\n");
  for (u32 n = 0; n < 16; n++) printf("  x%u=%s", n, hex_value(&c.in.fx.xmm[n], 16).c_str());
  printf("\n");
  if (!c.memory || c.target - kDataAt >= 2 * kPage - 16) return;
  printf("  memory=%s\n", hex_value(before + (c.target - kDataAt), 16).c_str());
}

// One line: how to run it again, what went in, what differed.
void print_case(const Case& c, u64 seed, u64 number, u8 vector, const Text& differences) {
  const Fx& fx = c.in.fx;
  printf("%s (%u bits) --seed %llu --only %llu: %s at %s", c.entry->name.c_str(), c.bits,
         static_cast<unsigned long long>(seed), static_cast<unsigned long long>(number),
         hex_bytes(c.code, c.length).c_str(), hex(c.at).c_str());
  printf(" flags=%s fcw=%s fsw=%s ftw=%s mxcsr=%s", hex(c.in.rflags).c_str(),
         hex(fx.control).c_str(), hex(fx.status).c_str(), hex(fx.tag).c_str(),
         hex(fx.mxcsr).c_str());
  printf(" target=%s vector=%u:%s\n", hex(c.target).c_str(), vector, differences.c_str());
}

void Oracle::one(u64 number) {
  Random r{o.seed * 0x9e3779b97f4a7c15 + number * 0xd1342543de82ef95};
  const Entry& e = entries[r.below(static_cast<u32>(entries.size()))];
  static Memory before, cpu_memory, engine_memory;
  Case c;
  const bool narrow = e.flags & kOnly32 || (!(e.flags & kOnly64) && r.one_in(3));
  const u32 bits = narrow && has_32 ? 32 : 64;
  if ((o.mode && o.mode != bits) || (e.flags & kOnly32 && bits == 64)) return;
  make_case(r, e, bits, c, before);
  memcpy(cpu_memory, before, sizeof before);
  memcpy(engine_memory, before, sizeof before);
  Snapshot cpu = {}, ours = {};
  native_run(c, cpu_memory, cpu);
  engine.run(c, engine_memory, ours);
  Tally& t = tally[static_cast<u32>(e.family)];
  t.run++;
  if (cpu.vector != kNoFault) t.faults++;
  const Text differences = compare(c, before, cpu, cpu_memory, ours, engine_memory);
  const bool differs = !differences.empty(), single = o.only >= 0;
  const bool open = differs && is_intel && vendors_differ(c, cpu, ours);
  const bool wrong = differs && !open;
  if (open) t.open++;
  if (wrong) t.wrong++;
  const bool enough = wrong && ++wrong_by_name[e.name] > 3 && !o.verbose;
  if (!single && (!wrong || enough)) return;
  print_case(c, o.seed, number, cpu.vector, differences);
  if (single) print_state(c, before);
}

int Oracle::summary() {
  bool wrong = false;
  printf("%-10s %10s %10s %10s %10s\n", "family", "cases", "faults", "open", "different");
  for (u32 f = 0; f < static_cast<u32>(Family::kCount); f++) {
    const Tally& t = tally[f];
    if (t.run == 0) continue;
    wrong = wrong || t.wrong != 0;
    printf("%-10s %10llu %10llu %10llu %10llu\n", kFamilyNames[f], static_cast<unsigned long long>(t.run),
           static_cast<unsigned long long>(t.faults), static_cast<unsigned long long>(t.open),
           static_cast<unsigned long long>(t.wrong));
  }
  for (const auto& [name, count] : wrong_by_name) {
    printf("  %-28s %llu\n", name.c_str(), static_cast<unsigned long long>(count));
  }
  return wrong ? 1 : 0;
}

Options parse(int argc, char** argv) {
  Options o;
  for (int n = 1; n < argc; n++) {
    const Text a = argv[n];
    const auto value = [&]() -> const char* {
      if (n + 1 < argc) return argv[++n];
      fprintf(stderr, "%s needs a value\n", a.c_str());
      exit(2);
    };
    if (a == "--seed") o.seed = strtoull(value(), nullptr, 0);
    else if (a == "--count") o.count = strtoull(value(), nullptr, 0);
    else if (a == "--family") o.family = value();
    else if (a == "--name") o.name = value();
    else if (a == "--only") o.only = strtoll(value(), nullptr, 0);
    else if (a == "--mode") o.mode = static_cast<u32>(atoi(value()));
    else if (a == "--verbose") o.verbose = true;
    else if (a == "--translate") o.translate = true;
    else {
      fprintf(stderr, "unknown option %s\n", a.c_str());
      exit(2);
    }
  }
  return o;
}

}  // namespace
}  // namespace twinstep::soft::oracle

int main(int argc, char** argv) {
  using namespace twinstep::soft::oracle;
  Oracle oracle(parse(argc, argv));
  for (Entry& e : all_entries()) {
    const bool named = oracle.o.name.empty() || e.name.find(oracle.o.name) != std::string::npos;
    if (named && listed(oracle.o.family, kFamilyNames[static_cast<int>(e.family)])) {
      oracle.entries.push_back(e);
    }
  }
  if (oracle.entries.empty()) {
    fprintf(stderr, "no instruction is named so\n");
    return 2;
  }
  native_start();
  oracle.has_32 = native_has_32();
  if (!oracle.has_32) printf("this kernel has no 32-bit code segment: 64-bit mode only\n");
  if (oracle.o.only >= 0) {
    oracle.one(static_cast<twinstep::soft::u64>(oracle.o.only));
  } else {
    printf("seed %llu, %llu cases, %zu instructions\n",
           static_cast<unsigned long long>(oracle.o.seed),
           static_cast<unsigned long long>(oracle.o.count), oracle.entries.size());
    for (twinstep::soft::u64 n = 0; n < oracle.o.count; n++) oracle.one(n);
  }
  const bool gates_wrong = oracle.o.only < 0 && run_gates(oracle.engine) != 0;
  return oracle.summary() | (gates_wrong ? 1 : 0);
}
