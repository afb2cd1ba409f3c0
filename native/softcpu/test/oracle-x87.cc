// What the oracle knows of x87 and state instructions.
//
// FCOM with an unmasked exception: the SDM keeps the condition codes as they were, AMD sets them;
// C1 of FCOMI: the SDM clears it, AMD keeps it. We follow the SDM and look away here.
#include "oracle.h"

namespace twinstep::soft::oracle {
namespace {

using F = Family;
using U = Undefined;
constexpr u16 kC1 = 0x200;

void memory_form(std::vector<Entry>& out, const char* name, u8 opcode, int group, u8 bytes,
                 Data data,
                 Kind kind = Kind::plain) {
  Entry e{name, F::x87, 0, 0, opcode, group, kMem | kX87 | kNoRep, bytes, U::none, kind};
  e.data = data;
  const bool compare = (opcode & 0xf9) == 0xd8 && (group == 2 || group == 3);
  if (compare) e.flags |= kFpCompare;
  out.push_back(e);
}
// Register forms of comparisons with what hosts differ in.
void compare_form(std::vector<Entry>& out, const char* name, u8 opcode, int group, u16 undefined) {
  Entry e{name, F::x87, 0, 0, opcode, group, kReg | kX87 | kNoRep | kFpCompare, 0};
  e.status_undefined = undefined;
  out.push_back(e);
}
void register_form(std::vector<Entry>& out, const char* name, u8 opcode, int group) {
  out.push_back({name, F::x87, 0, 0, opcode, group, kReg | kX87 | kNoRep, 0});
}
void fixed_form(std::vector<Entry>& out, const char* name, u8 opcode, u8 modrm, F family = F::x87,
                u16 undefined = 0, u32 flags = 0) {
  Entry e{name, family, 0, 0, opcode, -1, kX87 | kNoRep | flags, 0};
  e.modrm = modrm;
  e.status_undefined = undefined;
  if (family == F::transcend) e.flags |= kApproximate;
  out.push_back(e);
}

void arithmetic(std::vector<Entry>& out) {
  static const char* const kNames[8] = {"fadd", "fmul",  "fcom", "fcomp",
                                        "fsub", "fsubr", "fdiv", "fdivr"};
  for (int g = 0; g < 8; g++) {
    const std::string n = kNames[g];
    memory_form(out, (n + " m32").c_str(), 0xd8, g, 4, Data::single);
    memory_form(out, (n + " m64").c_str(), 0xdc, g, 8, Data::doubled);
    memory_form(out, (n + " i32").c_str(), 0xda, g, 4, Data::integer);
    memory_form(out, (n + " i16").c_str(), 0xde, g, 2, Data::integer);
    if (g == 2 || g == 3) {
      compare_form(out, (n + " st,sti").c_str(), 0xd8, g, 0);
      compare_form(out, (n + " dc alias").c_str(), 0xdc, g, 0);
      continue;
    }
    register_form(out, (n + " st,sti").c_str(), 0xd8, g);
    register_form(out, (n + " sti,st").c_str(), 0xdc, g);
    register_form(out, (n + "p sti,st").c_str(), 0xde, g);
  }
  compare_form(out, "fcomp de alias", 0xde, 2, 0);
  fixed_form(out, "fcompp", 0xde, 0xd9, F::x87, 0, kFpCompare);
  fixed_form(out, "fucompp", 0xda, 0xe9, F::x87, 0, kFpCompare);
  compare_form(out, "fucom", 0xdd, 4, 0);
  compare_form(out, "fucomp", 0xdd, 5, 0);
  compare_form(out, "fucomi", 0xdb, 5, kC1);
  compare_form(out, "fcomi", 0xdb, 6, kC1);
  compare_form(out, "fucomip", 0xdf, 5, kC1);
  compare_form(out, "fcomip", 0xdf, 6, kC1);
  fixed_form(out, "ftst", 0xd9, 0xe4, F::x87, 0, kFpCompare);
  fixed_form(out, "fxam", 0xd9, 0xe5);
}

void moves(std::vector<Entry>& out) {
  memory_form(out, "fld m32", 0xd9, 0, 4, Data::single);
  memory_form(out, "fst m32", 0xd9, 2, 4, Data::single);
  memory_form(out, "fstp m32", 0xd9, 3, 4, Data::single);
  memory_form(out, "fld m64", 0xdd, 0, 8, Data::doubled);
  memory_form(out, "fst m64", 0xdd, 2, 8, Data::doubled);
  memory_form(out, "fstp m64", 0xdd, 3, 8, Data::doubled);
  memory_form(out, "fld m80", 0xdb, 5, 10, Data::extended);
  memory_form(out, "fstp m80", 0xdb, 7, 10, Data::extended);
  memory_form(out, "fild m16", 0xdf, 0, 2, Data::integer);
  memory_form(out, "fisttp m16", 0xdf, 1, 2, Data::integer);
  memory_form(out, "fist m16", 0xdf, 2, 2, Data::integer);
  memory_form(out, "fistp m16", 0xdf, 3, 2, Data::integer);
  memory_form(out, "fild m32", 0xdb, 0, 4, Data::integer);
  memory_form(out, "fisttp m32", 0xdb, 1, 4, Data::integer);
  memory_form(out, "fist m32", 0xdb, 2, 4, Data::integer);
  memory_form(out, "fistp m32", 0xdb, 3, 4, Data::integer);
  memory_form(out, "fild m64", 0xdf, 5, 8, Data::integer);
  memory_form(out, "fisttp m64", 0xdd, 1, 8, Data::integer);
  memory_form(out, "fistp m64", 0xdf, 7, 8, Data::integer);
  memory_form(out, "fbld", 0xdf, 4, 10, Data::bcd);
  memory_form(out, "fbstp", 0xdf, 6, 10, Data::bcd);
  register_form(out, "fld sti", 0xd9, 0);
  register_form(out, "fxch", 0xd9, 1);
  register_form(out, "fstp1", 0xd9, 3);
  register_form(out, "ffree", 0xdd, 0);
  register_form(out, "fxch4", 0xdd, 1);
  register_form(out, "fst sti", 0xdd, 2);
  register_form(out, "fstp sti", 0xdd, 3);
  register_form(out, "ffreep", 0xdf, 0);
  register_form(out, "fxch7", 0xdf, 1);
  register_form(out, "fstp8", 0xdf, 2);
  register_form(out, "fstp9", 0xdf, 3);
  for (int g = 0; g < 4; g++) {
    register_form(out, "fcmovcc", 0xda, g);
    register_form(out, "fcmovncc", 0xdb, g);
  }
  for (u8 m = 0xe8; m <= 0xee; m++) fixed_form(out, "fld constant", 0xd9, m);
}

void unary_and_control(std::vector<Entry>& out) {
  static const struct {
    const char* name;
    u8 opcode, modrm;
  } kFixed[] = {
      {"fnop", 0xd9, 0xd0},    {"fchs", 0xd9, 0xe0},   {"fabs", 0xd9, 0xe1},
      {"fxtract", 0xd9, 0xf4}, {"fprem1", 0xd9, 0xf5}, {"fdecstp", 0xd9, 0xf6},
      {"fincstp", 0xd9, 0xf7}, {"fprem", 0xd9, 0xf8},  {"fsqrt", 0xd9, 0xfa},
      {"frndint", 0xd9, 0xfc}, {"fscale", 0xd9, 0xfd}, {"fneni", 0xdb, 0xe0},
      {"fndisi", 0xdb, 0xe1},  {"fnclex", 0xdb, 0xe2}, {"fninit", 0xdb, 0xe3},
      {"fnsetpm", 0xdb, 0xe4}, {"fnstsw ax", 0xdf, 0xe0},
  };
  for (const auto& f : kFixed) fixed_form(out, f.name, f.opcode, f.modrm);
  for (const u8 m : {0xf0, 0xf1, 0xf2, 0xf3, 0xf9, 0xfb, 0xfe, 0xff}) {
    static const char* const kNames[16] = {"f2xm1", "fyl2x", "fptan", "fpatan", "", "", "", "",
                                           "", "fyl2xp1", "", "fsincos", "", "", "fsin", "fcos"};
    fixed_form(out, kNames[m & 15], 0xd9, m, F::transcend);
  }
  // Encodings that are nothing.
  for (const u8 m : {0xd1, 0xe2, 0xe6, 0xef}) fixed_form(out, "reserved d9", 0xd9, m);
  for (const u8 m : {0xe0, 0xe8, 0xf0}) fixed_form(out, "reserved da", 0xda, m);
  for (const u8 m : {0xe5, 0xf8}) fixed_form(out, "reserved db", 0xdb, m);
  fixed_form(out, "reserved dd", 0xdd, 0xf0);
  for (const u8 m : {0xd8, 0xda}) fixed_form(out, "reserved de", 0xde, m);
  for (const u8 m : {0xe1, 0xf8}) fixed_form(out, "reserved df", 0xdf, m);
  memory_form(out, "fldcw", 0xd9, 5, 2, Data::integer, Kind::control_word);
  memory_form(out, "fnstcw", 0xd9, 7, 2, Data::integer);
  memory_form(out, "fnstsw m16", 0xdd, 7, 2, Data::integer);
  memory_form(out, "fldenv", 0xd9, 4, 28, Data::integer, Kind::fpenv);
  memory_form(out, "fnstenv", 0xd9, 6, 28, Data::integer, Kind::fpenv);
  memory_form(out, "frstor", 0xdd, 4, 108, Data::integer, Kind::fpenv);
  memory_form(out, "fnsave", 0xdd, 6, 108, Data::integer, Kind::fpenv);
  out.push_back({"wait", F::x87, 0, 0, 0x9b, -1, kNoModrm | kX87 | kNoRep, 0});
}

void state(std::vector<Entry>& out) {
  const u32 flags = kMem | kWide | kX87 | kNoRep;
  out.push_back({"fxsave", F::state, 0, 1, 0xae, 0, flags | kFxImage | kAligned, 16, U::none,
                 Kind::fximage});
  out.push_back({"fxrstor", F::state, 0, 1, 0xae, 1, flags | kAligned, 16, U::none, Kind::fximage});
  out.push_back({"ldmxcsr", F::state, 0, 1, 0xae, 2, kMem | kNoRep, 4, U::none, Kind::mxcsr});
  out.push_back({"stmxcsr", F::state, 0, 1, 0xae, 3, kMem | kNoRep, 4});
  out.push_back({"xsave", F::state, 0, 1, 0xae, 4, flags | kFxImage | kAligned, 64, U::none,
                 Kind::xsave});
  out.push_back({"xrstor", F::state, 0, 1, 0xae, 5, flags | kAligned, 64, U::none, Kind::xsave});
  out.push_back({"clflush", F::state, 0, 1, 0xae, 7, kMem | kNoRep, 1});
  for (int g = 5; g < 8; g++) out.push_back({"fence", F::state, 0, 1, 0xae, g, kReg | kNoRep, 0});
  for (int g = 0; g < 4; g++) out.push_back({"prefetch", F::state, 0, 1, 0x18, g, kMem | kNoRep,
                                             1});
}

}  // namespace

void add_x87_entries(std::vector<Entry>& out) {
  arithmetic(out);
  moves(out);
  unary_and_control(out);
  state(out);
}

}  // namespace twinstep::soft::oracle
