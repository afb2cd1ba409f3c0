// Rings: SYSCALL and SYSRET, SYSENTER and SYSEXIT, SWAPGS, IRET between privileges, FS and GS bases,
// I/O privilege. Runs with a TSS and user code from metal.c.
#include "metal.h"

enum { EFER = 0xc0000080, STAR, LSTAR, CSTAR, FMASK, FS_BASE = 0xc0000100, GS_BASE, KERNEL_GS_BASE };
enum { SYSENTER_CS = 0x174, SYSENTER_ESP, SYSENTER_EIP };

// What the kernel saw when user code came in by a fast call; RAX.. as they were, the stack switched.
struct seen {
  u64 rip, cs, ss, flags, rcx, r11, rsp, rdi, gs_word;
} seen;
u64 kernel_rsp = 0, sysret_flags, sysret_target;

asm(".pushsection .text\n"
    // SYSCALL lands here. Notes what it sees, then goes back with SYSRET to where it came from.
    ".globl syscall_entry, syscall_entry32, sysenter_entry, sysenter_entry32\n"
    "syscall_entry:\n"
    "  mov [seen + 48], rsp\n"
    "  lea rsp, [stacks + 2 * 8192]\n"
    "  push rax\n"
    "  mov [seen + 32], rcx\nmov [seen + 40], r11\nmov [seen + 56], rdi\n"
    "  mov eax, cs\nmov [seen + 8], rax\nmov eax, ss\nmov [seen + 16], rax\n"
    "  pushfq\npop [seen + 24]\n"
    "  swapgs\nmov rax, gs:[0]\nmov [seen + 64], rax\nswapgs\n"
    "  pop rax\n"
    "  mov rsp, [seen + 48]\n"
    "  cmp qword ptr [sysret_flags], 0\nje 1f\nmov r11, [sysret_flags]\n"
    "1: cmp qword ptr [sysret_target], 0\nje 2f\nmov rcx, [sysret_target]\nsysretd\n"
    "2: sysretq\n"
    "sysenter_entry:\n"
    "  mov [seen + 48], rsp\n"
    "  mov eax, cs\nmov [seen + 8], rax\nmov eax, ss\nmov [seen + 16], rax\n"
    "  pushfq\npop [seen + 24]\n"
    "  mov rcx, rbp\nmov rdx, rsi\n"
    "  cmp dword ptr [sysret_flags], 32\nje 3f\n"
    "  sysexitq\n"
    "3: sysexitd\n"
    // User code.
    ".globl user_syscall, user_syscall_back, user_syscall_32, user_in_32\n"
    "user_syscall: mov r8, 0x1234\nxor eax, eax\nadd eax, 1\nstc\nsyscall\n"
    "user_syscall_back: int 0x80\n"
    "user_syscall_32: syscall\n"
    ".code32\n"
    "user_in_32: mov eax, cs\nmov ecx, ss\nint 0x80\n"
    ".code64\n"
    ".globl user_sysenter, user_sysenter_back, user_sysenter32, user_sysenter32_back\n"
    "user_sysenter: mov rbp, rsp\nlea rsi, [rip + user_sysenter_back]\nsysenter\n"
    "user_sysenter_back: int 0x80\n"
    ".code32\n"
    "user_sysenter32: mov ebp, esp\nmov esi, offset user_sysenter32_back\nsysenter\n"
    "user_sysenter32_back: int 0x80\n"
    ".code64\n"
    ".popsection\n");
extern u8 syscall_entry[], sysenter_entry[], user_syscall_back[], user_in_32[];
extern u8 user_sysenter_back[], user_sysenter32[], user_sysenter32_back[];
void user_syscall(u64), user_sysenter(u64);

static void setup(void) {
  wrmsr(STAR, (u64)(USER32 - 3) << 48 | (u64)CODE64 << 32);
  wrmsr(LSTAR, (u64)syscall_entry);
  wrmsr(FMASK, FLAG_IF | FLAG_DF | FLAG_TF | 0x4000);
  wrmsr(SYSENTER_CS, CODE64);
  wrmsr(SYSENTER_ESP, KERNEL_STACK);
  wrmsr(SYSENTER_EIP, (u64)sysenter_entry);
}

SNIPPET(do_syscall, "", "syscall");
SNIPPET(do_sysret, "mov rcx, rdi\nmov r11, 2", "sysretq");
SNIPPET(do_sysret_user, "", "sysretd");
SNIPPET(do_sysexit_user, "", "sysexitd");
SNIPPET(do_swapgs_user, "", "swapgs");

static void system_calls(void) {
  static u64 kernel_gs = 0x6b65726e;
  setup();
  CASE("SYSCALL: RCX, R11, selectors, mask; SYSRET goes back with all of it") {
    wrmsr(KERNEL_GS_BASE, (u64)&kernel_gs);
    struct user u = {(u64)user_syscall, USER64, 2 | FLAG_IF | FLAG_DF, USER_STACK, USERDATA, 77, 0};
    SAME(run_user_as(&u), LEAVE);
    SAME(seen.rcx, (u64)user_syscall_back);
    SAME(seen.r11 & ~0x8d4ul, 2 | FLAG_IF | FLAG_DF | FLAG_CF);
    SAME(seen.flags & (FLAG_IF | FLAG_DF | FLAG_CF), FLAG_CF);
    SAME(seen.cs, CODE64);
    SAME(seen.ss, DATA);
    SAME(seen.rsp, USER_STACK);
    SAME(seen.rdi, 77);
    SAME(seen.gs_word, 0x6b65726e);
    SAME(caught.f.rip, (u64)user_syscall_back + 2);
    SAME(caught.f.cs, USER64);
    SAME(caught.f.ss, USERDATA);
    SAME(caught.f.rsp, USER_STACK);
    SAME(caught.f.rflags & (FLAG_IF | FLAG_DF | FLAG_CF), FLAG_IF | FLAG_DF | FLAG_CF);
    SAME(caught.f.r8, 0x1234);
  }
  CASE("SYSRET to 32-bit code") {
    sysret_target = (u64)user_in_32;
    SAME(run_user(user_syscall, 0), LEAVE);
    SAME(caught.f.cs, USER32);
    SAME(caught.f.rax, USER32);
    SAME(caught.f.rcx, USERDATA);
    SAME(caught.f.rip, (u64)user_in_32 + 6);
    sysret_target = 0;
  }
  CASE("SYSRET takes its flags from R11, without RF and VM") {
    sysret_flags = 0x3f7fd7;
    SAME(run_user(user_syscall, 0), DB);  // TF among them: one instruction, then a trap
    SAME(caught.f.rip, (u64)user_syscall_back);
    SAME(caught.f.rflags & 0x3f7fd7, 0x3c7fd7);
    sysret_flags = 0;
    WRITE_DR(6, 0xffff0ff0);
  }
  CASE("without EFER.SCE it is #UD; from 32-bit code as well") {
    wrmsr(EFER, rdmsr(EFER) & ~1ul);
    TRAPS(do_syscall, 0, UD, 0);
    SAME(run_user(user_syscall, 0), UD);
    wrmsr(EFER, rdmsr(EFER) | 1);
    if (on_test_machine()) {  // as on Intel; others allow it
      struct user u = {(u64)do_syscall_at, USER32, 2, USER_STACK, USERDATA, 0, 0};
      SAME(run_user_as(&u), UD);
    }
  }
  CASE("SYSRET to a bad address faults in ring 0; SYSRET from ring 3 is #GP") {
    TRAPS(do_sysret, 1ul << 47, GP, 0);
    SAME(caught.f.cs, CODE64);
    SAME(run_user(do_sysret_user, 0), GP);
    SAME(run_user(do_sysexit_user, 0), GP);
    SAME(run_user(do_swapgs_user, 0), GP);
  }
}

static void sysenter(void) {
  CASE("SYSENTER and SYSEXIT, 64-bit") {
    sysret_flags = 64;
    struct user u = {(u64)user_sysenter, USER64, 2 | FLAG_IF, USER_STACK - 64, USERDATA, 0, 0};
    SAME(run_user_as(&u), LEAVE);
    SAME(seen.cs, CODE64);
    SAME(seen.ss, DATA);
    SAME(seen.rsp, KERNEL_STACK);
    SAME(seen.flags & FLAG_IF, 0);
    SAME(caught.f.rip, (u64)user_sysenter_back + 2);
    SAME(caught.f.cs, USER64);
    SAME(caught.f.ss, USERDATA + 0x10);
    SAME(caught.f.rsp, USER_STACK - 64);
  }
  CASE("from and to 32-bit code") {
    sysret_flags = 32;
    struct user u = {(u64)user_sysenter32, USER32, 2, USER_STACK - 32, USERDATA, 0, 0};
    SAME(run_user_as(&u), LEAVE);
    SAME(seen.cs, CODE64);
    SAME(caught.f.rip, (u64)user_sysenter32_back + 2);
    SAME(caught.f.cs, USER32);
    SAME(caught.f.ss, USERDATA);
    SAME(caught.f.rsp, USER_STACK - 32);
    sysret_flags = 0;
  }
  CASE("SYSENTER with a null selector is #GP") {
    wrmsr(SYSENTER_CS, 0);
    SAME(run_user(user_sysenter, 0), GP);
    SAME(caught.f.error, 0);
    wrmsr(SYSENTER_CS, CODE64);
  }
}

SNIPPET(read_gs, "", "mov rax, gs:[0]\nmov rcx, fs:[8]\nint 0x80");
SNIPPET(set_fs_base, "", "wrfsbase rdi\nrdfsbase rax\nmov rcx, fs:[0]\nwrgsbase rdi\nrdgsbase edx\nint 0x80");
SNIPPET(load_gs_selector, "mov eax, 0x2b", "mov gs, eax\nmov rax, gs:[rdi]\nint 0x80");

static void bases(void) {
  static u64 words[4] = {11, 22, 33, 44};
  CASE("FS and GS bases by MSR") {
    wrmsr(FS_BASE, (u64)&words[1]);
    wrmsr(GS_BASE, (u64)&words[0]);
    SAME(run_user(read_gs, 0), LEAVE);
    SAME(caught.f.rax, 11);
    SAME(caught.f.rcx, 33);
  }
  CASE("SWAPGS exchanges the two bases") {
    wrmsr(KERNEL_GS_BASE, 0xffff800000001234);
    asm volatile("swapgs");
    SAME(rdmsr(GS_BASE), 0xffff800000001234);
    SAME(rdmsr(KERNEL_GS_BASE), (u64)words);
    asm volatile("swapgs");
    SAME(rdmsr(GS_BASE), (u64)words);
  }
  CASE("loading a selector replaces the base") {
    SAME(run_user(load_gs_selector, (u64)&words[3]), LEAVE);
    SAME(caught.f.rax, 44);
    SAME(rdmsr(GS_BASE), 0);
  }
  CASE("RDFSBASE and WRFSBASE, once CR4 allows them") {
    SAME(run_user(set_fs_base, (u64)words), UD);
    WRITE_CR(4, READ_CR(4) | 1ul << 16);
    SAME(run_user(set_fs_base, (u64)words), LEAVE);
    SAME(caught.f.rax, (u64)words);
    SAME(caught.f.rcx, 11);
    SAME(caught.f.rdx, (u32)(u64)words);
    SAME(run_user(set_fs_base, 1ul << 47), GP);
    WRITE_CR(4, READ_CR(4) & ~(1ul << 16));
    wrmsr(FS_BASE, 0);
    wrmsr(GS_BASE, 0);
  }
}

SNIPPET(user_out, "mov dx, di\nmov eax, 0x41", "out dx, al\nint 0x80");
SNIPPET(user_out_word, "mov dx, di\nmov eax, 0x41", "out dx, ax\nint 0x80");
SNIPPET(user_popf, "", "push rdi\npopfq\npushfq\npop rax\nint 0x80");
SNIPPET(user_sti, "", "sti\npushfq\npop rax\nint 0x80");
SNIPPET(user_smsw, "", "smsw eax\nint 0x80");

static u64 run_with_flags(void (*code)(u64), u64 arg, u64 flags) {
  struct user u = {(u64)code, USER64, flags, USER_STACK, USERDATA, arg, 0};
  return run_user_as(&u);
}

static void io_privilege(void) {
  enum { IOPL3 = 0x3000, QUIET_PORT = 0x80 };
  CASE("ports and IF need IOPL") {
    SAME(run_with_flags(user_out, QUIET_PORT, 2), GP);
    SAME(caught.f.error, 0);
    SAME(run_with_flags(user_out, QUIET_PORT, 2 | IOPL3), LEAVE);
    SAME(run_with_flags(user_sti, 0, 2), GP);
    SAME(run_with_flags(user_sti, 0, 2 | IOPL3), LEAVE);
    SAME(caught.f.rax & FLAG_IF, FLAG_IF);
  }
  CASE("POPF in user mode changes neither IOPL nor, without it, IF") {
    SAME(run_with_flags(user_popf, 0x3ed7, 2), LEAVE);
    SAME(caught.f.rax & (IOPL3 | FLAG_IF), 0);
    SAME(caught.f.rax & 0xcd5, 0xcd5);
    SAME(run_with_flags(user_popf, 0x202, 2 | IOPL3), LEAVE);
    SAME(caught.f.rax & (IOPL3 | FLAG_IF), IOPL3 | FLAG_IF);
  }
  CASE("the I/O permission bitmap opens single ports") {
    tss.io_base = (u16)((u64)tss.io_map - (u64)&tss);
    fill(tss.io_map, 0xff, sizeof tss.io_map);
    tss.io_map[QUIET_PORT / 8] &= ~1;
    SAME(run_with_flags(user_out, QUIET_PORT, 2), LEAVE);
    SAME(run_with_flags(user_out, QUIET_PORT + 1, 2), GP);
    SAME(run_with_flags(user_out_word, QUIET_PORT, 2), GP);  // both of its ports count
    tss.io_map[QUIET_PORT / 8] &= ~3;
    SAME(run_with_flags(user_out_word, QUIET_PORT, 2), LEAVE);
    tss.io_base = sizeof tss;
    SAME(run_with_flags(user_out, QUIET_PORT, 2), GP);
  }
  CASE("what user mode may look at") {
    SAME(run_user(user_smsw, 0), LEAVE);
    SAME(caught.f.rax & 0x80000001, 0x80000001);
  }
}

SNIPPET(iret_back, "", "mov rax, ss\nint 0x80");

static void returns(void) {
  CASE("IRET to user mode: data segments of ring 0 become null") {
    asm volatile("mov ds, %0\nmov es, %0\nmov fs, %1" ::"r"((u32)DATA), "r"((u32)USERDATA));
    SAME(run_user(iret_back, 0), LEAVE);
    u32 fs;
    asm volatile("mov %0, fs" : "=r"(fs));
    SAME(fs, USERDATA);
    SAME(caught.f.rax, USERDATA);
    asm volatile("mov fs, %0" ::"r"((u32)DATA));
  }
  CASE("IRET with bad selectors or addresses faults in ring 0") {
    struct user bad_ss = {(u64)iret_back, USER64, 2, USER_STACK, DATA, 0, 0};
    SAME(run_user_as(&bad_ss), GP);
    SAME(caught.f.error, DATA);
    SAME(caught.f.cs, CODE64);
    struct user bad_rip = {1ul << 47, USER64, 2, USER_STACK, USERDATA, 0, 0};
    SAME(run_user_as(&bad_rip), GP);
    struct user nested_task = {(u64)iret_back, USER64, 2, USER_STACK, USERDATA, 0, 0};
    asm volatile("pushfq\nor qword ptr [rsp], 0x4000\npopfq");
    SAME(run_user_as(&nested_task), GP);  // NT in long mode
    asm volatile("pushfq\nand qword ptr [rsp], 0xffffffffffffbfff\npopfq");
  }
  CASE("IRET inside ring 0 restores SS:RSP as well") {
    struct user u = {(u64)iret_back, CODE64, 2, USER_STACK - 0x18, 0, 0, 0};
    SAME(run_user_as(&u), LEAVE);
    SAME(caught.f.rax, 0);  // null SS is fine in ring 0
    SAME(caught.f.rsp, USER_STACK - 0x18);
  }
}

void guest_main(void) {
  system_calls();
  sysenter();
  bases();
  io_privilege();
  returns();
}
