// Every exception the CPU can raise in long mode, with vector, error code, return address and the
// state it leaves; exceptions inside handlers; double faults. (Page faults: paging.c.)
#include "metal.h"

// ---- divide, undefined, privileged ---------------------------------------------------------------
SNIPPET(divide_by_zero, "xor ecx, ecx\nmov eax, 7\nmov edx, 1", "div ecx");
SNIPPET(divide_too_large, "mov ecx, 2\nmov eax, 7\nmov edx, 2", "div ecx");
SNIPPET(signed_overflow, "mov rax, 1\nshl rax, 63\ncqo\nmov rcx, -1", "idiv rcx");
SNIPPET(byte_overflow, "mov eax, 0x1000\nmov cl, 1", "div cl");
SNIPPET(undefined, "", "ud2");
SNIPPET(undefined1, "", ".byte 0x0f, 0xb9, 0xc0");
SNIPPET(push_es_byte, "", ".byte 0x06");
SNIPPET(lock_register, "", ".byte 0xf0, 0x01, 0xc0");
SNIPPET(lock_load, "", ".byte 0xf0, 0x8b, 0x07");
SNIPPET(lea_register, "", ".byte 0x48, 0x8d, 0xc0");
SNIPPET(far_jump_direct, "", ".byte 0xea, 0, 0, 0, 0, 0, 0");
SNIPPET(mov_cs, "mov eax, 0x10", ".byte 0x8e, 0xc8");
SNIPPET(read_cr1, "", ".byte 0x0f, 0x20, 0xc8");
SNIPPET(too_long, "",
        ".byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, "
        "0x66, 0x90");
SNIPPET(longest, "", ".byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, "
                     "0x66, 0x66, 0x66, 0x90");

static void invalid(void) {
  CASE("#DE: by zero, too large, INT_MIN / -1; operands stay") {
    TRAPS(divide_by_zero, 0, DE, 0);
    SAME(caught.f.rax, 7);
    SAME(caught.f.rdx, 1);
    TRAPS(divide_too_large, 0, DE, 0);
    TRAPS(signed_overflow, 0, DE, 0);
    SAME(caught.f.rax, 1ul << 63);
    TRAPS(byte_overflow, 0, DE, 0);
  }
  CASE("#UD: undefined opcodes, bad LOCK, bad operands") {
    TRAPS(undefined, 0, UD, 0);
    SAME(caught.f.rflags & FLAG_RF, FLAG_RF);
    TRAPS(undefined1, 0, UD, 0);
    TRAPS(push_es_byte, 0, UD, 0);
    TRAPS(lock_register, 0, UD, 0);
    TRAPS(lock_load, &caught, UD, 0);
    TRAPS(lea_register, 0, UD, 0);
    TRAPS(far_jump_direct, 0, UD, 0);
    TRAPS(mov_cs, 0, UD, 0);
    TRAPS(read_cr1, 0, UD, 0);
  }
  CASE("#GP: more than 15 bytes; 15 are fine") {
    TRAPS(too_long, 0, GP, 0);
    RUNS(longest, 0);
  }
}

// ---- software interrupts, traps ------------------------------------------------------------------
SNIPPET(breakpoint, "", "int3");
SNIPPET(int_closed, "", "int 0x21");
SNIPPET(int_0d, "", "int 0x0d");
SNIPPET(int1, "", ".byte 0xf1");
SNIPPET(int_two_bytes, "", ".byte 0xcd, 0x03");
SNIPPET(int_page_fault, "", "int 14");

static void software(void) {
  CASE("#BP is a trap: the return address lies behind it") {
    CHECK(attempt(breakpoint, 0));
    SAME(caught.f.vector, BP);
    SAME(caught.f.rip, (u64)breakpoint_at + 1);
    SAME(run_user(breakpoint, 0), BP);
    SAME(caught.f.cs, USER64);
    CHECK(attempt(int_two_bytes, 0));
    SAME(caught.f.rip, (u64)int_two_bytes_at + 2);
  }
  CASE("INT n pushes no error code, whatever the vector") {
    u64 rsp_in_handler;
    CHECK(attempt(int1, 0));
    SAME(caught.f.vector, DB);
    SAME(caught.f.rip, (u64)int1_at + 1);
    SAME(READ_DR(6) & 0x400f, 0);
    // The stub for vector 13 expects an error code, so our frame is one word off: RIP takes its place.
    CHECK(attempt(int_0d, 0));
    SAME(caught.f.error, (u64)int_0d_at + 2);
    rsp_in_handler = caught.at;
    SAME(rsp_in_handler & 15, 8);
  }
  CASE("user mode: gates with DPL 0 are closed to INT n, with the vector in the error code") {
    SAME(run_user(int_closed, 0), GP);
    SAME(caught.f.error, 0x21 * 8 + 2);
    SAME(caught.f.rip, (u64)int_closed_at);
    SAME(run_user(int_page_fault, 0), GP);
    SAME(caught.f.error, 14 * 8 + 2);
  }
  CASE("gates that are absent, of a wrong type, or lead nowhere") {
    set_gate(0x21, (u64)trap_stubs, 0x0e, 0);
    TRAPS(int_closed, 0, NP, 0x21 * 8 + 2);
    set_gate(0x21, (u64)trap_stubs, 0x8c, 0);
    TRAPS(int_closed, 0, GP, 0x21 * 8 + 2);
    set_gate(0x21, 1ul << 47, 0x8e, 0);
    TRAPS(int_closed, 0, GP, 0);
    reset_gates();
  }
  CASE("beyond the IDT's limit") {
    struct {
      u16 limit;
      u64 base;
    } PACKED idtr, small;
    asm volatile("sidt %0" : "=m"(idtr));
    small = idtr;
    small.limit = 0x21 * 16 + 14;
    asm volatile("lidt %0" ::"m"(small));
    TRAPS(int_closed, 0, GP, 0x21 * 8 + 2);
    asm volatile("lidt %0" ::"m"(idtr));
  }
}

// ---- 32-bit user code: what 64-bit mode no longer has -----------------------------------------------
asm(".pushsection .text\n.code32\n"
    ".globl into_32, into_32_at, bound_32, bound_32_at, bound_fine_32, limit_32, limit_32_at\n"
    "into_32: mov eax, 0x7fffffff\nadd eax, 1\ninto\ninto_32_at: int 0x80\n"
    "bound_32: push ss\npop ds\nmov eax, 11\nbound_32_at: bound eax, [edi]\nint 0x80\n"
    "bound_fine_32: push ss\npop ds\nmov eax, 10\nbound eax, [edi]\nint 0x80\n"
    "limit_32: mov ds, esi\nmov eax, [edi]\nlimit_32_at: mov eax, [edi + 1]\nint 0x80\n"
    ".code64\n.popsection\n");
extern u8 into_32[], into_32_at[], bound_32[], bound_32_at[], bound_fine_32[], limit_32[], limit_32_at[];

static u64 run_user32(u8 *code, u64 edi, u64 esi) {
  struct user u = {(u64)code, USER32, 2, USER_STACK, USERDATA, edi, esi};
  return run_user_as(&u);
}

static void legacy(void) {
  static i64 bounds = 2 | 10l << 32;
  CASE("#OF by INTO: a trap") {
    SAME(run_user32(into_32, 0, 0), OF);
    SAME(caught.f.rip, (u64)into_32_at);
    SAME(caught.f.cs, USER32);
  }
  CASE("#BR by BOUND: a fault") {
    SAME(run_user32(bound_32, (u64)&bounds, 0), BR);
    SAME(caught.f.rip, (u64)bound_32_at);
    SAME(run_user32(bound_fine_32, (u64)&bounds, 0), LEAVE);
  }
  CASE("segment limits bind 32-bit code: the last byte is in, the next is out") {
    gdt[TEST_SELECTOR / 8] = 0x0040f3000000100f;  // user data, limit 0x100f, base 0
    gdt[TEST_SELECTOR / 8] |= ((u64)pool & 0xffffff) << 16;
    SAME(run_user32(limit_32, 0x100c, TEST_SELECTOR | 3), GP);
    SAME(caught.f.error, 0);
    SAME(caught.f.rip, (u64)limit_32_at);
    SAME(run_user32(limit_32, 0x100b, TEST_SELECTOR | 3), LEAVE);
  }
}

// ---- segments ------------------------------------------------------------------------------------
SNIPPET(load_ds, "", "mov ds, edi");
SNIPPET(load_fs, "", "mov fs, edi");
SNIPPET(load_ss, "", "mov ss, edi");
SNIPPET(load_tr, "", "ltr di");
SNIPPET(load_ldt, "", "lldt di");
SNIPPET(far_return, "push rdi\nlea rax, [rip + 1f]\npush rax", "retfq\n1:");
SNIPPET(far_return32, "push rdi\npush 0", "retfq");
SNIPPET(bad_iret, "push 0x18\npush rsp\npush 2\npush rdi\npush 0", "iretq");

static void segments(void) {
  u64 *d = &gdt[TEST_SELECTOR / 8];
  CASE("#NP and #SS for absent segments, with the selector") {
    *d = 0x00cf13000000ffff;
    TRAPS(load_ds, TEST_SELECTOR, NP, TEST_SELECTOR);
    TRAPS(load_ss, TEST_SELECTOR, SS, TEST_SELECTOR);
    *d = 0x00af1b000000ffff;
    TRAPS(far_return, TEST_SELECTOR, NP, TEST_SELECTOR);
  }
  CASE("#GP for selectors that do not fit") {
    TRAPS(load_ds, 0x7f8, GP, 0x7f8);
    TRAPS(load_ds, TEST_SELECTOR | 4, GP, TEST_SELECTOR | 4);
    TRAPS(load_ss, CODE64, GP, CODE64);
    TRAPS(load_ss, USERDATA, GP, USERDATA & ~3);
    TRAPS(load_ds, TSS_SELECTOR, GP, TSS_SELECTOR);
    TRAPS(far_return, DATA, GP, DATA);
    TRAPS(far_return, 0, GP, 0);
    *d = 0x00ef9b000000ffff;  // L and D together
    TRAPS(far_return, TEST_SELECTOR, GP, TEST_SELECTOR);
    TRAPS(bad_iret, DATA, GP, DATA);
    TRAPS(load_ldt, DATA, GP, DATA);
    TRAPS(load_tr, TSS_SELECTOR, GP, TSS_SELECTOR);  // busy already
    SAME(run_user(load_ds, DATA), GP);
    SAME(caught.f.error, DATA);
  }
  CASE("null selectors: allowed for data, and for SS in ring 0") {
    RUNS(load_fs, 0);
    RUNS(load_fs, 3);
    RUNS(load_ss, 0);
    asm volatile("mov ss, %0" ::"r"((u32)DATA));
    SAME(run_user(load_ss, 0), GP);
    SAME(caught.f.error, 0);
  }
  CASE("loading sets the accessed bit of the descriptor, once") {
    *d = 0x00cf92000000ffff;
    RUNS(load_fs, TEST_SELECTOR);
    SAME(*d, 0x00cf93000000ffff);
    RUNS(load_fs, DATA);
  }
}

// ---- privilege -----------------------------------------------------------------------------------
SNIPPET(do_hlt, "", "hlt");
SNIPPET(do_cli, "", "cli");
SNIPPET(do_cr0, "", "mov rax, cr0");
SNIPPET(do_lgdt, "", "lgdt [rdi]");
SNIPPET(do_rdmsr, "mov ecx, 0xc0000080", "rdmsr");
SNIPPET(do_in, "", "in al, 0x80");
SNIPPET(do_invlpg, "", "invlpg [rdi]");
SNIPPET(do_clts, "", "clts");
SNIPPET(do_wbinvd, "", "wbinvd");
SNIPPET(msr_unknown, "mov ecx, 0x12345678", "rdmsr");
SNIPPET(msr_bad_value, "mov ecx, 0xc0000080\nmov eax, edi\nxor edx, edx", "wrmsr");
SNIPPET(lstar_bad, "mov ecx, 0xc0000082\nxor eax, eax\nmov edx, 0x8000", "wrmsr");
SNIPPET(set_cr0, "", "mov cr0, rdi");
SNIPPET(set_cr4, "", "mov cr4, rdi");
SNIPPET(set_cr8, "", "mov cr8, rdi");

static void privilege(void) {
  CASE("#GP(0) for privileged instructions in user mode") {
    void (*const list[])(u64) = {do_hlt, do_cli, do_cr0, do_lgdt, do_rdmsr,
                                 do_in, do_invlpg, do_clts, do_wbinvd, set_cr4};
    for (u32 n = 0; n < sizeof list / sizeof *list; n++) {
      SAME(run_user(list[n], (u64)pool), GP);
      SAME(caught.f.error, 0);
      CHECK(caught.f.rip - (u64)list[n] < 8);
    }
  }
  CASE("#GP(0) for MSRs and control registers that cannot be") {
    TRAPS(msr_unknown, 0, GP, 0);
    TRAPS(msr_bad_value, 0x2, GP, 0);
    TRAPS(msr_bad_value, rdmsr(0xc0000080) & ~0x100ul, GP, 0);  // LME while paging
    TRAPS(lstar_bad, 0, GP, 0);
    TRAPS(set_cr0, READ_CR(0) & ~1ul, GP, 0);           // paging without protection
    TRAPS(set_cr0, READ_CR(0) | 1ul << 29, GP, 0);      // NW without CD
    TRAPS(set_cr0, READ_CR(0) | 1ul << 32, GP, 0);
    TRAPS(set_cr4, READ_CR(4) & ~(1ul << 5), GP, 0);    // long mode without PAE
    TRAPS(set_cr4, READ_CR(4) | 1ul << 31, GP, 0);
    TRAPS(set_cr8, 16, GP, 0);
    RUNS(set_cr8, 15);
    RUNS(set_cr8, 0);
  }
}

// ---- floating point, alignment -------------------------------------------------------------------
SNIPPET(do_fld1, "", "fld1");
SNIPPET(do_wait, "", "fwait");
SNIPPET(do_sse, "", "addps xmm0, xmm0");
SNIPPET(do_mmx, "", "paddb mm0, mm0");
SNIPPET(x87_zero_divide, "fninit\npush 0x37b\nfldcw [rsp]\npop rax\nfld1\nfldz\nfdivp", "fwait");
SNIPPET(sse_zero_divide, "push 0x1d80\nldmxcsr [rsp]\npop rax\nmov eax, 0x3f800000\n"
        "movd xmm0, eax\nxorps xmm1, xmm1", "divss xmm0, xmm1");
SNIPPET(misaligned_sse, "", "movaps xmm0, [rdi]");
SNIPPET(misaligned, "pushfq\nor qword ptr [rsp], 0x40000\npopfq", "mov eax, [rdi]\nint 0x80");
SNIPPET(bad_mxcsr, "push 0x10000", "ldmxcsr [rsp]");

static void floating(void) {
  u64 cr0 = READ_CR(0), cr4 = READ_CR(4);
  CASE("#NM: CR0.TS for all, WAIT only with MP, CR0.EM for x87 (#UD for SSE and MMX)") {
    WRITE_CR(0, cr0 | 8);
    TRAPS(do_fld1, 0, NM, 0);
    TRAPS(do_sse, 0, NM, 0);
    TRAPS(do_mmx, 0, NM, 0);
    TRAPS(do_wait, 0, NM, 0);
    WRITE_CR(0, (cr0 | 8) & ~2ul);
    RUNS(do_wait, 0);
    WRITE_CR(0, (cr0 | 4) & ~2ul);
    TRAPS(do_fld1, 0, NM, 0);
    TRAPS(do_sse, 0, UD, 0);
    TRAPS(do_mmx, 0, UD, 0);
    WRITE_CR(0, cr0);
    RUNS(do_sse, 0);
  }
  CASE("#UD for SSE without CR4.OSFXSR") {
    WRITE_CR(4, cr4 & ~0x200ul);
    TRAPS(do_sse, 0, UD, 0);
    RUNS(do_mmx, 0);
    WRITE_CR(4, cr4);
  }
  CASE("#MF at the next waiting instruction, with CR0.NE") {
    TRAPS(x87_zero_divide, 0, MF, 0);
    asm volatile("fnclex");
  }
  CASE("#XM at the instruction; without OSXMMEXCPT it is #UD") {
    TRAPS(sse_zero_divide, 0, XM, 0);
    WRITE_CR(4, cr4 & ~0x400ul);
    TRAPS(sse_zero_divide, 0, UD, 0);
    WRITE_CR(4, cr4);
    u32 mxcsr = 0x1f80;
    asm volatile("ldmxcsr %0" ::"m"(mxcsr));
  }
  CASE("#GP: SSE operands that must be aligned, reserved bits of MXCSR") {
    TRAPS(misaligned_sse, pool[0] + 8, GP, 0);
    RUNS(misaligned_sse, pool[0] + 16);
    TRAPS(bad_mxcsr, 0, GP, 0);
  }
  CASE("#AC in user mode only, with CR0.AM and EFLAGS.AC") {
    WRITE_CR(0, cr0 | 1ul << 18);
    SAME(run_user(misaligned, (u64)pool + 2), AC);
    SAME(caught.f.error, 0);
    SAME(caught.f.rip, (u64)misaligned_at);
    SAME(run_user(misaligned, (u64)pool + 4), LEAVE);
    WRITE_CR(0, cr0);
    SAME(run_user(misaligned, (u64)pool + 2), LEAVE);
  }
}

// ---- debug ---------------------------------------------------------------------------------------
SNIPPET(single_step, "pushfq\nor qword ptr [rsp], 0x100\npopfq", "nop\nnop");
SNIPPET(step_rep, "mov ecx, 5\nlea rsi, [pool]\nlea rdi, [pool + 64]\npushfq\n"
        "or qword ptr [rsp], 0x100\npopfq", "rep movsb\nnop");
SNIPPET(touch_watched, "mov rax, [rdi]\nnop", "mov [rdi], rax\nnop");
SNIPPET(plain_nops, "nop", "nop\nnop");
SNIPPET(read_dr7, "", "mov rax, dr7");
SNIPPET(bad_dr6, "mov rax, 1\nshl rax, 32", "mov dr6, rax");
SNIPPET(dr4_without_de, "", ".byte 0x0f, 0x21, 0xe0");

static u32 steps;
static bool count_steps(struct frame *f) {
  steps++;
  if (steps == 7) f->rflags &= ~(u64)FLAG_TF;
  return true;
}

static void debug(void) {
  CASE("TF traps behind every instruction, DR6.BS says so") {
    CHECK(attempt(single_step, 0));
    SAME(caught.f.vector, DB);
    SAME(caught.f.rip, (u64)single_step_at + 1);
    SAME(READ_DR(6) & 0xf00f, 0x4000);
    SAME(caught.f.rflags & FLAG_TF, FLAG_TF);
    WRITE_DR(6, 0xffff0ff0);
  }
  CASE("one step a REP iteration") {
    on_trap(DB, count_steps);
    steps = 0;
    RUNS(step_rep, 0);
    SAME(steps, 7);  // five iterations, NOP, RET
    on_trap(DB, 0);
    WRITE_DR(6, 0xffff0ff0);
  }
  CASE("an instruction breakpoint is a fault, resumed past by RF") {
    WRITE_DR(0, plain_nops_at);
    WRITE_DR(7, 0x402);
    CHECK(attempt(plain_nops, 0));
    SAME(caught.f.vector, DB);
    SAME(caught.f.rip, (u64)plain_nops_at);
    SAME(READ_DR(6) & 0xf00f, 1);
    SAME(caught.f.rflags & FLAG_RF, 0);  // the one fault that leaves it to the handler
    struct user u = {(u64)plain_nops_at, CODE64, 2 | FLAG_RF, USER_STACK - 8, DATA, 0, 0};
    write64(USER_STACK - 8, (u64)undefined);
    SAME(run_user_as(&u), UD);
    WRITE_DR(7, 0x400);
    RUNS(plain_nops, 0);
    WRITE_DR(6, 0xffff0ff0);
  }
  CASE("a data breakpoint is a trap behind the access") {
    WRITE_DR(1, pool[1]);
    WRITE_DR(7, 0x400 | 8 | 0xdul << 20);  // 4 bytes, writes
    CHECK(attempt(touch_watched, (u64)pool[1]));
    SAME(caught.f.vector, DB);
    SAME(caught.f.rip, (u64)touch_watched_at + 3);
    SAME(READ_DR(6) & 0xf00f, 2);
    WRITE_DR(6, 0xffff0ff0);
    RUNS(touch_watched, pool[1] + 4);
    WRITE_DR(7, 0x400 | 8 | 0xful << 20);  // reads too
    CHECK(attempt(touch_watched, (u64)pool[1]));
    SAME(caught.f.rip, (u64)touch_watched + 3);
    WRITE_DR(7, 0x400);
    WRITE_DR(6, 0xffff0ff0);
  }
  CASE("DR7.GD guards the debug registers, DR6 and CR4.DE bind their use") {
    WRITE_DR(7, 0x2400);
    TRAPS(read_dr7, 0, DB, 0);
    SAME(caught.f.rflags & FLAG_RF, FLAG_RF);
    SAME(READ_DR(6) & 0xf00f, 0x2000);  // the handler entered with GD clear
    SAME(READ_DR(7) & 0x2000, 0);
    WRITE_DR(6, 0xffff0ff0);
    TRAPS(bad_dr6, 0, GP, 0);
    RUNS(dr4_without_de, 0);
    WRITE_CR(4, READ_CR(4) | 8);
    TRAPS(dr4_without_de, 0, UD, 0);
    WRITE_CR(4, READ_CR(4) & ~8ul);
  }
}

// ---- faults on the way to a handler --------------------------------------------------------------
SNIPPET(load_absent, "", "mov rax, [rdi]");

static void nested(void) {
  map_space();
  CASE("a contributory fault while delivering another is #DF with error code 0, on its IST") {
    set_gate(UD, (u64)trap_stubs + UD * 16, 0x0e, 0);  // absent: #NP while delivering #UD
    TRAPS(undefined, 0, NP, UD * 8 + 2 + 1);           // #UD is benign: delivered serially
    set_gate(GP, (u64)trap_stubs + GP * 16, 0x0e, 0);
    CHECK(attempt(msr_unknown, 0));
    SAME(caught.f.vector, DF);
    SAME(caught.f.error, 0);
    SAME(caught.at, IST1_STACK - 48);
    reset_gates();
  }
  CASE("a fault while delivering #PF is #DF; the page fault leaves its CR2") {
    set_gate(PF, (u64)trap_stubs + PF * 16, 0x0e, 0);
    CHECK(attempt(load_absent, page(7)));
    SAME(caught.f.vector, DF);
    SAME(caught.cr2, page(7));
    reset_gates();
  }
  CASE("#PF while delivering a contributory fault is serial, at the first instruction") {
    u64 ist3 = tss.ist[2];
    tss.ist[2] = page(9) + 4096;  // no such page: pushing the frame faults
    set_gate(GP, (u64)trap_stubs + GP * 16, 0x8e, 3);
    CHECK(attempt(msr_unknown, 0));
    SAME(caught.f.vector, PF);
    SAME(caught.f.error, 2);
    SAME(caught.f.rip, (u64)msr_unknown_at);
    SAME(caught.cr2 >> 12, page(9) >> 12);
    set_gate(PF, (u64)trap_stubs + PF * 16, 0x8e, 3);
    CHECK(attempt(load_absent, page(7)));  // #PF while delivering #PF
    SAME(caught.f.vector, DF);
    tss.ist[2] = ist3;
    reset_gates();
  }
  CASE("handlers nest: a fault inside a handler returns into it") {
    SAME(run_user(undefined, 0), UD);
    SAME(caught.f.cs, USER64);
    SAME(caught.f.ss, USERDATA);
    SAME(caught.at, KERNEL_STACK - 48);
  }
}

void guest_main(void) {
  invalid();
  software();
  legacy();
  segments();
  privilege();
  floating();
  debug();
  nested();
}
