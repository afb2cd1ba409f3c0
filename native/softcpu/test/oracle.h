// The host CPU as oracle: one random instruction with random state, run natively and in the engine.
//
// A case is made from (seed, number) alone, so any line of output can be run again by itself. Both
// sides see the same linear addresses: a code area, data pages with a hole and a read-only page,
// the GS base. Native runs enter and leave by signal frames, which carry every register.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../engine.h"

namespace twinstep::soft::oracle {

// ---- memory -------------------------------------------------------------------------------------
inline constexpr u64 kCodeAt = 0x20000000, kCodeBytes = 0x2000;
inline constexpr u64 kPage = 4096;
// Pages of data: two writable, a hole of two pages, one read-only, one writable, a hole.
inline constexpr u64 kDataAt = 0x20010000, kHoleAt = 0x20012000, kReadOnlyAt = 0x20014000;
inline constexpr u32 kDataPages = 4;
inline constexpr u64 kDataPageAt[kDataPages] = {kDataAt, kDataAt + kPage, kReadOnlyAt,
                                                kReadOnlyAt + kPage};
inline constexpr u64 kGsBase = kDataAt + 0x400;
using Memory = u8[kDataPages * kPage];

// ---- state --------------------------------------------------------------------------------------
// As FXSAVE lays it out; registers are relative to TOP.
struct alignas(16) Fx {
  u16 control, status;
  u8 tag, pad0;
  u16 opcode;
  u64 ip, dp;
  u32 mxcsr, mxcsr_mask;
  u8 st[8][16];
  Xmm xmm[16];
  u8 pad1[96];
};
static_assert(sizeof(Fx) == 512);

inline constexpr u8 kNoFault = BP;  // every run ends in an INT3
struct Snapshot {
  u64 gpr[16];
  u64 rip, rflags;
  Fx fx;
  u8 vector;   // kNoFault or the fault's
  u64 error, cr2;
};

// ---- random -------------------------------------------------------------------------------------
struct Random {
  u64 state;
  u64 next() {
    u64 z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  u32 below(u32 n) { return static_cast<u32>((next() >> 32) * n >> 32); }
  bool one_in(u32 n) { return below(n) == 0; }
  u64 edge64();  // integers near boundaries as often as any others
  u32 edge_single();
  u64 edge_double();
  void edge_extended(u8 out[10]);
};

// ---- instructions -------------------------------------------------------------------------------
enum class Family : u8 {
  alu, shift, muldiv, bit, move, stack, string, flow, x87, transcend, mmx, sse, ssefp, state, kCount
};
extern const char* const kFamilyNames[];

// Flags the SDM leaves undefined, x87 condition codes likewise.
enum class Undefined : u8 {
  none, logic, shift, rotate, double_shift, multiply, divide, bit_test, bit_scan, decimal_adjust,
  ascii_adjust, ascii_divide
};

// How registers and memory must be prepared beyond "anything".
enum class Kind : u8 {
  plain, stack, string, xlat, bit_memory, divide, maskmov, relative, indirect, ret, enter, leave,
  xsave, loop, call, popf, mxcsr, fximage, fpenv, string_compare,
  control_word, pusha
};

enum class Data : u8 { integer, single, doubled, extended, bcd };

enum EntryFlag : u32 {
  kReg = 1,        // a register r/m is allowed
  kMem = 2,        // a memory r/m is allowed
  kSized = 4,      // 16, 32, 64 bits by prefixes
  kWide = 8,       // REX.W means something
  kByte = 0x10,    // 8-bit registers
  kImm8 = 0x20, kImmZ = 0x40, kImmV = 0x80,
  kLockable = 0x100,
  kNoModrm = 0x200,
  kAligned = 0x400,  // memory operands are mostly 16-byte aligned
  kReps = 0x800,     // REP prefixes apply
  kNoRep = 0x1000,   // F2 and F3 would make another instruction
  kStack64 = 0x2000, // 64 bits by default, 66 makes it 16
  kOpcodeReg = 0x4000,  // a register in the opcode's low bits
  kApproximate = 0x8000,  // results may differ in the last places
  kFxImage = 0x10000,     // writes an FXSAVE image: pointers and mask may differ
  kImm16 = 0x20000,
  kX87 = 0x40000,         // state with valid x87 contents
  kNo66 = 0x80000,
  kRel32 = 0x100000,
  kOnly64 = 0x400000,
  kOnly32 = 0x800000,
  kFpCompare = 0x200000,  // an unmasked exception keeps its outcome back: hosts differ
};

struct Entry {
  std::string name;
  Family family;
  u8 prefix;  // mandatory: 0, 66, F2, F3
  u8 map, opcode;
  int group;  // ModRM.reg, or -1
  u32 flags;
  u8 bytes;   // memory operand; 0: the operand size
  Undefined undefined = Undefined::none;
  Kind kind = Kind::plain;
  Data data = Data::integer;
  int modrm = -1;           // the whole byte, for fixed register forms
  u16 status_undefined = 0;  // x87 status bits not compared
};

std::vector<Entry> all_entries();
void add_integer_entries(std::vector<Entry>& out);
void add_x87_entries(std::vector<Entry>& out);
void add_simd_entries(std::vector<Entry>& out);

struct Case {
  const Entry* entry;
  u32 bits;     // 64-bit or compatibility mode (32)
  u8 code[16];
  u32 length;
  u64 at;       // linear address of the first byte
  u32 op_bits;
  bool memory;  // has an explicit memory operand
  bool address32;
  u16 used;     // registers the memory operand is addressed by
  u8 reg;       // ModRM.reg with REX.R
  u64 target;   // linear address of the operand, if it has one
  u8 modrm;
  u8 imm;
  Snapshot in;
};

void make_case(Random& r, const Entry& e, u32 bits, Case& out, Memory& memory);
u64 undefined_flags(const Case& c);
bool undefined_result(const Case& c);

// What Intel's and AMD's processors do each in their own way, the engine as AMD's.
bool host_is_intel();
bool vendors_differ(const Case& c, const Snapshot& cpu, const Snapshot& engine);

// ---- the two machines ---------------------------------------------------------------------------
// Both take code and state from the case and memory from `memory`, and leave the result there.
void native_start();
bool native_has_32();  // whether the kernel keeps a 32-bit code segment
void native_run(const Case& c, Memory& memory, Snapshot& out);

class EngineMachine {
 public:
  explicit EngineMachine(const Engine::Options& options = {});
  ~EngineMachine();
  void run(const Case& c, Memory& memory, Snapshot& out) {
    run(c, memory, out, reset_.cr0, reset_.cr4);
  }
  void run(const Case& c, Memory& memory, Snapshot& out, u64 cr0, u64 cr4);
  const State& base() const { return reset_; }

 private:
  void build_tables();
  u8* ram_;
  Engine* engine_;
  State reset_;
};

// Rules of CR0 and CR4, engine only; returns how many cases went wrong.
u32 run_gates(EngineMachine& engine);

}  // namespace twinstep::soft::oracle
