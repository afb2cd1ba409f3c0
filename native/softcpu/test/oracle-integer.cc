// What the oracle knows of integer instructions: encodings, operands, undefined flags.
//
// Left out: what needs privilege or segments, is answered by the kernel (INT n, SYSCALL), differs
// by host (CPUID, RDTSC, XGETBV, F3 BSF and BSR, which newer hosts take for TZCNT and LZCNT).
#include "oracle.h"

namespace twinstep::soft::oracle {
namespace {

using F = Family;
using U = Undefined;
constexpr u32 kRm = kReg | kMem;

void alu(std::vector<Entry>& out) {
  static const char* const kNames[8] = {"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"};
  for (int n = 0; n < 8; n++) {
    const U u = n == 1 || n == 4 || n == 6 ? U::logic : U::none;
    const std::string name = kNames[n];
    const u8 op = static_cast<u8>(n * 8);
    const u32 lock = n == 7 ? 0u : u32{kLockable};
    out.push_back({name + " rm8,r8", F::alu, 0, 0, op, -1, kRm | kByte | lock, 0, u});
    out.push_back({name + " rm,r", F::alu, 0, 0, u8(op + 1), -1, kRm | kSized | lock, 0, u});
    out.push_back({name + " r8,rm8", F::alu, 0, 0, u8(op + 2), -1, kRm | kByte, 0, u});
    out.push_back({name + " r,rm", F::alu, 0, 0, u8(op + 3), -1, kRm | kSized, 0, u});
    out.push_back({name + " al,i8", F::alu, 0, 0, u8(op + 4), -1, kNoModrm | kByte | kImm8, 0, u});
    out.push_back({name + " a,iz", F::alu, 0, 0, u8(op + 5), -1, kNoModrm | kSized | kImmZ, 0, u});
    out.push_back({name + " rm8,i8", F::alu, 0, 0, 0x80, n, kRm | kByte | kImm8 | lock, 0, u});
    out.push_back({name + " rm,iz", F::alu, 0, 0, 0x81, n, kRm | kSized | kImmZ | lock, 0, u});
    out.push_back({name + " rm,i8", F::alu, 0, 0, 0x83, n, kRm | kSized | kImm8 | lock, 0, u});
  }
  out.push_back({"test rm8,r8", F::alu, 0, 0, 0x84, -1, kRm | kByte, 0, U::logic});
  out.push_back({"test rm,r", F::alu, 0, 0, 0x85, -1, kRm | kSized, 0, U::logic});
  out.push_back({"test al,i8", F::alu, 0, 0, 0xa8, -1, kNoModrm | kByte | kImm8, 0, U::logic});
  out.push_back({"test a,iz", F::alu, 0, 0, 0xa9, -1, kNoModrm | kSized | kImmZ, 0, U::logic});
  for (int g = 0; g < 2; g++) {
    out.push_back({"test rm8,i8", F::alu, 0, 0, 0xf6, g, kRm | kByte | kImm8, 0, U::logic});
    out.push_back({"test rm,iz", F::alu, 0, 0, 0xf7, g, kRm | kSized | kImmZ, 0, U::logic});
  }
  static const char* const kOne[4] = {"inc", "dec", "not", "neg"};
  for (int n = 0; n < 4; n++) {
    const u8 op = n < 2 ? 0xfe : 0xf6;
    out.push_back({std::string(kOne[n]) + " rm8", F::alu, 0, 0, op, n, kRm | kByte | kLockable, 0});
    out.push_back({std::string(kOne[n]) + " rm", F::alu, 0, 0, u8(op + 1), n,
                   kRm | kSized | kLockable, 0});
  }
  out.push_back({"cmpxchg rm8,r8", F::alu, 0, 1, 0xb0, -1, kRm | kByte | kLockable, 0});
  out.push_back({"cmpxchg rm,r", F::alu, 0, 1, 0xb1, -1, kRm | kSized | kLockable, 0});
  out.push_back({"xadd rm8,r8", F::alu, 0, 1, 0xc0, -1, kRm | kByte | kLockable, 0});
  out.push_back({"xadd rm,r", F::alu, 0, 1, 0xc1, -1, kRm | kSized | kLockable, 0});
  out.push_back({"cmpxchg8b", F::alu, 0, 1, 0xc7, 1, kMem | kLockable | kNoRep, 8});
  for (const u8 op : {0xf5, 0xf8, 0xf9, 0xfc, 0xfd}) {
    out.push_back({"clc and the like", F::alu, 0, 0, op, -1, kNoModrm, 0});
  }
  out.push_back({"sahf", F::alu, 0, 0, 0x9e, -1, kNoModrm, 0});
  out.push_back({"lahf", F::alu, 0, 0, 0x9f, -1, kNoModrm, 0});
}

void shifts(std::vector<Entry>& out) {
  static const char* const kNames[8] = {"rol", "ror", "rcl", "rcr", "shl", "shr", "sal", "sar"};
  for (int n = 0; n < 8; n++) {
    const U u = n < 4 ? U::rotate : U::shift;
    const std::string name = kNames[n];
    out.push_back({name + " rm8,i8", F::shift, 0, 0, 0xc0, n, kRm | kByte | kImm8, 0, u});
    out.push_back({name + " rm,i8", F::shift, 0, 0, 0xc1, n, kRm | kSized | kImm8, 0, u});
    out.push_back({name + " rm8,1", F::shift, 0, 0, 0xd0, n, kRm | kByte, 0, u});
    out.push_back({name + " rm,1", F::shift, 0, 0, 0xd1, n, kRm | kSized, 0, u});
    out.push_back({name + " rm8,cl", F::shift, 0, 0, 0xd2, n, kRm | kByte, 0, u});
    out.push_back({name + " rm,cl", F::shift, 0, 0, 0xd3, n, kRm | kSized, 0, u});
  }
  out.push_back({"shld rm,r,i8", F::shift, 0, 1, 0xa4, -1, kRm | kSized | kImm8, 0,
                 U::double_shift});
  out.push_back({"shld rm,r,cl", F::shift, 0, 1, 0xa5, -1, kRm | kSized, 0, U::double_shift});
  out.push_back({"shrd rm,r,i8", F::shift, 0, 1, 0xac, -1, kRm | kSized | kImm8, 0,
                 U::double_shift});
  out.push_back({"shrd rm,r,cl", F::shift, 0, 1, 0xad, -1, kRm | kSized, 0, U::double_shift});
}

void muldiv(std::vector<Entry>& out) {
  static const char* const kNames[4] = {"mul", "imul", "div", "idiv"};
  for (int n = 0; n < 4; n++) {
    const U u = n < 2 ? U::multiply : U::divide;
    const Kind k = n < 2 ? Kind::plain : Kind::divide;
    out.push_back({std::string(kNames[n]) + " rm8", F::muldiv, 0, 0, 0xf6, 4 + n, kRm | kByte, 0,
                   u, k});
    out.push_back({std::string(kNames[n]) + " rm", F::muldiv, 0, 0, 0xf7, 4 + n, kRm | kSized, 0,
                   u, k});
  }
  out.push_back({"imul r,rm", F::muldiv, 0, 1, 0xaf, -1, kRm | kSized, 0, U::multiply});
  out.push_back({"imul r,rm,iz", F::muldiv, 0, 0, 0x69, -1, kRm | kSized | kImmZ, 0, U::multiply});
  out.push_back({"imul r,rm,i8", F::muldiv, 0, 0, 0x6b, -1, kRm | kSized | kImm8, 0, U::multiply});
}

void bits(std::vector<Entry>& out) {
  static const char* const kNames[4] = {"bt", "bts", "btr", "btc"};
  for (int n = 0; n < 4; n++) {
    const u32 lock = n == 0 ? 0u : u32{kLockable};
    out.push_back({std::string(kNames[n]) + " rm,r", F::bit, 0, 1, u8(0xa3 + 8 * n), -1,
                   kRm | kSized | lock, 0, U::bit_test, Kind::bit_memory});
    out.push_back({std::string(kNames[n]) + " rm,i8", F::bit, 0, 1, 0xba, 4 + n,
                   kRm | kSized | kImm8 | lock, 0, U::bit_test});
  }
  out.push_back({"bsf", F::bit, 0, 1, 0xbc, -1, kRm | kSized | kNoRep, 0, U::bit_scan});
  out.push_back({"bsr", F::bit, 0, 1, 0xbd, -1, kRm | kSized | kNoRep, 0, U::bit_scan});
  out.push_back({"popcnt", F::bit, 0xf3, 1, 0xb8, -1, kRm | kSized, 0});
  out.push_back({"crc32 r,rm8", F::bit, 0xf2, 2, 0xf0, -1, kRm | kByte, 1});
  out.push_back({"crc32 r,rm", F::bit, 0xf2, 2, 0xf1, -1, kRm | kSized, 0});
}

void moves(std::vector<Entry>& out) {
  out.push_back({"mov rm8,r8", F::move, 0, 0, 0x88, -1, kRm | kByte, 0});
  out.push_back({"mov rm,r", F::move, 0, 0, 0x89, -1, kRm | kSized, 0});
  out.push_back({"mov r8,rm8", F::move, 0, 0, 0x8a, -1, kRm | kByte, 0});
  out.push_back({"mov r,rm", F::move, 0, 0, 0x8b, -1, kRm | kSized, 0});
  out.push_back({"mov rm,sreg", F::move, 0, 0, 0x8c, DS, kRm | kSized, 2});
  out.push_back({"lea", F::move, 0, 0, 0x8d, -1, kMem | kSized, 0});
  out.push_back({"mov r8,i8", F::move, 0, 0, 0xb0, -1, kNoModrm | kOpcodeReg | kByte | kImm8, 0});
  out.push_back({"mov r,iv", F::move, 0, 0, 0xb8, -1, kNoModrm | kOpcodeReg | kSized | kImmV, 0});
  out.push_back({"mov rm8,i8", F::move, 0, 0, 0xc6, 0, kRm | kByte | kImm8, 0});
  out.push_back({"mov rm,iz", F::move, 0, 0, 0xc7, 0, kRm | kSized | kImmZ, 0});
  out.push_back({"movsxd", F::move, 0, 0, 0x63, -1, kRm | kSized | kOnly64, 4});
  out.push_back({"movzx r,rm8", F::move, 0, 1, 0xb6, -1, kRm | kSized, 1});
  out.push_back({"movzx r,rm16", F::move, 0, 1, 0xb7, -1, kRm | kSized, 2});
  out.push_back({"movsx r,rm8", F::move, 0, 1, 0xbe, -1, kRm | kSized, 1});
  out.push_back({"movsx r,rm16", F::move, 0, 1, 0xbf, -1, kRm | kSized, 2});
  out.push_back({"xchg rm8,r8", F::move, 0, 0, 0x86, -1, kRm | kByte | kLockable, 0});
  out.push_back({"xchg rm,r", F::move, 0, 0, 0x87, -1, kRm | kSized | kLockable, 0});
  out.push_back({"xchg a,r", F::move, 0, 0, 0x90, -1, kNoModrm | kOpcodeReg | kSized, 0});
  out.push_back({"bswap", F::move, 0, 1, 0xc8, -1, kNoModrm | kOpcodeReg | kWide, 0});
  out.push_back({"cbw", F::move, 0, 0, 0x98, -1, kNoModrm | kSized, 0});
  out.push_back({"cwd", F::move, 0, 0, 0x99, -1, kNoModrm | kSized, 0});
  out.push_back({"xlat", F::move, 0, 0, 0xd7, -1, kNoModrm, 1, U::none, Kind::xlat});
  out.push_back({"movnti", F::move, 0, 1, 0xc3, -1, kMem | kWide | kNoRep, 0});
  out.push_back({"nop rm", F::move, 0, 1, 0x1f, 0, kRm | kSized, 0});
  out.push_back({"nop", F::move, 0, 0, 0x90, -1, kNoModrm, 0});
  for (int cc = 0; cc < 16; cc++) {
    out.push_back({"cmovcc", F::move, 0, 1, u8(0x40 + cc), -1, kRm | kSized, 0});
    out.push_back({"setcc", F::move, 0, 1, u8(0x90 + cc), -1, kRm | kByte, 0});
  }
}

void stack(std::vector<Entry>& out) {
  constexpr Kind k = Kind::stack;
  out.push_back({"push r", F::stack, 0, 0, 0x50, -1, kNoModrm | kOpcodeReg | kStack64, 0, U::none,
                 k});
  out.push_back({"pop r", F::stack, 0, 0, 0x58, -1, kNoModrm | kOpcodeReg | kStack64, 0, U::none,
                 k});
  out.push_back({"push rm", F::stack, 0, 0, 0xff, 6, kRm | kStack64, 0, U::none, k});
  out.push_back({"pop rm", F::stack, 0, 0, 0x8f, 0, kRm | kStack64, 0, U::none, k});
  out.push_back({"push i8", F::stack, 0, 0, 0x6a, -1, kNoModrm | kStack64 | kImm8, 0, U::none, k});
  out.push_back({"push iz", F::stack, 0, 0, 0x68, -1, kNoModrm | kStack64 | kImmZ, 0, U::none, k});
  out.push_back({"pushf", F::stack, 0, 0, 0x9c, -1, kNoModrm | kStack64, 0, U::none, k});
  out.push_back({"enter", F::stack, 0, 0, 0xc8, -1, kNoModrm | kStack64 | kImm8, 0, U::none,
                 Kind::enter});
  out.push_back({"leave", F::stack, 0, 0, 0xc9, -1, kNoModrm | kStack64, 0, U::none, Kind::leave});
  out.push_back({"popf", F::stack, 0, 0, 0x9d, -1, kNoModrm | kStack64, 0, U::none, Kind::popf});
}

void strings(std::vector<Entry>& out) {
  static const struct {
    const char* name;
    u8 opcode;
  } kOps[] = {{"movs", 0xa4}, {"cmps", 0xa6}, {"stos", 0xaa}, {"lods", 0xac}, {"scas", 0xae}};
  for (const auto& op : kOps) {
    out.push_back({std::string(op.name) + "b", F::string, 0, 0, op.opcode, -1,
                   kNoModrm | kByte | kReps, 0, U::none, Kind::string});
    out.push_back({op.name, F::string, 0, 0, u8(op.opcode + 1), -1, kNoModrm | kSized | kReps, 0,
                   U::none, Kind::string});
  }
}

void flow(std::vector<Entry>& out) {
  for (int cc = 0; cc < 16; cc++) {
    out.push_back({"jcc rel8", F::flow, 0, 0, u8(0x70 + cc), -1, kNoModrm | kImm8, 0, U::none,
                   Kind::relative});
    out.push_back({"jcc rel32", F::flow, 0, 1, u8(0x80 + cc), -1, kNoModrm | kRel32, 0, U::none,
                   Kind::relative});
  }
  out.push_back({"jmp rel8", F::flow, 0, 0, 0xeb, -1, kNoModrm | kImm8, 0, U::none,
                 Kind::relative});
  out.push_back({"jmp rel32", F::flow, 0, 0, 0xe9, -1, kNoModrm | kRel32, 0, U::none,
                 Kind::relative});
  for (int n = 0; n < 4; n++) {
    // REP prefixes are reserved here; some hosts let them choose LOOPE or LOOPNE.
    out.push_back({"loop, jrcxz", F::flow, 0, 0, u8(0xe0 + n), -1, kNoModrm | kImm8 | kNoRep, 0,
                   U::none, Kind::loop});
  }
  out.push_back({"call rel32", F::flow, 0, 0, 0xe8, -1, kNoModrm | kRel32, 0, U::none, Kind::call});
  out.push_back({"jmp rm", F::flow, 0, 0, 0xff, 4, kRm, 0, U::none, Kind::indirect});
  out.push_back({"call rm", F::flow, 0, 0, 0xff, 2, kRm, 0, U::none, Kind::indirect});
  out.push_back({"ret", F::flow, 0, 0, 0xc3, -1, kNoModrm, 0, U::none, Kind::ret});
  out.push_back({"ret i16", F::flow, 0, 0, 0xc2, -1, kNoModrm | kImm16, 0, U::none, Kind::ret});
  out.push_back({"ud2", F::flow, 0, 1, 0x0b, -1, kNoModrm, 0});
}

// What long mode has no encodings for.
void legacy(std::vector<Entry>& out) {
  constexpr u32 k32 = kNoModrm | kOnly32;
  out.push_back({"daa", F::alu, 0, 0, 0x27, -1, k32, 0, U::decimal_adjust});
  out.push_back({"das", F::alu, 0, 0, 0x2f, -1, k32, 0, U::decimal_adjust});
  out.push_back({"aaa", F::alu, 0, 0, 0x37, -1, k32, 0, U::ascii_adjust});
  out.push_back({"aas", F::alu, 0, 0, 0x3f, -1, k32, 0, U::ascii_adjust});
  out.push_back({"aam", F::alu, 0, 0, 0xd4, -1, k32 | kImm8, 0, U::ascii_divide});
  out.push_back({"aad", F::alu, 0, 0, 0xd5, -1, k32 | kImm8, 0, U::ascii_divide});
  out.push_back({"salc", F::alu, 0, 0, 0xd6, -1, k32, 0});
  out.push_back({"inc r", F::alu, 0, 0, 0x40, -1, k32 | kOpcodeReg | kSized, 0});
  out.push_back({"dec r", F::alu, 0, 0, 0x48, -1, k32 | kOpcodeReg | kSized, 0});
  out.push_back({"add alias 82", F::alu, 0, 0, 0x82, 0, kRm | kByte | kImm8 | kOnly32, 0});
  out.push_back({"pusha", F::stack, 0, 0, 0x60, -1, k32 | kStack64, 0, U::none, Kind::pusha});
  out.push_back({"popa", F::stack, 0, 0, 0x61, -1, k32 | kStack64, 0, U::none, Kind::pusha});
  out.push_back({"push sreg", F::stack, 0, 0, 0x1e, -1, k32 | kStack64, 0, U::none, Kind::stack});
  out.push_back({"into", F::flow, 0, 0, 0xce, -1, k32, 0});
  out.push_back({"bound", F::flow, 0, 0, 0x62, -1, kMem | kSized | kOnly32, 8});
}

}  // namespace

void add_integer_entries(std::vector<Entry>& out) {
  alu(out);
  shifts(out);
  muldiv(out);
  bits(out);
  moves(out);
  stack(out);
  strings(out);
  flow(out);
  legacy(out);
}

namespace {

u32 shift_count(const Case& c) {
  const u8 op = c.entry->opcode;
  u32 count = 1;
  if (c.entry->flags & kImm8) count = c.imm;
  else if (c.entry->map == 1 || op == 0xd2 || op == 0xd3) count = static_cast<u32>(c.in.gpr[RCX]);
  return count & (c.op_bits == 64 ? 63 : 31);
}

u64 undefined_shift(const Case& c) {
  const u32 count = shift_count(c);
  if (count == 0) return 0;
  u64 u = AF;
  if (count != 1) u |= OF;
  // CF of SHL and SHR beyond the operand; SAR goes on with the sign.
  const bool arithmetic = (c.modrm >> 3 & 7) == 7;
  if (count >= c.op_bits && !arithmetic) u |= CF;
  return u;
}

}  // namespace

bool undefined_result(const Case& c) {
  return c.entry->undefined == U::double_shift && shift_count(c) > c.op_bits;
}

u64 undefined_flags(const Case& c) {
  switch (c.entry->undefined) {
    case U::none: return 0;
    case U::logic: return AF;
    case U::shift: return undefined_shift(c);
    case U::rotate: return shift_count(c) == 1 ? u64{0} : u64{OF};
    case U::double_shift:
      if (shift_count(c) == 0) return 0;
      // Beyond 16 bits everything is open, the result too.
      if (shift_count(c) > c.op_bits) return kStatusFlags;
      return shift_count(c) == 1 ? u64{AF} : u64{AF | OF};
    case U::multiply: return SF | ZF | AF | PF;
    case U::divide: return kStatusFlags;
    case U::bit_test: return OF | SF | AF | PF;
    case U::bit_scan: return CF | OF | SF | AF | PF;
    case U::decimal_adjust: return OF;
    case U::ascii_adjust: return OF | SF | ZF | PF;
    case U::ascii_divide: return OF | AF | CF;
  }
  return 0;
}

}  // namespace twinstep::soft::oracle
