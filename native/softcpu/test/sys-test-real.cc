// Real and virtual-8086 mode, form by form: a table of snippets with the registers they start and end with.
// What is the same in compatibility mode stands in test/guests/metal/forms.c. Rules: CORNERS.md.
#include "sys-rig.h"

namespace twinstep::soft::test {

namespace {

constexpr u64 kAt = 0x1000;       // code; CS base is 0
constexpr u64 kPlain = 0x5050;    // what a register holds that a row does not name

struct Row {
  const char* what;
  const u8* code;
  const u8* end;
  u64 esp = 0x9000;
  u64 eax = kPlain, ebx = kPlain;
  int vector = -1;                // or -1: runs to its HLT
  u64 eax_then = kPlain, esp_then = 0x9000;
  u64 put_at = 0, put = 0;        // memory before
  u64 at = 0, word = 0;           // memory after
};
#define CODE(name) guest_##name, guest_##name##_end
#define ROW(name) .code = guest_##name, .end = guest_##name##_end

// Real mode: flat 64 KiB, every vector to a stub of its own.
void real_mode_at(Rig& r, u64 rip) {
  for (const Seg which : {ES, SS, DS, FS, GS}) r.segment(which, 0, 0x93, 0xffff);
  r.segment(CS, 0, 0x9b, 0xffff);
  memset(r.ram + kStubs, 0xf4, 0x1000);
  for (u32 v = 0; v < 256; ++v) r.put<u32>(4 * v, u32(r.stub(v)));
  r.s.idt_limit = 0x3ff;
  r.s.rip = rip;
  r.s.rflags = 2;
}

// Virtual-8086 mode at 0:rip, the monitor's gates and stack as in protected32().
void v86_at(Rig& r, u64 rip, u64 iopl) {
  r.protected32(rip, 0);
  for (u32 n = 0; n < kSegCount; ++n) r.segment(Seg(n), 0, 0xf3, 0xffff);
  r.s.rflags = 2 | VM | iopl << 12;
}

void check_row(Rig& r, const Row& t, u64 frame_at) {
  r.load(kAt, t.code, t.end);
  if (t.put_at != 0) r.put<u64>(t.put_at, t.put);
  r.s.gpr[RAX] = t.eax;
  r.s.gpr[RBX] = t.ebx;
  r.s.gpr[RSP] = t.esp;
  running = t.what;
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), t.vector);
  if (t.vector >= 0) {
    if (frame_at == 0) SAME(r.w(r.s.gpr[RSP]), t.eax_then == kPlain ? kAt : t.eax_then);
    return;
  }
  SAME(r.s.gpr[RAX], t.eax_then);
  SAME(r.s.gpr[RSP], t.esp_then);
  if (t.at != 0) SAME(r.w(t.at), t.word);
}

// ---- real mode -----------------------------------------------------------------------------------
GUEST(r_pusha, 16, "pusha\nhlt");
GUEST(r_push, 16, "push ax\nhlt");
GUEST(r_pushd, 16, "push eax\nhlt");
GUEST(r_load, 16, "mov ax, [bx]\nhlt");
GUEST(r_load32, 16, "mov ax, [ebx]\nhlt");
GUEST(r_pop_esp, 16, ".byte 0x66, 0x67, 0x8f, 0x44, 0x24, 0x04\nhlt");  // pop dword ptr [esp + 4]
GUEST(r_jump32, 16, ".byte 0x66, 0xe9\n.long 0x10000\nhlt");
GUEST(r_far32, 16, ".byte 0x66, 0xea\n.long 0x10000\n.word 0\nhlt");
GUEST(r_call32, 16, ".byte 0x66, 0x9a\n.long 0x1100\n.word 0\nhlt");
GUEST(r_int_far, 16, "int 0xff\nhlt");
GUEST(r_lds, 16, "lds ax, [bx]\nhlt");
GUEST(r_sldt, 16, "sldt ax\nhlt");
GUEST(r_arpl, 16, "arpl ax, bx\nhlt");
GUEST(r_lar, 16, "lar ax, bx\nhlt");
GUEST(r_ltr, 16, "ltr ax\nhlt");
GUEST(r_mov_cs, 16, ".byte 0x8e, 0xc8\nhlt");
GUEST(r_lock, 16, ".byte 0xf0, 0x8b, 0x07\nhlt");
GUEST(r_aam, 16, "aam 0\nhlt");
GUEST(r_sysenter, 16, "sysenter\nhlt");
GUEST(r_iret16, 16, "iret\nhlt");
GUEST(r_iret32, 16, ".byte 0x66\niret\nhlt");
GUEST(r_smsw, 16, "smsw eax\nand eax, 0x1f\nhlt");

void real_rows() {
  const Row rows[] = {
      {.what = "PUSHA at SP 7", ROW(r_pusha), .esp = 7, .vector = GP},
      {.what = "PUSHA at SP 15", ROW(r_pusha), .esp = 15, .vector = GP},
      {.what = "PUSHA at SP 16", ROW(r_pusha), .esp = 16, .esp_then = 0},
      {.what = "PUSHA at SP 0", ROW(r_pusha), .esp = 0, .esp_then = 0xfff0, .at = 0xfff6, .word = 0},
      {.what = "PUSH at SP 0", ROW(r_push), .esp = 0x40000, .esp_then = 0x4fffe, .at = 0xfffe,
       .word = kPlain},
      {.what = "the last word", ROW(r_load), .ebx = 0xfffe, .eax_then = 0},
      {.what = "a word over the end", ROW(r_load), .ebx = 0xffff, .vector = GP},
      {.what = "beyond 64 KiB by 67", ROW(r_load32), .ebx = 0x10000, .vector = GP},
      {.what = "POP [ESP + 4] with SP wrapping", ROW(r_pop_esp), .esp = 0xfffc, .esp_then = 0,
       .put_at = 0xfff8, .put = u64{0x600d} << 32, .at = 4, .word = 0x600d},
      {.what = "JMP of 32 bits beyond 64 KiB", ROW(r_jump32), .vector = GP},
      {.what = "JMP far of 32 bits beyond 64 KiB", ROW(r_far32), .vector = GP},
      {.what = "CALL far of 32 bits", ROW(r_call32), .esp_then = 0x8ff8, .put_at = 0x1100, .put = 0xf4,
       .at = 0x8ff8, .word = kAt + 8},
      {.what = "LDS over the end", ROW(r_lds), .ebx = 0xfffe, .eax_then = 0x1234, .put_at = 0xfff8,
       .put = u64{0x1234} << 48},
      {.what = "SLDT", ROW(r_sldt), .vector = UD},
      {.what = "ARPL", ROW(r_arpl), .vector = UD},
      {.what = "LAR", ROW(r_lar), .vector = UD},
      {.what = "LTR", ROW(r_ltr), .vector = UD},
      {.what = "MOV CS", ROW(r_mov_cs), .vector = UD},
      {.what = "LOCK of a load", ROW(r_lock), .vector = UD},
      {.what = "AAM 0", ROW(r_aam), .vector = DE},
      {.what = "SYSENTER", ROW(r_sysenter), .vector = GP},
      {.what = "SMSW", ROW(r_smsw), .eax_then = 0x10},
  };
  for (const Row& t : rows) {
    Rig r;
    real_mode_at(r, kAt);
    check_row(r, t, 0);
  }
}

// A stack with room for less than an interrupt is a shutdown, whoever needs it.
void real_no_stack() {
  for (const u64 sp : {1, 3, 5}) {
    Rig r;
    real_mode_at(r, kAt);
    r.load(kAt, CODE(r_pusha));
    r.s.gpr[RSP] = sp;
    CHECK(r.run() == Exit::Shutdown);
  }
  Rig r;  // vectors beyond the limit: #GP, which lies there too: #DF, then nothing
  real_mode_at(r, kAt);
  r.load(kAt, CODE(r_int_far));
  r.s.idt_limit = 0x1f;
  CHECK(r.run() == Exit::Shutdown);
  Rig in;
  real_mode_at(in, kAt);
  in.load(kAt, CODE(r_int_far));
  in.s.gpr[RSP] = 0x9000;
  in.s.idt_limit = 0x3fb;
  CHECK(in.run() == Exit::Halt);
  SAME(in.halted_in(), GP);
}

// Flags IRET may change in real mode: all of FLAGS by 16 bits, RF AC ID besides by 32, never VM, VIF, VIP.
void real_iret_flags() {
  const struct {
    const u8* code;
    const u8* end;
    u64 image, expected;
  } rows[] = {{CODE(r_iret16), 0xffffffd7 & ~u64{TF}, 0x7ed7}, {CODE(r_iret32), 0xffffffd7 & ~u64{TF},
      0x247ed7}};
  for (const auto& t : rows) {
    Rig r;
    real_mode_at(r, kAt);
    r.load(kAt, t.code, t.end);
    const bool wide = t.end - t.code == 3;
    r.s.gpr[RSP] = 0x9000;
    r.put<u8>(0x1100, 0xf4);
    if (wide) {
      r.put<u32>(0x9000, 0x1100);
      r.put<u32>(0x9004, 0xabcd0000);
      r.put<u32>(0x9008, u32(t.image));
    } else {
      r.put<u16>(0x9000, 0x1100);
      r.put<u16>(0x9002, 0);
      r.put<u16>(0x9004, u16(t.image));
    }
    CHECK(r.run() == Exit::Halt);
    SAME(r.s.rip, 0x1101);
    SAME(r.s.rflags & ~u64{RF}, t.expected);
    SAME(r.s.gpr[RSP], wide ? 0x900c : 0x9006);
  }
}

// LGDT and LIDT: 24 bits of base with a 16-bit operand, 32 with 66. Both halves wrap at 64 KiB.
GUEST(r_lgdt, 16, "lgdt [bx]\nsgdt [0x6000]\nhlt");
GUEST(r_lgdtd, 16, ".byte 0x66\nlgdt [bx]\nlidt [bx]\nhlt");

void table_loads() {
  Rig r;
  real_mode_at(r, kAt);
  r.load(kAt, CODE(r_lgdt));
  r.put<u16>(0xfffe, 0x7f);
  r.put<u32>(0, 0xab123456);
  r.s.gpr[RBX] = 0xfffe;
  CHECK(r.run() == Exit::Halt);
  SAME(r.s.gdt_base, 0x123456);
  SAME(r.s.gdt_limit, 0x7f);
  SAME(r.d(0x6002), 0x123456);

  Rig d;
  real_mode_at(d, kAt);
  d.load(kAt, CODE(r_lgdtd));
  d.put<u16>(0x4000, 0xff);
  d.put<u32>(0x4002, 0xab123456);
  d.s.gpr[RBX] = 0x4000;
  CHECK(d.run() == Exit::Halt);
  SAME(d.s.gdt_base, 0xab123456);
  SAME(d.s.idt_base, 0x123456);
}

// ---- virtual-8086 mode ---------------------------------------------------------------------------
GUEST(v_cli, 16, "cli\nhlt");
GUEST(v_sti, 16, "sti\nhlt");
GUEST(v_pushf, 16, "pushf\nhlt");
GUEST(v_popf, 16, "popf\nhlt");
GUEST(v_int, 16, "int 0x30\nhlt");
GUEST(v_int3, 16, "int3\nhlt");
GUEST(v_into, 16, "mov al, 0x7f\ninc al\ninto\nhlt");
GUEST(v_hlt, 16, "hlt");
GUEST(v_cr0, 16, "mov eax, cr0\nhlt");
GUEST(v_lmsw, 16, "lmsw ax\nhlt");
GUEST(v_lgdt, 16, "lgdt [bx]\nhlt");
GUEST(v_rdmsr, 16, "rdmsr\nhlt");
GUEST(v_far, 16, ".byte 0xea\n.word 0x100\n.word 0x100\nhlt");
GUEST(v_in, 16, "in al, 0x60\nhlt");

void v86_rows() {
  const struct {
    const char* what;
    const u8* code;
    const u8* end;
    u64 iopl;
    int vector;
    u64 back;  // IP in the frame, from kAt
  } rows[] = {
      {"CLI", CODE(v_cli), 0, GP, 0},         {"CLI, IOPL 3", CODE(v_cli), 3, GP, 1},  // its HLT
      {"STI", CODE(v_sti), 2, GP, 0},         {"STI, IOPL 3", CODE(v_sti), 3, GP, 1},
      {"PUSHF", CODE(v_pushf), 0, GP, 0},     {"PUSHF, IOPL 3", CODE(v_pushf), 3, GP, 1},
      {"POPF", CODE(v_popf), 0, GP, 0},       {"POPF, IOPL 3", CODE(v_popf), 3, GP, 1},
      {"INT n", CODE(v_int), 0, GP, 0},       {"INT n, IOPL 3", CODE(v_int), 3, 0x30, 2},
      {"IRET", CODE(r_iret16), 0, GP, 0},     {"INT3", CODE(v_int3), 0, BP, 1},
      {"INTO", CODE(v_into), 0, OFV, 5},      {"HLT", CODE(v_hlt), 3, GP, 0},
      {"MOV CR0", CODE(v_cr0), 3, GP, 0},     {"LMSW", CODE(v_lmsw), 3, GP, 0},
      {"LGDT", CODE(v_lgdt), 3, GP, 0},       {"RDMSR", CODE(v_rdmsr), 3, GP, 0},
      {"SLDT", CODE(r_sldt), 3, UD, 0},       {"ARPL", CODE(r_arpl), 3, UD, 0},
      {"LTR", CODE(r_ltr), 3, UD, 0},         {"IN asks the bitmap, whatever IOPL", CODE(v_in), 3, GP, 0},
      {"PUSHA at SP 7", CODE(r_pusha), 3, GP, 0},
      {"a word over the end", CODE(r_load), 3, GP, 0},
      {"JMP of 32 bits beyond 64 KiB", CODE(r_jump32), 3, GP, 0},
  };
  for (const auto& t : rows) {
    running = t.what;
    Rig r;
    v86_at(r, kAt, t.iopl);
    for (const u32 v : {u32(BP), u32(OFV), 0x30u}) r.gate32(v, 0xee);
    r.load(kAt, t.code, t.end);
    r.s.gpr[RBX] = 0xffff;
    r.s.gpr[RSP] = t.code == guest_r_pusha ? 7 : 0x9000;
    CHECK(r.run() == Exit::Halt);
    SAME(r.halted_in(), t.vector);
    const bool coded = t.vector == GP;
    const u64 frame = kRsp0 - 36;
    SAME(r.s.gpr[RSP], frame - (coded ? 4 : 0));
    SAME(r.d(frame), kAt + t.back);
    SAME(r.d(frame + 8) & VM, VM);
    if (coded) SAME(r.d(frame - 4), 0);
  }
  running = "far jump and segments";
  Rig r;
  v86_at(r, kAt, 0);
  r.load(kAt, CODE(v_far));
  r.load(0x1100, CODE(v_int3));
  r.gate32(BP, 0xee);
  CHECK(r.run() == Exit::Halt);
  SAME(r.halted_in(), BP);
  SAME(r.d(kRsp0 - 36), 0x101);
  SAME(r.w(kRsp0 - 32), 0x100);
}

// The monitor's handler must be at CPL 0: a conforming one, or one of DPL 3, is #GP with its selector.
void v86_handlers() {
  for (const u64 code : {u64{0x00cf9f000000ffff}, u64{0x00cffb000000ffff}}) {
    Rig r;
    v86_at(r, kAt, 3);
    r.load(kAt, CODE(v_int3));
    r.put<u64>(kGdt + kCode16, code);
    r.gate32(BP, 0xee, kCode16 | 3);
    CHECK(r.run() == Exit::Halt);
    SAME(r.halted_in(), GP);
    SAME(r.d(kRsp0 - 40), kCode16);
  }
}

}  // namespace

void real_tests() {
  run_tests({
      {"real mode, form by form", real_rows},
      {"real mode without a stack", real_no_stack},
      {"IRET in real mode", real_iret_flags},
      {"LGDT, LIDT by operand size", table_loads},
      {"virtual-8086 mode, form by form", v86_rows},
      {"handlers of virtual-8086 mode", v86_handlers},
  });
}

}  // namespace twinstep::soft::test
