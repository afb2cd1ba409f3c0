// Forms of 16- and 32-bit code that 64-bit code does not have: stacks of 16 bits, address sizes that wrap,
// limits, far pointers, decimal arithmetic. A table of snippets with the registers they start with and end
// with, run in compatibility mode in both rings. The rules and their sources: native/softcpu/CORNERS.md.
#include "metal.h"

// Segments for each ring, their base at `pool`: 64 KiB of memory of our own.
enum { CS16 = 0x60, CS32 = 0x70, DATA64K = 0x80, STACK32 = 0x90, DOWN = 0xa0, READ_ONLY = 0xb0, SMALL = 0xc0 };
enum { CODE_AT = 0x8000, LIMIT_SMALL = 0xfff, DOWN_FROM = 0x800 };
#define COUNT(list) (sizeof(list) / sizeof *(list))

struct start {
  u64 rax, rcx, rdx, rbx, unused, rbp, rsi, rdi;
  u64 rip, cs, rflags, rsp, ss, ds, es;
};
void enter_form(u64 start);

// What a snippet is to do. A register that is not named in `to` ends as it began; ZERO is a zero there.
enum { ZERO = 0x0badc0de };
struct form {
  const char *what;
  const u8 *code, *end;
  u16 cs, ss, ds;
  struct ends {
    u32 eax, ecx, edx, ebx, esp, ebp, esi, edi;
  } from, to;
  bool traps;          // or runs to its end
  u32 vector, error;
  u16 at;              // where memory is looked at, and what must be there
  u32 word;
  u16 put_at;          // memory before
  u64 put;
};

#define FORM(name, bits, text)                                                                       \
  asm(".pushsection .rodata\n.code" #bits "\n" #name ":\n" text "\nint 0x80\n" #name "_end:\n.code64\n" \
      ".popsection\n");                                                                              \
  extern const u8 name[], name##_end[]
#define CODE(name) .code = name, .end = name##_end
#define TRAPS_WITH(number) .traps = true, .vector = number

// ---- ENTER, LEAVE ------------------------------------------------------------------------------------
FORM(enter_0, 16, "enter 0x10, 0");
FORM(enterd_0, 16, ".byte 0x66\nenter 0, 0");
FORM(enterd_2, 16, ".byte 0x66\nenter 8, 2");
FORM(enter_3, 16, "enter 4, 3");
FORM(enter32_0, 32, "enter 0x10, 0");
FORM(enter32_1, 32, "enter 0, 1");
FORM(enterw32, 32, ".byte 0x66\nenter 0, 0");
FORM(enter_33, 16, "enter 0, 33");  // the level counts modulo 32
FORM(leave_16, 16, "leave");
FORM(leaved_16, 16, ".byte 0x66\nleave");
FORM(leave_32, 32, "leave");
FORM(leavew_32, 32, ".byte 0x66\nleave");
// ---- PUSH, POP -----------------------------------------------------------------------------------------
FORM(push_sp, 16, "push sp\npop ax");
FORM(push_esp, 16, "push esp\npop eax");
FORM(pop_sp, 16, "pop sp");
FORM(pop_esp, 16, "pop esp");
FORM(push_word, 16, "push ax");
FORM(push_dword, 16, "push eax");
FORM(pop_word, 16, "pop ax");
FORM(pop_dword, 16, "pop eax");
FORM(push_small, 16, ".byte 0x6a, 0x80");
FORM(pusha_16, 16, "pusha\nmov ax, [0xff6]");
FORM(pushad_16, 16, "pushad");
FORM(popa_16, 16, "popa");
FORM(popad_16, 16, "popad");
FORM(pop_to_stack, 32, "pop dword ptr [esp + 4]");
FORM(push_from_stack, 32, "push dword ptr [esp + 4]");
FORM(push_cs, 32, "push cs\nmovzx eax, word ptr [esp]\nand eax, -4");
FORM(pushf_16, 16, "stc\npushf\npop ax\nand ax, 1");

static const struct form stack_forms[] = {
    {"ENTER on a 16-bit stack", CODE(enter_0), .from = {.esp = 0x1fff0, .ebp = 0x9abcdef0},
     .to = {.esp = 0x1ffde, .ebp = 0x9abcffee}, .at = 0xffee, .word = 0xccccdef0},
    {"ENTER of 32 bits on it: EBP is the whole ESP", CODE(enterd_0),
     .from = {.esp = 0x1fff0, .ebp = 0x9abcdef0},
     .to = {.esp = 0x1ffec, .ebp = 0x1ffec}, .at = 0xffec, .word = 0x9abcdef0},
    {"ENTER of 32 bits, level 2", CODE(enterd_2), .from = {.esp = 0x11000, .ebp = 0x55550800},
     .put_at = 0x7fc, .put = 0x0badcafe, .to = {.esp = 0x10fec, .ebp = 0x10ffc}, .at = 0xff4, .word = 0x10ffc},
    {"ENTER, level 3", CODE(enter_3), .from = {.esp = 0x11000, .ebp = 0x800}, .put_at = 0x7fc,
     .put = 0x77778888,
     .to = {.esp = 0x10ff4, .ebp = 0xffe}, .at = 0xffa, .word = 0x77778888},
    {"ENTER, level 33 is level 1", CODE(enter_33), .from = {.esp = 0x11000, .ebp = 0x800},
     .to = {.esp = 0x10ffc, .ebp = 0xffe}, .at = 0xffc, .word = 0x08000ffe},
    {"ENTER over the end of the stack", CODE(enter_0), .ss = SMALL, .from = {.esp = 0x10010, .ebp = 1},
     TRAPS_WITH(SS)},
    {"ENTER, 32-bit stack", CODE(enter32_0), CS32, STACK32, .from = {.esp = 0x1000, .ebp = 7},
     .to = {.esp = 0xfec, .ebp = 0xffc}},
    {"ENTER, 32-bit stack, level 1", CODE(enter32_1), CS32, STACK32, .from = {.esp = 0x1000, .ebp = 7},
     .to = {.esp = 0xff8, .ebp = 0xffc}, .at = 0xff8, .word = 0xffc},
    {"ENTER of 16 bits, 32-bit stack", CODE(enterw32), CS32, STACK32, .from = {.esp = 0x1000, .ebp = 0x70007},
     .to = {.esp = 0xffe, .ebp = 0x70ffe}},
    {"LEAVE on a 16-bit stack", CODE(leave_16), .from = {.esp = 0x1abcd, .ebp = 0x99990ff0},
     .put_at = 0xff0, .put = 0x1234, .to = {.esp = 0x10ff2, .ebp = 0x99991234}},
    {"LEAVE of 32 bits on it", CODE(leaved_16), .from = {.esp = 0x1abcd, .ebp = 0x99990ff0},
     .put_at = 0xff0, .put = 0x87654321, .to = {.esp = 0x10ff4, .ebp = 0x87654321}},
    {"LEAVE", CODE(leave_32), CS32, STACK32, .from = {.ebp = 0xff0}, .put_at = 0xff0, .put = 0x87654321,
     .to = {.esp = 0xff4, .ebp = 0x87654321}},
    {"LEAVE of 16 bits, 32-bit stack", CODE(leavew_32), CS32, STACK32, .from = {.ebp = 0xff0},
     .put_at = 0xff0, .put = 0x87654321, .to = {.esp = 0xff2, .ebp = 0x4321}},
    {"PUSH SP pushes it as it was", CODE(push_sp), .from = {.esp = 0x11000},
     .to = {.eax = 0x1000, .esp = 0x11000}},
    {"PUSH ESP on a 16-bit stack", CODE(push_esp), .from = {.esp = 0x11000},
     .to = {.eax = 0x11000, .esp = 0x11000}},
    {"POP SP", CODE(pop_sp), .from = {.esp = 0x11000}, .put_at = 0x1000, .put = 0x5678, .to = {.esp = 0x15678}},
    {"POP ESP on a 16-bit stack", CODE(pop_esp), .from = {.esp = 0x11000}, .put_at = 0x1000, .put = 0x5678,
     .to = {.esp = 0x5678}},
    {"PUSH at SP 0 goes to FFFE", CODE(push_word), .from = {.eax = 0x1111, .esp = 0x10000},
     .to = {.esp = 0x1fffe},
     .at = 0xfffc, .word = 0x1111cccc},
    {"PUSH at SP 1 has no room", CODE(push_word), .from = {.esp = 0x10001}, TRAPS_WITH(SS)},
    {"PUSH of 32 bits at SP 2 neither", CODE(push_dword), .from = {.esp = 0x10002}, TRAPS_WITH(SS)},
    {"POP at SP FFFE", CODE(pop_word), .from = {.esp = 0x1fffe}, .to = {.eax = 0xcccc, .esp = 0x10000}},
    {"POP of 32 bits at SP FFFE", CODE(pop_dword), .from = {.esp = 0x1fffe}, TRAPS_WITH(SS)},
    {"PUSH imm8 is sign-extended", CODE(push_small), .from = {.esp = 0x11000}, .to = {.esp = 0x10ffe},
     .at = 0xffe, .word = 0xccccff80},
    {"PUSHA pushes SP as it was", CODE(pusha_16), .from = {.esp = 0x11000},
     .to = {.eax = 0x1000, .esp = 0x10ff0}},
    {"PUSHAD", CODE(pushad_16), .from = {.esp = 0x11000}, .to = {.esp = 0x10fe0}, .at = 0xfec, .word = 0x11000},
    {"PUSHA over the end of the stack", CODE(pusha_16), .from = {.esp = 0x10009}, TRAPS_WITH(SS)},
    {"POPA leaves SP where it went", CODE(popa_16), .from = {.eax = 9, .esp = 0x10ff0}, .put_at = 0xff6,
     .put = 0xcccc1234, .to = {.eax = 0xcccc, .ecx = 0xcccc, .edx = 0xcccc, .ebx = 0xcccc, .esp = 0x11000,
                           .ebp = 0xcccc, .esi = 0xcccc, .edi = 0xcccc}},
    {"POPAD", CODE(popad_16), .from = {.esp = 0x10fe0}, .put_at = 0xfec, .put = 0x1234,
     .to = {.eax = 0xcccccccc, .ecx = 0xcccccccc, .edx = 0xcccccccc, .ebx = 0xcccccccc, .esp = 0x11000,
            .ebp = 0xcccccccc, .esi = 0xcccccccc, .edi = 0xcccccccc}},
    {"POP [ESP + n] has ESP moved already", CODE(pop_to_stack), CS32, STACK32, .from = {.esp = 0x1000},
     .put_at = 0x1000, .put = 0x600d, .to = {.esp = 0x1004}, .at = 0x1008, .word = 0x600d},
    {"PUSH [ESP + n] has not", CODE(push_from_stack), CS32, STACK32, .from = {.esp = 0x1000}, .put_at = 0x1004,
     .put = 0x600d, .to = {.esp = 0xffc}, .at = 0xffc, .word = 0x600d},
    {"PUSH CS", CODE(push_cs), CS32, STACK32, .from = {.esp = 0x1000}, .to = {.eax = CS32, .esp = 0xffc}},
    {"PUSHF and POP of 16 bits", CODE(pushf_16), .from = {.esp = 0x11000}, .to = {.eax = 1, .esp = 0x11000}},
};

// ---- addresses, limits, far pointers ---------------------------------------------------------------------
FORM(load_si, 16, "mov ax, [si]");
FORM(load_bx_si, 16, "mov ax, [bx + si]");
FORM(load_bp_di, 16, "mov ax, [bp + di]");
FORM(load_esi, 16, ".byte 0x67\nmov ax, [esi]");
FORM(store_si, 16, "mov [si], ax");
FORM(xlat_16, 16, "xlatb");
FORM(lodsw_wrap, 16, "mov cx, 2\nrep lodsw");
FORM(stosb_wrap, 16, "mov cx, 2\nrep stosb");
FORM(lds_16, 16, "lds ax, [bx]");
FORM(les_32, 32, "les eax, [ebx]");
FORM(bound_16, 16, "bound ax, [bx]");
FORM(jcxz_16, 16, "jcxz 1f\nmov ax, 1\n1:");
FORM(jecxz_16, 16, "jecxz 1f\nmov ax, 1\n1:");
FORM(loop_16, 16, "1: inc ax\nloop 1b");
FORM(loopd_16, 16, "1: inc ax\n.byte 0x67\nloop 1b");
FORM(jump_far, 16, "jmp far ptr [bx]");
FORM(jump_beyond, 32, "jmp .+0x10000");
FORM(call_beyond, 32, "call .+0x10000");
FORM(jz_beyond, 32, "xor eax, eax\njz .+0x10000");
FORM(jnz_beyond, 32, "xor eax, eax\njnz .+0x10000");
FORM(loop_beyond, 32, "mov ecx, 1\nloop 1f\n1:");
FORM(jump_reg_beyond, 32, "jmp eax");
FORM(return_beyond, 32, "ret");
FORM(arpl_memory, 32, "arpl [ebx], ax\nsetz cl");
FORM(mov_es_null, 32, "mov es, eax\nmov al, es:[0]");
FORM(cs_read, 32, "mov eax, cs:[0x1000]");
FORM(cs_write, 32, "mov cs:[0x1000], eax");

static const struct form address_forms[] = {
    {"the last word of a segment", CODE(load_si), .from = {.esi = 0xfffe},
     .to = {.eax = 0xcccc, .esi = 0xfffe}},
    {"a word over its end", CODE(load_si), .from = {.esi = 0xffff}, TRAPS_WITH(GP)},
    {"BX + SI wraps at 16 bits", CODE(load_bx_si), .from = {.ebx = 0xfff0, .esi = 0x30}, .put_at = 0x20,
     .put = 0x3344,
     .to = {.eax = 0x3344, .ebx = 0xfff0, .esi = 0x30}},
    {"BP + DI is in SS", CODE(load_bp_di), .ss = SMALL, .from = {.ebp = 0xf00, .edi = 0x100}, TRAPS_WITH(SS)},
    {"ESI of 32 bits does not wrap", CODE(load_esi), .from = {.esi = 0x10000}, TRAPS_WITH(GP)},
    {"an expand-down segment begins above its limit", CODE(load_si), .ds = DOWN, .from = {.esi = DOWN_FROM},
     .to = {.eax = 0x80cd, .esi = DOWN_FROM}, .put_at = DOWN_FROM, .put = 0x80cd},
    {"and not below", CODE(load_si), .ds = DOWN, .from = {.esi = DOWN_FROM - 1}, TRAPS_WITH(GP)},
    {"and ends at FFFF", CODE(load_si), .ds = DOWN, .from = {.esi = 0xffff}, TRAPS_WITH(GP)},
    {"a read-only segment can be read", CODE(load_si), .ds = READ_ONLY, .from = {.esi = 0x100},
     .to = {.eax = 0xcccc, .esi = 0x100}},
    {"and not written", CODE(store_si), .ds = READ_ONLY, .from = {.esi = 0x100}, TRAPS_WITH(GP)},
    {"XLAT wraps at 16 bits", CODE(xlat_16), .from = {.eax = 0xff20, .ebx = 0x1fff0}, .put_at = 0x10,
     .put = 0x5a,
     .to = {.eax = 0xff5a, .ebx = 0x1fff0}},
    {"REP LODS: SI and CX are 16 bits", CODE(lodsw_wrap), .from = {.ecx = 0x70000, .esi = 0x1fffe}, .put_at = 0,
     .put = 0x4455, .to = {.eax = 0x4455, .ecx = 0x70000, .esi = 0x10002}},
    {"REP STOS: DI is 16 bits", CODE(stosb_wrap), .from = {.ecx = 0, .edi = 0x1ffff},
     .to = {.ecx = ZERO, .edi = 0x10001}, .at = 0, .word = 0xcccccc00},
    {"LDS over the end: the selector is at offset 0", CODE(lds_16), .from = {.ebx = 0xfffe}, .put_at = 0,
     .put = 3, .to = {.eax = 0xcccc, .ebx = 0xfffe}},
    {"LES in 32-bit code over the end", CODE(les_32), CS32, .from = {.ebx = 0xfffc}, TRAPS_WITH(GP)},
    {"BOUND over the end: the upper bound is at offset 0", CODE(bound_16), .from = {.eax = 5, .ebx = 0xfffe},
     .put_at = 0, .put = 7, .to = {.eax = 5, .ebx = 0xfffe}},
    {"BOUND: below", CODE(bound_16), .from = {.eax = 4, .ebx = 0x100}, .put_at = 0x100, .put = 0x00070005,
     TRAPS_WITH(BR)},
    {"BOUND: above", CODE(bound_16), .from = {.eax = 8, .ebx = 0x100}, .put_at = 0x100, .put = 0x00070005,
     TRAPS_WITH(BR)},
    {"BOUND: signed", CODE(bound_16), .from = {.eax = 0xffff, .ebx = 0x100}, .put_at = 0x100, .put = 0x0007fffe,
     .to = {.eax = 0xffff, .ebx = 0x100}},
    {"JCXZ looks at CX", CODE(jcxz_16), .from = {.ecx = 0x10000}, .to = {.eax = ZERO, .ecx = 0x10000}},
    {"JECXZ at ECX", CODE(jecxz_16), .from = {.ecx = 0x10000}, .to = {.eax = 1, .ecx = 0x10000}},
    {"LOOP counts CX", CODE(loop_16), .from = {.ecx = 0x10002}, .to = {.eax = 2, .ecx = 0x10000}},
    {"and by address size ECX", CODE(loopd_16), .from = {.ecx = 2}, .to = {.eax = 2, .ecx = ZERO}},
    {"JMP far takes a 16-bit offset", CODE(jump_far), .from = {.ebx = 0x100}, .put_at = 0x100,
     .put = CS16 << 16 | (CODE_AT + 2), .to = {.ebx = 0x100}},
    {"JMP far to a null selector", CODE(jump_far), .from = {.ebx = 0x100}, .put_at = 0x100,
     .put = CODE_AT, TRAPS_WITH(GP)},
    {"JMP beyond the limit faults itself", CODE(jump_beyond), CS32, TRAPS_WITH(GP)},
    {"CALL beyond the limit pushes nothing", CODE(call_beyond), CS32, TRAPS_WITH(GP)},
    {"Jcc beyond the limit, taken", CODE(jz_beyond), CS32, TRAPS_WITH(GP)},
    {"and not taken", CODE(jnz_beyond), CS32, .to = {.eax = ZERO}},
    {"LOOP that falls through", CODE(loop_beyond), CS32, .to = {.ecx = ZERO}},
    {"JMP register beyond the limit", CODE(jump_reg_beyond), CS32, .from = {.eax = 0x10000}, TRAPS_WITH(GP)},
    {"RET beyond the limit keeps ESP", CODE(return_beyond), CS32, STACK32, .from = {.esp = 0x1000},
     .put_at = 0x1000,
     .put = 0x10000, TRAPS_WITH(GP)},
    {"ARPL raises an RPL", CODE(arpl_memory), CS32, .from = {.eax = 3, .ebx = 0x100, }, .put_at = 0x100,
     .put = 0x41, .to = {.eax = 3, .ebx = 0x100, .ecx = 1}, .at = 0x100, .word = 0x43},
    {"ARPL writes nothing where nothing is to be raised", CODE(arpl_memory), CS32, .ds = READ_ONLY,
     .from = {.eax = 1, .ebx = 0x100, .ecx = 9}, .put_at = 0x100, .put = 0x42, .to = {.eax = 1, .ebx = 0x100,
      .ecx = ZERO}},
    {"ARPL that must write, read-only", CODE(arpl_memory), CS32, .ds = READ_ONLY,
     .from = {.eax = 3, .ebx = 0x100},
     .put_at = 0x100, .put = 0x42, TRAPS_WITH(GP)},
    {"a null selector may be loaded, not used", CODE(mov_es_null), CS32, .from = {.eax = 3}, TRAPS_WITH(GP)},
    {"code can be read", CODE(cs_read), CS32, .to = {.eax = 0xcccccccc}},
    {"and not written", CODE(cs_write), CS32, TRAPS_WITH(GP)},
};

// ---- decimal arithmetic (defined flags only) ---------------------------------------------------------
#define WITH_FLAGS(text) "mov ah, dl\nsahf\n" text "\nlahf\nand ax, 0x11ff"
FORM(daa_, 16, WITH_FLAGS("daa"));
FORM(das_, 16, WITH_FLAGS("das"));
FORM(aaa_, 16, "push ax\nmov ah, dl\nsahf\npop ax\naaa");
FORM(aas_, 16, "push ax\nmov ah, dl\nsahf\npop ax\naas");
FORM(aam_0, 16, "aam 0");
FORM(aam_7, 16, "aam 7");
FORM(aad_16, 16, "aad 16");
FORM(salc_, 16, "stc\n.byte 0xd6");
FORM(into_, 16, "mov al, 0x7f\ninc al\ninto");

static const struct form decimal_forms[] = {
    {"DAA: both nibbles", CODE(daa_), .from = {.eax = 0x9a, .edx = 2}, .to = {.eax = 0x1100, .edx = 2}},
    {"DAA: CF in", CODE(daa_), .from = {.eax = 0x10, .edx = 3}, .to = {.eax = 0x170, .edx = 3}},
    {"DAA: AF in", CODE(daa_), .from = {.eax = 0x12, .edx = 0x12}, .to = {.eax = 0x1018, .edx = 0x12}},
    {"DAS: a borrow of its own", CODE(das_), .from = {.eax = 0x05, .edx = 0x12},
     .to = {.eax = 0x11ff, .edx = 0x12}},
    {"DAS: CF in", CODE(das_), .from = {.eax = 0x70, .edx = 3}, .to = {.eax = 0x110, .edx = 3}},
    {"AAA: into AH, with its carry", CODE(aaa_), .from = {.eax = 0x01fb, .edx = 2, .esp = 0x11000},
     .to = {.eax = 0x0301, .edx = 2, .esp = 0x11000}},
    {"AAS", CODE(aas_), .from = {.eax = 0x0303, .edx = 0x12, .esp = 0x11000},
     .to = {.eax = 0x010d, .edx = 0x12, .esp = 0x11000}},
    {"AAM 0", CODE(aam_0), TRAPS_WITH(DE)},
    {"AAM 7", CODE(aam_7), .from = {.eax = 0x5532}, .to = {.eax = 0x0701}},
    {"AAD 16", CODE(aad_16), .from = {.eax = 0x0504}, .to = {.eax = 0x0054}},
    {"SALC", CODE(salc_), .from = {.eax = 0x1200}, .to = {.eax = 0x12ff}},
    {"INTO", CODE(into_), TRAPS_WITH(OF)},
};


// ---- running them ----------------------------------------------------------------------------------------
static u64 segment(u32 limit, u64 attributes, u32 ring) {
  const u64 base = (u64)pool;
  return (limit & 0xffff) | (base & 0xffffff) << 16 | (attributes | ring << 5) << 40 |
         (base >> 24 & 0xff) << 56;
}

static void set_segments(u32 ring) {
  const struct {
    u32 selector, limit;
    u64 attributes;
  } list[] = {{CS16, 0xffff, 0x9b}, {CS32, 0xffff, 0x409b}, {DATA64K, 0xffff, 0x93}, {STACK32, 0xffff, 0x4093},
              {DOWN, DOWN_FROM - 1, 0x97}, {READ_ONLY, 0xffff, 0x91}, {SMALL, LIMIT_SMALL, 0x93}};
  for (u32 n = 0; n < COUNT(list); n++) {
    gdt[list[n].selector / 8] = segment(list[n].limit, list[n].attributes, ring);
  }
}

static u32 given(u32 value, u32 otherwise) { return value ? value : otherwise; }

static void ends_as(u64 actual, u32 to, u32 from, const char *what) {
  const u32 expected = to == ZERO ? 0 : given(to, from);
  if ((u32)actual != expected) same((u32)actual, expected, what, "register", 0);
}

// All of it holds CC; after a form that is put right where forms look and write.
static void reset_memory(void) {
  static const struct {
    u16 at, bytes;
  } used[] = {{0, 0x200}, {0x7f0, 0x20}, {0xfe0, 0x40}, {CODE_AT - 0x10, 0x50}, {0xffe0, 0x20}};
  for (u32 n = 0; n < COUNT(used); n++) fill(pool[0] + used[n].at, 0xcc, used[n].bytes);
}

static void run_form(const struct form *f, u32 ring) {
  struct ends from = f->from;
  from.esp = given(from.esp, 0x11000);
  u8 *memory = pool[0];
  reset_memory();
  copy(memory + CODE_AT, f->code, (u64)(f->end - f->code));
  if (f->put) copy(memory + f->put_at, &f->put, 4);
  struct start s = {from.eax, from.ecx, from.edx, from.ebx, 0, from.ebp, from.esi, from.edi, CODE_AT,
                    given(f->cs, CS16) | ring, 2, from.esp, given(f->ss, DATA64K) | ring,
                    given(f->ds, DATA64K) | ring, DATA64K | ring};
  CHECK(attempt(enter_form, (u64)&s));
  if (f->traps) {
    same(caught.f.vector, f->vector, f->what, "vector", (int)ring);
    SAME(caught.f.error, f->error);
    if (f->vector != OF) same((u32)caught.f.rsp, from.esp, f->what, "ESP", (int)ring);
    return;
  }
  same(caught.f.vector, LEAVE, f->what, "vector", (int)ring);
  SAME(caught.f.rip, CODE_AT + (u64)(f->end - f->code));
  const struct ends *to = &f->to;
  const struct frame *was = &caught.f;
  ends_as(was->rax, to->eax, from.eax, f->what);
  ends_as(was->rcx, to->ecx, from.ecx, f->what);
  ends_as(was->rdx, to->edx, from.edx, f->what);
  ends_as(was->rbx, to->ebx, from.ebx, f->what);
  ends_as(was->rsp, to->esp, from.esp, f->what);
  ends_as(was->rbp, to->ebp, from.ebp, f->what);
  ends_as(was->rsi, to->esi, from.esi, f->what);
  ends_as(was->rdi, to->edi, from.edi, f->what);
  if (f->word) same(*(u32 *)(memory + f->at), f->word, f->what, "memory", f->at);
}

static void run_forms(const char *title, const struct form *list, u32 count) {
  CASE(title) {
    for (u32 ring = 0; ring < 4; ring += 3) {
      set_segments(ring);
      for (u32 n = 0; n < count; n++) {
        run_form(&list[n], ring);
      }
    }
  }
}

void guest_main(void) {
  // A trap in ring 0 takes the 16-bit stack for a 64-bit one; so each brings its own.
  fill(pool, 0xcc, sizeof pool);
  tss.ist[2] = KERNEL_STACK;
  for (u32 v = 0; v < 256; v++) {
    const bool open = v == LEAVE || v == OF;
    set_gate((u8)v, (u64)trap_stubs + v * 16, open ? 0xee : 0x8e, 3);
  }
  run_forms("stacks of 16 and 32 bits", stack_forms, COUNT(stack_forms));
  run_forms("addresses, limits, far pointers, branches", address_forms, COUNT(address_forms));
  run_forms("decimal arithmetic, INTO", decimal_forms, COUNT(decimal_forms));
}
